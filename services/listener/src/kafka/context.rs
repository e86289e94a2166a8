//! What librdkafka calls back: during a poll, on the thread that polls.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use fluxo_core::kit::health::Condition;
use rdkafka::{
    ClientContext, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode},
    topic_partition_list::TopicPartitionListElem,
    types::RDKafkaRespErr,
};

/// What the group decided.
#[derive(Debug)]
pub(super) enum Rebalance {
    Assigned(Vec<i32>),
    Revoked(Vec<i32>),
}

/// Shared by librdkafka and the thread that polls.
#[derive(Clone, Debug)]
pub(super) struct Context {
    state: Arc<Mutex<State>>,
    condition: Condition,
}

#[derive(Debug, Default)]
struct State {
    joined: bool,
    rebalances: Vec<Rebalance>,
    /// The partitions that librdkafka was told to fetch.
    fetching: BTreeSet<i32>,
}

impl Context {
    pub(super) fn new(condition: Condition) -> Self {
        Self { state: Arc::default(), condition }
    }

    /// What the group decided since this was asked last, in order.
    pub(super) fn rebalances(&self) -> Vec<Rebalance> {
        std::mem::take(&mut self.lock().rebalances)
    }

    /// Notes that a partition is fetched; whether it was already.
    pub(super) fn note_fetching(&self, partition: i32) -> bool {
        !self.lock().fetching.insert(partition)
    }

    /// Notes that a partition is no longer fetched; whether it was.
    pub(super) fn note_released(&self, partition: i32) -> bool {
        self.lock().fetching.remove(&partition)
    }

    /// Notes why Kafka cannot be used.
    pub(super) fn fails(&self, reason: String) {
        self.condition.fails(reason);
    }

    /// Notes that Kafka can be used.
    pub(super) fn holds(&self) {
        self.condition.holds();
    }

    /// Whether it is in the group, but Kafka could not be used when it was last.
    pub(super) fn is_lost(&self) -> bool {
        self.lock().joined && !self.condition.is_held()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.fails("no broker can be reached".into());
        } else {
            tracing::debug!(error = %error, reason, "librdkafka tells of an error");
        }
    }
}

impl ConsumerContext for Context {
    /// Acknowledges what the group decided, without waiting for anything: an assignment as an empty one, to which
    /// partitions are added when their offsets are known.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let named: Vec<i32> = partitions.elements().iter().map(TopicPartitionListElem::partition).collect();
        let topic = partitions.elements().first().map(|part| part.topic().to_owned()).unwrap_or_default();
        let (decided, acknowledged) = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.lock().joined = true;
                self.holds();
                (Rebalance::Assigned(named), consumer.incremental_assign(&TopicPartitionList::new()))
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                let mut fetched = TopicPartitionList::new();
                for partition in named.iter().filter(|partition| self.note_released(**partition)) {
                    fetched.add_partition(&topic, *partition);
                }
                (Rebalance::Revoked(named), consumer.incremental_unassign(&fetched))
            }
            other => {
                let code = RDKafkaErrorCode::from(other);
                tracing::error!(error = %code, "the group could not be rebalanced");
                return;
            }
        };
        if let Err(error) = acknowledged {
            tracing::error!(error = %error, "the group's decision was not taken by librdkafka");
        }
        self.lock().rebalances.push(decided);
    }
}
