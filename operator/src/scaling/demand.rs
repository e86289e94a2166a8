//! The arithmetic: rates, and how many listeners a demand needs.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// How many records in how much time, in thousandths of a record a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rate(u64);

impl Rate {
    /// No records.
    pub const ZERO: Self = Self(0);

    /// So many records each second.
    pub const fn per_second(records: u64) -> Self {
        Self(records.saturating_mul(1_000))
    }

    /// So many records in so much time, rounded up. A time of nothing counts as a millisecond.
    pub fn of(records: u64, time: Duration) -> Self {
        let thousandths = u128::from(records) * 1_000_000;
        Self(saturated(thousandths.div_ceil(time.as_millis().max(1))))
    }

    /// In thousandths of a record a second.
    pub const fn thousandths(self) -> u64 {
        self.0
    }

    /// How many records come at this rate in so much time, rounded down.
    pub(super) fn records_in(self, time: Duration) -> u64 {
        saturated(u128::from(self.0).saturating_mul(time.as_millis()) / 1_000_000)
    }

    /// The rate that leaves so many thousandths of itself to this one.
    pub(super) fn at(self, utilization: u64) -> Self {
        Self(saturated(u128::from(self.0) * 1_000 / u128::from(utilization.max(1))))
    }

    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// An equal share of it.
    pub(super) fn shared_by(self, count: u32) -> Self {
        Self(self.0 / u64::from(count.max(1)))
    }

    /// The rate in the middle between this and another.
    pub(super) fn halfway(self, other: Self) -> Self {
        Self(self.0.midpoint(other.0))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0.div_ceil(1_000))
    }
}

fn saturated(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// The fewest listeners for which the one with the most partitions keeps up, each partition having its equal part of
/// the demand. More than there are partitions when not even one listener a partition is enough.
pub(super) fn replicas(demand: Rate, rate: Rate, partitions: u32) -> u32 {
    let partitions = partitions.max(1);
    if demand == Rate::ZERO {
        return 1;
    }
    // How many partitions one listener can serve.
    let share = u128::from(rate.0) * u128::from(partitions) / u128::from(demand.0);
    match u32::try_from(share).unwrap_or(u32::MAX).min(partitions) {
        0 => partitions.saturating_add(1),
        share => partitions.div_ceil(share),
    }
}

/// The count to use for a needed one: within the bounds, and above the lowest only one at which the largest share of
/// partitions, `partitions / count` rounded up, becomes smaller.
pub(super) fn fit(needed: u32, partitions: u32, least: u32, most: u32) -> u32 {
    let bounded = needed.clamp(least, most);
    let share = partitions.max(1).div_ceil(bounded.max(1));
    partitions.div_ceil(share).clamp(least, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listener_with_the_most_partitions_decides() {
        let needed = |times: u64| replicas(Rate::per_second(times * 100), Rate::per_second(100), 12);
        // Seven would leave one listener two of twelve partitions, a sixth of the demand.
        let counts: Vec<_> = [0, 1, 2, 3, 4, 5, 6, 7, 12, 13].map(needed).into();
        assert_eq!(counts, [1, 1, 2, 3, 4, 6, 6, 12, 12, 13]);
    }

    #[test]
    fn only_counts_that_give_the_busiest_listener_less_are_used() {
        let mut used: Vec<_> = (1..=30).map(|needed| fit(needed, 30, 1, 30)).collect();
        used.dedup();
        assert_eq!(used, [1, 2, 3, 4, 5, 6, 8, 10, 15, 30]);
    }

    #[test]
    fn a_bound_between_two_such_counts_is_kept() {
        assert_eq!(fit(1, 12, 5, 12), 5);
        assert_eq!(fit(12, 12, 1, 10), 6);
        assert_eq!(fit(9, 12, 5, 5), 5);
    }

    #[test]
    fn rates_neither_overflow_nor_divide_by_nothing() {
        let all = Rate::of(u64::MAX, Duration::ZERO);
        assert_eq!(all, Rate(u64::MAX));
        assert_eq!(all.and(all).records_in(Duration::MAX), u64::MAX);
        assert_eq!(replicas(all, Rate::ZERO, 12), 13);
        assert_eq!(replicas(Rate::ZERO, Rate::ZERO, 12), 1);
        assert_eq!(Rate::per_second(5).records_in(Duration::from_millis(1_999)), 9);
    }
}
