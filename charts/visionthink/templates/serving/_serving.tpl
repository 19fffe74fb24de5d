{{/* resources of a container of the runtime. Takes (dict "cpu" "memory" "gpus"). A GPU is asked for and limited alike. */}}
{{- define "visionthink.serving.resources" -}}
requests:
  cpu: {{ .cpu | quote }}
  memory: {{ .memory | quote }}
  {{- with int .gpus }}
  nvidia.com/gpu: {{ . }}
  {{- end }}
limits:
  memory: {{ .memory | quote }}
  {{- with int .gpus }}
  nvidia.com/gpu: {{ . }}
  {{- end }}
{{- end -}}

{{/* env from a list of NAME=VALUE. */}}
{{- define "visionthink.serving.env" -}}
{{- range . }}
{{- $pair := regexSplit "=" . 2 }}
- name: {{ index $pair 0 }}
  value: {{ index $pair 1 | quote }}
{{- end }}
{{- end -}}

{{/* The InferenceService or HTTPRoute that is there; a rollout may have changed it since. Takes (dict "root" $ "api" "kind" "name"). */}}
{{- define "visionthink.serving.live" -}}
{{- if .root.Capabilities.APIVersions.Has (printf "%s/%s" .api .kind) -}}
{{- lookup .api .kind .root.Release.Namespace .name | toYaml -}}
{{- else -}}
{}
{{- end -}}
{{- end -}}
