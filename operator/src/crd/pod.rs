//! What pods are made of and where they run.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Affinity, EnvVar, ResourceRequirements, Toleration, TopologySpreadConstraint},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// The images that run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// What the images' names begin with, registry included: -api, -listener and -migrations follow it, so that
    /// registry.example.com/fluxo is registry.example.com/fluxo-api, and so on. Default: that of the operator's
    /// installation
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$')")
        .message("must be a registry and path without tag and digest, such as registry.example.com/fluxo: the tag goes into image.tag"))]
    pub repository: Option<String>,
    /// Tag of the images. All three are of one release: a change first brings the schema to it, then replaces the
    /// listeners, then the api. Default: the operator's own version
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[a-zA-Z0-9_][a-zA-Z0-9_.-]*$')")
        .message("must be the tag of an image: letters, digits, _, . and -, such as 0.1.0"))]
    pub tag: Option<String>,
    /// When images are pulled. Default: that of Kubernetes, Always for the tag latest and IfNotPresent for all others
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PullPolicy")] // of an optional one, null would be listed among the values
    pub pull_policy: Option<PullPolicy>,
    /// Names of Secrets, in the pipeline's namespace, that the registry lets in. Default: those of the service account
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 253)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.all(name, name.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$'))")
            .message("each must be the name of a Secret: lower-case letters, digits, - and ."),
    )]
    pub pull_secrets: Vec<String>,
}

/// When images are pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[allow(missing_docs, reason = "the names are Kubernetes' own")]
pub enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

/// What all pods of the pipeline get.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplate {
    /// Labels that a node must have for a pod to run there. Default: none
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::texts")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that the pods bear. See `kubectl explain pod.spec.tolerations`. Default: none
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::tolerations")]
    pub tolerations: Vec<Toleration>,
    /// To which nodes and pods the pods are drawn, and from which they keep away. See `kubectl explain
    /// pod.spec.affinity`. Default: none
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::affinity")]
    pub affinity: Option<Affinity>,
    /// How the pods of the api, and those of the listener, spread. A constraint without labelSelector is given that of
    /// each. See `kubectl explain pod.spec.topologySpreadConstraints`. Default: over zones and nodes, where possible
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::topology_spread_constraints")]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// Variables of the pods: settings of the services that have no field here, such as FLUXO_LOG,
    /// FLUXO_API_RATE_LIMIT or FLUXO_LISTENER_WRITERS, and your own. Settings that the operator makes are refused. What
    /// lies in a Secret or ConfigMap is read when a pod starts: a change of it replaces no pod. Default: none
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::extra_env")]
    #[x_kube(
        validation = Rule::new("self.all(v, v.name.matches('^[A-Za-z_][A-Za-z0-9_]*$'))")
            .message("each name must be letters, digits and _, not beginning with a digit, such as FLUXO_LOG"),
        validation = Rule::new("self.all(v, !v.name.startsWith('FLUXO_KAFKA_') && !v.name.startsWith('FLUXO_DATABASE_') && !(v.name in ['FLUXO_ADMIN_LISTEN', 'FLUXO_API_AUTH', 'FLUXO_API_KEYS_FILE', 'FLUXO_API_LISTEN', 'FLUXO_LISTENER_DEAD_LETTER_TOPIC', 'FLUXO_LISTENER_GROUP', 'FLUXO_SHUTDOWN_GRACE']))")
            .message("the operator itself sets FLUXO_KAFKA_*, FLUXO_DATABASE_*, FLUXO_ADMIN_LISTEN, FLUXO_API_AUTH, FLUXO_API_KEYS_FILE, FLUXO_API_LISTEN, FLUXO_LISTENER_DEAD_LETTER_TOPIC, FLUXO_LISTENER_GROUP and FLUXO_SHUTDOWN_GRACE: remove them, and use the fields of spec.kafka, spec.mysql and spec.api"),
    )]
    pub extra_env: Vec<EnvVar>,
    /// Annotations of the pods. Those of fluxo.dev/ are the operator's. Default: none
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::annotations")]
    #[x_kube(validation = Rule::new("self.all(k, !k.startsWith('fluxo.dev/'))")
        .message("annotations of fluxo.dev/ are the operator's own: use another prefix"))]
    pub annotations: BTreeMap<String, String>,
    /// Labels of the pods. Those of app.kubernetes.io/ and fluxo.dev/ are the operator's. Default: none
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::texts")]
    #[x_kube(
        validation = Rule::new("self.all(k, !k.startsWith('app.kubernetes.io/') && !k.startsWith('fluxo.dev/'))")
            .message("labels of app.kubernetes.io/ and fluxo.dev/ are the operator's own, and select the pods: use another prefix"),
        validation = Rule::new("self.all(k, self[k].matches('^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$'))")
            .message("the value of a label has at most 63 letters, digits, -, _ and ., and begins and ends with a letter or digit"),
    )]
    pub labels: BTreeMap<String, String>,
    /// Name of the ServiceAccount of the pods, whose token they are not given: they do not call Kubernetes.
    /// Default: that of the namespace
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = schema::object_name())]
    pub service_account_name: Option<String>,
    /// Name of the PriorityClass of the pods. Default: that of the cluster
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = schema::object_name())]
    pub priority_class_name: Option<String>,
}

/// Who may reach the pods.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// Whether NetworkPolicies let others reach the ports of the api and the admin ports only. Default: true
    #[serde(default = "yes")]
    pub enabled: bool,
}

impl Default for NetworkPolicy {
    fn default() -> Self {
        Self { enabled: yes() }
    }
}

const fn yes() -> bool {
    true
}

/// The resources of a pod that nobody said anything about.
pub(super) fn resources() -> ResourceRequirements {
    let quantities = |quantities: &[(&str, &str)]| {
        Some(
            quantities
                .iter()
                .map(|(name, quantity)| ((*name).into(), Quantity((*quantity).into())))
                .collect(),
        )
    };
    ResourceRequirements {
        requests: quantities(&[("cpu", "100m"), ("memory", "128Mi")]),
        limits: quantities(&[("memory", "256Mi")]),
        claims: None,
    }
}
