//! What the steps of a reconciliation hand to each other, as plain values: nothing here knows a client.
//!
//! `dereference` gives [`Dereferenced`], `validate` makes a [`ValidatedPipeline`] of it, `build` makes
//! [`Resources<Prepared>`](Resources) of that, and `apply` alone makes [`Resources<Applied>`](Resources).

mod http_route;
mod pipeline;
mod resources;
pub mod strimzi;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, str,
};

use k8s_openapi::api::core::v1::Secret;

pub use http_route::{BackendRef, HttpRoute, HttpRouteSpec, PathMatch, RouteMatch, RouteRule};
pub use pipeline::{
    Api, Database, DatabaseUser, Exposure, Images, KafkaAccess, KafkaSasl, KafkaTls, Listener, SecretFile,
    Topics, Username, ValidatedPipeline,
};
pub use resources::{Applied, Prepared, Resources};

use crate::crd;
use strimzi::{Kafka, KafkaTopic, KafkaUser};

/// What the operator was installed with, and pipelines have where they say nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// What the names of images begin with, such as `registry.example.com/fluxo`.
    pub repository: String,
    /// Their tag.
    pub tag: String,
}

/// Something that a pipeline refers to: it, or why it cannot be had. An API server that does not answer is neither:
/// then there is no [`Dereferenced`].
pub type Reference<T> = Result<T, MissingReference>;

/// Why something that a pipeline refers to cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MissingReference {
    /// It is not there.
    #[error("{0} is not there: make it, or name another one")]
    NotFound(ObjectName),
    /// Its owner does not let pipelines of this namespace use it.
    #[error(
        "{what} does not let pipelines of namespace {namespace} use it: annotate it {annotation}: {namespace}",
        annotation = strimzi::ALLOWED_NAMESPACES
    )]
    NotPermitted {
        /// The `KafkaUser`, or the `Kafka` for who is no user.
        what: ObjectName,
        /// The pipeline's namespace.
        namespace: String,
    },
    /// The operator has not the right to read it.
    #[error(
        "the operator may not read {0}: give it the right; for a namespace of Strimzi, the chart does so for each of \
         its kafkaNamespaces"
    )]
    Forbidden(ObjectName),
}

/// What an object is, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName {
    /// Its kind, such as `Secret`.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// All that was read for a pipeline.
///
/// What the pipeline itself has (a Job, the number of listeners) is not here: nothing that is built depends on it.
#[derive(Clone, Debug, Default)]
pub struct Dereferenced {
    /// Each of [`named_secrets`], by its name, in the pipeline's namespace.
    pub secrets: BTreeMap<String, Reference<SecretData>>,
    /// What is beside Strimzi; `None` for a pipeline that does not name it.
    pub strimzi: Option<Strimzi>,
    /// How many partitions Kafka says that each topic has, by the topic's name; empty as long as nobody has asked.
    pub partitions: BTreeMap<String, u32>,
}

/// What is beside Strimzi, in its namespace.
#[derive(Clone, Debug)]
pub struct Strimzi {
    /// The `Kafka` that the pipeline names.
    pub kafka: Reference<Kafka>,
    /// Its Secret [`strimzi::ca_secret`].
    pub ca: Reference<SecretData>,
    /// The `KafkaUser`, if the pipeline names one. From another namespace it is [`MissingReference::NotPermitted`]
    /// unless it [allows](strimzi::allows) the pipeline's, and its Secret is not read.
    pub user: Option<Reference<User>>,
    /// The `KafkaTopic`s of the names [`KafkaTopic::object_name`] of both topics that are there, by these names.
    pub topics: BTreeMap<String, KafkaTopic>,
}

/// A `KafkaUser` that a pipeline may use.
#[derive(Clone, Debug)]
pub struct User {
    /// The resource.
    pub resource: KafkaUser,
    /// Its Secret, [`KafkaUser::secret_name`].
    pub secret: Reference<SecretData>,
}

/// The content of a Secret. Its values are never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretData(BTreeMap<String, Vec<u8>>);

/// Text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(String);

/// The Secrets of its own namespace that must be read for a pipeline, by name.
pub fn named_secrets(spec: &crd::TransactionPipelineSpec) -> BTreeSet<&str> {
    let (kafka, mysql) = (&spec.kafka, &spec.mysql);
    let users = [
        Some(&mysql.credentials),
        mysql.api_credentials.as_ref(),
        mysql.listener_credentials.as_ref(),
        mysql.migration_credentials.as_ref(),
        kafka.sasl.as_ref().map(|sasl| &sasl.credentials),
    ];
    let tls = kafka.tls.as_ref();
    let authorities = [mysql.tls.ca_secret.as_ref(), tls.and_then(|tls| tls.ca_secret.as_ref())];
    let others = [tls.and_then(|tls| tls.certificate_secret.as_deref()), spec.api.auth.secret.as_deref()];
    users
        .into_iter()
        .flatten()
        .map(|user| user.secret.as_str())
        .chain(authorities.into_iter().flatten().map(|authority| authority.name.as_str()))
        .chain(others.into_iter().flatten())
        .collect()
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

impl MissingReference {
    /// The reason of a condition.
    pub const fn reason(&self) -> crd::Reason {
        match self {
            Self::NotFound(_) => crd::Reason::ReferenceNotFound,
            Self::NotPermitted { .. } | Self::Forbidden(_) => crd::Reason::ReferenceNotPermitted,
        }
    }
}

impl SecretData {
    /// The value of a key, if it is there and is text.
    pub fn text(&self, key: &str) -> Option<Hidden> {
        str::from_utf8(self.0.get(key)?).ok().map(|text| Hidden(text.into()))
    }

    /// Whether there is such a key.
    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// The names of its keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl From<&Secret> for SecretData {
    fn from(secret: &Secret) -> Self {
        Self(secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone())).collect())
    }
}

impl<K: Into<String>, V: Into<Vec<u8>>> FromIterator<(K, V)> for SecretData {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(values: I) -> Self {
        Self(values.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

impl fmt::Debug for SecretData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Hidden {
    /// Hides text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text. Do not let it out of what needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden")
    }
}
