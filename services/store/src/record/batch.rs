//! What a writer is given.

use fluxo_core::{Accepted, Position, TopicId, quarantine::Reason};

/// The topic that a batch was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its id: a topic made anew under the same name has another.
    pub id: TopicId,
}

/// Records that become rows together, and how far they move their partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Where they were read from.
    pub topic: Topic,
    /// One for each partition in it, ordered by partition, so that two writers never wait for each other. None for
    /// records that are read again below the stored offsets.
    pub moves: Vec<Move>,
    /// The records, each partition's in its order.
    pub entries: Vec<Entry>,
}

/// How far a batch moves a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The partition.
    pub partition: i32,
    /// The offset that must be stored now.
    pub from: i64,
    /// The offset that is stored then: that of the next record.
    pub to: i64,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it lies.
    pub position: Position,
    /// What it says.
    pub content: Content,
    /// Its bytes, should it go to quarantine.
    pub raw: RawRecord,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A transaction.
    Accepted(Box<Accepted>),
    /// Nothing that can be a row.
    Refused(Reason),
}

/// A record as it lies on Kafka.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawRecord {
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers, in order; a name may come twice.
    pub headers: Vec<RawHeader>,
    /// Its timestamp in milliseconds since 1970, if it has one.
    pub timestamp_ms: Option<i64>,
}

/// A header of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawHeader {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Option<Vec<u8>>,
}

impl RawRecord {
    /// About how much memory it takes, in bytes.
    pub fn size(&self) -> usize {
        let bytes = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers =
            self.headers.iter().map(|header| header.name.len() + bytes(&header.value)).sum::<usize>();
        // What it is decoded into is about as large, and has some parts of a fixed size.
        2 * (bytes(&self.key) + bytes(&self.value)) + headers + 512
    }
}
