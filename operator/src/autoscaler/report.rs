//! What is told of the scaling: rounded, so that what says the same as before is equal to it.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    crd,
    scaling::{Decision, Mode, Rate, Reason},
};

/// How many decisions a status has at most.
pub(super) const DECISIONS_MOST: usize = 10;
/// How long figures stay as they were told, when they are all that changed.
const FIGURES_STAY: Duration = Duration::from_secs(15);

/// What is told of the scaling of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Rounded to 1, 2 or 5 and zeros; `None` when unknown.
    pub lag: Option<i64>,
    /// Rounded likewise, as seconds; `None` when unknown, or when nothing waits.
    pub oldest_age: Option<Duration>,
    /// Why there are so many listeners.
    pub reason: crd::Reason,
    /// Whether somebody can tell, and the number is the one that is wanted.
    pub is_well: bool,
    /// The same for a person.
    pub message: String,
    /// Whether that has figures of the lag, with which it is no news by itself.
    pub has_figures: bool,
    /// How many listeners there should be.
    pub replicas: u32,
    /// Partitions of the topic, if they are known.
    pub partitions: Option<u32>,
    /// The last decisions that changed the number, or would have, the newest first.
    pub decisions: Vec<crd::Decision>,
}

impl Report {
    /// `refusal` is why the decision could not be written, if it could not.
    pub(super) fn new(
        decision: &Decision,
        oldest: Option<Duration>,
        decisions: Vec<crd::Decision>,
        refusal: Option<&str>,
    ) -> Self {
        let (reason, is_well) = reason(decision);
        let (reason, is_well, message) = match refusal {
            None => (reason, is_well, decision.to_string()),
            Some(why) => (crd::Reason::ApiServerError, false, not_written(decision, why)),
        };
        Self {
            lag: decision.inputs.lag.as_ref().ok().map(|lag| rounded(*lag)),
            oldest_age: oldest.map(rounded_age),
            reason,
            is_well,
            message,
            has_figures: refusal.is_none() && decision.reason != Reason::DeclaredAboveMaximum,
            replicas: decision.replicas,
            partitions: decision.inputs.partitions,
            decisions,
        }
    }

    /// What changes without a decision.
    fn figures(&self) -> (Option<i64>, Option<Duration>, Option<&str>) {
        let words = (!self.has_figures).then_some(self.message.as_str());
        (self.lag, self.oldest_age, words)
    }
}

/// Whether it must be told now: a decision at once, figures now and then.
pub(super) fn is_news(before: Option<&Report>, now: &Report, since: Option<Duration>) -> bool {
    let (Some(before), Some(since)) = (before, since) else { return true };
    let decided = (now.reason, now.is_well, now.replicas, now.partitions, now.decisions.first());
    if (before.reason, before.is_well, before.replicas, before.partitions, before.decisions.first())
        != decided
    {
        return true;
    }
    since >= FIGURES_STAY && before.figures() != now.figures()
}

fn not_written(decision: &Decision, why: &str) -> String {
    let (from, to) = (decision.inputs.replicas.wanted, decision.replicas);
    format!("the change from {from} to {to} listeners could not be written, and is tried again: {why}")
}

/// The reason of the condition `Scaling`, and whether all is well.
fn reason(decision: &Decision) -> (crd::Reason, bool) {
    let recommends = decision.inputs.mode == Mode::Recommend;
    match &decision.reason {
        Reason::Unknown(_) => (crd::Reason::LagUnknown, false),
        Reason::AtMaximum | Reason::DeclaredAboveMaximum => (crd::Reason::AtMaximum, false),
        Reason::BudgetSpent => (crd::Reason::RebalanceBudgetSpent, false),
        Reason::PartitionBound => (crd::Reason::PartitionBound, false),
        _ if recommends => (crd::Reason::Recommending, true),
        Reason::Declared if matches!(decision.inputs.mode, Mode::External(_)) => {
            (crd::Reason::External, true)
        }
        Reason::Declared => (crd::Reason::Fixed, true),
        Reason::Enough => (crd::Reason::Steady, true),
        Reason::CatchingUp | Reason::Window => (crd::Reason::ScaleInDelayed, true),
        Reason::BelowMinimum | Reason::Backlog => (crd::Reason::ScaledOut, true),
        Reason::AboveMaximum | Reason::AbovePartitions | Reason::Idle => (crd::Reason::ScaledIn, true),
    }
}

/// Whether only a recommendation keeps it from being written.
pub(super) fn recommends_a_change(decision: &Decision) -> bool {
    decision.inputs.mode == Mode::Recommend && decision.replicas != decision.inputs.replicas.wanted
}

/// A decision as the status lists it.
pub(super) fn decision(decision: &Decision, oldest: Option<Duration>) -> crd::Decision {
    let Decision { replicas, inputs, .. } = decision;
    let whole = |rate: Rate| i64::try_from(rate.thousandths() / 1_000).ok();
    let count = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    crd::Decision {
        at: Time(jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap_or_default()),
        from: count(inputs.replicas.wanted),
        to: count(*replicas),
        reason: reason(decision).0.as_str().to_owned(),
        inputs: crd::Inputs {
            lag: inputs.lag.as_ref().ok().map(|lag| i64::try_from(*lag).unwrap_or(i64::MAX)),
            oldest_age: oldest.map(|age| Duration::from_secs(age.as_secs()).into()),
            arrivals_per_second: inputs.arrival.as_ref().ok().and_then(|rate| whole(*rate)),
            kept_per_second_and_replica: Some(inputs.rate).filter(|_| inputs.rate_was_seen).and_then(whole),
            partitions: inputs.partitions.map(count),
            ready_replicas: Some(count(inputs.replicas.ready)),
        },
    }
}

/// To 1, 2 or 5 and zeros, upwards.
fn rounded(number: u64) -> i64 {
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    let mut unit = 1_i64;
    loop {
        for step in [1, 2, 5] {
            match unit.checked_mul(step) {
                Some(rounded) if rounded >= number => return if number <= 0 { 0 } else { rounded },
                Some(_) => {}
                None => return i64::MAX,
            }
        }
        match unit.checked_mul(10) {
            Some(next) => unit = next,
            None => return i64::MAX,
        }
    }
}

fn rounded_age(age: Duration) -> Duration {
    Duration::from_secs(u64::try_from(rounded(age.as_secs())).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_rounded_up_to_one_two_or_five() {
        let of = [(0, 0), (1, 1), (2, 2), (3, 5), (6, 10), (11, 20), (51, 100), (120_000, 200_000)];
        for (number, expected) in of {
            assert_eq!(rounded(number), expected, "{number}");
        }
        assert_eq!(rounded(u64::MAX), i64::MAX);
    }

    fn report(lag: i64, replicas: u32) -> Report {
        Report {
            lag: Some(lag),
            oldest_age: None,
            reason: crd::Reason::Steady,
            is_well: true,
            message: String::new(),
            has_figures: true,
            replicas,
            partitions: Some(12),
            decisions: vec![],
        }
    }

    #[test]
    fn other_words_without_figures_are_told_now_and_then() {
        let refused = |why: &str| Report {
            reason: crd::Reason::ApiServerError,
            is_well: false,
            message: why.into(),
            has_figures: false,
            ..report(0, 2)
        };
        let (soon, later) = (Some(Duration::from_secs(1)), Some(FIGURES_STAY));
        assert!(is_news(Some(&report(0, 2)), &refused("forbidden"), soon));
        assert!(!is_news(Some(&refused("forbidden")), &refused("forbidden"), later));
        assert!(!is_news(Some(&refused("forbidden")), &refused("the quota is used up"), soon));
        assert!(is_news(Some(&refused("forbidden")), &refused("the quota is used up"), later));
        assert!(is_news(Some(&refused("forbidden")), &report(0, 2), soon));
    }

    #[test]
    fn a_decision_is_told_at_once_and_a_figure_now_and_then() {
        let (soon, later) = (Some(Duration::from_secs(1)), Some(FIGURES_STAY));
        assert!(is_news(None, &report(0, 1), None));
        assert!(!is_news(Some(&report(0, 1)), &report(0, 1), later));
        assert!(is_news(Some(&report(0, 1)), &report(0, 2), soon));
        assert!(!is_news(Some(&report(0, 1)), &report(5, 1), soon));
        assert!(is_news(Some(&report(0, 1)), &report(5, 1), later));
    }
}
