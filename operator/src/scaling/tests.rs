//! Properties of the decision, some of single ones and some of a pipeline that is simulated second by second.

use proptest::prelude::*;

use super::*;
use crate::lag::{Offsets, Reading, TopicOffsets};

pub(crate) const POLICY: Policy = Policy {
    mode: Mode::Auto,
    declared: 1,
    min_replicas: 1,
    max_replicas: 12,
    target_age: Duration::from_secs(5),
    catch_up: Duration::from_mins(1),
    max_rebalances_per_hour: 12,
    window: Policy::WINDOW,
    prior: Policy::PRIOR,
};

fn topic(partitions: impl IntoIterator<Item = Reading<Offsets>>) -> TopicOffsets {
    TopicOffsets { topic_id: "topic".into(), partitions: (0..).zip(partitions).collect() }
}

fn seen(at: u64, wanted: u32, lags: &[i64]) -> Observation {
    let offsets = |lag: &i64| Ok(Offsets { committed: Some(0), log_start: 0, last_stable: *lag });
    let replicas = Replicas { wanted, ready: wanted };
    Observation {
        offsets: Ok(topic(lags.iter().map(offsets))),
        ..Observation::unknown(Duration::from_secs(at), replicas)
    }
}

/// A pipeline: records arrive evenly, and each listener records at most so many a second of its partitions.
struct Pipeline {
    policy: Policy,
    history: History,
    second: u64,
    arrivals: i64,
    listener: i64,
    wanted: u32,
    logs: Vec<Offsets>,
    /// Partitions that nobody can read.
    stopped: Vec<usize>,
    kafka_away: bool,
    writes: Vec<(u64, u32, Reason)>,
}

impl Pipeline {
    fn new(policy: Policy, partitions: usize, arrivals: i64, listener: i64) -> Self {
        Self {
            policy,
            history: History::default(),
            second: 0,
            arrivals,
            listener,
            wanted: 1,
            logs: vec![Offsets { committed: Some(0), log_start: 0, last_stable: 0 }; partitions],
            stopped: vec![],
            kafka_away: false,
            writes: vec![],
        }
    }

    fn backlog(&mut self, records: i64) {
        let partitions = i64::try_from(self.logs.len()).unwrap();
        for log in &mut self.logs {
            log.last_stable += records / partitions;
        }
    }

    fn observation(&self) -> Observation {
        let replicas = Replicas { wanted: self.wanted, ready: self.wanted };
        let offsets = if self.kafka_away {
            Err(Unknown::Away("gone".into()))
        } else {
            Ok(topic(self.logs.iter().copied().map(Ok)))
        };
        Observation { offsets, ..Observation::unknown(Duration::from_secs(self.second), replicas) }
    }

    fn step(&mut self) -> Decision {
        let partitions = i64::try_from(self.logs.len()).unwrap();
        for (log, index) in self.logs.iter_mut().zip(0..) {
            let now = i64::try_from(self.second).unwrap() + index;
            log.last_stable += self.arrivals * (now + 1) / partitions - self.arrivals * now / partitions;
        }
        for listener in 0..self.wanted as usize {
            let mut left = self.listener;
            for (index, log) in self.logs.iter_mut().enumerate().skip(listener).step_by(self.wanted as usize)
            {
                if self.stopped.contains(&index) {
                    continue;
                }
                let taken = left.min(log.last_stable - log.position());
                log.committed = Some(log.position() + taken);
                left -= taken;
            }
        }
        let observation = self.observation();
        let decision = decide(&self.history, &observation, &self.policy);
        self.history.record(&observation, &decision, &self.policy);
        if let Some(replicas) = decision.write() {
            self.wanted = replicas;
            self.writes.push((self.second, replicas, decision.reason.clone()));
        }
        self.second += 1;
        decision
    }

    fn run(&mut self, seconds: u64) -> Decision {
        (1..seconds).for_each(|_| drop(self.step()));
        self.step()
    }

    fn replicas(&self) -> Vec<u32> {
        self.writes.iter().map(|(_, replicas, _)| *replicas).collect()
    }
}

#[test]
fn a_backlog_goes_up_in_one_jump_and_back_down_once_it_was_drained_for_a_window() {
    let mut pipeline = Pipeline::new(POLICY, 12, 100, 1_000);
    pipeline.run(60);
    assert_eq!(pipeline.replicas(), [] as [u32; 0]);
    pipeline.backlog(300_000);
    pipeline.run(60);
    assert_eq!(pipeline.replicas(), [12], "{:?}", pipeline.writes);
    pipeline.run(900);
    assert_eq!(pipeline.replicas(), [12, 1], "{:?}", pipeline.writes);
    let [(up, ..), (down, _, reason)] = &pipeline.writes[..] else { unreachable!() };
    assert!(down - up >= 300 && *reason == Reason::Idle, "{:?}", pipeline.writes);
}

#[test]
fn more_than_one_listener_records_needs_more_and_keeps_them() {
    let mut pipeline = Pipeline::new(POLICY, 12, 2_500, 1_000);
    pipeline.run(3_600);
    let last = pipeline.writes.last().unwrap().1;
    assert!((4..=6).contains(&last), "{:?}", pipeline.writes);
    assert!(pipeline.observation().lag().unwrap() < 12_500, "{:?}", pipeline.observation());
}

#[test]
fn a_listener_that_reaches_more_than_supposed_is_soon_known_to() {
    let mut pipeline = Pipeline::new(Policy { max_replicas: 2, ..POLICY }, 12, 500, 20_000);
    pipeline.backlog(2_400_000);
    pipeline.run(60);
    let learned = pipeline.history.learned().unwrap();
    assert!(learned.rate > Rate::per_second(5_000), "{learned:?}");
}

#[test]
fn unknown_is_not_zero_and_holds_for_a_window_after_it_is_known_again() {
    let mut pipeline = Pipeline::new(Policy { min_replicas: 4, ..POLICY }, 12, 100, 1_000);
    pipeline.run(60);
    pipeline.policy.min_replicas = 1;
    pipeline.kafka_away = true;
    let decision = pipeline.run(1_000);
    assert_eq!((decision.replicas, decision.reason), (4, Reason::Unknown(Unknown::Away("gone".into()))));
    pipeline.kafka_away = false;
    assert_eq!(pipeline.run(299).replicas, 4);
    assert_eq!(pipeline.run(60).replicas, 1, "{:?}", pipeline.writes);
}

#[test]
fn a_window_of_hours_ends_as_well() {
    let policy = Policy { window: Duration::from_hours(2), ..POLICY };
    let mut pipeline = Pipeline::new(policy, 12, 100, 1_000);
    pipeline.wanted = 4;
    let decision = pipeline.run(7_200);
    assert_eq!((decision.replicas, decision.reason), (4, Reason::Window));
    assert_eq!(pipeline.run(60).replicas, 1, "{:?}", pipeline.writes);
}

#[test]
fn a_known_backlog_scales_out_though_another_partition_is_unknown() {
    let mut observation = seen(0, 1, &[100_000, 100_000, 0, 0]);
    let topic = observation.offsets.as_mut().unwrap();
    topic.partitions.insert(3, Err(Unknown::Away("no leader".into())));
    let decision = decide(&History::default(), &observation, &POLICY);
    assert_eq!((decision.replicas, decision.reason), (4, Reason::Backlog));
}

#[test]
fn partitions_that_stand_still_ask_for_no_listener_and_lose_none() {
    let mut pipeline = Pipeline::new(POLICY, 12, 120, 1_000);
    pipeline.stopped = vec![3];
    pipeline.backlog(1_200);
    let decision = pipeline.run(7_200);
    assert_eq!(pipeline.replicas(), [] as [u32; 0], "{:?}", pipeline.writes);
    assert_eq!(decision.inputs.stuck_partitions, 1);
    assert!(decision.inputs.lag.unwrap() > 70_000);
}

#[test]
fn the_budget_of_changes_is_kept_and_one_change_of_it_for_a_backlog() {
    let policy = Policy { max_rebalances_per_hour: 3, window: Duration::from_mins(1), ..POLICY };
    let mut pipeline = Pipeline::new(policy, 12, 100, 1_000);
    for _ in 0..10 {
        pipeline.backlog(300_000);
        pipeline.run(300);
    }
    assert_eq!(pipeline.replicas(), [6, 1, 12], "{:?}", pipeline.writes);
    assert_eq!(pipeline.run(1).reason, Reason::BudgetSpent);
}

#[test]
fn the_bounds_hold_whatever_is_known() {
    let unknown = |wanted| Observation::unknown(Duration::ZERO, Replicas { wanted, ready: 0 });
    let policy = Policy { min_replicas: 3, max_replicas: 5, ..POLICY };
    let decide = |wanted| decide(&History::default(), &unknown(wanted), &policy);
    assert_eq!((decide(0).replicas, decide(0).reason), (3, Reason::BelowMinimum));
    assert_eq!((decide(9).replicas, decide(9).reason), (5, Reason::AboveMaximum));
    assert_eq!(decide(4).replicas, 4);
}

#[test]
fn there_are_never_more_listeners_than_partitions() {
    let decide = |wanted| decide(&History::default(), &seen(0, wanted, &[1_000_000; 5]), &POLICY);
    assert_eq!((decide(1).replicas, decide(1).reason), (5, Reason::Backlog));
    assert_eq!((decide(5).replicas, decide(5).reason), (5, Reason::PartitionBound));
}

#[test]
fn a_declared_number_is_written_as_it_is_and_a_recommended_one_is_not_written() {
    let observation = seen(0, 1, &[1_000_000; 12]);
    let with = |mode| decide(&History::default(), &observation, &Policy { mode, ..POLICY });
    assert_eq!(with(Mode::Fixed(20)).write(), Some(20));
    assert_eq!(with(Mode::External(1)).write(), None);
    assert_eq!((with(Mode::Recommend).replicas, with(Mode::Recommend).write()), (12, None));
    assert_eq!(with(Mode::Auto).write(), Some(12));
}

#[test]
fn of_a_declared_number_above_the_most_it_is_said_how_many_run_and_why() {
    for mode in [Mode::Fixed(12), Mode::External(12)] {
        let policy = Policy { mode, declared: 24, ..POLICY };
        let decision = decide(&History::default(), &seen(0, 12, &[0; 24]), &policy);
        assert_eq!((decision.replicas, &decision.reason), (12, &Reason::DeclaredAboveMaximum));
        assert_eq!(
            decision.to_string(),
            "12 listeners: 24 are declared, and only 12 run: the topic's partitions and mysql.maxConnections admit no more"
        );
    }
    let policy = Policy { mode: Mode::Fixed(12), declared: 12, ..POLICY };
    assert_eq!(decide(&History::default(), &seen(0, 12, &[0; 24]), &policy).reason, Reason::Declared);
}

#[test]
fn a_maximum_is_said_with_all_that_sets_it() {
    let said = |max_replicas, wanted| {
        let policy = Policy { max_replicas, ..POLICY };
        decide(&History::default(), &seen(0, wanted, &[1_000_000; 12]), &policy).to_string()
    };
    let causes = "(the least of listener.scaling.maxReplicas, the topic's partitions and what mysql.maxConnections admits)";
    for (said, begins) in [
        (said(6, 6), format!("6 listeners: the maximum of 6 {causes} is reached; 13 are needed for ")),
        // Seven to eleven listeners leave one of them two of twelve partitions, as six do.
        (said(10, 6), format!("6 listeners: no number up to the maximum of 10 {causes} helps more; 13 are ")),
        (said(6, 9), format!("9 to 6 listeners: at most 6 {causes} may run")),
    ] {
        assert!(said.starts_with(&begins), "{said}");
    }
}

#[test]
fn a_decision_says_what_and_why_and_can_be_kept() {
    let decision = decide(&History::default(), &seen(0, 1, &[25_000; 12]), &POLICY);
    assert_eq!(
        decision.to_string(),
        "1 to 6 listeners: a backlog of 300000 records; one listener is taken to record 1000/s"
    );
    let kept = serde_json::to_string(&decision).unwrap();
    assert_eq!(serde_json::from_str::<Decision>(&kept).unwrap(), decision);
}

fn policies() -> impl Strategy<Value = Policy> {
    (1..10_u32, 0..30_u32, 1..120_u64, 1..600_u64).prop_map(|(least, more, age, catch_up)| Policy {
        min_replicas: least,
        max_replicas: least + more,
        target_age: Duration::from_secs(age),
        catch_up: Duration::from_secs(catch_up),
        ..POLICY
    })
}

/// Lags, the first of which may be unknown.
fn lags() -> impl Strategy<Value = (Vec<i64>, bool)> {
    (proptest::collection::vec(0..10_000_000_i64, 1..60), any::<bool>())
}

fn partly_known(at: u64, wanted: u32, (lags, unknown): &(Vec<i64>, bool)) -> Observation {
    let mut observation = seen(at, wanted, lags);
    if *unknown {
        observation.offsets.as_mut().unwrap().partitions.insert(0, Err(Unknown::NotAsked));
    }
    observation
}

proptest! {
    #[test]
    fn more_lag_never_gives_fewer_listeners(
        policy in policies(), wanted in 1..40_u32, lags in lags(), partition: usize, more in 0..10_000_000_i64,
    ) {
        let less = decide(&History::default(), &partly_known(0, wanted, &lags), &policy);
        let (mut larger, unknown) = lags;
        let partition = partition % larger.len();
        larger[partition] += more;
        let more = decide(&History::default(), &partly_known(0, wanted, &(larger, unknown)), &policy);
        prop_assert!(more.replicas >= less.replicas, "{less:?} {more:?}");
    }

    #[test]
    fn the_number_is_always_within_the_bounds_and_the_same_for_the_same(
        policy in policies(), wanted in 0..40_u32, lags in lags(),
    ) {
        let observation = partly_known(0, wanted, &lags);
        let decision = decide(&History::default(), &observation, &policy);
        prop_assert_eq!(&decision, &decide(&History::default(), &observation, &policy));
        let partitions = u32::try_from(lags.0.len()).unwrap();
        prop_assert!(decision.replicas <= policy.max_replicas);
        prop_assert!(decision.replicas >= policy.min_replicas.min(partitions));
        // Listeners that there are already may stay, as long as nobody knows.
        prop_assert!(decision.replicas <= partitions.max(wanted));
        prop_assert!(decision.replicas <= partitions || decision.reason == Reason::Unknown(Unknown::NotAsked)
            || decision.inputs.arrival.is_err(), "{:?}", decision);
    }

    #[test]
    fn what_is_unknown_never_scales_in(
        min_replicas in 1..5_u32, wanted in 1..13_u32, history in 0..700_u64, lags in proptest::collection::vec(0..100_i64, 12),
    ) {
        let policy = Policy { min_replicas, ..POLICY };
        let mut past = History::default();
        for at in 0..history {
            let observation = seen(at, wanted, &[0; 12]);
            let decision = decide(&past, &observation, &policy);
            past.record(&observation, &decision, &policy);
        }
        let decision = decide(&past, &partly_known(history, wanted, &(lags, true)), &policy);
        prop_assert!(decision.replicas >= wanted, "{decision:?}");
        let nothing = Observation::unknown(Duration::from_secs(history), Replicas { wanted, ready: wanted });
        prop_assert!(decide(&past, &nothing, &policy).replicas >= wanted);
    }

    #[test]
    fn fewer_come_only_after_a_window_in_which_nothing_asked_for_more(
        wanted in 2..13_u32, busy in 0..300_u64, idle in 0..700_u64,
    ) {
        let mut history = History::default();
        for at in 0..busy + idle {
            // While it is busy, it needs all of them.
            let observation = seen(at, wanted, &[if at < busy { 1_000_000 } else { 0 }; 12]);
            let decision = decide(&history, &observation, &POLICY);
            history.record(&observation, &decision, &POLICY);
            if decision.replicas < wanted {
                prop_assert!(at >= busy + 300, "at {at}: {decision:?}");
            }
        }
    }

    #[test]
    fn a_constant_load_never_goes_up_and_down(arrivals in 0..14_000_i64, listener in 200..5_000_i64, partitions in 1..40_usize) {
        let policy = Policy { max_replicas: 40, ..POLICY };
        let mut pipeline = Pipeline::new(policy, partitions, arrivals, listener);
        pipeline.run(3_600);
        let settled = pipeline.replicas().len();
        pipeline.run(3_600);
        prop_assert_eq!(pipeline.replicas().len(), settled, "{:?}", pipeline.writes);
        // Out at first, in once at most when it is known what a listener reaches.
        let replicas: Vec<_> = std::iter::once(1).chain(pipeline.replicas()).collect();
        let turns = replicas.windows(3).filter(|three| (three[0] < three[1]) != (three[1] < three[2])).count();
        prop_assert!(turns <= 1, "{:?}", pipeline.writes);
    }
}
