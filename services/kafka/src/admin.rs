//! What librdkafka can be asked and its wrapper cannot.
//!
//! The wrapper knows no topic ids, no incremental alteration, no offsets of a group that is named in the question, and
//! tells only a number where Kafka gave its reason in words.
#![allow(unsafe_code, reason = "rdkafka does not wrap these calls of librdkafka")]

mod offsets;
mod topics;
#[cfg(feature = "users")]
mod users;

use std::{
    ffi::{CStr, CString, c_char},
    time::Duration,
};

use rdkafka::{ClientContext, client::Client, types::RDKafkaErrorCode};
use rdkafka_sys as sys;
use sys::rd_kafka_admin_op_t as Operation;

pub use offsets::{ByPartition, End, Group, GroupState};
pub use topics::{Config, ConfigEntry, Topic};
#[cfg(feature = "users")]
pub use users::{On, Right};

/// How much later than its timeout librdkafka may tell that there was no answer.
const GRACE: Duration = Duration::from_secs(1);

/// Puts questions to a cluster, with a client that is borrowed for it. Each blocks until its answer or its timeout.
pub struct Admin<'a, C: ClientContext> {
    client: &'a Client<C>,
    timeout: Duration,
}

/// Why there is no answer, or another than was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Trying again may help. Whether what was asked for is done is open.
    #[error("no answer within {0:?}")]
    Unanswered(Duration),
    /// Kafka says no, or librdkafka does.
    #[error("{reason}")]
    Refused {
        /// Which no.
        code: RDKafkaErrorCode,
        /// Why, in the brokers' own words if they had any.
        reason: String,
    },
    /// A name or a value has a NUL byte.
    #[error("{0:?} has a NUL byte: Kafka knows no such name or value")]
    NulByte(String),
    /// librdkafka did not give what its documentation says.
    #[error("librdkafka gave no {0}: this is a fault of Fluxo, please report it")]
    NoAnswer(&'static str),
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

/// Where librdkafka writes why it does not take an argument.
struct Reason([c_char; 256]);

impl Error {
    /// Whether there is no topic of that name.
    pub fn is_unknown_topic(&self) -> bool {
        use RDKafkaErrorCode::{UnknownTopic, UnknownTopicOrPartition};
        matches!(self, Self::Refused { code: UnknownTopic | UnknownTopicOrPartition, .. })
    }

    /// What was told of a topic, or `None` if there is none of that name.
    fn optional<T>(told: Result<T, Self>) -> Result<Option<T>, Self> {
        match told {
            Err(error) if error.is_unknown_topic() => Ok(None),
            told => told.map(Some),
        }
    }
}

impl<'a, C: ClientContext> Admin<'a, C> {
    /// Asks with a client, and waits so long for each answer.
    pub fn new(client: &'a Client<C>, timeout: Duration) -> Self {
        Self { client, timeout }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Safety
    /// `request` makes the one call that belongs to `operation`, with the client, the options and the queue that it is
    /// given, and keeps none of them.
    unsafe fn ask(
        &self,
        operation: Operation,
        request: impl FnOnce(
            *mut sys::rd_kafka_t,
            *mut sys::rd_kafka_AdminOptions_t,
            *mut sys::rd_kafka_queue_t,
        ) -> Result<(), Error>,
    ) -> Result<Answer, Error> {
        let client = self.client.native_ptr();
        let mut reason = Reason::default();
        // SAFETY: the client outlives this call, since its owner is borrowed. Options and queue are destroyed by their
        // owners, after the last use here; the queue outlives the event that came out of it.
        unsafe {
            let options = Owned::new(
                sys::rd_kafka_AdminOptions_new(client, operation),
                sys::rd_kafka_AdminOptions_destroy,
                "options",
            )?;
            let queue = Owned::new(sys::rd_kafka_queue_new(client), sys::rd_kafka_queue_destroy, "queue")?;
            let timeout_ms = milliseconds(self.timeout);
            let set = sys::rd_kafka_AdminOptions_set_request_timeout;
            set(options.object, timeout_ms, reason.pointer(), reason.len());
            request(client, options.object, queue.object)?;
            let event = sys::rd_kafka_queue_poll(queue.object, milliseconds(self.timeout + GRACE));
            if event.is_null() {
                return Err(Error::Unanswered(self.timeout));
            }
            let event = Owned::new(event, sys::rd_kafka_event_destroy, "event")?;
            let reason = sys::rd_kafka_event_error_string(event.object);
            outcome(sys::rd_kafka_event_error(event.object), reason)?;
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

    /// What librdkafka takes, if it took it: otherwise why not.
    ///
    /// # Safety
    /// As for [`Owned::new`].
    unsafe fn or_owned<T>(
        &self,
        object: *mut T,
        destroy: unsafe extern "C" fn(*mut T),
    ) -> Result<Owned<T>, Error> {
        if object.is_null() {
            // SAFETY: librdkafka ends what it writes there by NUL, and it began as nothing but NUL.
            let reason = unsafe { text(self.0.as_ptr()) };
            return Err(Error::Refused { code: RDKafkaErrorCode::InvalidArgument, reason });
        }
        Ok(Owned { object, destroy })
    }
}

/// The failure of one thing of several that were asked for, if it failed.
///
/// # Safety
/// The text is null, or a C string that is alive.
unsafe fn outcome(code: sys::rd_kafka_resp_err_t, reason: *const c_char) -> Result<(), Error> {
    let code = RDKafkaErrorCode::from(code);
    if code == RDKafkaErrorCode::NoError {
        return Ok(());
    }
    // SAFETY: as the caller says.
    let reason = unsafe { text(reason) };
    Err(Error::Refused { code, reason: if reason.is_empty() { code.to_string() } else { reason } })
}

/// The failure that an object tells, if it is one.
///
/// # Safety
/// It is null, or an error that is alive.
unsafe fn outcome_of(error: *const sys::rd_kafka_error_t) -> Result<(), Error> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: as the caller says.
    unsafe { outcome(sys::rd_kafka_error_code(error), sys::rd_kafka_error_string(error)) }
}

/// The failure that a call gave back, which is destroyed.
///
/// # Safety
/// It is null, or an error that is alive and nobody else's.
unsafe fn given_back(error: *mut sys::rd_kafka_error_t) -> Result<(), Error> {
    // SAFETY: as the caller says; it is destroyed after it was read, which does nothing to null.
    unsafe {
        let outcome = outcome_of(error);
        sys::rd_kafka_error_destroy(error);
        outcome
    }
}

/// The elements of an array of librdkafka's, none for no array.
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
