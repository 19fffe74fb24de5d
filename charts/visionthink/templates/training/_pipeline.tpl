{{/* What a pipeline is compiled for, as a file for `visionthink pipeline ... --installation`. */}}
{{- define "visionthink.pipeline.options" -}}
image = {{ include "visionthink.image" (dict "root" . "image" .Values.pipeline.image) | toJson }}
model_image = {{ include "visionthink.image" (dict "root" . "image" .Values.training.image) | toJson }}
num_retries = {{ .Values.pipeline.retries }}
{{- $claim := "" }}
{{- if or .Values.runs.enabled .Values.runs.existingClaim }}
{{- $claim = include "visionthink.runs.claim" . }}
{{- end }}
runs_claim = {{ toJson $claim }}
settings = {{ printf "%s-settings" (include "visionthink.fullname" .) | toJson }}
service_account = {{ include "visionthink.account" (dict "root" . "component" "pipeline") | toJson }}
s3_secret = {{ include "visionthink.s3.secret" . | toJson }}
mlflow_secret = {{ toJson .Values.pipeline.mlflowSecret }}
judge_secret = {{ toJson .Values.pipeline.judgeSecret }}
model_gpus = {{ .Values.pipeline.modelGpus }}
tolerations = {{ toJson .Values.training.tolerations }}

[env]
AWS_DEFAULT_REGION = {{ toJson .Values.s3.region }}
{{- with include "visionthink.s3.endpoint" . }}
AWS_ENDPOINT_URL_S3 = {{ toJson . }}
{{- end }}
{{- range $key, $value := .Values.pipeline.env }}
{{ toJson $key }} = {{ toJson $value }}
{{- end }}
{{- with .Values.training.nodeSelector }}

[node_selector]
{{- range $key, $value := . }}
{{ toJson $key }} = {{ toJson $value }}
{{- end }}
{{- end }}
{{- end -}}
