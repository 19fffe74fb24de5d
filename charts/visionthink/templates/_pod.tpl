{{/* Every pod runs as nobody, on a read-only root, without privileges: the pod security level `restricted`. */}}
{{- define "visionthink.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "visionthink.containerSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* Annotations and labels of a pod. Takes (dict "root" $ "component" NAME "pod" VALUES). */}}
{{- define "visionthink.podMetadata" -}}
labels:
  {{- include "visionthink.labels" . | nindent 2 }}
  {{- with .pod.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  kubectl.kubernetes.io/default-container: {{ .component }}
  {{- with .pod.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* What a pod's spec says besides its containers and volumes. Takes the same. */}}
{{- define "visionthink.podSpec" -}}
serviceAccountName: {{ include "visionthink.account" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- mergeOverwrite (include "visionthink.podSecurity" . | fromYaml) .pod.podSecurityContext | toYaml | nindent 2 }}
terminationGracePeriodSeconds: {{ .pod.terminationGracePeriodSeconds }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- range $key := list "priorityClassName" "runtimeClassName" "schedulerName" }}
{{- with index $.pod $key }}
{{ $key }}: {{ . }}
{{- end }}
{{- end }}
{{- range $key := list "nodeSelector" "affinity" "tolerations" "topologySpreadConstraints" "hostAliases" }}
{{- with index $.pod $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Security, image policy and resources of a container. Takes the same. */}}
{{- define "visionthink.container" -}}
image: {{ include "visionthink.image" (dict "root" .root "image" .pod.image) }}
imagePullPolicy: {{ .pod.image.pullPolicy }}
securityContext:
  {{- mergeOverwrite (include "visionthink.containerSecurity" . | fromYaml) .pod.containerSecurityContext | toYaml | nindent 2 }}
resources:
  {{- toYaml .pod.resources | nindent 2 }}
{{- with .pod.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
