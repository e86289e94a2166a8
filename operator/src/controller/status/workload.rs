//! What is said of a Deployment.

use k8s_openapi::api::{apps::v1::Deployment, batch::v1::Job};
use kube::ResourceExt as _;

use super::Verdict;
use crate::{
    controller::apply::{image, is_rolled_out},
    crd::{Reason, Workload},
};

/// Which Deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// That of the api: enough of its pods are ready when Kubernetes says so.
    Api,
    /// That of the listeners: their number follows the lag, so one that is ready works, and others may be starting.
    Listener,
}

pub(super) fn verdict(deployment: Option<&Deployment>, role: Role) -> Verdict {
    let Some(deployment) = deployment else {
        return Verdict::no(Reason::Waiting, "is made once the conditions before it are True");
    };
    let name = deployment.name_any();
    let status = deployment.status.clone().unwrap_or_default();
    let is = |type_: &str, value: &str| {
        let conditions = status.conditions.iter().flatten();
        conditions.clone().find(|condition| condition.type_ == type_ && condition.status == value)
    };
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let (ready, updated) = (status.ready_replicas.unwrap_or(0), status.updated_replicas.unwrap_or(0));
    let is_seen = status.observed_generation >= deployment.metadata.generation;
    if let Some(stalled) = is("Progressing", "False").filter(|_| is_seen) {
        let why = stalled.message.as_deref().unwrap_or("see its pods");
        return Verdict::no(Reason::RolloutStalled, format!("Deployment {name} does not get on: {why}"));
    }
    if deployment.metadata.deletion_timestamp.is_some() {
        let message = format!("Deployment {name} is being deleted: it is made anew once it is gone");
        return Verdict::no(Reason::RollingOut, message);
    }
    if let Some(failure) = is("ReplicaFailure", "True").filter(|_| is_seen) {
        let why = failure.message.as_deref().unwrap_or("see its events");
        return Verdict::no(Reason::RolloutStalled, format!("Deployment {name} cannot make pods: {why}"));
    }
    let are_all_new = match role {
        Role::Api => is_rolled_out(deployment),
        // Further ones may be starting: their number follows the lag.
        Role::Listener => is_seen && updated == status.replicas.unwrap_or(0),
    };
    if !are_all_new {
        let message = format!("Deployment {name}: {updated} of {wanted} pods are new, {ready} are ready");
        return Verdict::no(Reason::RollingOut, message);
    }
    if wanted == 0 {
        let message = format!("Deployment {name} has no pods, as declared");
        return Verdict { reason: Reason::ScaledToZero, ..Verdict::yes(message) };
    }
    let is_enough = match role {
        Role::Api => is("Available", "True").is_some() && ready > 0,
        Role::Listener => ready > 0,
    };
    if !is_enough {
        let message =
            format!("Deployment {name}: {ready} of {wanted} pods are ready, see why the others are not");
        return Verdict::no(Reason::PodsNotReady, message);
    }
    Verdict::yes(format!("Deployment {name} is rolled out and ready"))
}

pub(super) fn workload(deployment: &Deployment) -> Workload {
    let status = deployment.status.as_ref();
    let count = |count: Option<i32>| count.unwrap_or(0);
    Workload {
        image: image(deployment).unwrap_or_default().into(),
        ready_replicas: count(status.and_then(|status| status.ready_replicas)),
        updated_replicas: count(status.and_then(|status| status.updated_replicas)),
    }
}

/// The selector of its pods, as text.
pub(super) fn selector(deployment: &Deployment) -> Option<String> {
    let labels = deployment.spec.as_ref()?.selector.match_labels.as_ref()?;
    Some(labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(","))
}

pub(super) fn image_of_job(job: &Job) -> Option<String> {
    job.spec.as_ref()?.template.spec.as_ref()?.containers.first()?.image.clone()
}
