//! How many pods may be evicted at once, when nodes are drained.

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::metadata::{Component, label_selector, metadata};
use crate::controller::model::ValidatedPipeline;

/// One at a time, also the only one there is: a budget must slow the drain of a node down, not forbid it. Pods that are
/// not ready serve nobody, and may always go.
pub(super) fn disruption_budget(pipeline: &ValidatedPipeline, component: Component) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: metadata(pipeline, pipeline.identity.child(component.as_str()), Some(component)),
        spec: Some(PodDisruptionBudgetSpec {
            selector: Some(label_selector(pipeline, component)),
            max_unavailable: Some(IntOrString::Int(1)),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
            min_available: None,
        }),
        status: None,
    }
}
