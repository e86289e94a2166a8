{{- define "fluxo.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* Room is left for what is added to it: labels have 63 characters. */}}
{{- define "fluxo.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "fluxo.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "fluxo.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* Of what belongs to no namespace: two releases may have the same name, each in its namespace. */}}
{{- define "fluxo.clusterName" -}}
{{ .Release.Namespace }}-{{ include "fluxo.fullname" . }}
{{- end }}

{{- define "fluxo.selector" -}}
app.kubernetes.io/name: {{ include "fluxo.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "fluxo.labels" -}}
{{ include "fluxo.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: fluxo
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "fluxo.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "fluxo.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "fluxo.subject" -}}
- kind: ServiceAccount
  name: {{ include "fluxo.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{- define "fluxo.tag" -}}
{{- default .Chart.AppVersion .Values.image.tag }}
{{- end }}

{{- define "fluxo.image" -}}
{{- $name := printf "%s-operator" .Values.image.repository }}
{{- with .Values.image.digest }}{{ $name }}@{{ . }}{{ else }}{{ $name }}:{{ include "fluxo.tag" . }}{{ end }}
{{- end }}

{{- /* What every pod of this chart may do: the restricted level of Pod Security. */}}
{{- define "fluxo.restricted.pod" -}}
runAsNonRoot: true
{{- with .Values.runAsUser }}
runAsUser: {{ . }}
runAsGroup: {{ . }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "fluxo.restricted.container" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
