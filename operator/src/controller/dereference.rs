//! The first step: reads what a pipeline names, and nothing else.
//!
//! What is not there, or may not be read, is an answer. An API server that does not answer is an error: then nothing is
//! known, and nothing is done.

use std::{collections::BTreeMap, fmt::Debug};

use futures::{TryFutureExt as _, future::OptionFuture, future::try_join_all, try_join};
use k8s_openapi::{NamespaceResourceScope, api::core::v1::Secret};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::model::{
    Dereferenced, MissingReference, ObjectName, Reference, SecretData, Strimzi, User, named_secrets,
    strimzi::{self, Kafka, KafkaTopic, KafkaUser},
};
use crate::crd::{self, TransactionPipeline};

/// Why it is not known what a pipeline names.
#[derive(Debug, thiserror::Error)]
#[error("{what} could not be read")]
pub struct Error {
    what: ObjectName,
    #[source]
    source: Box<kube::Error>,
}

/// Reads all that a pipeline names. `partitions` is what Kafka was seen to have.
///
/// # Errors
/// When the API server does not answer.
pub async fn dereference(
    client: &Client,
    pipeline: &TransactionPipeline,
    partitions: BTreeMap<String, u32>,
) -> Result<Dereferenced, Error> {
    let namespace = pipeline.namespace().unwrap_or_default();
    let secrets = named_secrets(&pipeline.spec)
        .into_iter()
        .map(|name| secret(client, &namespace, name).map_ok(move |secret| (name.to_owned(), secret)));
    let strimzi = pipeline.spec.kafka.strimzi.as_ref();
    let strimzi = strimzi.map(|named| beside_strimzi(client, &namespace, named, &pipeline.spec.kafka));
    let (secrets, strimzi) = try_join!(try_join_all(secrets), transposed(strimzi))?;
    Ok(Dereferenced { secrets: secrets.into_iter().collect(), strimzi, partitions })
}

async fn transposed<T>(future: Option<impl Future<Output = Result<T, Error>>>) -> Result<Option<T>, Error> {
    OptionFuture::from(future).await.transpose()
}

async fn beside_strimzi(
    client: &Client,
    pipeline_namespace: &str,
    named: &crd::Strimzi,
    kafka: &crd::Kafka,
) -> Result<Strimzi, Error> {
    let namespace = named.namespace.as_deref().unwrap_or(pipeline_namespace);
    let both = [&kafka.topic.name, &kafka.dead_letter_name()].map(|topic| KafkaTopic::object_name(topic));
    let topics = both.into_iter().map(|name| async move {
        let topic = get::<KafkaTopic>(client, namespace, &name).await?;
        Ok(topic.ok().map(|topic| (name, topic)))
    });
    let user = named.user.as_deref().map(|name| user(client, pipeline_namespace, namespace, name));
    let ca = strimzi::ca_secret(&named.cluster);
    let (kafka, ca, user, topics) = try_join!(
        get::<Kafka>(client, namespace, &named.cluster),
        secret(client, namespace, &ca),
        transposed(user),
        try_join_all(topics),
    )?;
    Ok(Strimzi { kafka, ca, user, topics: topics.into_iter().flatten().collect() })
}

/// A user, and its Secret if its owner lets pipelines of this namespace be it.
async fn user(
    client: &Client,
    pipeline_namespace: &str,
    namespace: &str,
    name: &str,
) -> Result<Reference<User>, Error> {
    let resource = match get::<KafkaUser>(client, namespace, name).await? {
        Ok(resource) => resource,
        Err(missing) => return Ok(Err(missing)),
    };
    if !resource.allows(pipeline_namespace) {
        let user = ObjectName { kind: "KafkaUser", namespace: namespace.into(), name: name.into() };
        let namespace = pipeline_namespace.into();
        return Ok(Err(MissingReference::NotPermitted { user, namespace }));
    }
    let secret = secret(client, namespace, resource.secret_name()).await?;
    Ok(Ok(User { resource, secret }))
}

async fn secret(client: &Client, namespace: &str, name: &str) -> Result<Reference<SecretData>, Error> {
    Ok(get::<Secret>(client, namespace, name).await?.map(SecretData::from))
}

/// Reads one object by its name: this needs no right to list others.
async fn get<K>(client: &Client, namespace: &str, name: &str) -> Result<Reference<K>, Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Kind + Clone + DeserializeOwned + Debug,
{
    let what = || ObjectName { kind: K::KIND, namespace: namespace.into(), name: name.into() };
    match Api::<K>::namespaced(client.clone(), namespace).get(name).await {
        Ok(object) => Ok(Ok(object)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Err(MissingReference::NotFound(what()))),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(Err(MissingReference::Forbidden(what()))),
        Err(source) => Err(Error { what: what(), source: Box::new(source) }),
    }
}

/// What people call it.
trait Kind {
    const KIND: &'static str;
}

impl Kind for Secret {
    const KIND: &'static str = "Secret";
}

impl Kind for Kafka {
    const KIND: &'static str = "Kafka";
}

impl Kind for KafkaUser {
    const KIND: &'static str = "KafkaUser";
}

impl Kind for KafkaTopic {
    const KIND: &'static str = "KafkaTopic";
}
