//! What was seen before, in bounded memory, and what follows from it: the arrival rate, the rate of a listener, the
//! partitions that do not move, and what was needed lately.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{Decision, Group, GroupState, Observation, Policy, Rate, needs::Needs, work::Work};
use crate::lag::{Offsets, Reading, TopicOffsets, Unknown};

/// Over how long arrivals are averaged.
const ARRIVAL_SPAN: Duration = Duration::from_mins(1);
/// Over how long they must have been seen first: one burst is no rate.
const ARRIVAL_LEAST: Duration = Duration::from_secs(10);
/// Over how long what listeners record is averaged: they tell Kafka once a second.
const RATE_SPAN: Duration = Duration::from_secs(10);
/// How long listeners take to settle after their number changed.
const SETTLING: Duration = Duration::from_secs(15);
/// After how long a partition that has lag and does not move counts as stuck.
const STUCK_AFTER: Duration = Duration::from_mins(1);
/// A listener that is slower than such a part of the prior is held up by something that more listeners do not help.
const SLOWEST_PART: u32 = 10;
/// What the budget of changes counts.
const HOUR: Duration = Duration::from_hours(1);
/// The most samples that are kept: more than there are in the time of an average with one each 20 ms.
const SAMPLES_MOST: usize = 4_096;

/// What was seen before.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Those of [`ARRIVAL_SPAN`].
    samples: VecDeque<Sample>,
    needs: Needs,
    /// When the number of listeners changed, whoever changed it.
    changes: VecDeque<Duration>,
    /// Since when each partition stands where it stands.
    positions: BTreeMap<i32, (i64, Duration)>,
    topic_id: String,
    span: Option<Span>,
    learned: Option<Learned>,
}

/// What a listener was seen to reach. Kept elsewhere, it outlives the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Learned {
    /// So much.
    pub rate: Rate,
}

/// One observation, as far as it is needed later.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Duration,
    wanted: u32,
    /// `None` when anything was unknown.
    totals: Option<Totals>,
}

/// Sums over all partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Totals {
    partitions: u32,
    /// Of the ends of the logs.
    end: i64,
}

/// A time in which nothing but offsets changed: how it began.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) began: Duration,
    pub(super) ready: u32,
    pub(super) offsets: BTreeMap<i32, Offsets>,
}

/// Partitions with lag that nobody reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stuck {
    pub(super) partitions: u32,
    pub(super) lag: u64,
}

impl History {
    /// When observations are to begin, where changes from before them are known.
    pub const BEGINS: Duration = HOUR;

    /// Nothing seen but, earlier, what a listener reached, and how long before [`BEGINS`](Self::BEGINS) the number of
    /// listeners changed, the longest first.
    pub fn new(learned: Option<Learned>, changes: impl IntoIterator<Item = Duration>) -> Self {
        let changes = changes.into_iter().filter_map(|age| Self::BEGINS.checked_sub(age)).collect();
        Self { changes, learned, ..Self::default() }
    }

    /// What a listener was seen to reach; `None` until one was.
    pub fn learned(&self) -> Option<Learned> {
        self.learned
    }

    /// Adds what was seen, and what was decided from it.
    pub fn record(&mut self, observation: &Observation, decision: &Decision, policy: &Policy) {
        self.forget_another_topic(observation);
        if self.samples.back().is_some_and(|last| last.wanted != observation.replicas.wanted) {
            self.changes.push_back(observation.at);
        }
        while self.changes.front().is_some_and(|at| *at + HOUR <= observation.at) {
            self.changes.pop_front();
        }
        let totals = totals(observation);
        self.learn(observation, policy);
        self.follow(observation);
        let wanted = observation.replicas.wanted;
        // While a backlog is drained nothing is too much: else there would be fewer step by step, each a rebalance.
        let at_least = if decision.inputs.catching_up { wanted.min(decision.inputs.most) } else { 0 };
        let needed = decision.inputs.unknown().is_none().then_some(decision.inputs.in_to.max(at_least));
        self.needs.note(observation.at, needed);
        self.samples.push_back(Sample { at: observation.at, wanted, totals });
        while self.samples.front().is_some_and(|first| first.at + ARRIVAL_SPAN < observation.at)
            || self.samples.len() > SAMPLES_MOST
        {
            self.samples.pop_front();
        }
    }

    /// What arrives: how fast the ends of the logs moved lately.
    pub(super) fn arrival(&self, observation: &Observation) -> Reading<Rate> {
        let Some(now) = totals(observation) else {
            return Err(observation.lag().err().unwrap_or(Unknown::NotAsked));
        };
        if self.is_another_topic(observation) {
            return Err(Unknown::NotAsked);
        }
        let since = observation.at.saturating_sub(ARRIVAL_SPAN);
        let mut recent = self.samples.iter().filter(|sample| sample.at >= since);
        let (at, then) =
            recent.find_map(|sample| Some((sample.at, sample.totals?))).ok_or(Unknown::NotAsked)?;
        let time = observation.at.saturating_sub(at);
        let arrived = u64::try_from(now.end - then.end).ok();
        match arrived.filter(|_| time >= ARRIVAL_LEAST && now.partitions == then.partitions) {
            Some(arrived) => Ok(Rate::of(arrived, time)),
            None => Err(Unknown::NotAsked),
        }
    }

    /// The partitions with lag that nobody reads, though the group has members: more listeners do not help them.
    pub(super) fn stuck(&self, observation: &Observation) -> Stuck {
        let Ok(topic) = &observation.offsets else { return Stuck::default() };
        let mut stuck = Stuck::default();
        for (partition, offsets) in &topic.partitions {
            let (Ok(offsets), Some((position, since))) = (offsets, self.positions.get(partition)) else {
                continue;
            };
            let stands = offsets.position() == *position && *since + STUCK_AFTER <= observation.at;
            if let Ok(lag @ 1..) = offsets.lag()
                && stands
                && observation.replicas.ready > 0
                && !self.is_another_topic(observation)
            {
                stuck.partitions += 1;
                stuck.lag = stuck.lag.saturating_add(lag);
            }
        }
        stuck
    }

    /// How often the number of listeners changed in the hour before.
    pub(crate) fn changes(&self, observation: &Observation) -> u32 {
        let recent = self.changes.iter().filter(|at| **at + HOUR > observation.at).count();
        let changed_now = self.samples.back().is_some_and(|last| last.wanted != observation.replicas.wanted);
        u32::try_from(recent).unwrap_or(u32::MAX).saturating_add(u32::from(changed_now))
    }

    /// The most listeners that were needed in a window until now; `None` unless all of it was seen, and known.
    pub(super) fn most_needed_within(&self, window: Duration, now: Duration) -> Option<u32> {
        self.needs.most_within(window, now)
    }

    /// Learns what a listener reaches, from times in which the number of listeners stayed.
    fn learn(&mut self, observation: &Observation, policy: &Policy) {
        let Some(offsets) = known_offsets(observation).filter(|_| self.is_settled(observation)) else {
            self.span = None;
            return;
        };
        let fresh = Span { began: observation.at, ready: observation.replicas.ready, offsets };
        let Some(span) = self.span.take().filter(|span| span.ready == fresh.ready) else {
            self.span = Some(fresh);
            return;
        };
        if observation.at.saturating_sub(span.began) < RATE_SPAN {
            self.span = Some(span);
            return;
        }
        if let Some(work) = Work::between(&span, &fresh, policy.target_age) {
            let known = self.learned.map_or(policy.prior, |learned| learned.rate);
            let rate = work.teach(known).max(policy.prior.shared_by(SLOWEST_PART));
            if rate != known {
                self.learned = Some(Learned { rate });
            }
        }
        self.span = Some(fresh);
    }

    /// Whether as many listeners as wanted have worked for a while.
    fn is_settled(&self, observation: &Observation) -> bool {
        let Group { state, .. } = match observation.group {
            Ok(group) => group,
            Err(_) => Group { state: GroupState::Stable, members: 0 },
        };
        let changed = self.changes.back().is_some_and(|at| *at + SETTLING > observation.at);
        let replicas = observation.replicas;
        state == GroupState::Stable && !changed && replicas.ready > 0 && replicas.ready == replicas.wanted
    }

    /// Notes which partitions move.
    fn follow(&mut self, observation: &Observation) {
        let Ok(topic) = &observation.offsets else { return };
        for (partition, offsets) in &topic.partitions {
            let Ok(position) = offsets.as_ref().map(Offsets::position) else { continue };
            let stands = self.positions.entry(*partition).or_insert((position, observation.at));
            let has_lag = offsets.as_ref().is_ok_and(|offsets| offsets.last_stable > position);
            // Where there is nothing to read, standing is no fault.
            if stands.0 != position || !has_lag {
                *stands = (position, observation.at);
            }
        }
    }

    fn is_another_topic(&self, observation: &Observation) -> bool {
        observation.offsets.as_ref().is_ok_and(|topic| topic.topic_id != self.topic_id)
    }

    /// Offsets of a topic that was made anew cannot be compared with those of the one before.
    fn forget_another_topic(&mut self, observation: &Observation) {
        if let Ok(TopicOffsets { topic_id, .. }) = &observation.offsets
            && *topic_id != self.topic_id
        {
            self.topic_id.clone_from(topic_id);
            self.positions.clear();
            self.span = None;
            for sample in &mut self.samples {
                sample.totals = None;
            }
        }
    }
}

/// `None` when any of it is unknown.
fn totals(observation: &Observation) -> Option<Totals> {
    let topic = observation.offsets.as_ref().ok()?;
    let mut totals = Totals { partitions: observation.partitions()?, end: 0 };
    for offsets in topic.partitions.values() {
        let offsets = offsets.as_ref().ok()?;
        offsets.lag().ok()?;
        totals.end = totals.end.saturating_add(offsets.last_stable);
    }
    Some(totals)
}

/// `None` when any of it is unknown, or was never committed.
fn known_offsets(observation: &Observation) -> Option<BTreeMap<i32, Offsets>> {
    let topic = observation.offsets.as_ref().ok()?;
    let known = topic.partitions.iter().map(|(partition, offsets)| {
        let offsets = offsets.as_ref().ok().filter(|offsets| offsets.committed.is_some())?;
        Some((*partition, *offsets))
    });
    known.collect()
}
