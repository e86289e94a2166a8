//! What the operator writes of the Gateway API (`gateway.networking.k8s.io/v1`), and no more.

use kube::CustomResource;
use serde::{Deserialize, Serialize};

use crate::crd::ParentRef;

/// How requests are led from Gateways to a Service.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, CustomResource)]
#[kube(group = "gateway.networking.k8s.io", version = "v1", kind = "HTTPRoute", plural = "httproutes")]
#[kube(root = "HttpRoute", namespaced, schema = "disabled", derive = "PartialEq")]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteSpec {
    /// The Gateways.
    pub parent_refs: Vec<ParentRef>,
    /// The hosts that clients call; empty for those of the Gateways' listeners.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// Where requests go.
    pub rules: Vec<RouteRule>,
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteRule {
    /// Which requests.
    pub matches: Vec<RouteMatch>,
    /// Where to.
    pub backend_refs: Vec<BackendRef>,
}

/// Which requests.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct RouteMatch {
    /// By their path.
    pub path: PathMatch,
}

/// A path.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct PathMatch {
    /// How it is compared: `PathPrefix`.
    #[serde(rename = "type")]
    pub kind: String,
    /// With what.
    pub value: String,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct BackendRef {
    /// Name of the Service.
    pub name: String,
    /// Its port.
    pub port: i32,
}
