//! Why Kafka did not do what it was asked for.

use fluxo_kafka::admin;
use rdkafka::{error::KafkaError, types::RDKafkaErrorCode};

use crate::lag::Unknown;

/// Why Kafka did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A person must change the connection's settings.
    #[error("the connection to Kafka cannot be set up: look at its certificates and addresses")]
    Settings(#[source] KafkaError),
    /// No answer: trying again may help.
    #[error("Kafka cannot be reached: {0}")]
    Away(String),
    /// There is no such topic.
    #[error("topic {0} does not exist")]
    NoTopic(String),
    /// Kafka said no, and why.
    #[error("Kafka refuses: {0}")]
    Refused(String),
    /// A name or a value has a NUL byte.
    #[error("{0:?} has a NUL byte: Kafka knows no such name or value")]
    NulByte(String),
    /// librdkafka did not give what its documentation says.
    #[error("librdkafka gave no {0}: this is a fault of Fluxo, please report it")]
    NoAnswer(&'static str),
}

impl Error {
    /// The reason of a condition, in the words that Strimzi's Topic Operator has for a `KafkaTopic`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Settings(_) | Self::Away(_) | Self::NoTopic(_) | Self::Refused(_) | Self::NulByte(_) => {
                "KafkaError"
            }
            Self::NoAnswer(_) => "InternalError",
        }
    }

    /// Sorts what was told. `topic` is what was asked about.
    pub(super) fn of(error: admin::Error, topic: &str) -> Self {
        let is_unknown_topic = error.is_unknown_topic();
        match error {
            _ if is_unknown_topic => Self::NoTopic(topic.into()),
            admin::Error::Unanswered(_) => Self::Away(error.to_string()),
            admin::Error::Refused {
                code:
                    RDKafkaErrorCode::OperationTimedOut
                    | RDKafkaErrorCode::BrokerTransportFailure
                    | RDKafkaErrorCode::AllBrokersDown
                    | RDKafkaErrorCode::Resolve
                    | RDKafkaErrorCode::WaitingForCoordinator,
                reason,
            } => Self::Away(reason),
            admin::Error::Refused { reason, .. } => Self::Refused(reason),
            admin::Error::NulByte(text) => Self::NulByte(text),
            admin::Error::NoAnswer(what) => Self::NoAnswer(what),
        }
    }

    /// What the connection last suffered from says more than that there was no answer.
    pub(super) fn because(self, last: Option<String>) -> Self {
        match (self, last) {
            (Self::Away(_), Some(last)) => Self::Away(last),
            (error, _) => error,
        }
    }
}

impl From<Error> for Unknown {
    fn from(error: Error) -> Self {
        match error {
            Error::Away(why) => Self::Away(why),
            Error::NoTopic(_) => Self::NoTopic,
            Error::Refused(why) => Self::Refused(why),
            Error::Settings(_) | Error::NulByte(_) | Error::NoAnswer(_) => Self::Refused(error.to_string()),
        }
    }
}
