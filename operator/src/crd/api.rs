//! The api, and how clients reach it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{pod, schema};

/// The api: takes transactions in over HTTP and answers questions about them.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.ingress) || !has(self.httpRoute)")
        .message("clients come by one way: remove ingress or httpRoute"),
)]
pub struct Api {
    /// How many replicas of the api run. Default: 2
    #[serde(default = "replicas")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: i32,
    /// Who may call.
    pub auth: Auth,
    /// An Ingress that leads clients to the api. Its admin port, with metrics and health, is never exposed.
    /// Default: none. Either this or httpRoute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Ingress>,
    /// An HTTPRoute of the Gateway API that leads clients to the api. Its admin port, with metrics and health, is never
    /// exposed. Default: none. Either this or ingress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_route: Option<HttpRoute>,
    /// Resources of each pod. Default: requests of 100m cpu and 128Mi memory, and a limit of 256Mi memory
    #[serde(default = "pod::resources")]
    #[schemars(schema_with = "schema::resources")]
    #[x_kube(validation = schema::quantities(), validation = schema::requests_within_limits())]
    pub resources: ResourceRequirements,
}

/// Who may call.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.mode != 'Keys' || has(self.secret)")
        .message("mode Keys needs the Secret that holds the keys: set secret, or mode: None to let everybody in"),
    validation = Rule::new("self.mode != 'None' || !has(self.secret)")
        .message("mode None lets everybody in and reads no keys: remove secret, or set mode: Keys"),
)]
pub struct Auth {
    /// Keys: those who show a key. None: everybody, as one client whose name is anonymous. Default: Keys
    #[serde(default)]
    pub mode: AuthMode,
    /// Name of the Secret, in the pipeline's namespace, that holds the clients and the hashes of their keys, as JSON.
    /// A change of it is taken up within a minute or so, without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = schema::object_name())]
    pub secret: Option<String>,
    /// Key of the Secret that holds them. Default: keys.json
    #[serde(default = "keys_key")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = schema::key())]
    pub key: String,
}

/// Who may call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum AuthMode {
    /// Those with a key.
    #[default]
    Keys,
    /// Everybody.
    None,
}

/// An Ingress that leads clients to the api.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    /// Name of the IngressClass. Default: that of the cluster, if it has one
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = schema::object_name())]
    pub class_name: Option<String>,
    /// Name of the host that clients call.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = schema::host())]
    pub host: String,
    /// Annotations of the Ingress, such as those of cert-manager.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::annotations")]
    pub annotations: BTreeMap<String, String>,
    /// TLS of the host. Default: none; keys and transactions then travel in clear
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<IngressTls>,
}

/// TLS of the host.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngressTls {
    /// Name of a Secret of type kubernetes.io/tls, in the pipeline's namespace.
    #[schemars(length(max = 253))]
    #[x_kube(validation = schema::object_name())]
    pub secret: String,
}

/// An HTTPRoute that leads clients to the api.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpRoute {
    /// The Gateways that the route is of.
    #[schemars(length(min = 1, max = 16))]
    pub parent_refs: Vec<ParentRef>,
    /// Names of the hosts that clients call. Default: those of the Gateways' listeners
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)))]
    #[x_kube(validation = Rule::new("self.all(h, h.matches('^([*][.])?[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'))")
        .message("each must be a host name without scheme, port and path, in lower case, such as pagamentos.example.com or *.example.com"))]
    pub hostnames: Vec<String>,
}

/// A Gateway.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// Name of the Gateway.
    #[schemars(length(max = 253))]
    #[x_kube(validation = schema::object_name())]
    pub name: String,
    /// Namespace of the Gateway. Default: the pipeline's namespace
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    #[x_kube(validation = schema::namespace())]
    pub namespace: Option<String>,
    /// Name of one of the Gateway's listeners. Default: all of them
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = schema::object_name())]
    pub section_name: Option<String>,
}

const fn replicas() -> i32 {
    2
}

fn keys_key() -> String {
    "keys.json".into()
}
