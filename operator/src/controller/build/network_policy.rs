//! Who may reach the pods.
//!
//! Where the pods themselves may connect to is left open. A policy compares addresses and ports behind a Service, after
//! its translation: neither of MySQL nor of the brokers, who name further addresses by themselves, nor of a collector of
//! traces does the operator know them, and a wrong guess would cut a working pipeline off.

use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{
    ADMIN_PORT, HTTP_PORT,
    metadata::{Component, label_selector, metadata},
    pod::some,
};
use crate::controller::model::ValidatedPipeline;

pub(super) fn all(pipeline: &ValidatedPipeline) -> Vec<NetworkPolicy> {
    if !pipeline.has_network_policies {
        return Vec::new();
    }
    Component::ALL.map(|component| network_policy(pipeline, component)).into()
}

fn network_policy(pipeline: &ValidatedPipeline, component: Component) -> NetworkPolicy {
    let ingress = match component {
        Component::Api => vec![from_everywhere(HTTP_PORT), from_pods(ADMIN_PORT)],
        Component::Listener => vec![from_pods(ADMIN_PORT)],
        Component::Migrations => vec![],
    };
    NetworkPolicy {
        metadata: metadata(pipeline, pipeline.identity.child(component.as_str()), Some(component)),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(label_selector(pipeline, component)),
            policy_types: Some(vec!["Ingress".into()]),
            ingress: some(ingress),
            egress: None,
        }),
    }
}

/// Clients come through load balancers and Gateways of every kind.
fn from_everywhere(port: i32) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule { from: None, ports: Some(vec![tcp(port)]) }
}

/// From pods of any namespace: what reads metrics has one of its own. Probes come from the node, whom no policy stops.
fn from_pods(port: i32) -> NetworkPolicyIngressRule {
    let pods = NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector::default()),
        ..NetworkPolicyPeer::default()
    };
    NetworkPolicyIngressRule { from: Some(vec![pods]), ports: Some(vec![tcp(port)]) }
}

fn tcp(port: i32) -> NetworkPolicyPort {
    NetworkPolicyPort { port: Some(IntOrString::Int(port)), protocol: Some("TCP".into()), end_port: None }
}
