//! Makes the objects of a pipeline. Pure, and it never fails: what could go wrong was refused by `validate`.
//!
//! One file for each kind; `metadata` has the names and labels that they share, `pod` what all pods have, `environment`
//! the settings of the services, `checksum` what makes pods be replaced when a Secret changes.
//!
//! - Nothing depends on the state of what was built before, so the same pipeline gives the same objects.
//! - No value of a Secret is in any object but in the copy of Strimzi's, and there only because pods cannot read Secrets
//!   of another namespace.
//! - No field is written that is not meant: the API server would make the operator its owner.

mod checksum;
mod deployment;
mod disruption_budget;
mod environment;
mod http_route;
mod ingress;
mod kafka_secret;
mod kafka_topic;
pub mod metadata;
mod migration;
mod network_policy;
mod pod;
mod service;

#[cfg(test)]
mod tests;

use super::model::{Exposure, Prepared, Resources, ValidatedPipeline};
use metadata::Component;

/// The port that clients call, by its name in the pods.
const HTTP: &str = "http";
const HTTP_PORT: i32 = 8080;
/// The port of probes and metrics, which no Service, Ingress or route leads to.
const ADMIN: &str = "admin";
const ADMIN_PORT: i32 = 9090;
/// The port of the Service, for clients in the cluster.
const SERVICE_PORT: i32 = 80;

/// Makes the objects of a pipeline.
pub fn build(pipeline: &ValidatedPipeline) -> Resources<Prepared> {
    let (mut ingress, mut http_route) = (None, None);
    match &pipeline.api.exposure {
        Some(Exposure::Ingress(exposure)) => ingress = Some(ingress::ingress(pipeline, exposure)),
        Some(Exposure::HttpRoute(exposure)) => http_route = Some(http_route::http_route(pipeline, exposure)),
        None => {}
    }
    let (kafka_topics, native_topics) = match &pipeline.topics.strimzi {
        Some((namespace, cluster)) => (kafka_topic::both(pipeline, namespace, cluster), vec![]),
        None => (vec![], vec![pipeline.topics.transactions.clone(), pipeline.topics.dead_letter.clone()]),
    };
    Resources {
        kafka_secret: kafka_secret::kafka_secret(pipeline),
        kafka_topics,
        native_topics,
        network_policies: network_policy::all(pipeline),
        migration: migration::migration(pipeline),
        disruption_budgets: [Component::Listener, Component::Api]
            .map(|component| disruption_budget::disruption_budget(pipeline, component))
            .into(),
        listener: Some(deployment::listener(pipeline)),
        service: Some(service::service(pipeline)),
        api: Some(deployment::api(pipeline)),
        ingress,
        http_route,
        ..Resources::empty()
    }
}
