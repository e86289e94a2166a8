//! The first step: reads what a pipeline names, and nothing else.
//!
//! What is not there, or may not be read, is an answer. An API server that does not answer is an error: then nothing is
//! known, and nothing is done.
//!
//! Strimzi's resources are taken as watches saw them and [`Secrets`] as they were last read, so that a pass at rest asks
//! nobody. Both may be behind: that something is not there, or is another's, is therefore never concluded from them, but
//! asked for.

use std::{collections::BTreeMap, fmt::Debug, sync::Arc};

use futures::{TryFutureExt as _, future::OptionFuture, future::try_join_all, try_join};
use k8s_openapi::{NamespaceResourceScope, api::core::v1::Secret};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::{
    apply::Seen,
    model::{
        Dereferenced, MissingReference, ObjectName, Reference, SecretData, Strimzi, User, named_secrets,
        strimzi::{self, Kafka, KafkaTopic, KafkaUser, allows},
    },
    secrets::{Secrets, SecretsOf},
};
use crate::crd::{self, TransactionPipeline};

/// What is beside Strimzi, as watches last saw it.
#[derive(Clone)]
#[allow(missing_docs, reason = "the types say it")]
pub struct BesideStrimzi {
    pub kafkas: Seen<Kafka>,
    pub users: Seen<KafkaUser>,
    /// Those that pipelines have claimed.
    pub topics: Seen<KafkaTopic>,
}

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
    (seen, secrets): (&BesideStrimzi, &Secrets),
    pipeline: &TransactionPipeline,
    partitions: BTreeMap<String, u32>,
) -> Result<Dereferenced, Error> {
    let (namespace, kept) = (pipeline.namespace().unwrap_or_default(), &secrets.of(pipeline));
    let secrets = named_secrets(&pipeline.spec).into_iter().map(|name| {
        secret(client, kept, (&namespace, name), None).map_ok(move |read| (name.to_owned(), read))
    });
    let strimzi = pipeline.spec.kafka.strimzi.as_ref();
    let strimzi = strimzi.map(|named| beside_strimzi(client, (seen, kept), pipeline, named));
    let (secrets, strimzi) = try_join!(try_join_all(secrets), transposed(strimzi))?;
    Ok(Dereferenced { secrets: secrets.into_iter().collect(), strimzi, partitions })
}

async fn transposed<T>(future: Option<impl Future<Output = Result<T, Error>>>) -> Result<Option<T>, Error> {
    OptionFuture::from(future).await.transpose()
}

async fn beside_strimzi(
    client: &Client,
    (seen, secrets): (&BesideStrimzi, &SecretsOf<'_>),
    pipeline: &TransactionPipeline,
    named: &crd::Strimzi,
) -> Result<Strimzi, Error> {
    let own = pipeline.namespace().unwrap_or_default();
    let namespace = named.namespace.as_deref().unwrap_or(&own);
    let kafka = &pipeline.spec.kafka;
    let both = [&kafka.topic.name, &kafka.dead_letter_name()].map(|topic| KafkaTopic::object_name(topic));
    let claim = (own.as_str(), pipeline.name_any());
    // What is declared anew is compared with what there is before any of it is written.
    let is_settled = pipeline.status.as_ref().is_some_and(|status| {
        status.observed_generation.is_some() && status.observed_generation == pipeline.metadata.generation
    });
    let topics = both.into_iter().map(|name| {
        let is_ours = |topic: &KafkaTopic| topic.claimed_by() == Some((claim.0, &claim.1));
        let topic = seen.topics.get(namespace, &name).filter(|topic| is_settled && is_ours(topic));
        async move {
            let topic = seen_or_asked(client, topic, (namespace, &name)).await?;
            Ok(topic.ok().map(|topic| (name, topic)))
        }
    });
    let user = named.user.as_deref().map(|name| user(client, (seen, secrets), &own, (namespace, name)));
    let ca = strimzi::ca_secret(&named.cluster);
    let version = seen.kafkas.get(namespace, &named.cluster).and_then(|kafka| kafka.resource_version());
    let (kafka, ca, user, topics) = try_join!(
        cluster(client, seen, &own, (namespace, named)),
        secret(client, secrets, (namespace, &ca), version),
        transposed(user),
        try_join_all(topics),
    )?;
    Ok(Strimzi { kafka, ca, user, topics: topics.into_iter().flatten().collect() })
}

/// A cluster, if its owner lets pipelines of this namespace use it: by the user that they are, or without one.
async fn cluster(
    client: &Client,
    seen: &BesideStrimzi,
    pipeline_namespace: &str,
    (namespace, named): (&str, &crd::Strimzi),
) -> Result<Reference<Kafka>, Error> {
    let kafka = seen.kafkas.get(namespace, &named.cluster);
    if named.user.is_some() {
        return seen_or_asked(client, kafka, (namespace, &named.cluster)).await;
    }
    permitted(client, kafka, (namespace, &named.cluster), pipeline_namespace).await
}

/// A user, and its Secret if its owner lets pipelines of this namespace be it.
async fn user(
    client: &Client,
    (seen, secrets): (&BesideStrimzi, &SecretsOf<'_>),
    pipeline_namespace: &str,
    (namespace, name): (&str, &str),
) -> Result<Reference<User>, Error> {
    let user = seen.users.get(namespace, name);
    let resource = match permitted(client, user, (namespace, name), pipeline_namespace).await? {
        Ok(resource) => resource,
        Err(missing) => return Ok(Err(missing)),
    };
    let version = resource.resource_version();
    let secret = secret(client, secrets, (namespace, resource.secret_name()), version).await?;
    Ok(Ok(User { resource, secret }))
}

/// An object of Strimzi's, if its owner lets pipelines of this namespace use it.
async fn permitted<K>(
    client: &Client,
    seen: Option<Arc<K>>,
    (namespace, name): (&str, &str),
    pipeline_namespace: &str,
) -> Result<Reference<K>, Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Kind + Clone + DeserializeOwned + Debug,
{
    let allows = |object: &K| allows(object.meta(), pipeline_namespace);
    let object = seen_or_asked(client, seen.filter(|seen| allows(seen)), (namespace, name)).await?;
    Ok(object.and_then(|object| {
        let what = ObjectName { kind: K::KIND, namespace: namespace.into(), name: name.into() };
        let not = MissingReference::NotPermitted { what, namespace: pipeline_namespace.into() };
        if allows(&object) { Ok(object) } else { Err(not) }
    }))
}

/// An object as a watch saw it, or else as the API server says.
async fn seen_or_asked<K>(
    client: &Client,
    seen: Option<Arc<K>>,
    (namespace, name): (&str, &str),
) -> Result<Reference<K>, Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Kind + Clone + DeserializeOwned + Debug,
{
    match seen {
        Some(seen) => Ok(Ok(Arc::unwrap_or_clone(seen))),
        None => get(client, namespace, name).await,
    }
}

/// A Secret as it was last read. Only whether it is not there is a question to etcd. `beside` is the version of Strimzi's
/// resource that it goes with.
async fn secret(
    client: &Client,
    secrets: &SecretsOf<'_>,
    (namespace, name): (&str, &str),
    beside: Option<String>,
) -> Result<Reference<SecretData>, Error> {
    match secrets.get(namespace, name, beside).await {
        Ok(Some(secret)) => Ok(Ok((&*secret).into())),
        // Whatever it is, it is told by the other question.
        Ok(None) | Err(_) => Ok(get::<Secret>(client, namespace, name).await?.map(|secret| (&secret).into())),
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use http::{Request, Response};
    use kube::{
        client::Body,
        runtime::{reflector, watcher},
    };
    use serde_json::json;

    use super::{
        super::{
            apply::Object,
            fixtures::Scene,
            model::strimzi::{CLAIMED_NAME, CLAIMED_NAMESPACE},
        },
        *,
    };

    /// What a watch saw.
    fn seen<K: Object>(objects: impl IntoIterator<Item = K>) -> Seen<K> {
        let (store, mut writer) = reflector::store();
        for object in objects {
            writer.apply_watcher_event(&watcher::Event::Apply(object));
        }
        Seen(vec![store])
    }

    fn topic(name: &str, claimed_by: &str) -> KafkaTopic {
        let labels = json!({CLAIMED_NAMESPACE: "pagamentos", CLAIMED_NAME: claimed_by});
        let metadata = json!({"name": name, "namespace": "kafka", "labels": labels});
        serde_json::from_value(json!({"metadata": metadata, "spec": {}})).unwrap()
    }

    /// What two passes ask of an API server that has nothing but Secrets, when watches saw these topics and the Kafka of
    /// the examples.
    async fn asked(pipeline: &TransactionPipeline, topics: [KafkaTopic; 2]) -> [Vec<String>; 2] {
        let Strimzi { kafka, user, .. } = Scene::example("strimzi").found.strimzi.unwrap();
        let (mut kafka, mut user) = (kafka.unwrap(), user.unwrap().unwrap().resource);
        kafka.metadata.namespace = Some("kafka".into());
        user.metadata.namespace = Some("kafka".into());
        let seen = BesideStrimzi { kafkas: seen([kafka]), users: seen([user]), topics: seen(topics) };
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        let client = Client::new(
            tower::service_fn(move |request: Request<Body>| {
                let path = request.uri().path().to_owned();
                noted.lock().unwrap().push(path.rsplit("/namespaces/").next().unwrap().to_owned());
                let (code, body) = if path.contains("/secrets/") {
                    (200, json!({"metadata": {}}))
                } else {
                    (404, json!({"status": "Failure", "code": 404, "reason": "NotFound", "message": ""}))
                };
                let answer = Response::builder().status(code).body(Body::from(body.to_string().into_bytes()));
                std::future::ready(answer)
            }),
            "default",
        );
        let secrets = Secrets::new(client.clone());
        let mut passes = [vec![], vec![]];
        for pass in &mut passes {
            Box::pin(dereference(&client, (&seen, &secrets), pipeline, BTreeMap::new())).await.unwrap();
            *pass = std::mem::take(&mut *asked.lock().unwrap());
            pass.sort();
        }
        passes
    }

    fn settled() -> TransactionPipeline {
        let mut pipeline = Scene::example("strimzi").pipeline;
        pipeline.metadata.generation = Some(2);
        let status = crd::PipelineStatus { observed_generation: Some(2), ..crd::PipelineStatus::default() };
        pipeline.status = Some(status);
        pipeline
    }

    const SECRETS: [&str; 5] = [
        "kafka/secrets/eventos-cluster-ca-cert",
        "kafka/secrets/fluxo",
        "pagamentos/secrets/fluxo-keys",
        "pagamentos/secrets/mysql-ca",
        "pagamentos/secrets/mysql-fluxo",
    ];

    #[tokio::test]
    async fn the_first_pass_asks_for_secrets_only_and_at_rest_nobody_is_asked() {
        let topics = ["transactions", "transactions.dlq"].map(|name| topic(name, "pagamentos"));
        let [first, second] = asked(&settled(), topics).await;
        assert_eq!(first, SECRETS);
        assert_eq!(second, [""; 0]);
    }

    #[tokio::test]
    async fn a_topic_that_was_seen_as_anothers_or_before_a_change_is_asked_for() {
        let topics = || [topic("transactions", "pagamentos"), topic("transactions.dlq", "other")];
        let [first, second] = asked(&settled(), topics()).await;
        assert_eq!(first[0], "kafka/kafkatopics/transactions.dlq");
        assert_eq!(first[1..], SECRETS);
        assert_eq!(second, ["kafka/kafkatopics/transactions.dlq"]);
        let changed = TransactionPipeline { status: None, ..settled() };
        let both = ["kafka/kafkatopics/transactions", "kafka/kafkatopics/transactions.dlq"];
        assert_eq!(asked(&changed, topics()).await[1], both);
    }
}
