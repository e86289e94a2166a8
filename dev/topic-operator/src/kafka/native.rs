//! The questions that rdkafka does not put to librdkafka as they are needed here. All of them block.
#![allow(
    unsafe_code,
    reason = "rdkafka wraps neither topic ids, nor incremental alteration, nor the brokers' words"
)]

use std::{
    collections::BTreeMap,
    ffi::{CStr, CString, c_char},
    ptr,
    time::Duration,
};

use rdkafka::types::RDKafkaErrorCode;
use rdkafka_sys as sys;

use super::{Admin, Error};

/// How much later than librdkafka gives up on the brokers, it is given up here.
const GRACE_MS: i32 = 1000;

/// The id of a topic, and on how many brokers each of its partitions is; nothing, if there is no topic of that name.
pub(super) fn describe(
    admin: &Admin,
    name: &str,
    timeout: Duration,
) -> Result<Option<(String, Vec<usize>)>, Error> {
    let name = c_string(name)?;
    let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    // SAFETY: librdkafka copies the names before the call returns, and what is read lies in the event.
    unsafe {
        let mut names = [name.as_ptr()];
        let names = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        let names = Guard(names, |names| sys::rd_kafka_TopicCollection_destroy(names));
        let event = ask(admin, operation, timeout, |client, options, queue| {
            sys::rd_kafka_DescribeTopics(client, names.0, options, queue);
        })?;
        let mut count = 0;
        let result = sys::rd_kafka_event_DescribeTopics_result(event.0);
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        let topic = *items(topics, count).first().ok_or_else(unanswered)?;
        let error = sys::rd_kafka_TopicDescription_error(topic);
        match code(sys::rd_kafka_error_code(error)) {
            RDKafkaErrorCode::NoError => {}
            RDKafkaErrorCode::UnknownTopicOrPartition => return Ok(None),
            code => return Err(Error::new(code, text(sys::rd_kafka_error_string(error)))),
        }
        let id = sys::rd_kafka_TopicDescription_topic_id(topic);
        let partitions = sys::rd_kafka_TopicDescription_partitions(topic, &raw mut count);
        let replicas = items(partitions, count).iter().map(|partition| {
            let mut replicas = 0;
            sys::rd_kafka_TopicPartitionInfo_replicas(*partition, &raw mut replicas);
            replicas
        });
        Ok(Some((text(sys::rd_kafka_Uuid_base64str(id)), replicas.collect())))
    }
}

/// Makes a topic with so many partitions, each on so many brokers.
pub(super) fn create(
    admin: &Admin,
    name: &str,
    (partitions, replicas): (Option<u32>, Option<u16>),
    config: &BTreeMap<String, String>,
    timeout: Duration,
) -> Result<(), Error> {
    /// What leaves a number to the brokers.
    const DEFAULT: i32 = -1;
    let partitions = partitions.map_or(DEFAULT, |partitions| i32::try_from(partitions).unwrap_or(i32::MAX));
    let replicas = replicas.map_or(DEFAULT, i32::from);
    let name = c_string(name)?;
    let mut why = Reason::default();
    let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATETOPICS;
    // SAFETY: librdkafka copies the new topic before the call returns, and what is read lies in the event.
    unsafe {
        let new = sys::rd_kafka_NewTopic_new(name.as_ptr(), partitions, replicas, why.pointer(), why.len());
        let new = Guard(new, |new| sys::rd_kafka_NewTopic_destroy(new)).or(&why)?;
        for (name, value) in config {
            let (name, value) = (c_string(name)?, c_string(value)?);
            sys::rd_kafka_NewTopic_set_config(new.0, name.as_ptr(), value.as_ptr());
        }
        let event = ask(admin, operation, timeout, |client, options, queue| {
            sys::rd_kafka_CreateTopics(client, [new.0].as_mut_ptr(), 1, options, queue);
        })?;
        let mut count = 0;
        let result = sys::rd_kafka_event_CreateTopics_result(event.0);
        outcome(items(sys::rd_kafka_CreateTopics_result_topics(result, &raw mut count), count))
    }
}

/// Adds partitions to a topic until there are so many.
pub(super) fn grow(admin: &Admin, name: &str, partitions: u32, timeout: Duration) -> Result<(), Error> {
    let name = c_string(name)?;
    let partitions = usize::try_from(partitions).unwrap_or(usize::MAX);
    let mut why = Reason::default();
    let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATEPARTITIONS;
    // SAFETY: librdkafka copies the new partitions before the call returns, and what is read lies in the event.
    unsafe {
        let new = sys::rd_kafka_NewPartitions_new(name.as_ptr(), partitions, why.pointer(), why.len());
        let new = Guard(new, |new| sys::rd_kafka_NewPartitions_destroy(new)).or(&why)?;
        let event = ask(admin, operation, timeout, |client, options, queue| {
            sys::rd_kafka_CreatePartitions(client, [new.0].as_mut_ptr(), 1, options, queue);
        })?;
        let mut count = 0;
        let result = sys::rd_kafka_event_CreatePartitions_result(event.0);
        outcome(items(sys::rd_kafka_CreatePartitions_result_topics(result, &raw mut count), count))
    }
}

/// Sets these values of a topic, or with `None` takes them back to the brokers' default.
pub(super) fn alter(
    admin: &Admin,
    name: &str,
    config: &BTreeMap<String, Option<String>>,
    timeout: Duration,
) -> Result<(), Error> {
    use sys::rd_kafka_AlterConfigOpType_t as Alteration;
    let name = c_string(name)?;
    let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS;
    // SAFETY: librdkafka copies the configuration before the call returns, and what is read lies in the event.
    unsafe {
        let of = sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC;
        let resource = sys::rd_kafka_ConfigResource_new(of, name.as_ptr());
        let resource = Guard(resource, |resource| sys::rd_kafka_ConfigResource_destroy(resource));
        for (name, value) in config {
            let name = c_string(name)?;
            let value = value.as_deref().map(c_string).transpose()?;
            let (alteration, value) = match &value {
                Some(value) => (Alteration::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET, value.as_ptr()),
                None => (Alteration::RD_KAFKA_ALTER_CONFIG_OP_TYPE_DELETE, ptr::null()),
            };
            let error = sys::rd_kafka_ConfigResource_add_incremental_config(
                resource.0,
                name.as_ptr(),
                alteration,
                value,
            );
            let error = Guard(error, |error| sys::rd_kafka_error_destroy(error));
            if !error.0.is_null() {
                let code = code(sys::rd_kafka_error_code(error.0));
                return Err(Error::new(code, text(sys::rd_kafka_error_string(error.0))));
            }
        }
        let event = ask(admin, operation, timeout, |client, options, queue| {
            sys::rd_kafka_IncrementalAlterConfigs(client, [resource.0].as_mut_ptr(), 1, options, queue);
        })?;
        let mut count = 0;
        let result = sys::rd_kafka_event_IncrementalAlterConfigs_result(event.0);
        let resources = sys::rd_kafka_IncrementalAlterConfigs_result_resources(result, &raw mut count);
        let resource = *items(resources, count).first().ok_or_else(unanswered)?;
        match code(sys::rd_kafka_ConfigResource_error(resource)) {
            RDKafkaErrorCode::NoError => Ok(()),
            code => Err(Error::new(code, text(sys::rd_kafka_ConfigResource_error_string(resource)))),
        }
    }
}

type Event = Guard<sys::rd_kafka_event_t>;

/// Puts a question, and waits for its answer or for `timeout`.
///
/// # Safety
/// `send` asks for `operation`, with the options and on the queue that it is given.
unsafe fn ask(
    admin: &Admin,
    operation: sys::rd_kafka_admin_op_t,
    timeout: Duration,
    send: impl FnOnce(*mut sys::rd_kafka_t, *mut sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
) -> Result<Event, Error> {
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let client = admin.inner().native_ptr();
    let mut why = Reason::default();
    // SAFETY: the client is borrowed as long as this takes; every other object is made here, and destroyed by its guard.
    unsafe {
        let options = sys::rd_kafka_AdminOptions_new(client, operation);
        let options = Guard(options, |options| sys::rd_kafka_AdminOptions_destroy(options));
        sys::rd_kafka_AdminOptions_set_request_timeout(options.0, timeout_ms, why.pointer(), why.len());
        let queue = Guard(sys::rd_kafka_queue_new(client), |queue| sys::rd_kafka_queue_destroy(queue));
        send(client, options.0, queue.0);
        let event = sys::rd_kafka_queue_poll(queue.0, timeout_ms.saturating_add(GRACE_MS));
        let event = Guard(event, |event| sys::rd_kafka_event_destroy(event));
        if event.0.is_null() {
            return Err(unanswered());
        }
        match code(sys::rd_kafka_event_error(event.0)) {
            RDKafkaErrorCode::NoError => Ok(event),
            code => Err(Error::new(code, text(sys::rd_kafka_event_error_string(event.0)))),
        }
    }
}

/// # Safety
/// The results lie in an event that is alive.
unsafe fn outcome(of_topics: &[*const sys::rd_kafka_topic_result_t]) -> Result<(), Error> {
    let of_topic = *of_topics.first().ok_or_else(unanswered)?;
    // SAFETY: as the caller says.
    unsafe {
        match code(sys::rd_kafka_topic_result_error(of_topic)) {
            RDKafkaErrorCode::NoError => Ok(()),
            code => Err(Error::new(code, text(sys::rd_kafka_topic_result_error_string(of_topic)))),
        }
    }
}

fn unanswered() -> Error {
    Error::new(RDKafkaErrorCode::OperationTimedOut, "Kafka did not answer".into())
}

fn code(code: sys::rd_kafka_resp_err_t) -> RDKafkaErrorCode {
    code.into()
}

fn c_string(text: &str) -> Result<CString, Error> {
    let refused = |_| Error::new(RDKafkaErrorCode::InvalidRequest, format!("{text:?} has a NUL byte"));
    CString::new(text).map_err(refused)
}

/// An array of librdkafka's, empty for none.
///
/// # Safety
/// It is null, or so many items lie in an event that is alive as long as the slice.
unsafe fn items<'a, T>(first: *mut *const T, count: usize) -> &'a [*const T] {
    if first.is_null() {
        return &[];
    }
    // SAFETY: as the caller says.
    unsafe { std::slice::from_raw_parts(first, count) }
}

/// The text of a C string, empty for none.
///
/// # Safety
/// It is null, or a C string that is alive.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as the caller says.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Where librdkafka writes why it does not take an argument.
struct Reason([c_char; 256]);

impl Default for Reason {
    fn default() -> Self {
        Self([0; 256])
    }
}

impl Reason {
    fn pointer(&mut self) -> *mut c_char {
        self.0.as_mut_ptr()
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// Destroys an object of librdkafka's when it goes out of scope.
struct Guard<T>(*mut T, unsafe fn(*mut T));

impl<T> Guard<T> {
    /// The object, if there is one: otherwise why not.
    fn or(self, why: &Reason) -> Result<Self, Error> {
        if self.0.is_null() {
            // SAFETY: librdkafka ends what it writes there by NUL, and it began as nothing but NUL.
            return Err(Error::new(RDKafkaErrorCode::InvalidRequest, unsafe { text(why.0.as_ptr()) }));
        }
        Ok(self)
    }
}

impl<T> Drop for Guard<T> {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: whoever makes a guard owns the object, and gives the function that destroys its kind.
            unsafe { (self.1)(self.0) }
        }
    }
}
