{{/*
The names of the chart's objects: the release, and the chart unless the release is named after it.
*/}}
{{- define "cdc-sidecar.fullname" -}}
{{- $name := default "cdc-sidecar" .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "cdc-sidecar.selectorLabels" -}}
app.kubernetes.io/name: {{ default "cdc-sidecar" .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "cdc-sidecar.labels" -}}
{{ include "cdc-sidecar.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/*
What every pod with a sidecar is labelled with: the PodMonitor selects it.
*/}}
{{- define "cdc-sidecar.podLabels" -}}
cdc-sidecar/scrape: "true"
{{- end -}}

{{/*
A hash of the configuration: as an annotation of the pod, it makes a change of it a rollout.
*/}}
{{- define "cdc-sidecar.podAnnotations" -}}
cdc-sidecar/config: {{ .Values.config | sha256sum | trunc 16 | quote }}
{{- end -}}

{{/*
How long the pod needs to end: shutdown.grace, 10 s in which the sidecar ends itself, and 5 s to spare.
A native sidecar is stopped after the service: add the service's own time.
*/}}
{{- define "cdc-sidecar.terminationGrace" -}}
{{ add .Values.shutdownGrace 15 }}
{{- end -}}

{{/*
The container. In initContainers of a service, add restartPolicy: Always below it.
*/}}
{{- define "cdc-sidecar.container" -}}
name: cdc-sidecar
image: {{ printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- with .Values.environment }}
env:
  {{- range $name, $value := . }}
  - name: {{ $name }}
    value: {{ $value | quote }}
  {{- end }}
{{- end }}
ports:
  - name: cdc-metrics
    containerPort: {{ .Values.port }}
# Liveness only: a readiness probe would take the service out of traffic whenever Kafka is away.
livenessProbe:
  httpGet:
    path: /livez
    port: cdc-metrics
    {{- if regexMatch "(?m)^\\s*tls_certificate\\s*=" .Values.config }}
    scheme: HTTPS
    {{- end }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
# The last line of the log says why the sidecar ended, and what to do.
terminationMessagePolicy: FallbackToLogsOnError
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities:
    drop: [ALL]
  seccompProfile:
    type: RuntimeDefault
volumeMounts:
  - name: cdc-config
    mountPath: /etc/cdc-sidecar
    readOnly: true
  # Not /run/secrets: the token of the service account is mounted below it.
  - name: cdc-secrets
    mountPath: /run/cdc-sidecar
    readOnly: true
  # The socket of the snapshot commands.
  - name: cdc-tmp
    mountPath: /tmp
{{- end -}}

{{/*
The volumes of the container. Only the sidecar mounts the secrets, so every user of its container may read
them; the mode 0440 would need the pod's fsGroup, which would change the service's volumes too.
*/}}
{{- define "cdc-sidecar.volumes" -}}
- name: cdc-config
  configMap:
    name: {{ include "cdc-sidecar.fullname" . }}
- name: cdc-secrets
  projected:
    defaultMode: 0444
    {{- if .Values.secrets }}
    sources:
      {{- range .Values.secrets }}
      - secret:
          name: {{ .name }}
          {{- with .items }}
          items:
            {{- range $key, $path := . }}
            - key: {{ $key }}
              path: {{ $path }}
            {{- end }}
          {{- end }}
      {{- end }}
    {{- else }}
    sources: []
    {{- end }}
- name: cdc-tmp
  emptyDir:
    medium: Memory
    sizeLimit: 1Mi
{{- end -}}
