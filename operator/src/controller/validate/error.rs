//! What can be wrong with a pipeline, and what a person can do about it.

use crate::{
    controller::model::{
        MissingReference, ObjectName,
        strimzi::{CLAIMED_NAME, CLAIMED_NAMESPACE},
    },
    crd::{ConditionType, Reason},
};

/// What is wrong with a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Something that it refers to cannot be had.
    #[error(transparent)]
    Missing(#[from] MissingReference),
    /// A Secret does not have a key.
    #[error("{secret} has no key {key} (it has: {found}): add it, or name another key")]
    NoKey {
        /// The Secret.
        secret: ObjectName,
        /// The key that was looked for.
        key: String,
        /// Those that are there.
        found: String,
    },
    /// A Secret has a key whose value cannot be used.
    #[error("key {key} of {secret} {fault}")]
    BadValue {
        /// The Secret.
        secret: ObjectName,
        /// The key.
        key: String,
        /// Why its value cannot be used.
        fault: Fault,
    },
    /// Strimzi has not yet said where the brokers are.
    #[error(
        "{kafka} does not yet say where its listener {listener} is: wait until it is ready, or look why it is not"
    )]
    KafkaNotReady {
        /// The `Kafka`.
        kafka: ObjectName,
        /// The listener.
        listener: String,
    },
    /// There is no such listener.
    #[error("{kafka} has no listener {named}: name one of {there} in kafka.strimzi.listener")]
    NoListener {
        /// The `Kafka`.
        kafka: ObjectName,
        /// The one that is named, or `at all`.
        named: String,
        /// Those that are there.
        there: String,
    },
    /// There are several listeners, and none for this user.
    #[error(
        "no listener of {kafka} lets in {shown} (there are: {there}): add one, or name another user in kafka.strimzi.user"
    )]
    NoFittingListener {
        /// The `Kafka`.
        kafka: ObjectName,
        /// How the pipeline would show who it is.
        shown: String,
        /// The listeners that are there.
        there: String,
    },
    /// The listener and the user do not fit.
    #[error(
        "listener {listener} of {kafka} does not let in {shown}: change kafka.strimzi.user, or kafka.strimzi.listener"
    )]
    OtherAuthentication {
        /// The `Kafka`.
        kafka: ObjectName,
        /// The listener, and whom it lets in.
        listener: String,
        /// How the pipeline would show who it is.
        shown: String,
    },
    /// The pods cannot be such a user.
    #[error("{user} says who it is by {kind}, which the pods cannot: use scram-sha-512 or tls")]
    UnknownAuthentication {
        /// The `KafkaUser`.
        user: ObjectName,
        /// How it says who it is.
        kind: String,
    },
    /// Nothing is known by which the brokers could be verified.
    #[error("{kafka} has no certificate to verify its listener {listener} by: wait until it is ready")]
    NoAuthority {
        /// The `Kafka`.
        kafka: ObjectName,
        /// The listener.
        listener: String,
    },
    /// A topic is another pipeline's.
    #[error(
        "{topic} is of the pipeline {namespace}/{name}: declare another topic, or delete that pipeline first"
    )]
    AlreadyClaimed {
        /// The `KafkaTopic`.
        topic: ObjectName,
        /// The other pipeline's namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A topic is of no pipeline.
    #[error(
        "{topic} is there and is of no pipeline: label it {CLAIMED_NAMESPACE}={namespace} and {CLAIMED_NAME}={name} \
         to hand it over, or declare another topic"
    )]
    Unclaimed {
        /// The `KafkaTopic`.
        topic: ObjectName,
        /// This pipeline's namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The number of writers cannot be known.
    #[error(
        "FLUXO_LISTENER_WRITERS of podTemplate.extraEnv must be a value from 1 to 16, since the connections to MySQL \
         are counted by it"
    )]
    Writers,
    /// MySQL would be given too few connections.
    #[error(
        "mysql.maxConnections is {allowed}, and {needed} are needed for {api} replicas of the api and {listeners} \
         listeners, with one more of each during a rollout: raise it, or lower api.replicas or \
         listener.scaling.minReplicas"
    )]
    TooFewConnections {
        /// How many there may be.
        allowed: u32,
        /// How many there would have to be.
        needed: u32,
        /// For so many replicas of the api.
        api: u32,
        /// And so many listeners.
        listeners: u32,
    },
}

/// Why the value of a key cannot be used. None of them repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its bytes are no text.
    #[error("is not text: it must be UTF-8")]
    NotText,
    /// It must not be empty.
    #[error("is empty")]
    Empty,
    /// There is no certificate in it.
    #[error("holds no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    /// There is no private key in it.
    #[error("holds no private key in PEM without a password, which begins with -----BEGIN PRIVATE KEY-----")]
    NoPrivateKey,
    /// It cannot be a user of Kafka.
    #[error("is no user's name: it has a line break or another control character, perhaps at its end")]
    NoUsername,
    /// It cannot be part of a URL.
    #[error(
        "is no user's name that a URL can have: use letters, digits, -, ., _, ~ and +, without a line break"
    )]
    NoUrlUsername,
}

impl Error {
    /// The reason of a condition.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Missing(missing) => missing.reason(),
            Self::NoKey { .. }
            | Self::BadValue { .. }
            | Self::NoListener { .. }
            | Self::NoFittingListener { .. }
            | Self::OtherAuthentication { .. }
            | Self::UnknownAuthentication { .. } => Reason::ReferenceInvalid,
            Self::KafkaNotReady { .. } | Self::NoAuthority { .. } => Reason::KafkaNotReady,
            Self::AlreadyClaimed { .. } => Reason::AlreadyClaimed,
            Self::Unclaimed { .. } => Reason::NameConflict,
            Self::Writers | Self::TooFewConnections { .. } => Reason::InvalidSpec,
        }
    }

    /// The condition that it is about, besides `Ready`, if one is.
    pub const fn condition(&self) -> Option<ConditionType> {
        match self {
            Self::KafkaNotReady { .. }
            | Self::NoListener { .. }
            | Self::NoFittingListener { .. }
            | Self::OtherAuthentication { .. }
            | Self::UnknownAuthentication { .. }
            | Self::NoAuthority { .. }
            | Self::AlreadyClaimed { .. }
            | Self::Unclaimed { .. } => Some(ConditionType::TopicsReady),
            Self::Missing(_)
            | Self::NoKey { .. }
            | Self::BadValue { .. }
            | Self::Writers
            | Self::TooFewConnections { .. } => None,
        }
    }
}
