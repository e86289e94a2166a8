//! What librdkafka can be asked and its wrapper cannot: this is the operator's one place of `unsafe`.
//!
//! The wrapper knows no incremental alteration, no topic ids, no offsets of a group that is named in the question, and
//! tells only a number where Kafka gave its reason in words.
#![allow(unsafe_code, reason = "rdkafka does not wrap these calls of librdkafka")]

pub(super) mod offsets;
pub(super) mod topics;

use std::{
    ffi::{CStr, CString, c_char},
    time::Duration,
};

use rdkafka::{bindings as sys, client::Client, types::RDKafkaErrorCode};

use super::{Context, Error};

pub(super) use sys::rd_kafka_admin_op_t as Operation;

/// How much later than its timeout librdkafka may tell that there was no answer.
const GRACE: Duration = Duration::from_secs(1);

/// Who asks: a client that lives as long, and how long an answer may take.
pub(super) struct Asker<'a> {
    client: &'a Client<Context>,
    timeout: Duration,
}

/// An answer of librdkafka's. What is read from it lies in it.
struct Answer {
    event: Owned<sys::rd_kafka_event_t>,
    _queue: Owned<sys::rd_kafka_queue_t>,
}

/// Owns an object of librdkafka's, and destroys it when it goes out of scope.
struct Owned<T> {
    object: *mut T,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<'a> Asker<'a> {
    pub(super) fn new(client: &'a Client<Context>, timeout: Duration) -> Self {
        Self { client, timeout }
    }

    /// Asks, and waits for the answer. Blocks. `topic` is what is asked about.
    ///
    /// # Safety
    /// `request` makes the one call that belongs to `operation`, with the client, the options and the queue that it is
    /// given, and keeps none of them.
    unsafe fn ask(
        &self,
        operation: Operation,
        topic: &str,
        request: impl FnOnce(
            *mut sys::rd_kafka_t,
            *mut sys::rd_kafka_AdminOptions_t,
            *mut sys::rd_kafka_queue_t,
        ) -> Result<(), Error>,
    ) -> Result<Answer, Error> {
        let client = self.client.native_ptr();
        let mut reason = [0; 128];
        // SAFETY: the client outlives this call, since its owner is borrowed. Options and queue are destroyed by their
        // owners, after the last use here; the queue outlives the event that came out of it.
        unsafe {
            let options = Owned::new(
                sys::rd_kafka_AdminOptions_new(client, operation),
                sys::rd_kafka_AdminOptions_destroy,
                "options",
            )?;
            let queue = Owned::new(sys::rd_kafka_queue_new(client), sys::rd_kafka_queue_destroy, "queue")?;
            let set = sys::rd_kafka_AdminOptions_set_request_timeout;
            set(options.object, milliseconds(self.timeout), reason.as_mut_ptr(), reason.len());
            request(client, options.object, queue.object)?;
            let event = sys::rd_kafka_queue_poll(queue.object, milliseconds(self.timeout + GRACE));
            if event.is_null() {
                return Err(Error::Away(format!("no answer within {:?}", self.timeout)));
            }
            let event = Owned::new(event, sys::rd_kafka_event_destroy, "event")?;
            let code = RDKafkaErrorCode::from(sys::rd_kafka_event_error(event.object));
            if code != RDKafkaErrorCode::NoError {
                return Err(Error::new(code, text(sys::rd_kafka_event_error_string(event.object)), topic));
            }
            Ok(Answer { event, _queue: queue })
        }
    }
}

impl<T> Owned<T> {
    /// # Errors
    /// When there is no object; `what` says which.
    ///
    /// # Safety
    /// The object is nobody else's, and of the kind that the function destroys.
    unsafe fn new(
        object: *mut T,
        destroy: unsafe extern "C" fn(*mut T),
        what: &'static str,
    ) -> Result<Self, Error> {
        if object.is_null() { Err(Error::NoAnswer(what)) } else { Ok(Self { object, destroy }) }
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: as whoever made it said.
        unsafe { (self.destroy)(self.object) }
    }
}

/// The failure of one thing of several that were asked for, if it failed.
///
/// # Safety
/// The text is null, or a C string that is alive.
unsafe fn failure(code: sys::rd_kafka_resp_err_t, reason: *const c_char, topic: &str) -> Result<(), Error> {
    let code = RDKafkaErrorCode::from(code);
    if code == RDKafkaErrorCode::NoError {
        return Ok(());
    }
    // SAFETY: as the caller says.
    let reason = unsafe { text(reason) };
    Err(Error::new(code, if reason.is_empty() { code.to_string() } else { reason }, topic))
}

/// The failure that an object tells, if it is one.
///
/// # Safety
/// It is null, or an error that is alive.
unsafe fn failure_of(error: *const sys::rd_kafka_error_t, topic: &str) -> Result<(), Error> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: as the caller says.
    unsafe { failure(sys::rd_kafka_error_code(error), sys::rd_kafka_error_string(error), topic) }
}

/// The failure that a call gave back, which is destroyed.
///
/// # Safety
/// It is null, or an error that is alive and nobody else's.
unsafe fn given_back(error: *mut sys::rd_kafka_error_t, topic: &str) -> Result<(), Error> {
    // SAFETY: as the caller says; it is destroyed after it was read, which does nothing to null.
    unsafe {
        let failure = failure_of(error, topic);
        sys::rd_kafka_error_destroy(error);
        failure
    }
}

/// The elements of an array of librdkafka's.
///
/// # Safety
/// It is null, or holds as many elements, which live as long as whatever the caller borrows.
unsafe fn elements<'a, T>(first: *const T, count: usize) -> &'a [T] {
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

fn c_string(text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| Error::NulByte(text.to_owned()))
}

fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
