//! How many listeners there should be: a pure decision, on virtual time.
//!
//! [`decide`] is given what is seen now, what was seen before and what is wanted. It does no I/O and has no clock: the
//! same inputs give the same [`Decision`], so a recorded trace can be decided again.
//!
//! Its rules:
//! - what is unknown is not zero: it may not stop a scale-out that the known part asks for, and never scales in;
//! - out is one jump to the answer; in waits until nothing asked for more during a whole window, and for the backlog;
//! - the listener with the most partitions decides how fast a backlog is drained, so only counts that give it fewer
//!   partitions are used, and never more than there are partitions;
//! - a change rebalances the group, so there is a budget of changes.
//!
//! All rates are integers: see [`Rate`].

mod demand;
mod explain;
mod history;
mod needs;
mod observation;
mod work;

#[cfg(test)]
pub(crate) mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::lag::Unknown;
pub use demand::Rate;
pub use explain::{Inputs, Reason};
pub use history::{History, Learned};
pub use observation::{Api, Database, Group, GroupState, Observation, Replicas};

/// The share of its rate that a listener should be asked for, in thousandths. There is a gap between the two, so
/// that a load near a limit does not go over it and back.
const UTILIZATION_OUT: u64 = 800;
/// As [`UTILIZATION_OUT`], for fewer listeners.
const UTILIZATION_IN: u64 = 600;

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Who decides.
    pub mode: Mode,
    /// The number that is declared for `External` and `Fixed`: of more than can run, the mode has those that can.
    pub declared: u32,
    /// The fewest listeners; at least one.
    pub min_replicas: u32,
    /// The most listeners.
    pub max_replicas: u32,
    /// How old the oldest unread record may be before it counts as backlog.
    #[serde(with = "millis", rename = "targetAgeMs")]
    pub target_age: Duration,
    /// How soon a backlog should be gone.
    #[serde(with = "millis", rename = "catchUpMs")]
    pub catch_up: Duration,
    /// How often in an hour the number may change.
    pub max_rebalances_per_hour: u32,
    /// How long nothing must have asked for more before there are fewer.
    #[serde(with = "millis", rename = "windowMs")]
    pub window: Duration,
    /// What a listener is taken to reach before one was seen.
    pub prior: Rate,
}

/// Who decides how many listeners there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// Lag does.
    Auto,
    /// Lag would: it is said, and nothing is written.
    Recommend,
    /// Whoever writes the scale subresource, an HPA or KEDA: so many.
    External(u32),
    /// The specification: so many.
    Fixed(u32),
}

/// How many listeners there should be, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// So many.
    pub replicas: u32,
    /// Why.
    pub reason: Reason,
    /// What it was decided from.
    pub inputs: Inputs,
}

impl Policy {
    /// The window before scale-in unless another is chosen.
    pub const WINDOW: Duration = Duration::from_mins(5);
    /// A rate that a listener with a busy database still reaches: one too low adds listeners too early, one too high
    /// only until the first saturated listener was seen.
    pub const PRIOR: Rate = Rate::per_second(1_000);

    /// The fewest and the most listeners that make sense for so many partitions.
    fn bounds(&self, partitions: Option<u32>) -> (u32, u32) {
        let most = self.max_replicas.max(1);
        let most = partitions.map_or(most, |partitions| most.min(partitions.max(1)));
        (self.min_replicas.clamp(1, most), most)
    }
}

impl Decision {
    /// The number to write, if there is something to write.
    pub fn write(&self) -> Option<u32> {
        let writes = self.inputs.mode != Mode::Recommend;
        (writes && self.replicas != self.inputs.replicas.wanted).then_some(self.replicas)
    }
}

/// Decides how many listeners there should be now.
///
/// `history` holds what was observed before `observation`; whoever calls then [records](History::record) both.
pub fn decide(history: &History, observation: &Observation, policy: &Policy) -> Decision {
    let inputs = inputs(history, observation, policy);
    let (replicas, reason) = match policy.mode {
        Mode::External(runs) | Mode::Fixed(runs) if policy.declared > runs => {
            (runs, Reason::DeclaredAboveMaximum)
        }
        Mode::External(runs) | Mode::Fixed(runs) => (runs, Reason::Declared),
        Mode::Auto | Mode::Recommend => choose(history, &inputs, policy),
    };
    Decision { replicas, reason, inputs }
}

/// Everything that the choice rests on, and what is told of it.
fn inputs(history: &History, observation: &Observation, policy: &Policy) -> Inputs {
    let partitions = observation.partitions();
    let (least, most) = policy.bounds(partitions);
    let learned = history.learned();
    let arrival = history.arrival(observation);
    let stuck = history.stuck(observation);
    let lag = observation.lag();
    let moving = observation.known_lag().saturating_sub(stuck.lag);
    // Without an arrival rate nothing tells how old a lag is: then all of it is backlog.
    let known_arrival = *arrival.as_ref().unwrap_or(&Rate::ZERO);
    let normal = known_arrival.records_in(policy.target_age);
    let backlog = moving.saturating_sub(normal);
    let rate = learned.map_or(policy.prior, |learned| learned.rate);
    let needed = |utilization| {
        let demand = known_arrival.at(utilization).and(Rate::of(backlog, policy.catch_up));
        // Partitions are known whenever a lag is.
        partitions.map_or(least, |partitions| demand::replicas(demand, rate, partitions))
    };
    let unbounded = needed(UTILIZATION_OUT);
    let fit = |needed: u32| match partitions {
        Some(partitions) => demand::fit(needed, partitions, least, most),
        None => needed.clamp(least, most),
    };
    Inputs {
        at: observation.at,
        mode: policy.mode,
        declared: policy.declared,
        replicas: observation.replicas,
        partitions,
        least,
        most,
        lag,
        stuck_partitions: stuck.partitions,
        backlog,
        catching_up: observation.known_lag() > normal,
        arrival,
        rate,
        rate_was_seen: learned.is_some(),
        needed: unbounded,
        out_to: fit(unbounded),
        in_to: fit(needed(UTILIZATION_IN)),
        changes_left: policy.max_rebalances_per_hour.saturating_sub(history.changes(observation)),
    }
}

/// The choice itself: the first rule that holds.
fn choose(history: &History, inputs: &Inputs, policy: &Policy) -> (u32, Reason) {
    let now = inputs.replicas.wanted;
    // The bounds are a person's word: they hold whatever is known, and cost no budget.
    if now < inputs.least {
        return (inputs.out_to, Reason::BelowMinimum);
    }
    if now > policy.max_replicas.max(1) {
        return (inputs.most, Reason::AboveMaximum);
    }
    if inputs.out_to > now {
        return match inputs.changes_left {
            0 => (now, Reason::BudgetSpent),
            _ => (inputs.out_to, Reason::Backlog),
        };
    }
    if inputs.needed > now {
        let bound =
            if Some(inputs.most) == inputs.partitions { Reason::PartitionBound } else { Reason::AtMaximum };
        return (now, bound);
    }
    if let Some(unknown) = inputs.unknown() {
        return (now, Reason::Unknown(unknown.clone()));
    }
    if now > inputs.most {
        return (inputs.most, Reason::AbovePartitions);
    }
    if inputs.in_to >= now {
        return (now, Reason::Enough);
    }
    if inputs.catching_up {
        return (now, Reason::CatchingUp);
    }
    let target = match history.most_needed_within(policy.window, inputs.at) {
        Some(most_needed) => most_needed.max(inputs.in_to),
        None => now,
    };
    if target >= now {
        return (now, Reason::Window);
    }
    // The last change of an hour is kept for a backlog.
    if inputs.changes_left <= u32::from(policy.max_rebalances_per_hour > 1) {
        return (now, Reason::BudgetSpent);
    }
    (target, Reason::Idle)
}

impl Inputs {
    /// What is missing for a scale-in.
    fn unknown(&self) -> Option<&Unknown> {
        self.lag.as_ref().err().or(self.arrival.as_ref().err())
    }
}

/// Durations as whole milliseconds.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}
