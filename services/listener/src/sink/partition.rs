//! One partition of a sink.

use std::{fmt, time::Instant};

use fluxo_core::TopicId;

/// The name of one fetch of one partition. What was fetched under another name is of no use any more: it may not
/// begin where the database says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// One partition.
#[derive(Debug)]
pub enum Partition {
    /// Where it goes on is not known.
    Unknown,
    /// It is fetched.
    Fetched {
        /// The fetch.
        epoch: Epoch,
        /// The offset that the database holds.
        stored: i64,
        /// The offset after the last record that was taken.
        next: i64,
        /// Whether `stored` must be read again before anything is written.
        doubted: bool,
    },
    /// It goes nowhere.
    Stopped {
        /// Why.
        stop: Stop,
        /// The offset that the database holds, while records before the stop are still to be written.
        stored: Option<i64>,
        /// When to look whether that has changed.
        look_again: Instant,
    },
}

/// Why a partition goes nowhere until a person has decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The topic was deleted and made again, or another cluster is behind the same name.
    TopicReplaced {
        /// The topic that the stored offset is of.
        stored: TopicId,
        /// The topic that is there now.
        found: TopicId,
    },
    /// Another cluster is behind the same name.
    ClusterReplaced {
        /// The cluster that the stored offset is of.
        stored: String,
        /// The cluster that is there now.
        found: String,
    },
    /// Records were deleted before they were read.
    Gap {
        /// The stored offset.
        stored: i64,
        /// The first offset that there is.
        log_start: i64,
    },
    /// Records that were read are no longer there.
    BeyondEnd {
        /// The stored offset.
        stored: i64,
        /// The offset after the last record that there is.
        log_end: i64,
    },
    /// A message of a version that this build does not know.
    NewerVersion {
        /// Its offset.
        offset: i64,
        /// Its version.
        version: u64,
    },
}

impl Partition {
    /// One that is fetched from a stored offset.
    pub const fn fetched(offset: i64, epoch: Epoch) -> Self {
        Self::Fetched { epoch, stored: offset, next: offset, doubted: false }
    }

    /// One that goes nowhere.
    pub const fn stopped(stop: Stop, stored: Option<i64>, look_again: Instant) -> Self {
        Self::Stopped { stop, stored, look_again }
    }

    /// Whether it is fetched under a name.
    pub fn is_fetched_as(&self, epoch: Epoch) -> bool {
        matches!(self, Self::Fetched { epoch: own, .. } if *own == epoch)
    }

    /// Takes a record, if it was fetched under the right name and was not taken before.
    pub fn advance(&mut self, of: Epoch, offset: i64) -> bool {
        match self {
            // Offsets may jump: Kafka keeps control records among them, which are not fetched.
            Self::Fetched { epoch, next, .. } if *epoch == of && offset >= *next => {
                *next = offset + 1;
                true
            }
            _ => false,
        }
    }

    /// The offset that the database holds, as far as is known.
    pub const fn stored(&self) -> Option<i64> {
        match self {
            Self::Fetched { stored, .. } => Some(*stored),
            Self::Stopped { stored, .. } => *stored,
            Self::Unknown => None,
        }
    }

    /// The database holds this offset now.
    pub fn recorded(&mut self, offset: i64) {
        match self {
            Self::Fetched { stored, .. } | Self::Stopped { stored: Some(stored), .. } => *stored = offset,
            Self::Stopped { stored: None, .. } | Self::Unknown => {}
        }
    }

    /// What the database holds is no longer certain.
    pub fn doubt(&mut self) {
        match self {
            Self::Fetched { doubted, .. } => *doubted = true,
            // It is read again from the start, and stops again where it did.
            Self::Stopped { stored: Some(_), .. } => *self = Self::Unknown,
            Self::Stopped { stored: None, .. } | Self::Unknown => {}
        }
    }

    /// Its offset is to be read again, though nothing failed.
    pub const fn look_again(&mut self) {
        if let Self::Fetched { doubted, .. } = self {
            *doubted = true;
        }
    }

    /// Whether what was taken since can go on from an offset that the database holds.
    pub const fn keeps(&self, offset: i64) -> bool {
        matches!(self, Self::Fetched { stored, next, .. } if *stored <= offset && offset <= *next)
    }

    /// Goes on from an offset that the database holds, with what was taken since.
    pub const fn go_on(&mut self, offset: i64) {
        if let Self::Fetched { stored, doubted, .. } = self {
            *stored = offset;
            *doubted = false;
        }
    }

    /// Whether its offset must be read.
    pub fn is_to_resolve(&self, now: Instant) -> bool {
        match self {
            Self::Unknown => true,
            Self::Fetched { doubted, .. } => *doubted,
            Self::Stopped { look_again, .. } => *look_again <= now,
        }
    }

    /// When to look again.
    pub const fn look_again_at(&self) -> Option<Instant> {
        match self {
            Self::Stopped { look_again, .. } => Some(*look_again),
            Self::Unknown | Self::Fetched { .. } => None,
        }
    }

    /// Why it goes nowhere.
    pub const fn stop(&self) -> Option<&Stop> {
        match self {
            Self::Stopped { stop, .. } => Some(stop),
            Self::Unknown | Self::Fetched { .. } => None,
        }
    }
}

impl Stop {
    /// A short, stable name, for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::TopicReplaced { .. } => "topic_replaced",
            Self::ClusterReplaced { .. } => "cluster_replaced",
            Self::Gap { .. } => "gap",
            Self::BeyondEnd { .. } => "beyond_end",
            Self::NewerVersion { .. } => "newer_version",
        }
    }
}

/// What happened, and what to do.
impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ADOPT: &str = "decide where to go on, then run `listener adopt`";
        match self {
            Self::TopicReplaced { stored, found } => {
                write!(
                    f,
                    "the topic was made anew: its id is {found}, the stored offsets are of {stored}; {ADOPT}"
                )
            }
            Self::ClusterReplaced { stored, found } => {
                write!(f, "this is cluster {found}, the stored offsets are of {stored}; {ADOPT}")
            }
            Self::Gap { stored, log_start } => {
                let lost = log_start.saturating_sub(*stored);
                write!(
                    f,
                    "{lost} records were deleted unread: {stored} is stored, {log_start} is the first; {ADOPT}"
                )
            }
            Self::BeyondEnd { stored, log_end } => {
                write!(f, "offset {stored} is stored, but the log ends at {log_end}; {ADOPT}")
            }
            Self::NewerVersion { offset, version } => {
                write!(f, "the message at offset {offset} has version {version}: run a newer listener")
            }
        }
    }
}
