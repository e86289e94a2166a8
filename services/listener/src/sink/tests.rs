//! The sink against a model of Kafka and the database: what is asked of it comes in any order, and anything may fail.

use fluxo_core::{Position, TopicId, quarantine::Reason};
use fluxo_store::record::{Content, RawRecord};
use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits {
    batch_records: 4,
    linger: Duration::from_millis(5),
    stopped_retry: Duration::from_secs(5),
    look_again: Duration::from_secs(30),
};

fn entry(partition: i32, offset: i64) -> Entry {
    let raw = RawRecord::default();
    Entry { position: Position { partition, offset }, content: Content::Refused(Reason::NotOurs), raw }
}

fn fetched(partition: i32, offset: i64, epoch: Epoch) -> Event {
    Event::Fetched { epoch, record: Fetched::Entry(Box::new(entry(partition, offset))) }
}

fn resolved(partition: i32, resolution: Resolution) -> Event {
    resolved_of("t1", partition, resolution)
}

fn resolved_of(topic: &str, partition: i32, resolution: Resolution) -> Event {
    let topic_id = TopicId::parse(topic).unwrap();
    Event::Resolved(Ok(Resolved { topic_id, partitions: vec![(partition, resolution)] }))
}

/// A sink that fetches partition 0 from an offset, and the name of that fetch.
fn fetching(from: i64, now: Instant) -> (Sink, Epoch) {
    let mut sink = Sink::new(LIMITS);
    sink.handle(Event::Assigned(vec![0]), now);
    assert_eq!(next(&mut sink, now), Some(Action::Resolve(vec![0])));
    sink.handle(resolved(0, Resolution::Start(from)), now);
    let Some(Action::Fetch { partition: 0, offset, epoch }) = next(&mut sink, now) else {
        panic!("it fetches")
    };
    assert_eq!(offset, from);
    (sink, epoch)
}

/// What it does next besides telling lag tools.
fn next(sink: &mut Sink, now: Instant) -> Option<Action> {
    loop {
        match sink.action(now) {
            Some(Action::Committed { .. }) => {}
            action => return action,
        }
    }
}

/// The batch that it writes next: its moves and the offsets of its records.
fn written(sink: &mut Sink, now: Instant) -> (Vec<Move>, Vec<Entry>) {
    match next(sink, now) {
        Some(Action::Write { moves, entries, .. }) => (moves, entries),
        other => panic!("it does not write: {other:?}"),
    }
}

#[test]
fn nothing_is_fetched_before_its_offset_was_read() {
    let now = Instant::now();
    let mut sink = Sink::new(LIMITS);
    assert_eq!(next(&mut sink, now), None);
    sink.handle(Event::Assigned(vec![0, 1]), now);
    assert_eq!(next(&mut sink, now), Some(Action::Resolve(vec![0, 1])));
    assert_eq!(next(&mut sink, now), None);
}

#[test]
fn a_batch_is_written_when_it_is_full_or_old_enough() {
    let now = Instant::now();
    let (mut sink, epoch) = fetching(7, now);
    sink.handle(fetched(0, 7, epoch), now);
    assert_eq!(next(&mut sink, now), None);
    assert_eq!(sink.wake_at(), Some(now + LIMITS.linger));
    let (moves, entries) = written(&mut sink, now + LIMITS.linger);
    assert_eq!(moves, [Move { partition: 0, from: 7, to: 8 }]);
    sink.handle(Event::Written(Ok(Report::default()), entries), now);
    assert_eq!(sink.action(now), Some(Action::Committed { partition: 0, offset: 8 }));
    for offset in 8..13 {
        sink.handle(fetched(0, offset, epoch), now);
    }
    let (moves, entries) = written(&mut sink, now);
    assert_eq!((moves, entries.len()), (vec![Move { partition: 0, from: 8, to: 12 }], 4));
}

#[test]
fn what_an_earlier_fetch_brings_is_of_no_use() {
    let now = Instant::now();
    let (mut sink, old) = fetching(0, now);
    sink.handle(fetched(0, 0, old), now);
    sink.handle(Event::Revoked(vec![0]), now);
    sink.handle(Event::Assigned(vec![0]), now);
    assert_eq!(next(&mut sink, now), Some(Action::Resolve(vec![0])));
    sink.handle(fetched(0, 1, old), now);
    sink.handle(resolved(0, Resolution::Start(0)), now);
    assert!(matches!(next(&mut sink, now), Some(Action::Fetch { offset: 0, .. })));
    sink.handle(fetched(0, 2, old), now);
    assert_eq!((next(&mut sink, now + LIMITS.linger), sink.held_bytes()), (None, 0));
}

#[test]
fn a_record_that_comes_twice_is_taken_once() {
    let now = Instant::now();
    let (mut sink, epoch) = fetching(0, now);
    for offset in [0, 1, 1, 0, 2] {
        sink.handle(fetched(0, offset, epoch), now);
    }
    let (_, entries) = written(&mut sink, now + LIMITS.linger);
    let offsets: Vec<_> = entries.iter().map(|entry| entry.position.offset).collect();
    assert_eq!(offsets, [0, 1, 2]);
}

#[test]
fn after_a_lost_reply_the_offset_tells_what_was_written() {
    let now = Instant::now();
    for (found, rest) in [(0, vec![0, 1, 2]), (2, vec![2])] {
        let (mut sink, epoch) = fetching(0, now);
        sink.handle(fetched(0, 0, epoch), now);
        sink.handle(fetched(0, 1, epoch), now);
        let (_, entries) = written(&mut sink, now + LIMITS.linger);
        sink.handle(fetched(0, 2, epoch), now);
        sink.handle(Event::Written(Err(NotRecorded::Contended), entries), now);
        assert_eq!(next(&mut sink, now), None, "it waits a moment first");
        let later = sink.wake_at().unwrap();
        assert_eq!(next(&mut sink, later), Some(Action::Resolve(vec![0])));
        sink.handle(resolved(0, Resolution::Start(found)), later);
        let (moves, entries) = written(&mut sink, later + LIMITS.linger);
        assert_eq!(moves, [Move { partition: 0, from: found, to: 3 }]);
        assert_eq!(entries.iter().map(|entry| entry.position.offset).collect::<Vec<_>>(), rest);
    }
}

#[test]
fn an_offset_that_somebody_moved_away_is_fetched_from_there() {
    let now = Instant::now();
    for found in [50, 3] {
        let (mut sink, epoch) = fetching(10, now);
        sink.handle(fetched(0, 10, epoch), now);
        let (_, entries) = written(&mut sink, now + LIMITS.linger);
        sink.handle(Event::Written(Err(NotRecorded::Fenced), entries), now);
        assert_eq!(next(&mut sink, now), Some(Action::Resolve(vec![0])));
        sink.handle(resolved(0, Resolution::Start(found)), now);
        assert!(matches!(next(&mut sink, now), Some(Action::Fetch { offset, .. }) if offset == found));
        assert_eq!((next(&mut sink, now + LIMITS.linger), sink.held_bytes()), (None, 0));
    }
}

#[test]
fn a_stopped_partition_is_released_and_looked_at_again_later() {
    let now = Instant::now();
    let mut sink = Sink::new(LIMITS);
    sink.handle(Event::Assigned(vec![0]), now);
    next(&mut sink, now);
    let stop = Stop::Gap { stored: 1, log_start: 5 };
    sink.handle(resolved(0, Resolution::Stop(stop.clone())), now);
    assert_eq!(next(&mut sink, now), Some(Action::Release(0)));
    assert_eq!(sink.stopped().collect::<Vec<_>>(), [(0, &stop)]);
    assert_eq!((next(&mut sink, now), sink.wake_at()), (None, Some(now + LIMITS.stopped_retry)));
    assert_eq!(next(&mut sink, now + LIMITS.stopped_retry), Some(Action::Resolve(vec![0])));
}

#[test]
fn what_lies_before_a_newer_message_is_written_and_nothing_after_it() {
    let now = Instant::now();
    let (mut sink, epoch) = fetching(0, now);
    sink.handle(fetched(0, 0, epoch), now);
    let newer = Fetched::Newer { partition: 0, offset: 1, version: 2 };
    sink.handle(Event::Fetched { epoch, record: newer }, now);
    sink.handle(fetched(0, 2, epoch), now);
    assert_eq!(next(&mut sink, now), Some(Action::Release(0)));
    let (moves, entries) = written(&mut sink, now + LIMITS.linger);
    assert_eq!((moves, entries.len()), (vec![Move { partition: 0, from: 0, to: 1 }], 1));
}

#[test]
fn failures_in_a_row_are_tried_less_and_less_often_and_for_ever() {
    let mut now = Instant::now();
    let mut sink = Sink::new(LIMITS);
    sink.handle(Event::Assigned(vec![0]), now);
    let mut waits = Vec::new();
    for _ in 0..10 {
        assert_eq!(next(&mut sink, now), Some(Action::Resolve(vec![0])));
        sink.handle(Event::Resolved(Err(Unresolved::DatabaseAway("away".into()))), now);
        waits.push((sink.wake_at().unwrap() - now).as_millis());
        now = sink.wake_at().unwrap();
    }
    assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]);
}

#[test]
fn what_was_fetched_of_a_topic_that_was_made_anew_is_not_written_into_the_new_one() {
    let now = Instant::now();
    let (mut sink, epoch) = fetching(0, now);
    sink.handle(fetched(0, 0, epoch), now);
    sink.handle(Event::Assigned(vec![1]), now);
    assert_eq!(next(&mut sink, now), Some(Action::Resolve(vec![1])));
    // A person has adopted the new topic from its start already: its offset is the one that this batch moves.
    sink.handle(resolved_of("t2", 1, Resolution::Start(0)), now);
    assert!(matches!(next(&mut sink, now), Some(Action::Fetch { partition: 1, .. })));
    assert_eq!(
        (next(&mut sink, now + LIMITS.linger), sink.held_bytes()),
        (Some(Action::Resolve(vec![0])), 0)
    );
}

#[test]
fn an_offset_that_a_person_moved_is_noticed_though_no_record_comes() {
    let now = Instant::now();
    let (mut sink, _) = fetching(7, now);
    assert_eq!((next(&mut sink, now), sink.wake_at()), (None, Some(now + LIMITS.look_again)));
    let later = now + LIMITS.look_again;
    assert_eq!(next(&mut sink, later), Some(Action::Resolve(vec![0])));
    sink.handle(resolved(0, Resolution::Start(3)), later);
    assert!(matches!(next(&mut sink, later), Some(Action::Fetch { offset: 3, .. })));
}

#[test]
fn lag_tools_are_told_again_of_a_partition_that_stands_still() {
    let now = Instant::now();
    let (mut sink, _) = fetching(7, now);
    assert_eq!(sink.action(now), Some(Action::Committed { partition: 0, offset: 7 }));
    let later = now + LIMITS.look_again;
    assert_eq!(sink.action(later), Some(Action::Resolve(vec![0])));
    sink.handle(resolved(0, Resolution::Start(7)), later);
    assert_eq!(sink.action(later), Some(Action::Committed { partition: 0, offset: 7 }));
}

#[test]
fn draining_begins_nothing_more() {
    let now = Instant::now();
    let (mut sink, epoch) = fetching(0, now);
    sink.handle(fetched(0, 0, epoch), now);
    sink.drain();
    assert_eq!((next(&mut sink, now + LIMITS.linger), sink.wake_at(), sink.is_idle()), (None, None, true));
}

/// What goes on around the sink.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The next record of a partition is fetched.
    Fetch(i32),
    /// The request that is under way ends well.
    Answer,
    /// It fails; a write may have been committed.
    Fail { committed: bool },
    /// The partition goes to another listener, which writes some records, and comes back.
    Rebalance { partition: i32, written: i64 },
    /// Kafka cannot serve a partition from where it is fetched.
    Break(i32),
    /// Time passes.
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..2).prop_map(Step::Fetch),
        6 => Just(Step::Answer),
        2 => any::<bool>().prop_map(|committed| Step::Fail { committed }),
        1 => (0..2, 0..4_i64).prop_map(|(partition, written)| Step::Rebalance { partition, written }),
        1 => (0..2).prop_map(Step::Break),
        3 => Just(Step::Wait),
    ]
}

/// Kafka and the database, as far as a sink can tell.
#[derive(Default)]
struct World {
    /// What the database holds: the next offset, and every record that was written.
    stored: BTreeMap<i32, i64>,
    rows: Vec<Position>,
    /// Where Kafka fetches each partition.
    fetches: BTreeMap<i32, (i64, Epoch)>,
    under_way: Option<Action>,
}

impl World {
    fn act(&mut self, sink: &mut Sink, now: Instant) {
        while let Some(action) = sink.action(now) {
            match action {
                Action::Fetch { partition, offset, epoch } => {
                    self.fetches.insert(partition, (offset, epoch));
                }
                Action::Release(partition) => {
                    self.fetches.remove(&partition);
                }
                Action::Committed { .. } => {}
                Action::Fail(reason) => panic!("it ends: {reason}"),
                request => {
                    assert!(self.under_way.is_none(), "two requests are under way");
                    self.under_way = Some(request);
                }
            }
        }
    }

    /// Writes a batch as the database would: all of it, or nothing when an offset is not where it says.
    fn write(&mut self, moves: &[Move], entries: &[Entry]) -> bool {
        if moves.iter().any(|part| self.stored[&part.partition] != part.from) {
            return false;
        }
        self.stored.extend(moves.iter().map(|part| (part.partition, part.to)));
        self.rows.extend(entries.iter().map(|entry| entry.position));
        true
    }

    fn step(&mut self, step: Step, sink: &mut Sink, now: &mut Instant) {
        match step {
            Step::Fetch(partition) => {
                if let Some((offset, epoch)) = self.fetches.get_mut(&partition) {
                    sink.handle(fetched(partition, *offset, *epoch), *now);
                    *offset += 1;
                }
            }
            Step::Wait => *now += Duration::from_secs(11),
            Step::Break(partition) => {
                if let Some((_, epoch)) = self.fetches.remove(&partition) {
                    sink.handle(Event::FetchFailed { partition, epoch }, *now);
                }
            }
            Step::Rebalance { partition, written } => {
                sink.handle(Event::Revoked(vec![partition]), *now);
                self.fetches.remove(&partition);
                let from = self.stored[&partition];
                let entries: Vec<_> = (from..from + written).map(|offset| entry(partition, offset)).collect();
                self.write(&[Move { partition, from, to: from + written }], &entries);
                sink.handle(Event::Assigned(vec![partition]), *now);
            }
            Step::Answer | Step::Fail { .. } => self.answer(step, sink, *now),
        }
    }

    fn answer(&mut self, step: Step, sink: &mut Sink, now: Instant) {
        match (self.under_way.take(), step) {
            (Some(Action::Resolve(partitions)), Step::Answer) => {
                let start = |partition: i32| (partition, Resolution::Start(self.stored[&partition]));
                let partitions = partitions.into_iter().map(start).collect();
                let topic_id = TopicId::parse("t1").unwrap();
                sink.handle(Event::Resolved(Ok(Resolved { topic_id, partitions })), now);
            }
            (Some(Action::Resolve(_)), _) => {
                sink.handle(Event::Resolved(Err(Unresolved::DatabaseAway("away".into()))), now);
            }
            (Some(Action::Write { moves, entries, .. }), step) => {
                let failed = match step {
                    Step::Fail { committed: true } => {
                        self.write(&moves, &entries);
                        Some(NotRecorded::Contended)
                    }
                    Step::Fail { committed: false } => Some(NotRecorded::Contended),
                    _ if self.write(&moves, &entries) => None,
                    _ => Some(NotRecorded::Fenced),
                };
                let written = failed.map_or(Ok(Report::default()), Err);
                sink.handle(Event::Written(written, entries), now);
            }
            _ => {}
        }
    }
}

proptest! {
    /// Whatever happens, each record below a stored offset was written exactly once, in order; and when nothing fails
    /// any more, everything is written.
    #[test]
    fn no_record_is_skipped_or_written_twice(steps in prop::collection::vec(step(), 1..200)) {
        let mut now = Instant::now();
        let mut sink = Sink::new(LIMITS);
        let mut world = World { stored: [(0, 0), (1, 0)].into(), ..World::default() };
        sink.handle(Event::Assigned(vec![0, 1]), now);
        let calm = [Step::Wait, Step::Answer, Step::Fetch(0), Step::Fetch(1), Step::Wait, Step::Answer].repeat(20);
        for step in steps.into_iter().chain(calm) {
            world.act(&mut sink, now);
            world.step(step, &mut sink, &mut now);
        }
        for partition in [0, 1] {
            let written: Vec<_> = world.rows.iter().filter(|row| row.partition == partition).map(|row| row.offset).collect();
            prop_assert_eq!(&written, &(0..world.stored[&partition]).collect::<Vec<_>>());
            prop_assert!(world.stored[&partition] > 5, "partition {} makes no progress", partition);
        }
    }
}
