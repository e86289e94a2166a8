//! What both services need of Kafka's client: its connection, and beside its wrapper the id of a topic.
#![allow(unsafe_code, reason = "rdkafka does not wrap rd_kafka_DescribeTopics")]

use std::{
    ffi::{CStr, CString},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use fluxo_core::{TopicId, settings::KafkaSettings};
use rdkafka::{ClientConfig, ClientContext, client::Client};
use rdkafka_sys as sys;

/// The properties of a client that reaches these brokers, to which its own are added. They hold the password: never log
/// them.
///
/// # Errors
/// When a user is needed and none is set, or a file cannot be read.
pub fn client_config(kafka: &KafkaSettings) -> anyhow::Result<ClientConfig> {
    let mut config = ClientConfig::new();
    config.extend(kafka.connection()?.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Ok(config)
}

/// Asks for the id of a topic and the number of its partitions. Blocks.
///
/// The id of a topic never comes back: what was fetched before this was asked is of the topic that the answer names,
/// if an answer before it named the same.
///
/// # Errors
/// When there is no such topic, or Kafka does not say in time.
pub fn describe_topic<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> anyhow::Result<(TopicId, usize)> {
    let name = CString::new(topic).context("the name of the topic has a NUL byte")?;
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let client = client.native_ptr();
    // SAFETY: `client` outlives this call, since its owner is borrowed. Every object that is made here is destroyed
    // here, by the guards, in the reverse order; the topic that is read lies in the event, which outlives the reading.
    unsafe {
        let mut names = [name.as_ptr()];
        let names = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), 1);
        let _names = Guard(names, |names| sys::rd_kafka_TopicCollection_destroy(names));
        let options = sys::rd_kafka_AdminOptions_new(
            client,
            sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        );
        let _options = Guard(options, |options| sys::rd_kafka_AdminOptions_destroy(options));
        let mut reason = [0; 128];
        sys::rd_kafka_AdminOptions_set_request_timeout(
            options,
            timeout_ms,
            reason.as_mut_ptr(),
            reason.len(),
        );
        let queue = sys::rd_kafka_queue_new(client);
        let _queue = Guard(queue, |queue| sys::rd_kafka_queue_destroy(queue));
        sys::rd_kafka_DescribeTopics(client, names, options, queue);
        let event = sys::rd_kafka_queue_poll(queue, timeout_ms);
        ensure!(!event.is_null(), "Kafka did not answer in {timeout_ms} ms");
        let _event = Guard(event, |event| sys::rd_kafka_event_destroy(event));
        if sys::rd_kafka_event_error(event) as i32 != 0 {
            bail!("{}", text(sys::rd_kafka_event_error_string(event)));
        }
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        ensure!(!result.is_null(), "Kafka answered another question");
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        ensure!(count == 1 && !topics.is_null(), "Kafka described {count} topics");
        let described = *topics;
        let error = sys::rd_kafka_TopicDescription_error(described);
        if !error.is_null() && sys::rd_kafka_error_code(error) as i32 != 0 {
            bail!("topic {topic}: {}", text(sys::rd_kafka_error_string(error)));
        }
        let mut partitions = 0;
        sys::rd_kafka_TopicDescription_partitions(described, &raw mut partitions);
        let id = text(sys::rd_kafka_Uuid_base64str(sys::rd_kafka_TopicDescription_topic_id(described)));
        let id = TopicId::parse(&id).with_context(|| format!("topic {topic} has no id"))?;
        Ok((id, partitions))
    }
}

/// Destroys an object of librdkafka's when it goes out of scope.
struct Guard<T>(*mut T, unsafe fn(*mut T));

impl<T> Drop for Guard<T> {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: whoever makes a guard owns the object, and gives the function that destroys its kind.
            unsafe { (self.1)(self.0) }
        }
    }
}

/// The text of a C string, empty for none.
///
/// # Safety
/// It is null, or a C string that is alive.
unsafe fn text(text: *const std::ffi::c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as the caller says.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
