//! What happens, step by step: first anything, then nothing bad any more, until all is calm.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::{Duration, Instant},
};

use fluxo_core::{Position, Timestamp, TopicId, TransactionId};
use fluxo_store::{
    offsets::StoredOffset,
    record::{AccountKey, Tail},
};
use uuid::Uuid;

use crate::{
    Mutant,
    database::{Faults, Row, Tables},
    kafka::{Kafka, Log, PARTITIONS, index, topic_id},
    listener::{Counts, Listener, Outside, all_partitions},
    verdict,
};

/// How many listeners there are.
const LISTENERS: usize = 3;
/// How many steps of anything there are, at most.
const STEPS_MOST: usize = 600;
/// How many steps all may take to become calm. Each is one of one listener.
const CALM_MOST: usize = 60_000;
/// When it begins, by the clock: 2026-11-21.
const BEGINS_MICROS: i64 = 1_795_219_200_000_000;

/// What a run was like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// Records that were sent.
    pub records: u64,
    /// Rows at the end.
    pub rows: u64,
    /// What was seen of batches.
    pub batches: Counts,
}

/// What a person has decided about a topic.
#[derive(Default)]
pub(crate) struct Past {
    /// By incarnation and partition: how far it was read when it was given up.
    pub(crate) ends: BTreeMap<(u32, i32), i64>,
    /// Records that were deleted unread, and given up.
    pub(crate) given_up: BTreeMap<(u32, i32), Vec<(i64, i64)>>,
    /// The logs of topics that were made anew since.
    pub(crate) logs: Vec<Vec<Log>>,
}

impl Summary {
    /// Both together.
    pub fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.rows += other.rows;
        self.batches.add(&other.batches);
    }
}

struct World {
    outside: Outside,
    listeners: Vec<Listener>,
    owners: Vec<usize>,
    now: Instant,
    began: Instant,
    /// How far the clock is from the time that passes, in microseconds.
    skew: i64,
    past: Past,
    summary: Summary,
    weights: Weights,
}

/// How likely each kind of step is. A run has only some kinds, so that each kind also meets few others.
struct Weights(Vec<(u32, Step)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Produce,
    Turn,
    Wait,
    WaitLong,
    Rebalance,
    LoseWithoutNotice,
    Hear,
    Freeze,
    Thaw,
    Crash,
    BreakFetch,
    FetchOld,
    FetchAgain,
    Expire,
    EndLimbo,
    DatabaseAway,
    KafkaAway,
    MakeTopicAnew,
    DeleteRecords,
    DecideAsPerson,
    MoveClock,
    Upgrade,
}

/// Those that a run always has, and those that it may have, each with how likely it is then.
const ALWAYS: [(u32, Step); 6] = [
    (60, Step::Produce),
    (240, Step::Turn),
    (40, Step::Wait),
    (4, Step::WaitLong),
    (4, Step::DecideAsPerson),
    (8, Step::EndLimbo),
];
const SOMETIMES: [(u32, Step); 14] = [
    (6, Step::Rebalance),
    (6, Step::LoseWithoutNotice),
    (3, Step::Freeze),
    (3, Step::Crash),
    (4, Step::BreakFetch),
    (6, Step::FetchOld),
    (6, Step::FetchAgain),
    (3, Step::Expire),
    (2, Step::DatabaseAway),
    (2, Step::KafkaAway),
    (1, Step::MakeTopicAnew),
    (1, Step::DeleteRecords),
    (3, Step::MoveClock),
    (1, Step::Upgrade),
];

/// Runs what a seed stands for.
///
/// # Errors
/// What does not hold.
pub fn simulate(seed: u64, mutant: Option<Mutant>) -> Result<Summary, String> {
    let mut world = World::new(seed, mutant);
    let steps = world.rng(|rng| rng.usize(50..STEPS_MOST));
    for _ in 0..steps {
        let step = world.rng(|rng| world.weights.choose(rng));
        world.step(step)?;
    }
    world.calm_down()?;
    verdict::all(&world.outside.kafka.borrow(), &world.outside.tables.borrow(), &world.past)?;
    world.summary.rows = world.outside.tables.borrow().rows.len() as u64;
    Ok(world.summary)
}

impl World {
    fn new(seed: u64, mutant: Option<Mutant>) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let weights = Weights::some(&mut rng);
        let rate = |rng: &mut fastrand::Rng| if rng.bool() { rng.u8(..24) } else { 0 };
        let faults = Faults {
            fails: rate(&mut rng),
            lost_reply: rate(&mut rng),
            late_commit: rate(&mut rng),
            is_away: false,
        };
        let mut tables = Tables::default();
        tables.insert(rich());
        let outside = Outside {
            kafka: Rc::new(RefCell::new(Kafka::new())),
            kafka_is_away: Rc::default(),
            tables: Rc::new(RefCell::new(tables)),
            faults: Rc::new(Cell::new(faults)),
            rng: Rc::new(RefCell::new(rng)),
            sessions: Rc::default(),
            mutant,
        };
        let now = Instant::now();
        let mut world = Self {
            outside,
            listeners: (0..LISTENERS).map(|_| Listener::new(false)).collect(),
            owners: all_partitions().map(|partition| index(partition) % LISTENERS).collect(),
            now,
            began: now,
            skew: 0,
            past: Past::default(),
            summary: Summary::default(),
            weights,
        };
        for partition in all_partitions() {
            world.owner(partition).assign(partition, now);
        }
        world
    }

    fn rng<T>(&self, use_it: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        use_it(&mut self.outside.rng.borrow_mut())
    }

    fn clock(&self) -> Timestamp {
        let passed = i64::try_from((self.now - self.began).as_micros()).expect("a run is short");
        Timestamp::from_micros(BEGINS_MICROS + passed + self.skew).expect("it is in our time")
    }

    fn owner(&mut self, partition: i32) -> &mut Listener {
        &mut self.listeners[self.owners[index(partition)]]
    }

    fn step(&mut self, step: Step) -> Result<(), String> {
        let (now, clock) = (self.now, self.clock());
        let partition = self.rng(|rng| rng.i32(0..PARTITIONS));
        let number = self.rng(|rng| rng.usize(..LISTENERS));
        let outside = self.outside.clone();
        match step {
            Step::Produce => self.produce(clock),
            Step::Turn => return self.turn(number),
            Step::Wait => self.now += Duration::from_millis(self.rng(|rng| rng.u64(1..10))),
            Step::WaitLong => self.now += Duration::from_secs(11),
            Step::Rebalance => self.give(partition, number, true),
            Step::LoseWithoutNotice => self.give(partition, number, false),
            Step::Hear => self.listeners[number].revoke_untold(now),
            Step::Freeze => self.listeners[number].frozen = true,
            Step::Thaw => self.listeners[number].frozen = false,
            Step::Crash => self.crash(number),
            Step::BreakFetch => self.listeners[number].break_fetch(partition, now),
            Step::FetchOld => self.listeners[number].fetch_old(&outside, partition, now),
            Step::FetchAgain => self.listeners[number].fetch_again(&outside, partition, now),
            Step::Expire => self.listeners[number].expire(partition),
            Step::EndLimbo => self.rng(|rng| self.outside.tables.borrow_mut().end_limbo(rng)),
            Step::DatabaseAway => {
                let mut faults = outside.faults.get();
                faults.is_away = !faults.is_away;
                outside.faults.set(faults);
            }
            Step::KafkaAway => outside.kafka_is_away.set(!outside.kafka_is_away.get()),
            Step::MakeTopicAnew => self.make_topic_anew(),
            Step::DeleteRecords => {
                let mut kafka = outside.kafka.borrow_mut();
                let log = &mut kafka.logs[index(partition)];
                log.start = self.rng(|rng| rng.i64(log.start..=log.end()));
            }
            Step::DecideAsPerson => self.decide(),
            Step::MoveClock => self.skew += self.rng(|rng| rng.i64(-60_000_000..60_000_000)),
            Step::Upgrade => self.listeners[number].upgraded = true,
        }
        Ok(())
    }

    fn produce(&mut self, clock: Timestamp) {
        let count = self.rng(|rng| rng.u64(1..4));
        for _ in 0..count {
            self.rng(|rng| self.outside.kafka.borrow_mut().produce(rng, clock));
        }
        self.summary.records += count;
    }

    fn turn(&mut self, number: usize) -> Result<(), String> {
        let (now, clock) = (self.now, self.clock());
        if self.listeners[number].frozen {
            return Ok(());
        }
        self.listeners[number].turn(&self.outside, now, clock, &mut self.summary.batches)
    }

    /// The group gives a partition to a listener. The one before may not hear of it for a while.
    fn give(&mut self, partition: i32, to: usize, tells: bool) {
        let (now, from) = (self.now, self.owners[index(partition)]);
        if from != to {
            if tells && !self.listeners[from].frozen {
                self.listeners[from].revoke(partition, now);
            } else {
                self.listeners[from].untold.insert(partition);
            }
            self.owners[index(partition)] = to;
            self.listeners[to].assign(partition, now);
        }
    }

    /// A process ends, and another begins in its place.
    fn crash(&mut self, number: usize) {
        let now = self.now;
        self.listeners[number] = Listener::new(self.listeners[number].upgraded);
        for partition in all_partitions().filter(|partition| self.owners[index(*partition)] == number) {
            self.listeners[number].assign(partition, now);
        }
    }

    fn make_topic_anew(&mut self) {
        let mut kafka = self.outside.kafka.borrow_mut();
        self.past.logs.push(std::mem::take(&mut kafka.logs));
        kafka.make_anew();
    }

    /// A person decides where partitions go on, if one waits for that: `listener adopt`.
    fn decide(&mut self) {
        let mut tables = self.outside.tables.borrow_mut();
        // What is in limbo holds the rows that it would change.
        if tables.has_limbo() || !self.listeners.iter().any(Listener::waits_for_a_person) {
            return;
        }
        let kafka = self.outside.kafka.borrow();
        let found = kafka.identity();
        for partition in all_partitions() {
            let log = kafka.log(partition);
            let Some(stored) = tables.offsets.get(&partition).cloned() else { continue };
            let next_offset = if stored.topic_id == found.topic_id {
                if stored.next_offset < log.start {
                    let given_up = self.past.given_up.entry((kafka.incarnation, partition)).or_default();
                    given_up.push((stored.next_offset, log.start));
                }
                stored.next_offset.max(log.start)
            } else {
                self.past.give_up(&stored.topic_id, partition, stored.next_offset);
                tables.begun.insert((found.topic_id.clone(), partition), log.start);
                log.start
            };
            let cluster_id = found.cluster_id.clone();
            let decided = StoredOffset { cluster_id, topic_id: found.topic_id.clone(), next_offset };
            tables.offsets.insert(partition, decided);
        }
    }

    /// Nothing bad happens any more; all that was sent must become what it can be.
    fn calm_down(&mut self) -> Result<(), String> {
        self.outside.faults.set(Faults::default());
        self.outside.kafka_is_away.set(false);
        for listener in &mut self.listeners {
            (listener.frozen, listener.upgraded) = (false, true);
            listener.revoke_untold(self.now);
        }
        for turn in 0..CALM_MOST {
            if self.is_done() {
                return Ok(());
            }
            let number = turn % LISTENERS;
            self.turn(number)?;
            if turn % 16 == 0 {
                self.now += Duration::from_millis(6);
                self.rng(|rng| self.outside.tables.borrow_mut().end_limbo(rng));
                self.decide();
            }
            if turn % 512 == 0 {
                self.now += Duration::from_secs(11);
            }
        }
        let stored = &self.outside.tables.borrow().offsets;
        let states: Vec<_> = self.listeners.iter().map(Listener::state).collect();
        Err(format!("does not become calm: {stored:?}, {states:?}, owned by {:?}", self.owners))
    }

    /// Whether all that is on Kafka was read.
    fn is_done(&self) -> bool {
        let (kafka, tables) = (self.outside.kafka.borrow(), self.outside.tables.borrow());
        let id = kafka.identity().topic_id;
        !tables.has_limbo()
            && all_partitions().all(|partition| {
                let stored = tables.offsets.get(&partition);
                stored.is_some_and(|stored| {
                    stored.topic_id == id && stored.next_offset == kafka.log(partition).end()
                })
            })
    }
}

impl Past {
    fn give_up(&mut self, id: &TopicId, partition: i32, end: i64) {
        let incarnations = 0..u32::try_from(self.logs.len()).expect("a run is short");
        if let Some(incarnation) = incarnations.into_iter().find(|incarnation| topic_id(*incarnation) == *id)
        {
            self.ends.insert((incarnation, partition), end);
        }
    }
}

impl Weights {
    fn some(rng: &mut fastrand::Rng) -> Self {
        let mut chosen = ALWAYS.to_vec();
        for (weight, step) in SOMETIMES {
            if rng.u8(..3) == 0 {
                chosen.push((weight, step));
                // What goes away comes back.
                match step {
                    Step::Freeze => chosen.push((2 * weight, Step::Thaw)),
                    Step::LoseWithoutNotice => chosen.push((weight, Step::Hear)),
                    _ => {}
                }
            }
        }
        Self(chosen)
    }

    fn choose(&self, rng: &mut fastrand::Rng) -> Step {
        let total: u32 = self.0.iter().map(|(weight, _)| weight).sum();
        let mut left = rng.u32(..total);
        for (weight, step) in &self.0 {
            if left < *weight {
                return *step;
            }
            left -= weight;
        }
        Step::Turn
    }
}

/// A row from before, that leaves an account little room below the most that can be kept.
fn rich() -> Row {
    let [account, currency] = ["conta-5", "JPY"];
    let balance = i64::MAX - 2_500_000_000_000_000;
    Row {
        id: TransactionId::from(Uuid::from_u128(u128::MAX)),
        key: AccountKey {
            account: fluxo_core::Account::parse(account).expect("it is one"),
            currency: fluxo_core::Currency::parse(currency).expect("it is one"),
        },
        kind: fluxo_core::Kind::Entrada,
        minor: balance,
        content_hash: [0; 32].into(),
        tail: Tail { account_seq: 1, balance, recorded_at: Timestamp::from_micros(BEGINS_MICROS) },
        topic_id: TopicId::parse("before").expect("it is one"),
        position: Position { partition: 0, offset: 0 },
    }
}
