//! Rows that the dead-letter topic does not take: each is left alone for a while, longer each time, while others go on.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use fluxo_store::quarantine::Place;

/// How many are remembered. Those beyond are tried each time, which costs more and harms nobody.
const REMEMBERED_MAX: usize = 10_000;
/// How long a row rests at first, and at most: a person may have given the topic more room.
const SHORTEST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_mins(10);

/// The rows that rest.
#[derive(Debug, Default)]
pub(super) struct Resting(HashMap<Place, Rest>);

#[derive(Debug, Default)]
struct Rest {
    failures: u32,
    until: Option<Instant>,
}

impl Resting {
    pub(super) fn is_due(&self, place: &Place, now: Instant) -> bool {
        self.0.get(place).and_then(|rest| rest.until).is_none_or(|until| until <= now)
    }

    pub(super) fn rest(&mut self, place: Place, now: Instant) {
        if self.0.len() < REMEMBERED_MAX || self.0.contains_key(&place) {
            let rest = self.0.entry(place).or_default();
            rest.failures += 1;
            rest.until = Some(now + longer(SHORTEST, LONGEST, rest.failures));
        }
    }

    pub(super) fn forget(&mut self, place: &Place) {
        self.0.remove(place);
    }
}

/// A time that doubles with each failure in a row, from `shortest` to `longest`, more or less.
pub(super) fn longer(shortest: Duration, longest: Duration, failures: u32) -> Duration {
    let doubled = shortest.saturating_mul(1 << failures.saturating_sub(1).min(16));
    jittered(doubled.min(longest))
}

/// Between three quarters of a time and all of it: several listeners shall not ask at once.
pub(super) fn jittered(time: Duration) -> Duration {
    let quarter = u64::try_from(time.as_millis() / 4).unwrap_or(u64::MAX);
    time.saturating_sub(Duration::from_millis(fastrand::u64(..=quarter)))
}

#[cfg(test)]
mod tests {
    use fluxo_core::{Position, TopicId};

    use super::*;

    #[test]
    fn a_row_that_is_not_taken_rests_longer_each_time_and_others_do_not() {
        let place = |offset| Place {
            topic_id: TopicId::parse("t").unwrap(),
            position: Position { partition: 0, offset },
        };
        let (mut resting, now) = (Resting::default(), Instant::now());
        for failures in 1..=20 {
            resting.rest(place(1), now);
            let at_most = SHORTEST.saturating_mul(1 << (failures - 1)).min(LONGEST);
            assert!(!resting.is_due(&place(1), now + at_most / 2));
            assert!(resting.is_due(&place(1), now + at_most));
            assert!(resting.is_due(&place(2), now));
        }
        resting.forget(&place(1));
        assert!(resting.is_due(&place(1), now));
    }
}
