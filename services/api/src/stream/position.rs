//! Where a follower of the topic is, and what lies between that and what Kafka still has.

use std::{fmt, ops::Range};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use fluxo_core::TopicId;
use serde::Serialize;
use utoipa::ToSchema;

/// The offset of the next record in each partition of a topic.
///
/// Its text is opaque, fits into a URL and a header as it is, and is what clients give back to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Positions {
    pub(crate) topic: TopicId,
    /// By the number of the partition.
    pub(crate) next: Vec<i64>,
}

/// What Kafka has of a topic now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    pub(crate) topic: TopicId,
    /// From the first offset that is there to the one that comes next, by the number of the partition.
    pub(crate) partitions: Vec<Range<i64>>,
}

/// What a follower was not given, and never will be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub(crate) enum Loss {
    /// Records from `from` to before `to` were deleted before they were read
    Deleted { partition: usize, from: i64, to: i64 },
    /// Kafka has lost records that were read: the log ends at `to`, before `from`, which was to come next
    BeyondEnd { partition: usize, from: i64, to: i64 },
    /// The topic was made anew: what was in the one before is gone, and this one is told from its start
    TopicReplaced,
    /// The record at `from` has a version that this release does not know
    NewerVersion { partition: usize, from: i64, to: i64 },
}

/// The first byte of the text's bytes. Texts that clients hold must be read by later releases.
const VERSION: u8 = 1;

impl Positions {
    /// Reads a text; `None` for anything that no positions print.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let (length, rest) = bytes.strip_prefix(&[VERSION])?.split_first()?;
        let (topic, mut rest) = rest.split_at_checked(usize::from(*length))?;
        let topic = TopicId::parse(std::str::from_utf8(topic).ok()?)?;
        let mut next = Vec::new();
        while !rest.is_empty() {
            next.push(take_number(&mut rest)?);
        }
        (!next.is_empty()).then_some(Self { topic, next })
    }

    fn bytes(&self) -> Vec<u8> {
        let topic = self.topic.as_str();
        let mut bytes = Vec::with_capacity(2 + topic.len() + 3 * self.next.len());
        bytes.push(VERSION);
        bytes.push(u8::try_from(topic.len()).expect("an id is short"));
        bytes.extend_from_slice(topic.as_bytes());
        for next in &self.next {
            put_number(*next, &mut bytes);
        }
        bytes
    }

    /// Whether nothing before `other` is still to come.
    pub(crate) fn reached(&self, other: &Self) -> bool {
        let mut pairs = self.next.iter().zip(&other.next);
        self.is_of(other) && pairs.all(|(here, there)| here >= there)
    }

    /// Whether both are of one topic with one number of partitions.
    pub(crate) fn is_of(&self, other: &Self) -> bool {
        self.topic == other.topic && self.next.len() == other.next.len()
    }

    /// Moves into what Kafka has, and tells what was lost. Partitions that are new are read from their start.
    pub(crate) fn settle(&mut self, log: &Log) -> Vec<Loss> {
        if self.topic != log.topic || self.next.len() > log.partitions.len() {
            *self = log.starts();
            return vec![Loss::TopicReplaced];
        }
        let mut losses = Vec::new();
        for (partition, there) in log.partitions.iter().enumerate() {
            let Some(next) = self.next.get_mut(partition) else {
                self.next.push(there.start);
                continue;
            };
            let from = *next;
            *next = from.clamp(there.start, there.end.max(there.start));
            if *next > from {
                losses.push(Loss::Deleted { partition, from, to: *next });
            } else if *next < from {
                losses.push(Loss::BeyondEnd { partition, from, to: *next });
            }
        }
        losses
    }
}

impl Log {
    /// Before everything that is there.
    pub(crate) fn starts(&self) -> Positions {
        let next = self.partitions.iter().map(|range| range.start).collect();
        Positions { topic: self.topic.clone(), next }
    }

    /// After everything that is there.
    pub(crate) fn ends(&self) -> Positions {
        let next = self.partitions.iter().map(|range| range.end).collect();
        Positions { topic: self.topic.clone(), next }
    }
}

impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(self.bytes()))
    }
}

/// Seven bits a byte, lowest first; all but the last have the eighth bit: most offsets are small.
fn put_number(number: i64, bytes: &mut Vec<u8>) {
    let mut rest = u64::try_from(number).expect("an offset is not negative");
    loop {
        let low = u8::try_from(rest & 0x7f).expect("it has seven bits");
        rest >>= 7;
        if rest == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}

/// Takes a number off the front; `None` for one that [`put_number`] does not write.
fn take_number(bytes: &mut &[u8]) -> Option<i64> {
    let mut number = 0_u64;
    // Nine times seven bits are all that an offset has.
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let is_shortest = *byte != 0 || shift == 0;
            return is_shortest.then(|| i64::try_from(number).ok()).flatten();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn topic(name: &str) -> TopicId {
        TopicId::parse(name).unwrap()
    }

    fn at(next: &[i64]) -> Positions {
        Positions { topic: topic("uzb1l9gkQTKVNqxWVQLrCg"), next: next.to_vec() }
    }

    fn log(partitions: &[Range<i64>]) -> Log {
        Log { topic: topic("uzb1l9gkQTKVNqxWVQLrCg"), partitions: partitions.to_vec() }
    }

    #[test]
    fn the_text_of_positions_never_changes() {
        let text = "ARZ1emIxbDlna1FUS1ZOcXhXVlFMckNnAH-AAf__________fw";
        assert_eq!(at(&[0, 127, 128, i64::MAX]).to_string(), text);
        assert_eq!(Positions::parse(text), Some(at(&[0, 127, 128, i64::MAX])));
    }

    #[test]
    fn what_no_positions_print_is_none() {
        let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        for bad in [
            String::new(),
            "x".into(),
            text(b""),
            text(b"\x01"),
            text(b"\x01\x01"),
            text(b"\x01\x01t"),
            text(b"\x02\x01t\x00"),
            text(b"\x01\x01t\x80"),
            text(b"\x01\x01t\x80\x00"),
            text(b"\x01\x01t\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
            text(b"\x01\x01\x00\x00"),
            format!("{}=", at(&[1])),
        ] {
            assert_eq!(Positions::parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn inside_the_log_nothing_is_lost() {
        let mut here = at(&[3, 7, 0]);
        assert_eq!(here.settle(&log(&[3..9, 0..7, 0..0])), []);
        assert_eq!(here, at(&[3, 7, 0]));
    }

    #[test]
    fn what_is_not_there_any_more_is_told_and_the_rest_is_read() {
        let mut here = at(&[3, 9, 5]);
        let losses = here.settle(&log(&[5..9, 0..7, 5..5]));
        let deleted = Loss::Deleted { partition: 0, from: 3, to: 5 };
        assert_eq!(losses, [deleted, Loss::BeyondEnd { partition: 1, from: 9, to: 7 }]);
        assert_eq!(here, at(&[5, 7, 5]));
    }

    #[test]
    fn a_partition_that_is_new_is_read_from_its_start() {
        let mut here = at(&[3]);
        assert_eq!(here.settle(&log(&[0..3, 0..4])), []);
        assert_eq!(here, at(&[3, 0]));
    }

    #[test]
    fn another_topic_is_read_from_its_start() {
        for mut here in [Positions { topic: topic("other"), next: vec![3] }, at(&[3, 3, 3])] {
            assert_eq!(here.settle(&log(&[1..9, 2..9])), [Loss::TopicReplaced]);
            assert_eq!(here, at(&[1, 2]));
        }
    }

    #[test]
    fn only_what_is_of_the_same_partitions_is_reached() {
        assert!(at(&[3, 4]).reached(&at(&[3, 3])));
        assert!(!at(&[3, 2]).reached(&at(&[3, 3])));
        assert!(!at(&[3]).reached(&at(&[3, 0])));
        assert!(!at(&[3]).reached(&Positions { topic: topic("other"), next: vec![1] }));
    }

    proptest! {
        #[test]
        fn positions_read_back_what_they_print(
            name in "[A-Za-z0-9_-]{1,64}", next in prop::collection::vec(0..=i64::MAX, 1..40)
        ) {
            let positions = Positions { topic: topic(&name), next };
            prop_assert_eq!(Positions::parse(&positions.to_string()), Some(positions));
        }

        #[test]
        fn a_text_that_is_read_is_the_one_that_is_printed(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let bytes = [&[VERSION, 1, b't'], bytes.as_slice()].concat();
            let text = BASE64_URL_SAFE_NO_PAD.encode(bytes);
            if let Some(positions) = Positions::parse(&text) {
                prop_assert_eq!(positions.to_string(), text);
            }
        }

        #[test]
        fn no_text_panics(text in "[A-Za-z0-9_-]{0,60}|.*") {
            let _ = Positions::parse(&text);
        }

        #[test]
        fn whatever_was_read_one_settles_inside_the_log(
            next in prop::collection::vec(0..20_i64, 1..5), ends in prop::collection::vec((0..20_i64, 0..20_i64), 1..5)
        ) {
            let ranges: Vec<_> = ends.iter().map(|(start, length)| *start..start + length).collect();
            let (mut here, log) = (at(&next), log(&ranges));
            here.settle(&log);
            prop_assert!(here.is_of(&log.starts()) && here.reached(&log.starts()) && log.ends().reached(&here));
            prop_assert_eq!(here.settle(&log), []);
        }
    }
}
