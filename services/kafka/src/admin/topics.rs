//! Topics and their configuration.

use std::{collections::BTreeMap, ptr};

use rdkafka::ClientContext;

use super::{
    Admin, Answer, Error, Operation, Owned, Reason, c_string, elements, given_back, outcome, outcome_of, sys,
    text,
};

/// What leaves a number to the brokers.
const DEFAULT: i32 = -1;

/// What Kafka tells of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its id: a topic that is made anew under the name has another.
    pub id: String,
    /// On how many brokers each partition is, by its number.
    pub replicas: BTreeMap<i32, usize>,
}

/// The configuration of a topic, as Kafka names it.
pub type Config = BTreeMap<String, ConfigEntry>;

/// A value of a topic's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The value, unless it is a secret.
    pub value: Option<String>,
    /// Whether the topic has it, and not the brokers' default.
    pub is_own: bool,
}

impl<C: ClientContext> Admin<'_, C> {
    /// What a topic is.
    ///
    /// # Errors
    /// When there is none of that name, or Kafka does not tell.
    pub fn topic(&self, topic: &str) -> Result<Topic, Error> {
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
            let answer = self.ask(operation, |client, options, queue| {
                sys::rd_kafka_DescribeTopics(client, names.object, options, queue);
                Ok(())
            })?;
            let result = sys::rd_kafka_event_DescribeTopics_result(answer.event.object);
            let mut count = 0;
            let described = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
            let described = *elements(described, count).first().ok_or(Error::NoAnswer("topic"))?;
            outcome_of(sys::rd_kafka_TopicDescription_error(described))?;
            let partitions = sys::rd_kafka_TopicDescription_partitions(described, &raw mut count);
            let replicas = elements(partitions, count).iter().map(|partition| {
                let mut count = 0;
                sys::rd_kafka_TopicPartitionInfo_replicas(*partition, &raw mut count);
                (sys::rd_kafka_TopicPartitionInfo_partition(*partition), count)
            });
            let id = sys::rd_kafka_Uuid_base64str(sys::rd_kafka_TopicDescription_topic_id(described));
            Ok(Topic { id: text(id), replicas: replicas.collect() })
        }
    }

    /// What a topic is and its configuration, with the brokers' defaults; `None` if there is none of that name.
    ///
    /// # Errors
    /// When Kafka does not tell.
    pub fn find_topic(&self, topic: &str) -> Result<Option<(Topic, Config)>, Error> {
        let config = |found| Ok((found, self.topic_config(topic)?));
        Error::optional(self.topic(topic).and_then(config))
    }

    /// Whether there is a topic of that name with this id.
    ///
    /// # Errors
    /// When Kafka does not tell.
    pub fn has_topic(&self, topic: &str, id: &str) -> Result<bool, Error> {
        Ok(Error::optional(self.topic(topic))?.is_some_and(|found| found.id == id))
    }

    fn topic_config(&self, topic: &str) -> Result<Config, Error> {
        let operation = Operation::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS;
        // SAFETY: the call copies the resource. What is read lies in the answer.
        unsafe {
            let resource = resource(topic)?;
            let answer = self.ask(operation, |client, options, queue| {
                let mut resources = [resource.object];
                sys::rd_kafka_DescribeConfigs(client, resources.as_mut_ptr(), 1, options, queue);
                Ok(())
            })?;
            let result = sys::rd_kafka_event_DescribeConfigs_result(answer.event.object);
            let mut count = 0;
            let described = sys::rd_kafka_DescribeConfigs_result_resources(result, &raw mut count);
            let described = of_resource(&answer, described, count)?;
            let entries = sys::rd_kafka_ConfigResource_configs(described, &raw mut count);
            let entry = |entry: &*const sys::rd_kafka_ConfigEntry_t| {
                let value = sys::rd_kafka_ConfigEntry_value(*entry);
                let value = (!value.is_null()).then(|| text(value));
                let is_own = sys::rd_kafka_ConfigEntry_source(*entry)
                    == sys::rd_kafka_ConfigSource_t::RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG;
                (text(sys::rd_kafka_ConfigEntry_name(*entry)), ConfigEntry { value, is_own })
            };
            Ok(elements(entries, count).iter().map(entry).collect())
        }
    }

    /// Makes a topic with so many partitions, each on so many brokers. What is not said, the brokers' defaults say.
    ///
    /// # Errors
    /// When Kafka does not make it; [`Error::Unanswered`] leaves open whether it did.
    pub fn create_topic(
        &self,
        topic: &str,
        partitions: Option<u32>,
        replicas: Option<u32>,
        config: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let name = c_string(topic)?;
        let count =
            |count: Option<u32>| count.map_or(DEFAULT, |count| i32::try_from(count).unwrap_or(i32::MAX));
        let (partitions, replicas) = (count(partitions), count(replicas));
        let mut reason = Reason::default();
        // SAFETY: names and values are copied by the new topic, and the new topic by the call.
        unsafe {
            let (why, len) = (reason.pointer(), reason.len());
            let new = sys::rd_kafka_NewTopic_new(name.as_ptr(), partitions, replicas, why, len);
            let new = reason.or_owned(new, sys::rd_kafka_NewTopic_destroy)?;
            for (key, value) in config {
                let (key, value) = (c_string(key)?, c_string(value)?);
                let set = sys::rd_kafka_NewTopic_set_config(new.object, key.as_ptr(), value.as_ptr());
                outcome(set, ptr::null())?;
            }
            let answer = self.ask(Operation::RD_KAFKA_ADMIN_OP_CREATETOPICS, |client, options, queue| {
                let mut topics = [new.object];
                sys::rd_kafka_CreateTopics(client, topics.as_mut_ptr(), 1, options, queue);
                Ok(())
            })?;
            let result = sys::rd_kafka_event_CreateTopics_result(answer.event.object);
            let mut count = 0;
            let topics = sys::rd_kafka_CreateTopics_result_topics(result, &raw mut count);
            of_topic(&answer, topics, count)
        }
    }

    /// Gives a topic more partitions: `total` of them.
    ///
    /// # Errors
    /// When Kafka does not; [`Error::Unanswered`] leaves open whether it did.
    pub fn grow_topic(&self, topic: &str, total: u32) -> Result<(), Error> {
        let name = c_string(topic)?;
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        let mut reason = Reason::default();
        // SAFETY: the name is copied by the new partitions, and these by the call.
        unsafe {
            let (why, len) = (reason.pointer(), reason.len());
            let more = sys::rd_kafka_NewPartitions_new(name.as_ptr(), total, why, len);
            let more = reason.or_owned(more, sys::rd_kafka_NewPartitions_destroy)?;
            let answer =
                self.ask(Operation::RD_KAFKA_ADMIN_OP_CREATEPARTITIONS, |client, options, queue| {
                    let mut topics = [more.object];
                    sys::rd_kafka_CreatePartitions(client, topics.as_mut_ptr(), 1, options, queue);
                    Ok(())
                })?;
            let result = sys::rd_kafka_event_CreatePartitions_result(answer.event.object);
            let mut count = 0;
            let topics = sys::rd_kafka_CreatePartitions_result_topics(result, &raw mut count);
            of_topic(&answer, topics, count)
        }
    }

    /// Sets values of a topic's configuration, or with `None` takes them back to the brokers' default. All others stay
    /// as they are.
    ///
    /// # Errors
    /// When Kafka does not; [`Error::Unanswered`] leaves open whether it did.
    pub fn alter_topic(&self, topic: &str, config: &BTreeMap<String, Option<String>>) -> Result<(), Error> {
        use sys::rd_kafka_AlterConfigOpType_t as Alteration;
        let operation = Operation::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS;
        // SAFETY: names and values are copied by the resource, and the resource by the call.
        unsafe {
            let resource = resource(topic)?;
            for (key, value) in config {
                let (key, value) = (c_string(key)?, value.as_deref().map(c_string).transpose()?);
                let (alteration, value) = match &value {
                    Some(value) => (Alteration::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET, value.as_ptr()),
                    None => (Alteration::RD_KAFKA_ALTER_CONFIG_OP_TYPE_DELETE, ptr::null()),
                };
                let add = sys::rd_kafka_ConfigResource_add_incremental_config;
                given_back(add(resource.object, key.as_ptr(), alteration, value))?;
            }
            let answer = self.ask(operation, |client, options, queue| {
                let mut resources = [resource.object];
                sys::rd_kafka_IncrementalAlterConfigs(client, resources.as_mut_ptr(), 1, options, queue);
                Ok(())
            })?;
            let result = sys::rd_kafka_event_IncrementalAlterConfigs_result(answer.event.object);
            let mut count = 0;
            let altered = sys::rd_kafka_IncrementalAlterConfigs_result_resources(result, &raw mut count);
            of_resource(&answer, altered, count).map(|_| ())
        }
    }

    /// Deletes a topic with all its records, if there is one of that name.
    ///
    /// # Errors
    /// When Kafka does not; [`Error::Unanswered`] leaves open whether it did.
    pub fn delete_topic(&self, topic: &str) -> Result<(), Error> {
        let name = c_string(topic)?;
        let operation = Operation::RD_KAFKA_ADMIN_OP_DELETETOPICS;
        // SAFETY: the name is copied by the deletion, and the deletion by the call.
        unsafe {
            let deletion = sys::rd_kafka_DeleteTopic_new(name.as_ptr());
            let deletion = Owned::new(deletion, sys::rd_kafka_DeleteTopic_destroy, "deletion")?;
            let answer = self.ask(operation, |client, options, queue| {
                let mut topics = [deletion.object];
                sys::rd_kafka_DeleteTopics(client, topics.as_mut_ptr(), 1, options, queue);
                Ok(())
            })?;
            let result = sys::rd_kafka_event_DeleteTopics_result(answer.event.object);
            let mut count = 0;
            let topics = sys::rd_kafka_DeleteTopics_result_topics(result, &raw mut count);
            Error::optional(of_topic(&answer, topics, count)).map(|_| ())
        }
    }
}

/// What became of the one topic that was asked for.
///
/// # Safety
/// The topics lie in the answer.
unsafe fn of_topic(
    _answer: &Answer,
    topics: *mut *const sys::rd_kafka_topic_result_t,
    count: usize,
) -> Result<(), Error> {
    // SAFETY: as the caller says.
    unsafe {
        let result = *elements(topics, count).first().ok_or(Error::NoAnswer("topic"))?;
        outcome(sys::rd_kafka_topic_result_error(result), sys::rd_kafka_topic_result_error_string(result))
    }
}

/// The one resource that was asked for, which lies in the answer.
///
/// # Safety
/// The resources lie in the answer.
unsafe fn of_resource(
    _answer: &Answer,
    resources: *mut *const sys::rd_kafka_ConfigResource_t,
    count: usize,
) -> Result<*const sys::rd_kafka_ConfigResource_t, Error> {
    // SAFETY: as the caller says.
    unsafe {
        let resource = *elements(resources, count).first().ok_or(Error::NoAnswer("configuration"))?;
        let reason = sys::rd_kafka_ConfigResource_error_string(resource);
        outcome(sys::rd_kafka_ConfigResource_error(resource), reason)?;
        Ok(resource)
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
