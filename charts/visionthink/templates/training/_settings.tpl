{{/* The settings of the package that follow from these values, as TOML. JSON's texts, numbers and lists are TOML's too. */}}
{{- define "visionthink.settings" -}}
{{- $serving := .Values.serving -}}
{{- $training := .Values.training -}}
[tracking]
uri = {{ include "visionthink.mlflow.url" . | toJson }}
{{- if .Values.judge.enabled }}

[judge]
uri = {{ printf "rule+openai:%s?model=%s" (include "visionthink.judge.url" .) .Values.judge.servedName | toJson }}
{{- end }}
{{- with $serving.loop.settings }}

[serve]
{{- range $key, $value := . }}
{{ $key }} = {{ toJson $value }}
{{- end }}
{{- end }}


[register_model]
store = {{ printf "s3://%s/models" .Values.s3.bucket | toJson }}
{{- if $serving.enabled }}
# What is in use on the cluster is the version that a rollout promoted, and not the one that was registered last.
alias_moves_at = "rollout"

[rollout.slo]
prometheus = {{ toJson $serving.prometheusUrl }}
{{- end }}

[cluster]
namespace = {{ toJson .Release.Namespace }}

[cluster.serving]
name = {{ include "visionthink.serving.name" . | toJson }}
runtime = {{ include "visionthink.runtime.name" . | toJson }}
service_account = {{ include "visionthink.account" (dict "root" $ "component" "serving") | toJson }}
{{- with $serving.modelUri }}
model_uri = {{ toJson . }}
{{- end }}
engine_image = {{ include "visionthink.image" (dict "root" $ "image" $serving.engine.image) | toJson }}
engine_command = {{ toJson $serving.engine.command }}
engine_args = {{ toJson $serving.engine.args }}
engine_env = {{ toJson $serving.engine.env }}
engine_mounts = {{ toJson $serving.engine.mounts }}
shared_memory = {{ toJson $serving.engine.sharedMemory }}
loop_image = {{ include "visionthink.image" (dict "root" $ "image" $serving.loop.image) | toJson }}
min_replicas = {{ $serving.minReplicas }}
max_replicas = {{ $serving.maxReplicas }}
autoscaler = {{ toJson $serving.autoscaler }}
prometheus = {{ toJson $serving.prometheusUrl }}
max_waiting = {{ $serving.maxWaiting }}
start_s = {{ $serving.startSeconds }}
timeout_s = {{ $serving.timeoutSeconds }}
leave_s = {{ $serving.leaveSeconds }}
drain_s = {{ $serving.drainSeconds }}
weights = {{ toJson $serving.weights }}
hostname = {{ toJson $serving.hostname }}
gateway = {{ printf "%s/%s" $serving.gateway.namespace $serving.gateway.name | toJson }}

[cluster.serving.engine]
cpu = {{ toString $serving.engine.cpu | toJson }}
memory = {{ toJson $serving.engine.memory }}
gpus = {{ $serving.engine.gpus }}

[cluster.serving.loop]
cpu = {{ toString $serving.loop.cpu | toJson }}
memory = {{ toJson $serving.loop.memory }}

[cluster.training]
image = {{ include "visionthink.image" (dict "root" $ "image" $training.image) | toJson }}
service_account = {{ include "visionthink.account" (dict "root" $ "component" "trainer") | toJson }}
ray_secret = {{ include "visionthink.ray.secret" . | toJson }}
{{- if .Values.kueue.enabled }}
queue = {{ include "visionthink.queue.name" . | toJson }}
{{- end }}
{{- with $training.priorityClassName }}
priority_class = {{ toJson . }}
{{- end }}
{{- with $training.memory }}
memory = {{ toJson . }}
{{- end }}
{{- with $training.cpu }}
cpu = {{ toString . | toJson }}
{{- end }}
shared_memory = {{ toJson $training.sharedMemory }}
{{- $labels := list }}
{{- range $key, $value := $training.nodeSelector }}
{{- $labels = append $labels (printf "%s=%s" $key $value) }}
{{- end }}
node_selector = {{ toJson $labels }}
tolerations = {{ toJson $training.tolerations }}
{{- $claims := $training.claims }}
{{- if or .Values.runs.enabled .Values.runs.existingClaim }}
{{- $claims = prepend $claims (printf "%s:/runs" (include "visionthink.runs.claim" .)) }}
{{- end }}
claims = {{ toJson $claims }}
{{- $env := list (printf "AWS_DEFAULT_REGION=%s" .Values.s3.region) }}
{{- with include "visionthink.s3.endpoint" . }}
{{- $env = append $env (printf "AWS_ENDPOINT_URL_S3=%s" .) }}
{{- end }}
env = {{ concat $env $training.env | toJson }}
{{- $secrets := $training.secrets }}
{{- with include "visionthink.s3.secret" . }}
{{- $secrets = prepend $secrets . }}
{{- end }}
secrets = {{ toJson $secrets }}
{{- end -}}
