{{/* Where the object store answers; empty is Amazon's own. */}}
{{- define "visionthink.s3.endpoint" -}}
{{- if eq .Values.s3.mode "embedded" -}}
http://{{ include "visionthink.s3.name" . }}.{{ .Release.Namespace }}:{{ .Values.s3.embedded.port }}
{{- else -}}
{{ .Values.s3.external.endpoint }}
{{- end -}}
{{- end -}}

{{/* Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; empty where a pod's identity opens the bucket (IRSA). */}}
{{- define "visionthink.s3.secret" -}}
{{- if .Values.s3.existingSecret -}}
{{ .Values.s3.existingSecret }}
{{- else if eq .Values.s3.mode "embedded" -}}
{{ include "visionthink.s3.name" . }}
{{- end -}}
{{- end -}}

{{/* How KServe is told where the object store is. */}}
{{- define "visionthink.s3.annotations" -}}
{{- $endpoint := include "visionthink.s3.endpoint" . -}}
{{- if $endpoint -}}
serving.kserve.io/s3-endpoint: {{ $endpoint | trimPrefix "http://" | trimPrefix "https://" | quote }}
serving.kserve.io/s3-usehttps: {{ hasPrefix "https://" $endpoint | ternary "1" "0" | quote }}
serving.kserve.io/s3-verifyssl: {{ hasPrefix "https://" $endpoint | ternary "1" "0" | quote }}
{{ end -}}
serving.kserve.io/s3-region: {{ .Values.s3.region | quote }}
{{- end -}}

{{/* The two keys as environment. */}}
{{- define "visionthink.s3.keys" -}}
{{- with include "visionthink.s3.secret" . }}
- name: AWS_ACCESS_KEY_ID
  valueFrom: {secretKeyRef: {name: {{ . }}, key: AWS_ACCESS_KEY_ID}}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ . }}, key: AWS_SECRET_ACCESS_KEY}}
{{- end }}
{{- end -}}

{{/* Everything that boto3 needs. */}}
{{- define "visionthink.s3.env" -}}
{{- include "visionthink.s3.keys" . }}
- name: AWS_DEFAULT_REGION
  value: {{ .Values.s3.region | quote }}
{{- with include "visionthink.s3.endpoint" . }}
- name: AWS_ENDPOINT_URL_S3
  value: {{ . | quote }}
{{- end }}
{{- end -}}
