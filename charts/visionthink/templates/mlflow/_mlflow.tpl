{{/* Names that clients may call the server by, each with and without its port. */}}
{{- define "visionthink.mlflow.hosts" -}}
{{- $name := include "visionthink.mlflow.name" . -}}
{{- $space := .Release.Namespace -}}
{{- $hosts := list -}}
{{- range list $name (printf "%s.%s" $name $space) (printf "%s.%s.svc" $name $space) (printf "%s.%s.svc.%s" $name $space .Values.clusterDomain) "localhost" "127.0.0.1" -}}
{{- $hosts = concat $hosts (list . (printf "%s:*" .)) -}}
{{- end -}}
{{- if .Values.mlflow.ingress.enabled -}}
{{- $hosts = append $hosts .Values.mlflow.ingress.host -}}
{{- end -}}
{{- concat $hosts .Values.mlflow.allowedHosts | join "," -}}
{{- end -}}

{{- define "visionthink.mlflow.env" -}}
{{- $mlflow := .Values.mlflow -}}
- name: HOME
  value: /tmp
- name: MLFLOW_DISABLE_TELEMETRY
  value: "true"
- name: MLFLOW_BACKEND_STORE_URI
  {{- if $mlflow.database.existingSecret }}
  valueFrom: {secretKeyRef: {name: {{ $mlflow.database.existingSecret }}, key: {{ $mlflow.database.key }}}}
  {{- else }}
  value: sqlite:////database/mlflow.db
  {{- end }}
{{- include "visionthink.s3.env" . }}
{{- with include "visionthink.s3.endpoint" . }}
- name: MLFLOW_S3_ENDPOINT_URL
  value: {{ . | quote }}
{{- end }}
{{- if $mlflow.auth.enabled }}
- name: MLFLOW_AUTH_CONFIG_PATH
  value: /etc/mlflow-auth/basic_auth.ini
{{- range $key := list "MLFLOW_AUTH_ADMIN_USERNAME" "MLFLOW_AUTH_ADMIN_PASSWORD" "MLFLOW_FLASK_SERVER_SECRET_KEY" }}
- name: {{ $key }}
  valueFrom: {secretKeyRef: {name: {{ $mlflow.auth.existingSecret }}, key: {{ $key }}}}
{{- end }}
{{- end }}
{{- with $mlflow.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "visionthink.mlflow.mounts" -}}
- {name: scratch, mountPath: /tmp}
{{- if not .Values.mlflow.database.existingSecret }}
- {name: database, mountPath: /database}
{{- end }}
{{- if .Values.mlflow.auth.enabled }}
- {name: auth, mountPath: /etc/mlflow-auth, readOnly: true}
{{- end }}
{{- with .Values.mlflow.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}
