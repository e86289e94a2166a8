//! Looks for every reason that Kubernetes, Strimzi or the pods could have to refuse a pipeline.
//!
//! What a look at the resource alone shows was refused by the schema already; here it meets what it refers to. This is
//! pure: the same inputs give the same [`ValidatedPipeline`], or all that is wrong with them at once.

mod database;
mod error;
mod kafka;
mod secrets;
mod strimzi;
mod topics;

#[cfg(test)]
mod tests;

pub use error::{Error, Fault};

use super::model::{Api, Dereferenced, Exposure, Images, Installation, Listener, ValidatedPipeline};
use crate::{
    crd::{self, TransactionPipeline},
    identity::Identity,
    kafka::Connection,
};
use secrets::Secrets;

/// Validates a pipeline with what it refers to.
///
/// # Errors
/// All that is wrong, at least one. What runs is to be left as it is then.
pub fn validate(
    pipeline: &TransactionPipeline,
    found: &Dereferenced,
    installation: &Installation,
) -> Result<ValidatedPipeline, Vec<Error>> {
    let identity = Identity::of(pipeline);
    let spec = &pipeline.spec;
    let secrets = Secrets::new(&identity.namespace, found);
    let mut wrong = Vec::new();
    let kafka = kafka::access(&identity, &spec.kafka, found, &secrets, &mut wrong);
    let topics = topics::topics(&identity, &spec.kafka, found, &mut wrong);
    let database = database::database(&spec.mysql, &secrets, &mut wrong);
    let connections = note(database::connections(spec), &mut wrong);
    let keys = note(keys(&spec.api.auth, &secrets), &mut wrong);
    let (Some(kafka), Some(topics), Some(database), Some(connections), Some(keys)) =
        (kafka, topics, database, connections, keys)
    else {
        return Err(wrong);
    };
    Ok(ValidatedPipeline {
        images: images(&spec.image, installation),
        kafka,
        database,
        api: Api {
            replicas: spec.api.replicas,
            keys,
            exposure: exposure(&spec.api),
            resources: spec.api.resources.clone(),
            connections: connections.api,
        },
        listener: Listener {
            group: identity.group(),
            resources: spec.listener.resources.clone(),
            connections: connections.listener,
            most: connections.listeners.min(topics.transactions.partitions),
        },
        topics,
        pod_template: spec.pod_template.clone(),
        has_network_policies: spec.network_policy.enabled,
        identity,
    })
}

/// How the operator reaches the Kafka of a pipeline, whatever else is wrong with it.
///
/// # Errors
/// What keeps it from being reached.
pub fn way_to_kafka(
    pipeline: &TransactionPipeline,
    identity: &Identity,
    found: &Dereferenced,
) -> Result<Connection, Vec<Error>> {
    let (secrets, mut wrong) = (Secrets::new(&identity.namespace, found), Vec::new());
    let access = kafka::access(identity, &pipeline.spec.kafka, found, &secrets, &mut wrong);
    access.map(|access| access.connection()).ok_or(wrong)
}

/// How many listeners of a pipeline make sense, whatever else is wrong with it: more would be without a partition, or
/// MySQL without connections for them.
///
/// # Errors
/// What keeps that from being known.
pub fn most_listeners(pipeline: &TransactionPipeline) -> Result<u32, Error> {
    let partitions = pipeline.spec.kafka.topic.partitions.unsigned_abs();
    Ok(database::connections(&pipeline.spec)?.listeners.min(partitions))
}

/// What was found, or nothing and a note of what is wrong.
fn note<T>(result: Result<T, Error>, wrong: &mut Vec<Error>) -> Option<T> {
    result.map_err(|error| wrong.push(error)).ok()
}

/// The Secret and key of the clients' keys. Their content is the api's to judge: it keeps the keys from before when
/// it cannot use a new file.
fn keys(auth: &crd::Auth, secrets: &Secrets<'_>) -> Result<Option<(String, String)>, Error> {
    let Some(secret) = &auth.secret else { return Ok(None) };
    secrets.has(secret, &auth.key)?;
    Ok(Some((secret.clone(), auth.key.clone())))
}

fn images(image: &crd::Image, installation: &Installation) -> Images {
    Images {
        repository: image.repository.clone().unwrap_or_else(|| installation.repository.clone()),
        tag: image.tag.clone().unwrap_or_else(|| installation.tag.clone()),
        pull_policy: image.pull_policy,
        pull_secrets: image.pull_secrets.clone(),
    }
}

fn exposure(api: &crd::Api) -> Option<Exposure> {
    let ingress = api.ingress.clone().map(Exposure::Ingress);
    ingress.or_else(|| api.http_route.clone().map(Exposure::HttpRoute))
}
