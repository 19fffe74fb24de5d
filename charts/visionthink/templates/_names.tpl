{{/* Names follow the release. Thirty characters leave room for what the chart and KServe add. */}}
{{- define "visionthink.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 30 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 30 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 30 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that never change, by which pods are selected. Takes (dict "root" $ "component" NAME). */}}
{{- define "visionthink.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of every object. Takes (dict "root" $ "component" NAME). */}}
{{- define "visionthink.labels" -}}
{{ include "visionthink.selector" . }}
app.kubernetes.io/part-of: visionthink
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* metadata of an object. Takes (dict "root" $ "component" NAME "name" NAME). */}}
{{- define "visionthink.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "visionthink.labels" . | nindent 2 }}
{{- end -}}

{{/* One image as text. Takes (dict "root" $ "image" MAP): by digest where there is one, else by tag, else by the chart's version. */}}
{{- define "visionthink.image" -}}
{{- $registry := default .image.registry .root.Values.imageRegistry -}}
{{- $place := .image.repository -}}
{{- if $registry -}}{{- $place = printf "%s/%s" $registry $place -}}{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $place .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $place (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "visionthink.mlflow.name" -}}{{ include "visionthink.fullname" . }}-mlflow{{- end -}}
{{- define "visionthink.s3.name" -}}{{ include "visionthink.fullname" . }}-s3{{- end -}}
{{- define "visionthink.judge.name" -}}{{ include "visionthink.fullname" . }}-judge{{- end -}}
{{- define "visionthink.serving.name" -}}{{ default (include "visionthink.fullname" .) .Values.serving.name }}{{- end -}}
{{- define "visionthink.runtime.name" -}}{{ default (printf "%s-adaptive" (include "visionthink.fullname" .)) .Values.serving.runtimeName }}{{- end -}}
{{- define "visionthink.runs.claim" -}}{{ default (printf "%s-runs" (include "visionthink.fullname" .)) .Values.runs.existingClaim }}{{- end -}}
{{- define "visionthink.ray.secret" -}}{{ default (printf "%s-ray" (include "visionthink.fullname" .)) .Values.training.rayToken.existingSecret }}{{- end -}}
{{- define "visionthink.queue.name" -}}{{ default (include "visionthink.fullname" .) .Values.kueue.localQueue }}{{- end -}}

{{/* Name of the service account of a component; `default` of one that has none. Takes (dict "root" $ "component" NAME). */}}
{{- define "visionthink.account" -}}
{{- with index .root.Values.serviceAccounts .component -}}
{{- default (printf "%s-%s" (include "visionthink.fullname" $.root) $.component) .name -}}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{- define "visionthink.mlflow.url" -}}
{{- if .Values.mlflow.enabled -}}
http://{{ include "visionthink.mlflow.name" . }}.{{ .Release.Namespace }}:{{ .Values.mlflow.service.port }}
{{- else -}}
{{ .Values.mlflow.externalUrl }}
{{- end -}}
{{- end -}}

{{- define "visionthink.judge.url" -}}
http://{{ include "visionthink.judge.name" . }}.{{ .Release.Namespace }}:{{ .Values.judge.service.port }}/v1
{{- end -}}
