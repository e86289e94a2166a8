//! Topics and their configuration.

use std::collections::BTreeMap;

use super::{
    Answer, Asker, Error, Operation, Owned, c_string, elements, failure, failure_of, given_back, sys, text,
};

/// What Kafka tells of a topic.
#[derive(Debug)]
pub(in crate::kafka) struct Description {
    pub(in crate::kafka) topic_id: String,
    /// The number of replicas of each partition, by its number.
    pub(in crate::kafka) replicas: BTreeMap<i32, usize>,
}

/// A value of a topic's configuration.
#[derive(Debug)]
pub(in crate::kafka) struct Entry {
    pub(in crate::kafka) name: String,
    pub(in crate::kafka) value: String,
    /// Whether the topic has it, and not the broker's default.
    pub(in crate::kafka) is_own: bool,
}

/// Tells what a topic is.
pub(in crate::kafka) fn describe(asker: &Asker<'_>, topic: &str) -> Result<Description, Error> {
    let name = c_string(topic)?;
    let operation = Operation::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    // SAFETY: names are copied by the collection, and the collection by the call. What is read lies in the answer.
    unsafe {
        let mut names = [name.as_ptr()];
        let names = Owned::new(
            sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), 1),
            sys::rd_kafka_TopicCollection_destroy,
            "collection of topics",
        )?;
        let answer = asker.ask(operation, topic, |client, options, queue| {
            sys::rd_kafka_DescribeTopics(client, names.object, options, queue);
            Ok(())
        })?;
        let result = sys::rd_kafka_event_DescribeTopics_result(answer.event.object);
        let mut count = 0;
        let described = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        let described = *elements(described, count).first().ok_or(Error::NoAnswer("topic"))?;
        failure_of(sys::rd_kafka_TopicDescription_error(described), topic)?;
        let partitions = sys::rd_kafka_TopicDescription_partitions(described, &raw mut count);
        let mut replicas = BTreeMap::new();
        for partition in elements(partitions, count) {
            let mut count = 0;
            sys::rd_kafka_TopicPartitionInfo_replicas(*partition, &raw mut count);
            replicas.insert(sys::rd_kafka_TopicPartitionInfo_partition(*partition), count);
        }
        let topic_id = sys::rd_kafka_Uuid_base64str(sys::rd_kafka_TopicDescription_topic_id(described));
        Ok(Description { topic_id: text(topic_id), replicas })
    }
}

/// Tells every value of a topic's configuration that is no secret.
pub(in crate::kafka) fn config(asker: &Asker<'_>, topic: &str) -> Result<Vec<Entry>, Error> {
    let operation = Operation::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS;
    // SAFETY: the call copies the resource. What is read lies in the answer.
    unsafe {
        let resource = resource(topic)?;
        let answer = asker.ask(operation, topic, |client, options, queue| {
            let mut resources = [resource.object];
            sys::rd_kafka_DescribeConfigs(client, resources.as_mut_ptr(), 1, options, queue);
            Ok(())
        })?;
        let result = sys::rd_kafka_event_DescribeConfigs_result(answer.event.object);
        let mut count = 0;
        let described = sys::rd_kafka_DescribeConfigs_result_resources(result, &raw mut count);
        let described = *elements(described, count).first().ok_or(Error::NoAnswer("configuration"))?;
        failure(
            sys::rd_kafka_ConfigResource_error(described),
            sys::rd_kafka_ConfigResource_error_string(described),
            topic,
        )?;
        let entries = sys::rd_kafka_ConfigResource_configs(described, &raw mut count);
        let value = |entry: &*const sys::rd_kafka_ConfigEntry_t| Entry {
            name: text(sys::rd_kafka_ConfigEntry_name(*entry)),
            value: text(sys::rd_kafka_ConfigEntry_value(*entry)),
            is_own: sys::rd_kafka_ConfigEntry_source(*entry)
                == sys::rd_kafka_ConfigSource_t::RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG,
        };
        Ok(elements(entries, count).iter().map(value).collect())
    }
}

/// Makes a topic.
pub(in crate::kafka) fn create(
    asker: &Asker<'_>,
    topic: &str,
    (partitions, replicas): (i32, i32),
    config: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let name = c_string(topic)?;
    let operation = Operation::RD_KAFKA_ADMIN_OP_CREATETOPICS;
    let mut reason = [0; 128];
    // SAFETY: names and values are copied by the new topic, and the new topic by the call.
    unsafe {
        let made = sys::rd_kafka_NewTopic_new(
            name.as_ptr(),
            partitions,
            replicas,
            reason.as_mut_ptr(),
            reason.len(),
        );
        if made.is_null() {
            return Err(Error::Refused(text(reason.as_ptr())));
        }
        let made = Owned::new(made, sys::rd_kafka_NewTopic_destroy, "new topic")?;
        for (key, value) in config {
            let (key, value) = (c_string(key)?, c_string(value)?);
            let set = sys::rd_kafka_NewTopic_set_config(made.object, key.as_ptr(), value.as_ptr());
            failure(set, std::ptr::null(), topic)?;
        }
        let answer = asker.ask(operation, topic, |client, options, queue| {
            let mut topics = [made.object];
            sys::rd_kafka_CreateTopics(client, topics.as_mut_ptr(), 1, options, queue);
            Ok(())
        })?;
        let result = sys::rd_kafka_event_CreateTopics_result(answer.event.object);
        let mut count = 0;
        let topics = sys::rd_kafka_CreateTopics_result_topics(result, &raw mut count);
        outcome(&answer, topics, count, topic)
    }
}

/// Gives a topic more partitions: `total` of them.
pub(in crate::kafka) fn grow(asker: &Asker<'_>, topic: &str, total: usize) -> Result<(), Error> {
    let name = c_string(topic)?;
    let operation = Operation::RD_KAFKA_ADMIN_OP_CREATEPARTITIONS;
    let mut reason = [0; 128];
    // SAFETY: the name is copied by the new partitions, and these by the call.
    unsafe {
        let more = sys::rd_kafka_NewPartitions_new(name.as_ptr(), total, reason.as_mut_ptr(), reason.len());
        if more.is_null() {
            return Err(Error::Refused(text(reason.as_ptr())));
        }
        let more = Owned::new(more, sys::rd_kafka_NewPartitions_destroy, "new partitions")?;
        let answer = asker.ask(operation, topic, |client, options, queue| {
            let mut topics = [more.object];
            sys::rd_kafka_CreatePartitions(client, topics.as_mut_ptr(), 1, options, queue);
            Ok(())
        })?;
        let result = sys::rd_kafka_event_CreatePartitions_result(answer.event.object);
        let mut count = 0;
        let topics = sys::rd_kafka_CreatePartitions_result_topics(result, &raw mut count);
        outcome(&answer, topics, count, topic)
    }
}

/// Sets values of a topic's configuration, and leaves all others as they are.
pub(in crate::kafka) fn alter(
    asker: &Asker<'_>,
    topic: &str,
    values: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let operation = Operation::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS;
    let set = sys::rd_kafka_AlterConfigOpType_t::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET;
    // SAFETY: names and values are copied by the resource, and the resource by the call.
    unsafe {
        let resource = resource(topic)?;
        for (key, value) in values {
            let (key, value) = (c_string(key)?, c_string(value)?);
            let added = sys::rd_kafka_ConfigResource_add_incremental_config(
                resource.object,
                key.as_ptr(),
                set,
                value.as_ptr(),
            );
            given_back(added, topic)?;
        }
        let answer = asker.ask(operation, topic, |client, options, queue| {
            let mut resources = [resource.object];
            sys::rd_kafka_IncrementalAlterConfigs(client, resources.as_mut_ptr(), 1, options, queue);
            Ok(())
        })?;
        let result = sys::rd_kafka_event_IncrementalAlterConfigs_result(answer.event.object);
        let mut count = 0;
        let altered = sys::rd_kafka_IncrementalAlterConfigs_result_resources(result, &raw mut count);
        let altered = *elements(altered, count).first().ok_or(Error::NoAnswer("configuration"))?;
        let reason = sys::rd_kafka_ConfigResource_error_string(altered);
        failure(sys::rd_kafka_ConfigResource_error(altered), reason, topic)
    }
}

/// Deletes a topic with all its records.
pub(in crate::kafka) fn delete(asker: &Asker<'_>, topic: &str) -> Result<(), Error> {
    let name = c_string(topic)?;
    let operation = Operation::RD_KAFKA_ADMIN_OP_DELETETOPICS;
    // SAFETY: the name is copied by the deletion, and the deletion by the call.
    unsafe {
        let deletion = sys::rd_kafka_DeleteTopic_new(name.as_ptr());
        let deletion = Owned::new(deletion, sys::rd_kafka_DeleteTopic_destroy, "deletion")?;
        let answer = asker.ask(operation, topic, |client, options, queue| {
            let mut topics = [deletion.object];
            sys::rd_kafka_DeleteTopics(client, topics.as_mut_ptr(), 1, options, queue);
            Ok(())
        })?;
        let result = sys::rd_kafka_event_DeleteTopics_result(answer.event.object);
        let mut count = 0;
        let topics = sys::rd_kafka_DeleteTopics_result_topics(result, &raw mut count);
        outcome(&answer, topics, count, topic)
    }
}

/// What became of the one topic that was asked for.
///
/// # Safety
/// The topics lie in the answer.
unsafe fn outcome(
    _answer: &Answer,
    topics: *mut *const sys::rd_kafka_topic_result_t,
    count: usize,
    topic: &str,
) -> Result<(), Error> {
    // SAFETY: as the caller says.
    unsafe {
        let result = *elements(topics, count).first().ok_or(Error::NoAnswer("topic"))?;
        let reason = sys::rd_kafka_topic_result_error_string(result);
        failure(sys::rd_kafka_topic_result_error(result), reason, topic)
    }
}

/// The topic as something that has a configuration.
fn resource(topic: &str) -> Result<Owned<sys::rd_kafka_ConfigResource_t>, Error> {
    let name = c_string(topic)?;
    let kind = sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC;
    // SAFETY: the name is copied; nobody else has the resource.
    unsafe {
        let made = sys::rd_kafka_ConfigResource_new(kind, name.as_ptr());
        Owned::new(made, sys::rd_kafka_ConfigResource_destroy, "resource")
    }
}
