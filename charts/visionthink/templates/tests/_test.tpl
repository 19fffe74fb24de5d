{{/* A pod of `helm test` that runs a Python program. Takes (dict "root" $ "name" NAME "program" TEXT "env" YAML). */}}
{{- define "visionthink.test" -}}
{{- $pod := dict "root" .root "component" "test" "pod" .root.Values.tests -}}
apiVersion: v1
kind: Pod
metadata:
  {{- include "visionthink.metadata" (dict "root" .root "component" "test" "name" (printf "%s-test-%s" (include "visionthink.fullname" .root) .name)) | nindent 2 }}
  annotations:
    helm.sh/hook: test
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  restartPolicy: Never
  activeDeadlineSeconds: {{ .root.Values.tests.timeoutSeconds }}
  {{- include "visionthink.podSpec" $pod | nindent 2 }}
  containers:
    - name: test
      {{- include "visionthink.container" $pod | nindent 6 }}
      command:
        - {{ .root.Values.tests.python }}
        - -c
        - |
          {{- .program | nindent 10 }}
      env:
        - {name: HOME, value: /tmp}
        {{- with .env }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- with .root.Values.tests.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      volumeMounts:
        - {name: scratch, mountPath: /tmp}
        {{- with .root.Values.tests.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: scratch
      emptyDir: {}
    {{- with .root.Values.tests.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
