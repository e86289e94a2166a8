//! Offsets of logs and groups.

use std::{collections::BTreeMap, ptr};

use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::{Admin, Error, Operation, Owned, c_string, elements, given_back, outcome, outcome_of, sys};

/// Something that is told of each partition, or not.
pub type ByPartition<T> = BTreeMap<i32, Result<T, Error>>;

/// An end of a log.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// The first record that is still there.
    Start,
    /// The record after the last that belongs to no open transaction.
    LastStable,
}

/// What a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// What it does.
    pub state: GroupState,
    /// How many are in it.
    pub members: usize,
}

/// What a group does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// Nobody is in it, or ever was.
    Empty,
    /// Each member has its partitions.
    Stable,
    /// Partitions move.
    Rebalancing,
}

impl<C: ClientContext> Admin<'_, C> {
    /// Where the logs of some partitions begin or end.
    ///
    /// # Errors
    /// When nothing is told of the topic.
    pub fn log_offsets(&self, topic: &str, partitions: &[i32], end: End) -> Result<ByPartition<i64>, Error> {
        let operation = Operation::RD_KAFKA_ADMIN_OP_LISTOFFSETS;
        let asked = match end {
            End::Start => Offset::Beginning,
            End::LastStable => Offset::End,
        };
        let asked = list(topic, partitions, asked);
        // SAFETY: the call copies the partitions. What is read lies in the answer.
        unsafe {
            let answer = self.ask(operation, |client, options, queue| {
                let committed = sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED;
                given_back(sys::rd_kafka_AdminOptions_set_isolation_level(options, committed))?;
                sys::rd_kafka_ListOffsets(client, asked.ptr(), options, queue);
                Ok(())
            })?;
            let result = sys::rd_kafka_event_ListOffsets_result(answer.event.object);
            let mut count = 0;
            let infos = sys::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
            let told = elements(infos, count).iter().map(|info| {
                let told = &*sys::rd_kafka_ListOffsetsResultInfo_topic_partition(*info);
                let offset = (told.offset >= 0).then_some(told.offset);
                let offset = offset.ok_or(Error::NoAnswer("offset of a log"));
                (told.partition, outcome(told.err, ptr::null()).and(offset))
            });
            Ok(told.collect())
        }
    }

    /// The stable offsets that a group committed, `None` for no commit. A commit of an open transaction does not count,
    /// and is waited for.
    ///
    /// # Errors
    /// When nothing is told of the group.
    pub fn committed(
        &self,
        group: &str,
        topic: &str,
        partitions: &[i32],
    ) -> Result<ByPartition<Option<i64>>, Error> {
        let name = c_string(group)?;
        let asked = list(topic, partitions, Offset::Invalid);
        let operation = Operation::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS;
        // SAFETY: name and partitions are copied by the question, and the question by the call. What is read lies in
        // the answer.
        unsafe {
            let question = Owned::new(
                sys::rd_kafka_ListConsumerGroupOffsets_new(name.as_ptr(), asked.ptr()),
                sys::rd_kafka_ListConsumerGroupOffsets_destroy,
                "question",
            )?;
            let answer = self.ask(operation, |client, options, queue| {
                given_back(sys::rd_kafka_AdminOptions_set_require_stable_offsets(options, 1))?;
                let mut questions = [question.object];
                sys::rd_kafka_ListConsumerGroupOffsets(client, questions.as_mut_ptr(), 1, options, queue);
                Ok(())
            })?;
            let result = sys::rd_kafka_event_ListConsumerGroupOffsets_result(answer.event.object);
            let mut count = 0;
            let groups = sys::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &raw mut count);
            let group = *elements(groups, count).first().ok_or(Error::NoAnswer("group"))?;
            outcome_of(sys::rd_kafka_group_result_error(group))?;
            let told = sys::rd_kafka_group_result_partitions(group);
            if told.is_null() {
                return Err(Error::NoAnswer("partitions of a group"));
            }
            let told =
                elements((*told).elems, usize::try_from((*told).cnt).unwrap_or(0)).iter().map(|told| {
                    let offset = outcome(told.err, ptr::null());
                    (told.partition, offset.map(|()| (told.offset >= 0).then_some(told.offset)))
                });
            Ok(told.collect())
        }
    }

    /// What a group is. One that nobody ever was in is empty.
    ///
    /// # Errors
    /// When Kafka does not tell.
    pub fn group(&self, group: &str) -> Result<Group, Error> {
        use sys::rd_kafka_consumer_group_state_t as State;
        let name = c_string(group)?;
        let operation = Operation::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
        // SAFETY: the call copies the name. What is read lies in the answer.
        unsafe {
            let answer = self.ask(operation, |client, options, queue| {
                let mut names = [name.as_ptr()];
                sys::rd_kafka_DescribeConsumerGroups(client, names.as_mut_ptr(), 1, options, queue);
                Ok(())
            })?;
            let result = sys::rd_kafka_event_DescribeConsumerGroups_result(answer.event.object);
            let mut count = 0;
            let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
            let told = *elements(groups, count).first().ok_or(Error::NoAnswer("group"))?;
            outcome_of(sys::rd_kafka_ConsumerGroupDescription_error(told))?;
            let state = match sys::rd_kafka_ConsumerGroupDescription_state(told) {
                State::RD_KAFKA_CONSUMER_GROUP_STATE_STABLE => GroupState::Stable,
                State::RD_KAFKA_CONSUMER_GROUP_STATE_EMPTY | State::RD_KAFKA_CONSUMER_GROUP_STATE_DEAD => {
                    GroupState::Empty
                }
                // The newer protocol has states that librdkafka has no name for: in all of them partitions move.
                _ => GroupState::Rebalancing,
            };
            Ok(Group { state, members: sys::rd_kafka_ConsumerGroupDescription_member_count(told) })
        }
    }
}

fn list(topic: &str, partitions: &[i32], offset: Offset) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition_offset(topic, *partition, offset)
            .expect("these offsets are no positions, and are all legal");
    }
    list
}
