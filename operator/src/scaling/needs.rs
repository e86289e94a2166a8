//! How many listeners were needed lately: exact for a window of any length, in memory that neither the length of the
//! window nor how often it is noted makes larger.

use std::{collections::VecDeque, time::Duration};

/// What was needed. In this order: what is not known may have been more than any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    Listeners(u32),
    Unknown,
}

/// What was needed lately.
#[derive(Clone, Debug, Default)]
pub(super) struct Needs {
    /// Since when it is noted.
    since: Option<Duration>,
    /// Each need after which nothing as great was needed, and until when it was. So needs become smaller from one to
    /// the next, of which there are no more than numbers, and the first that reaches into a window is its greatest.
    greatest: VecDeque<(Need, Duration)>,
}

impl Needs {
    /// Adds what is needed from this moment on; `None` if that is not known.
    pub(super) fn note(&mut self, at: Duration, needed: Option<u32>) {
        let need = needed.map_or(Need::Unknown, Need::Listeners);
        self.since.get_or_insert(at);
        if let Some((_, until)) = self.greatest.back_mut() {
            *until = at;
        }
        while self.greatest.back().is_some_and(|(before, _)| *before <= need) {
            self.greatest.pop_back();
        }
        self.greatest.push_back((need, at));
    }

    /// The most that was needed in a window until now; `None` unless all of it was seen, and known.
    pub(super) fn most_within(&self, window: Duration, now: Duration) -> Option<u32> {
        let began = now.checked_sub(window)?;
        self.since.filter(|since| *since <= began)?;
        // The last one is still needed, whenever it was noted.
        let mut within = self.greatest.iter().filter(|(_, until)| *until > began);
        match within.next().or(self.greatest.back())? {
            (Need::Listeners(most), _) => Some(*most),
            (Need::Unknown, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same from all that was ever noted: each need lasts until the next one.
    fn most_of_all(noted: &[(Duration, Option<u32>)], window: Duration, now: Duration) -> Option<u32> {
        let began = now.checked_sub(window)?;
        let first = noted.iter().rposition(|(at, _)| *at <= began)?;
        noted[first..].iter().try_fold(0, |most, (_, needed)| Some(most.max((*needed)?)))
    }

    proptest! {
        #[test]
        fn the_most_of_a_window_is_that_of_all_that_was_noted_in_it(
            steps in proptest::collection::vec((0..3_000_u64, proptest::option::weighted(0.95, 0..6_u32)), 1..100),
            window in 0..60_000_u64,
            later in 0..3_000_u64,
        ) {
            let (window, mut at) = (Duration::from_millis(window), Duration::ZERO);
            let (mut needs, mut noted) = (Needs::default(), vec![]);
            for (step, needed) in steps {
                at += Duration::from_millis(step);
                needs.note(at, needed);
                noted.push((at, needed));
                for now in [at, at + Duration::from_millis(later)] {
                    prop_assert_eq!(needs.most_within(window, now), most_of_all(&noted, window, now));
                }
            }
        }

        #[test]
        fn no_more_is_kept_than_there_are_numbers_and_the_unknown(
            needed in proptest::collection::vec(proptest::option::weighted(0.95, 0..6_u32), 1..1_000),
        ) {
            let mut needs = Needs::default();
            for (at, needed) in (0..).zip(needed) {
                needs.note(Duration::from_millis(50 * at), needed);
                prop_assert!(needs.greatest.len() <= 7, "{needs:?}");
            }
        }
    }
}
