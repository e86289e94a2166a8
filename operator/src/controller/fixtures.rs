//! Pipelines for tests: the examples of the repository with what they refer to, through the real steps.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::{Value, json};

use super::{
    model::{
        Dereferenced, Installation, MissingReference, ObjectName, Reference, SecretData, Strimzi, User,
        ValidatedPipeline, named_secrets,
        strimzi::{Kafka, KafkaUser},
    },
    validate::{self, validate},
};
use crate::crd::{Credentials, TransactionPipeline};

/// The examples that are pipelines.
pub(super) const EXAMPLES: [&str; 3] = ["external", "minimal", "strimzi"];

/// A pipeline and what was read for it.
#[derive(Clone)]
pub(super) struct Scene {
    pub(super) pipeline: TransactionPipeline,
    pub(super) found: Dereferenced,
}

pub(super) fn installation() -> Installation {
    Installation { repository: "ghcr.io/fluxo/fluxo".into(), tag: "0.1.0".into() }
}

pub(super) fn certificate(of: &str) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{of}\n-----END CERTIFICATE-----\n")
}

pub(super) fn private_key(of: &str) -> String {
    format!("-----BEGIN PRIVATE KEY-----\n{of}\n-----END PRIVATE KEY-----\n")
}

impl Scene {
    /// An example, with all that it refers to.
    pub(super) fn example(name: &str) -> Self {
        let example = yaml(&format!("{name}.yaml"));
        Self::of(serde_json::from_value(example.into_iter().next().unwrap()).unwrap())
    }

    /// The minimal example, changed: fields are put in place of others, as a merge patch does.
    pub(super) fn minimal_with(patch: &Value) -> Self {
        Self::example_with("minimal", patch)
    }

    /// An example, changed.
    pub(super) fn example_with(name: &str, patch: &Value) -> Self {
        let mut spec = serde_json::to_value(Self::example(name).pipeline.spec).unwrap();
        merge(&mut spec, patch);
        let mut pipeline = Self::example(name).pipeline;
        pipeline.spec = serde_json::from_value(spec).unwrap();
        Self::of(pipeline)
    }

    fn of(mut pipeline: TransactionPipeline) -> Self {
        pipeline.metadata.namespace.get_or_insert_with(|| "pagamentos".into());
        pipeline.metadata.uid = Some("0193f0c5-5a1e-7000-8000-000000000001".into());
        let secrets = named_secrets(&pipeline.spec).into_iter();
        let secrets =
            secrets.map(|name| (name.into(), Ok(content(&pipeline, name)))).collect::<BTreeMap<_, _>>();
        let strimzi = pipeline.spec.kafka.strimzi.is_some().then(strimzi);
        Self { found: Dereferenced { secrets, strimzi, ..Dereferenced::default() }, pipeline }
    }

    /// Puts another value into a Secret of the pipeline's namespace.
    #[must_use]
    pub(super) fn with_secret(mut self, name: &str, key: &str, value: &str) -> Self {
        let data = self.found.secrets[name].clone().unwrap();
        let values = data.keys().map(|key| (key.to_owned(), data.text(key).unwrap().reveal().to_owned()));
        let values = values.chain([(key.to_owned(), value.to_owned())]).collect();
        self.found.secrets.insert(name.into(), Ok(values));
        self
    }

    pub(super) fn strimzi(&mut self) -> &mut Strimzi {
        self.found.strimzi.as_mut().unwrap()
    }

    pub(super) fn validate(&self) -> Result<ValidatedPipeline, Vec<validate::Error>> {
        validate(&self.pipeline, &self.found, &installation())
    }

    pub(super) fn validated(&self) -> ValidatedPipeline {
        self.validate().unwrap()
    }

    /// All that is wrong, as it is told.
    pub(super) fn wrong(&self) -> Vec<String> {
        let errors = self.validate().unwrap_err();
        errors.iter().map(|error| format!("{} {error}", error.reason())).collect()
    }
}

/// All values that a pipeline could want of a Secret: each says where it is from, so that it is found where it must
/// not be.
fn content(pipeline: &TransactionPipeline, name: &str) -> SecretData {
    let (kafka, mysql) = (&pipeline.spec.kafka, &pipeline.spec.mysql);
    let users = [
        Some(&mysql.credentials),
        mysql.api_credentials.as_ref(),
        mysql.listener_credentials.as_ref(),
        mysql.migration_credentials.as_ref(),
        kafka.sasl.as_ref().map(|sasl| &sasl.credentials),
    ];
    let keys = |user: &Credentials| [user.username_key.clone(), user.password_key.clone()];
    let users = users.into_iter().flatten().filter(|user| user.secret == name).flat_map(keys);
    let plain = users.chain(["keys.json".into()]).map(|key| (key.clone(), format!("value-of-{name}-{key}")));
    let authorities = ["ca.crt", "authority.pem", "tls.crt"]
        .map(|key| (key.to_owned(), certificate(&format!("value-of-{name}-{key}"))));
    plain
        .chain(authorities)
        .chain([("tls.key".into(), private_key(&format!("value-of-{name}-key")))])
        .collect()
}

/// The Kafka of the examples, as Strimzi leaves it.
fn strimzi() -> Strimzi {
    let mut documents = yaml("kafka.yaml").into_iter();
    let mut kafka: Kafka = serde_json::from_value(documents.next().unwrap()).unwrap();
    kafka.status = serde_json::from_value(json!({
        "clusterId": "9dQvFVqSQtKJ2pVQmO0cdw",
        "listeners": [{
            "name": "tls",
            "bootstrapServers": "eventos-kafka-bootstrap.kafka.svc:9093",
            "certificates": [certificate("cluster-ca")],
        }],
    }))
    .unwrap();
    let mut user: KafkaUser = serde_json::from_value(documents.nth(1).unwrap()).unwrap();
    user.status = serde_json::from_value(json!({"username": "fluxo", "secret": "fluxo"})).unwrap();
    let secret: SecretData = [("password", "value-of-fluxo-password")].into_iter().collect();
    Strimzi {
        kafka: Ok(kafka),
        ca: Ok([("ca.crt", certificate("cluster-ca"))].into_iter().collect()),
        user: Some(Ok(User { resource: user, secret: Ok(secret) })),
        topics: BTreeMap::new(),
    }
}

/// The documents of a file of examples.
fn yaml(file: &str) -> Vec<Value> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/examples")).join(file);
    serde_saphyr::from_multiple(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn merge(target: &mut Value, patch: &Value) {
    let (Value::Object(fields), Value::Object(patch)) = (&mut *target, patch) else {
        *target = patch.clone();
        return;
    };
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// A reference that is not there.
pub(super) fn missing<T>(kind: &'static str, namespace: &str, name: &str) -> Reference<T> {
    Err(MissingReference::NotFound(ObjectName { kind, namespace: namespace.into(), name: name.into() }))
}
