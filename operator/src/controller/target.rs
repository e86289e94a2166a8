//! What the autoscaler is given of a pipeline, and what it found out of its topic.

use std::collections::BTreeMap;

use super::{Context, model::Dereferenced, validate};
use crate::{
    autoscaler::Target,
    crd::{Listener, Reason, ScalingMode, TransactionPipeline},
    identity::Identity,
    kafka::Connection,
    scaling::{Mode, Policy},
};

impl Context {
    /// Lets the autoscaler look at it.
    pub(super) fn watch_lag(
        &self,
        pipeline: &TransactionPipeline,
        identity: &Identity,
        connection: Connection,
        most: u32,
    ) {
        let target = Target {
            connection,
            group: identity.group(),
            topic: pipeline.spec.kafka.topic.name.clone(),
            policy: policy(&pipeline.spec.listener, most),
            deployment: identity.child("listener"),
            writes: true,
        };
        let decisions = pipeline.status.as_ref().map(|status| status.decisions.as_slice());
        self.board.put(identity.clone(), target, decisions.unwrap_or_default());
    }

    /// Lets the autoscaler look at it all the same, if it can: listeners that run follow the lag, though the api's keys
    /// are missing.
    pub(super) fn watch_lag_of_a_wrong_one(
        &self,
        pipeline: &TransactionPipeline,
        identity: &Identity,
        found: &Dereferenced,
        wrong: &[validate::Error],
    ) {
        let is_of_another =
            |wrong: &validate::Error| matches!(wrong.reason(), Reason::AlreadyClaimed | Reason::NameConflict);
        if wrong.iter().any(is_of_another) {
            self.board.pause(identity);
            return;
        }
        let connection = validate::way_to_kafka(pipeline, identity, found);
        if let (Ok(connection), Ok(most)) = (connection, validate::most_listeners(pipeline)) {
            self.watch_lag(pipeline, identity, connection, most);
        }
    }

    /// How many partitions the topics were seen to have.
    pub(super) fn partitions(
        &self,
        pipeline: &TransactionPipeline,
        identity: &Identity,
    ) -> BTreeMap<String, u32> {
        let seen = self.board.report(identity).and_then(|report| report.partitions);
        seen.into_iter().map(|partitions| (pipeline.spec.kafka.topic.name.clone(), partitions)).collect()
    }
}

/// What is wanted of the number of listeners, of which at most so many make sense.
fn policy(listener: &Listener, most: u32) -> Policy {
    let count = |count: i32| u32::try_from(count).unwrap_or(0);
    let scaling = &listener.scaling;
    let declared = count(listener.replicas).min(most);
    Policy {
        mode: match scaling.mode {
            ScalingMode::Auto => Mode::Auto,
            ScalingMode::Recommend => Mode::Recommend,
            ScalingMode::External => Mode::External(declared),
            ScalingMode::Fixed => Mode::Fixed(declared),
        },
        declared: count(listener.replicas),
        min_replicas: count(scaling.min_replicas).min(most),
        max_replicas: scaling.max_replicas.map_or(most, |declared| count(declared).min(most)),
        target_age: scaling.target_age.into(),
        catch_up: scaling.catch_up.into(),
        max_rebalances_per_hour: count(scaling.max_rebalances_per_hour),
        window: scaling.scale_in_delay.into(),
        prior: Policy::PRIOR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_listeners_are_asked_for_than_make_sense() {
        let mut listener = Listener { replicas: 20, ..Listener::default() };
        listener.scaling.mode = ScalingMode::Fixed;
        let policy = policy(&listener, 12);
        assert_eq!((policy.mode, policy.max_replicas), (Mode::Fixed(12), 12));
    }
}
