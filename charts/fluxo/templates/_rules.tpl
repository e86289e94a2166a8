{{- /*
The rights of the operator, in one place. Objects are made by server-side apply, which asks for create and patch; those
that the operator watches it also gets, lists and watches.
*/}}

{{- /* Where pipelines are. */}}
{{- define "fluxo.rules.pipelines" -}}
- apiGroups: [fluxo.dev]
  resources: [transactionpipelines]
  verbs: [get, list, watch, patch] # patch: the finalizer of pipelines that delete their topics
- apiGroups: [fluxo.dev]
  resources: [transactionpipelines/status]
  verbs: [patch]
- apiGroups: [fluxo.dev]
  resources: [transactionpipelines/finalizers] # to be the owner of what is made, where that is guarded
  verbs: [update]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments/scale]
  verbs: [patch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods] # why a migration failed is in the status of its pods
  verbs: [list]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [ingresses, networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [secrets] # by name, never all: get what a pipeline names; keep the copy of what Strimzi has for it
  verbs: [get, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{- /* Where Strimzi is; what is read of its Secrets depends on the mode. */}}
{{- define "fluxo.rules.kafka" -}}
- apiGroups: [kafka.strimzi.io]
  resources: [kafkas, kafkausers]
  verbs: [get, list, watch]
- apiGroups: [kafka.strimzi.io]
  resources: [kafkatopics]
  verbs: [get, list, watch, create, patch, delete]
{{- end }}
