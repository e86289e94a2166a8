//! What a record of the dead-letter topic looks like: the original key and value, and after the original headers those
//! by which tools of [Kafka Connect](connect) and of [Spring](spring) know what was wrong with it.

pub mod connect;
pub mod spring;

use fluxo_core::{Position, TopicId, quarantine::Reason};
use fluxo_store::{
    quarantine::{Entry, Place},
    record::{RawHeader, RawRecord},
};

/// The header with the id of the source topic. With partition and offset it tells a record for ever: whoever reads the
/// dead-letter topic drops what comes twice by these three.
pub const TOPIC_ID: &str = "fluxo.topic.id";

/// Where a dead letter comes from, and why it is one: what both families of headers tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The topic.
    pub topic: String,
    /// Where it lay there.
    pub position: Position,
    /// The consumer group that read it.
    pub group: String,
    /// Why it cannot be a row.
    pub reason: Reason,
}

/// The record for the dead-letter topic.
pub fn letter(entry: &Entry, raw: RawRecord, group: &str) -> RawRecord {
    let origin = Origin {
        topic: entry.topic.clone(),
        position: entry.place.position,
        group: group.to_owned(),
        reason: entry.reason,
    };
    let RawRecord { key, value, mut headers, timestamp_ms } = raw;
    headers.extend(connect::write(&origin));
    headers.extend(spring::write(&origin, timestamp_ms));
    headers.push(text(TOPIC_ID, entry.place.topic_id.as_str()));
    RawRecord { key, value, headers, timestamp_ms: None }
}

/// By what a dead letter is told from every other one.
pub fn place(headers: &[RawHeader]) -> Option<Place> {
    let topic_id = TopicId::parse(std::str::from_utf8(last(headers, TOPIC_ID)?).ok()?)?;
    let (origin, _) = spring::read(headers)?;
    Some(Place { topic_id, position: origin.position })
}

fn text(name: &str, value: &str) -> RawHeader {
    RawHeader { name: name.to_owned(), value: Some(value.into()) }
}

/// The value of a header. The last one counts: a record that has been a dead letter before has the older ones still.
fn last<'h>(headers: &'h [RawHeader], name: &str) -> Option<&'h [u8]> {
    headers.iter().rev().find(|header| header.name == name)?.value.as_deref()
}

fn last_text<'h>(headers: &'h [RawHeader], name: &str) -> Option<&'h str> {
    std::str::from_utf8(last(headers, name)?).ok()
}

/// A reason as the class of an exception, which is what both families want.
fn class_of(reason: Reason) -> String {
    format!("{CLASS}{reason}")
}

fn reason_of(class: &str) -> Option<Reason> {
    Reason::named(class.strip_prefix(CLASS)?)
}

/// The first line of a stack trace, as Java writes it. There are no others.
fn trace_of(reason: Reason) -> String {
    format!("{}: {}", class_of(reason), reason.explanation())
}

const CLASS: &str = "fluxo.quarantine.";

#[cfg(test)]
mod tests;
