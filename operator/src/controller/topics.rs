//! The topics of a pipeline: `KafkaTopic`s beside Strimzi, or topics that the operator itself asks Kafka for. What is
//! told of them is the same either way.
//!
//! A topic is of one pipeline. A `KafkaTopic` says of which by its labels, by namespace and name: so they outlive a
//! pipeline that retains its topics, and the next one of its name takes them up. Topics without Strimzi carry no label:
//! a pipeline's status has their ids, and one that is there already is taken only if something shows whose it is
//! ([`claim`]). Among pipelines that name the same new one, the oldest has it.

mod beside_strimzi;
pub mod claim;
mod native;

use std::fmt;

use kube::ResourceExt as _;

use super::{
    apply::{Applier, Error, Named},
    model::{Prepared, Resources, ValidatedPipeline, strimzi::KafkaTopic},
};
use crate::{
    crd,
    identity::Identity,
    kafka::topic::{Refusal, Step},
};

pub use claim::Marks;
pub use native::Keeper;

/// Whose topics are asked for.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The pipeline.
    pub pipeline: &'a ValidatedPipeline,
    /// What it shows of topics that are its own.
    pub marks: &'a Marks,
    /// The older pipeline that names the same topic without Strimzi: it has it, if nobody does.
    pub rival: Option<&'a Identity>,
    /// The other pipeline whose status has the id of a topic.
    pub owner: &'a (dyn Fn(&str) -> Option<Identity> + Sync),
}

/// How the topics of a pipeline are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicsState {
    /// That of transactions; `None` before anybody has looked.
    pub transactions: Option<TopicState>,
    /// That of records that can never be kept.
    pub dead_letter: Option<TopicState>,
}

/// How a topic is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicState {
    /// Its id, when it is there and is the pipeline's.
    pub id: Option<String>,
    /// Whether it is as declared.
    pub found: Found,
}

/// What the operator itself did to a topic, so that it is as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The topic's name.
    pub topic: String,
    /// What was done.
    pub step: Step,
}

/// Whether a topic is as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is.
    AsDeclared,
    /// It is another pipeline's.
    ClaimedBy {
        /// The other's namespace.
        namespace: String,
        /// The other's name.
        name: String,
    },
    /// A `KafkaTopic` of the name is there, and no pipeline's.
    Foreign(Named),
    /// Kafka has it, and nothing shows that it is the pipeline's.
    Unclaimed {
        /// Its id.
        id: String,
    },
    /// It is not, and why.
    Not(crd::Reason, String),
}

impl Keeper {
    /// Makes the topics be as declared, as far as that can be done without losing or reordering records.
    pub(super) async fn keep(
        &self,
        applier: &Applier,
        request: Request<'_>,
        prepared: &Resources<Prepared>,
        taken: &mut Vec<Taken>,
    ) -> Result<TopicsState, Error> {
        let topics = &request.pipeline.topics;
        let mut state = if topics.strimzi.is_some() {
            beside_strimzi::keep(applier, request, &prepared.kafka_topics).await?
        } else {
            self.keep_native(request, &prepared.native_topics, taken).await
        };
        // What is not asked for, since it would lose or reorder records, is not as declared.
        if let (Some(refused), Some(TopicState { found: found @ Found::AsDeclared, .. })) =
            (topics.refusals.first(), &mut state.transactions)
        {
            *found = Found::refused(refused);
        }
        Ok(state)
    }
}

impl TopicsState {
    /// Whether any of them is not the pipeline's: then its pods must not touch them.
    pub fn is_of_another(&self) -> bool {
        self.all().any(|topic| {
            matches!(topic.found, Found::ClaimedBy { .. } | Found::Foreign(_) | Found::Unclaimed { .. })
        })
    }

    /// Both, as far as anybody has looked.
    pub fn all(&self) -> impl Iterator<Item = &TopicState> {
        self.transactions.iter().chain(&self.dead_letter)
    }

    fn put(&mut self, pipeline: &ValidatedPipeline, topic: &str, state: TopicState) {
        let is_transactions = topic == pipeline.topics.transactions.name;
        *(if is_transactions { &mut self.transactions } else { &mut self.dead_letter }) = Some(state);
    }
}

impl Taken {
    /// The reason of its event.
    pub const fn reason(&self) -> &'static str {
        match self.step {
            Step::Create => "TopicCreated",
            Step::Grow { .. } => "TopicGrown",
            Step::Configure(_) => "TopicConfigured",
        }
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "topic {}: ", self.topic)?;
        match &self.step {
            Step::Create => f.write_str("made as declared"),
            Step::Grow { to } => write!(f, "has {to} partitions now"),
            Step::Configure(drift) => {
                for (number, (key, drift)) in drift.iter().enumerate() {
                    let (separator, found) =
                        (if number == 0 { "" } else { ", " }, drift.found.as_deref().unwrap_or("not known"));
                    write!(f, "{separator}{key} was {found} and is {} as declared", drift.declared)?;
                }
                Ok(())
            }
        }
    }
}

impl Found {
    fn refused(refusal: &Refusal) -> Self {
        let reason = match refusal {
            Refusal::Shrink { .. } | Refusal::Replicas { .. } => crd::Reason::NotSupported,
            Refusal::Growth { .. } => crd::Reason::PartitionsDiffer,
        };
        Self::Not(reason, refusal.to_string())
    }

    /// Its reason in a condition.
    pub const fn reason(&self) -> crd::Reason {
        match self {
            Self::AsDeclared => crd::Reason::AsDeclared,
            Self::ClaimedBy { .. } => crd::Reason::AlreadyClaimed,
            Self::Foreign(_) | Self::Unclaimed { .. } => crd::Reason::NameConflict,
            Self::Not(reason, _) => *reason,
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AsDeclared => f.write_str("as declared"),
            Self::ClaimedBy { namespace, name } => {
                write!(f, "it is that of the pipeline {namespace}/{name}: name another topic")
            }
            Self::Foreign(what) => write!(
                f,
                "{what} is there and is no pipeline's: to let this one have it, label it {} and {}",
                super::model::strimzi::CLAIMED_NAMESPACE,
                super::model::strimzi::CLAIMED_NAME,
            ),
            Self::Unclaimed { id } => write!(
                f,
                "Kafka has it already, with records, and nothing shows that it is this pipeline's: name another topic, or \
                 annotate the pipeline {}: {id} to let it have this one, with its records",
                claim::ADOPTS
            ),
            Self::Not(_, why) => f.write_str(why),
        }
    }
}

/// Deletes the topics that a pipeline has claimed beside Strimzi. Whether they are gone.
pub(super) async fn delete_beside_strimzi(
    applier: &Applier,
    pipeline: &crd::TransactionPipeline,
    named: &crd::Strimzi,
) -> Result<bool, Error> {
    let own = pipeline.namespace().unwrap_or_default();
    let namespace = named.namespace.as_deref().unwrap_or(&own);
    let kafka = &pipeline.spec.kafka;
    let topics = [&kafka.topic.name, &kafka.dead_letter_name()].map(|topic| KafkaTopic::object_name(topic));
    beside_strimzi::delete(applier, (namespace, &topics), (&own, &pipeline.name_any())).await
}
