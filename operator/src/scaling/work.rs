//! What listeners recorded in a time, and what that says about one of them.

use std::time::Duration;

use super::{Rate, history::Span};

/// What listeners recorded in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Work {
    /// What each recorded, on average.
    average: Rate,
    /// The most that one can have recorded, whichever partitions it has.
    most: Rate,
    /// How much of the topic was behind all the time, though it moved.
    behind: Behind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    Nothing,
    Some,
    All,
}

impl Work {
    /// What was recorded between two moments; `None` if nothing was, which says nothing about one listener, or if the
    /// two cannot be compared. A partition is behind that has more than arrives in the target age.
    pub(super) fn between(from: &Span, to: &Span, target_age: Duration) -> Option<Self> {
        let time = to.began.saturating_sub(from.began);
        if !from.offsets.keys().eq(to.offsets.keys()) {
            return None;
        }
        let (mut recorded, mut behind) = (vec![], 0);
        for (from, to) in from.offsets.values().zip(to.offsets.values()) {
            let moved = u64::try_from(to.committed? - from.committed?).ok()?;
            let arrived = u64::try_from(to.last_stable - from.last_stable).ok()?;
            let normal = Rate::of(arrived, time).records_in(target_age);
            let lag = from.lag().ok()?.min(to.lag().ok()?);
            behind += usize::from(lag > normal && moved > 0);
            recorded.push(moved);
        }
        let partitions = u32::try_from(recorded.len()).ok()?;
        let listeners = from.ready.clamp(1, partitions.max(1));
        let total: u64 = recorded.iter().sum();
        if total == 0 {
            return None;
        }
        recorded.sort_unstable_by(|one, other| other.cmp(one));
        let largest_share = partitions.div_ceil(listeners) as usize;
        Some(Self {
            average: Rate::of(total, time).shared_by(listeners),
            most: Rate::of(recorded.iter().take(largest_share).sum(), time),
            behind: match behind {
                0 => Behind::Nothing,
                behind if behind == recorded.len() => Behind::All,
                _ => Behind::Some,
            },
        })
    }

    /// What a listener is taken to reach after this, when it was taken to reach `known`. With caution: one time of work
    /// goes half of the way.
    pub(super) fn teach(self, known: Rate) -> Rate {
        match self.behind {
            // Each worked as fast as it can.
            Behind::All => known.halfway(self.average),
            // One of them did, and recorded no more than that.
            Behind::Some if self.most < known => known.halfway(self.most),
            // Whoever recorded so much can.
            Behind::Some | Behind::Nothing => known.max(self.average),
        }
    }
}
