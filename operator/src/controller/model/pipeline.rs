//! A pipeline of which nothing is left that Kubernetes could refuse.

use k8s_openapi::api::core::v1::ResourceRequirements;

use super::Hidden;
use crate::{
    crd,
    identity::Identity,
    kafka::{self, SaslMechanism, topic},
};

/// A pipeline of which nothing is left that Kubernetes could refuse: `validate` alone makes it.
#[derive(Clone, Debug)]
pub struct ValidatedPipeline {
    /// Which one it is.
    pub identity: Identity,
    /// The images that run.
    pub images: Images,
    /// How the pods reach Kafka.
    pub kafka: KafkaAccess,
    /// The topics.
    pub topics: Topics,
    /// How the pods reach MySQL.
    pub database: Database,
    /// The api.
    pub api: Api,
    /// The listeners.
    pub listener: Listener,
    /// What all pods get.
    pub pod_template: crd::PodTemplate,
    /// Whether policies of the network say who may reach the pods.
    pub has_network_policies: bool,
}

/// The images that run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// What their names begin with.
    pub repository: String,
    /// Their tag.
    pub tag: String,
    /// When they are pulled.
    pub pull_policy: Option<crd::PullPolicy>,
    /// The Secrets that the registry lets in.
    pub pull_secrets: Vec<String>,
}

/// How Kafka is reached, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaAccess {
    /// The brokers to ask first, as `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// `None` for connections in plain text.
    pub tls: Option<KafkaTls>,
    /// `None` when nobody logs in with a password.
    pub sasl: Option<KafkaSasl>,
    /// Whether the files are copies that the operator keeps in a Secret of its own, beside the pipeline.
    pub is_copied: bool,
}

/// How connections to Kafka are encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaTls {
    /// The certificates of the brokers' authorities, in PEM; `None` for those that the image knows.
    pub ca: Option<SecretFile>,
    /// The certificate that the pods show, and its key, both in PEM.
    pub client: Option<(SecretFile, SecretFile)>,
}

/// Who logs in to Kafka with a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaSasl {
    /// How.
    pub mechanism: SaslMechanism,
    /// Who.
    pub username: Username,
    /// The password.
    pub password: SecretFile,
}

/// The name of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Username {
    /// It is no secret: a resource says it.
    Plain(String),
    /// It is in a Secret.
    Secret(SecretFile),
}

/// A value of a Secret of the pipeline's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile {
    /// Name of the Secret.
    pub secret: String,
    /// Its key.
    pub key: String,
    /// The value, as it is now.
    pub value: Hidden,
    /// What of it pods are replaced for when it changes; `None` for all of it.
    pub replaces_pods: Option<Hidden>,
}

/// The topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    /// That of transactions.
    pub transactions: topic::Wanted,
    /// That of records that can never be kept.
    pub dead_letter: topic::Wanted,
    /// The namespace and name of the `Kafka` that they are beside; `None` when the operator itself asks Kafka for them.
    pub strimzi: Option<(String, String)>,
    /// What is declared of the topic of transactions and is not asked for, since it would lose or reorder records. For
    /// topics that the operator itself keeps, see also [`topic::plan`].
    pub refusals: Vec<topic::Refusal>,
}

/// How MySQL is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// Name or address of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Name of the database.
    pub name: String,
    /// How connections are secured.
    pub tls: crd::TlsMode,
    /// The certificates of the server's authority, in PEM.
    pub ca: Option<SecretFile>,
    /// The user of the api.
    pub api: DatabaseUser,
    /// The user of the listeners.
    pub listener: DatabaseUser,
    /// The user who changes the schema.
    pub migration: DatabaseUser,
    /// Who brings the schema to what the images need.
    pub migrate: crd::Migrate,
}

/// A user of MySQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseUser {
    /// The name.
    pub username: SecretFile,
    /// The password.
    pub password: SecretFile,
}

/// The api.
#[derive(Clone, Debug, PartialEq)]
pub struct Api {
    /// How many replicas run.
    pub replicas: i32,
    /// The Secret and key of the clients' keys; `None` when everybody is let in. A change of it rolls nothing.
    pub keys: Option<(String, String)>,
    /// How clients come from outside of the cluster.
    pub exposure: Option<Exposure>,
    /// Resources of each pod.
    pub resources: ResourceRequirements,
    /// The most connections to MySQL of each replica.
    pub connections: u32,
}

/// How clients come from outside of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// By an Ingress.
    Ingress(crd::Ingress),
    /// By an `HTTPRoute`.
    HttpRoute(crd::HttpRoute),
}

/// The listeners.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Their consumer group.
    pub group: String,
    /// Resources of each pod.
    pub resources: ResourceRequirements,
    /// The most connections to MySQL of each, besides one of each writer.
    pub connections: u32,
    /// The most that make sense and that the connections to MySQL are enough for: the scaler never exceeds it, whoever
    /// decides.
    pub most: u32,
}

impl Images {
    /// The image of a program: `api`, `listener` or `migrations`.
    pub fn of(&self, program: &str) -> String {
        format!("{}-{program}:{}", self.repository, self.tag)
    }
}

impl KafkaAccess {
    /// The same for the operator's own questions.
    pub fn connection(&self) -> kafka::Connection {
        let text = |file: &SecretFile| file.value.reveal().to_owned();
        let tls = self.tls.as_ref().map(|tls| kafka::Tls {
            ca: tls.ca.as_ref().map(text),
            client: tls
                .client
                .as_ref()
                .map(|(certificate, key)| kafka::KeyPair { certificate: text(certificate), key: text(key) }),
        });
        let sasl = self.sasl.as_ref().map(|sasl| kafka::Sasl {
            mechanism: sasl.mechanism,
            username: match &sasl.username {
                Username::Plain(name) => name.clone(),
                Username::Secret(file) => text(file),
            },
            // As the services read it: a line break at the end of a file is not part of it.
            password: text(&sasl.password).trim_end_matches(['\r', '\n']).into(),
        });
        kafka::Connection { bootstrap_servers: self.bootstrap_servers.clone(), tls, sasl }
    }

    /// The values of Secrets that it consists of.
    pub fn files(&self) -> Vec<&SecretFile> {
        let tls = self.tls.iter().flat_map(|tls| {
            tls.ca.iter().chain(tls.client.iter().flat_map(|(certificate, key)| [certificate, key]))
        });
        let sasl = self.sasl.iter().flat_map(|sasl| {
            let username = match &sasl.username {
                Username::Plain(_) => None,
                Username::Secret(file) => Some(file),
            };
            username.into_iter().chain([&sasl.password])
        });
        tls.chain(sasl).collect()
    }
}
