//! The state machine against a model of the database, with two writers that know nothing of each other.

use std::collections::{BTreeMap, HashMap, HashSet};

use fluxo_core::{Client, Kind, Position, TopicId, transaction::Draft};
use proptest::prelude::*;

use super::*;
use crate::record::{Move, RawRecord, Topic};

/// What a database with the keys of the schema would do.
#[derive(Debug, Default)]
struct Model {
    offsets: BTreeMap<i32, i64>,
    rows: Vec<(TransactionId, ContentHash, AccountKey, Tail, Kind, i64)>,
    quarantine: BTreeMap<Position, Reason>,
}

impl Model {
    fn answer(&mut self, ask: &Ask<'_>, batch: &Batch, fault: Fault) -> Answer {
        match ask {
            Ask::Alone => Answer::Alone,
            Ask::Tails(keys) => {
                let last = |key: &AccountKey| {
                    self.rows.iter().filter(|row| row.2 == *key).map(|row| row.3).next_back()
                };
                Answer::Tails(keys.iter().filter_map(|key| Some((key.clone(), last(key)?))).collect())
            }
            Ask::Contents(ids) => {
                let rows = self.rows.iter().filter(|row| ids.contains(&row.0));
                Answer::Contents(rows.map(|row| (row.0, row.1)).collect())
            }
            Ask::Write(plan) => self.write(plan, batch, fault),
        }
    }

    fn write(&mut self, plan: &Plan<'_>, batch: &Batch, fault: Fault) -> Answer {
        let failed = || Answer::Failed(Error::Settings("connection lost".into()));
        if fault == Fault::Before {
            return failed();
        }
        if batch.moves.iter().any(|part| self.offsets[&part.partition] != part.from) {
            return Answer::Fenced;
        }
        let ids: HashSet<_> = self.rows.iter().map(|row| row.0).collect();
        let numbers: HashSet<_> = self.rows.iter().map(|row| (row.2.clone(), row.3.account_seq)).collect();
        let taken = |row: &Row<'_>| {
            ids.contains(&row.accepted.transaction.id)
                || numbers.contains(&(AccountKey::from(row.accepted), row.tail.account_seq))
        };
        if plan.rows.iter().any(taken) {
            return Answer::Duplicate;
        }
        self.offsets.extend(batch.moves.iter().map(|part| (part.partition, part.to)));
        for Row { accepted, tail, .. } in &plan.rows {
            let transaction = &accepted.transaction;
            let (id, hash, key) = (transaction.id, accepted.content_hash, AccountKey::from(*accepted));
            self.rows.push((id, hash, key, *tail, transaction.kind, transaction.money.minor()));
        }
        self.quarantine.extend(plan.refused.iter().map(|(entry, reason)| (entry.position, *reason)));
        if fault == Fault::After { failed() } else { Answer::Written }
    }
}

/// Where the connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Before the commit: nothing is written.
    Before,
    /// After the commit, before its reply: everything is.
    After,
}

fn time(second: u32) -> Timestamp {
    Timestamp::parse(&format!("2026-11-21T12:00:{second:02}Z")).unwrap()
}

fn entry(partition: i32, offset: i64, account: u8, id: u8, amount: i64) -> Entry {
    let account = format!("conta-{account}");
    let minor = amount.unsigned_abs().max(1).to_string();
    let draft = Draft {
        account: Some(&account),
        kind: Some(if amount < 0 { "saida" } else { "entrada" }),
        amount: Some(&minor),
        currency: Some("JPY"),
        ..Draft::default()
    };
    let id = TransactionId::from(uuid::Uuid::from_u128(u128::from(id)));
    let accepted = draft.parse().unwrap().accept(id, Client::parse("erp").unwrap(), time(0));
    let content = Content::Accepted(Box::new(accepted));
    Entry { position: Position { partition, offset }, content, raw: RawRecord::default() }
}

fn batch(moves: Vec<Move>, entries: Vec<Entry>) -> Batch {
    Batch { topic: Topic { name: "t".into(), id: TopicId::parse("id").unwrap() }, moves, entries }
}

fn tails() -> Tails {
    Tails::new(std::num::NonZeroUsize::new(2).unwrap())
}

/// Runs a batch to its verdict, alone.
fn run(model: &mut Model, batch: &Batch, tails: &mut Tails, fault: Fault) -> Verdict {
    let mut recording = Recording::new(batch, time(1));
    let mut ask = recording.begin(tails);
    loop {
        match recording.step(model.answer(&ask, batch, fault), tails) {
            Ok(next) => ask = next,
            Err(verdict) => return verdict,
        }
    }
}

fn report(verdict: Verdict) -> Report {
    match verdict {
        Verdict::Recorded(report) => report,
        other => panic!("not recorded: {other:?}"),
    }
}

#[test]
fn rows_are_numbered_and_summed_in_the_order_of_the_records() {
    let mut model = Model { offsets: [(0, 0)].into(), ..Model::default() };
    let moved = vec![Move { partition: 0, from: 0, to: 3 }];
    let batch = batch(moved, vec![entry(0, 0, 1, 1, 10), entry(0, 1, 2, 2, 5), entry(0, 2, 1, 3, -4)]);
    let report = report(run(&mut model, &batch, &mut tails(), Fault::None));
    assert_eq!((report.recorded, report.tries), (3, 1));
    let rows: Vec<_> = model.rows.iter().map(|row| (row.3.account_seq, row.3.balance)).collect();
    assert_eq!(rows, [(1, 10), (1, 5), (2, 6)]);
}

#[test]
fn a_stale_tail_costs_one_more_try_and_nothing_else() {
    let mut model = Model { offsets: [(0, 0)].into(), ..Model::default() };
    let (mut own, mut others) = (tails(), tails());
    let step = |from: i64, id| {
        batch(vec![Move { partition: 0, from, to: from + 1 }], vec![entry(0, from, 1, id, 10)])
    };
    report(run(&mut model, &step(0, 1), &mut own, Fault::None));
    report(run(&mut model, &step(1, 2), &mut others, Fault::None));
    let late = report(run(&mut model, &step(2, 3), &mut own, Fault::None));
    assert_eq!((late.tries, late.alone), (2, false));
    assert_eq!(model.rows.last().unwrap().3.balance, 30);
}

#[test]
fn the_same_id_is_one_row_and_other_content_is_a_conflict() {
    let mut model = Model { offsets: [(0, 0)].into(), ..Model::default() };
    let moved = vec![Move { partition: 0, from: 0, to: 3 }];
    let entries = vec![entry(0, 0, 1, 1, 10), entry(0, 1, 1, 1, 10), entry(0, 2, 1, 1, 11)];
    let first = report(run(&mut model, &batch(moved, entries), &mut tails(), Fault::None));
    assert_eq!((first.recorded, first.duplicates, first.refused), (1, 1, vec![Reason::Conflict]));
    let moved = vec![Move { partition: 0, from: 3, to: 5 }];
    let entries = vec![entry(0, 3, 1, 1, 10), entry(0, 4, 2, 1, 10)];
    let again = report(run(&mut model, &batch(moved, entries), &mut tails(), Fault::None));
    assert_eq!((again.recorded, again.duplicates, again.refused), (0, 1, vec![Reason::Conflict]));
}

#[test]
fn a_balance_that_would_leave_its_type_is_refused_and_the_rest_goes_on_without_it() {
    let mut model = Model { offsets: [(0, 0)].into(), ..Model::default() };
    let mut full = tails();
    let key = AccountKey {
        account: fluxo_core::Account::parse("conta-1").unwrap(),
        currency: Currency::parse("JPY").unwrap(),
    };
    full.remember(key, Tail { account_seq: 0, balance: i64::MAX - 5, recorded_at: None });
    let moved = vec![Move { partition: 0, from: 0, to: 3 }];
    let batch = batch(moved, vec![entry(0, 0, 1, 1, 10), entry(0, 1, 1, 2, -7), entry(0, 2, 1, 3, 10)]);
    let report = report(run(&mut model, &batch, &mut full, Fault::None));
    assert_eq!((report.recorded, report.refused), (2, vec![Reason::Overflow]));
    assert_eq!(model.rows.last().unwrap().3.balance, i64::MAX - 2);
}

#[test]
fn what_is_recorded_is_never_before_what_was() {
    let mut model = Model { offsets: [(0, 0)].into(), ..Model::default() };
    let mut ahead = tails();
    let key = AccountKey {
        account: fluxo_core::Account::parse("conta-1").unwrap(),
        currency: Currency::parse("JPY").unwrap(),
    };
    ahead.remember(key, Tail { account_seq: 0, balance: 0, recorded_at: Some(time(30)) });
    let batch = batch(vec![Move { partition: 0, from: 0, to: 1 }], vec![entry(0, 0, 1, 1, 10)]);
    report(run(&mut model, &batch, &mut ahead, Fault::None));
    assert_eq!(model.rows[0].3.recorded_at, Some(time(30)));
}

#[test]
fn a_writer_that_lost_its_partition_writes_nothing_and_forgets_what_it_knew() {
    let mut model = Model { offsets: [(0, 1)].into(), ..Model::default() };
    let mut tails = tails();
    let key = AccountKey {
        account: fluxo_core::Account::parse("conta-1").unwrap(),
        currency: Currency::parse("JPY").unwrap(),
    };
    tails.remember(key.clone(), Tail::default());
    let batch = batch(vec![Move { partition: 0, from: 0, to: 1 }], vec![entry(0, 0, 1, 1, 10)]);
    assert!(matches!(run(&mut model, &batch, &mut tails, Fault::None), Verdict::Fenced));
    assert!(model.rows.is_empty() && tails.recall(&key).is_none());
}

#[test]
fn a_writer_that_is_always_too_late_asks_to_be_alone_and_then_gives_up() {
    let entries = batch(vec![Move { partition: 0, from: 0, to: 1 }], vec![entry(0, 0, 1, 1, 10)]);
    let mut tails = tails();
    let mut recording = Recording::new(&entries, time(1));
    let mut ask = recording.begin(&mut tails);
    let (mut writes, mut alone) = (0, 0);
    let verdict = loop {
        let answer = match &ask {
            Ask::Alone => {
                alone += 1;
                Answer::Alone
            }
            Ask::Tails(_) => Answer::Tails(Vec::new()),
            Ask::Contents(_) => Answer::Contents(Vec::new()),
            Ask::Write(_) => {
                writes += 1;
                Answer::Duplicate
            }
        };
        match recording.step(answer, &mut tails) {
            Ok(next) => ask = next,
            Err(verdict) => break verdict,
        }
    };
    assert!(matches!(verdict, Verdict::Contended));
    assert_eq!((writes, alone), (TRIES, 1));
}

/// Two writers, each with a batch under way, that take turns as `turns` says.
fn race(model: &mut Model, batches: [&Batch; 2], tails: &mut [Tails; 2], faults: [Fault; 2], turns: &[bool]) {
    let mut recordings = batches.map(|batch| Recording::new(batch, time(1)));
    let mut asks = [recordings[0].begin(&mut tails[0]), recordings[1].begin(&mut tails[1])].map(Some);
    let mut turns = turns.iter().copied().chain([false, true].into_iter().cycle());
    while asks.iter().any(Option::is_some) {
        let writer = usize::from(turns.next().unwrap());
        if let Some(ask) = asks[writer].take() {
            let answer = model.answer(&ask, batches[writer], faults[writer]);
            asks[writer] = recordings[writer].step(answer, &mut tails[writer]).ok();
        }
    }
}

prop_compose! {
    fn log(partition: i32)(records in prop::collection::vec((0..3_u8, 0..40_u8, -50..50_i64), 1..40)) -> Vec<Entry> {
        (0..).zip(records).map(|(offset, (account, id, amount))| entry(partition, offset, account, id, amount)).collect()
    }
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![4 => Just(Fault::None), 1 => Just(Fault::Before), 1 => Just(Fault::After)]
}

proptest! {
    /// Two partitions that share accounts and ids, two writers with stale tails, any order of turns, commits that are
    /// lost and replies that are lost: in the end every record is accounted for once, and every balance is exact.
    #[test]
    fn nothing_is_lost_or_doubled_and_every_balance_is_exact(
        logs in (log(0), log(1)),
        rounds in prop::collection::vec(
            (any::<bool>(), 1..12_usize, 1..12_usize, (fault(), fault()), prop::collection::vec(any::<bool>(), 0..30)),
            1..30,
        ),
    ) {
        let logs = [logs.0, logs.1];
        let mut model = Model { offsets: [(0, 0), (1, 0)].into(), ..Model::default() };
        let mut tails = [tails(), tails()];
        let ending = std::iter::repeat_n((false, 12, 12, (Fault::None, Fault::None), Vec::new()), 8);
        for (swapped, first, second, (one, other), turns) in rounds.into_iter().chain(ending) {
            let cut = |partition: i32, length: usize| {
                let log = &logs[usize::try_from(partition).unwrap()];
                let from = model.offsets[&partition];
                let entries: Vec<_> = log.iter().skip(usize::try_from(from).unwrap()).take(length).cloned().collect();
                let to = from + i64::try_from(entries.len()).unwrap();
                batch(vec![Move { partition, from, to }], entries)
            };
            let mut batches = [cut(0, first), cut(1, second)];
            if swapped {
                batches.reverse();
            }
            race(&mut model, [&batches[0], &batches[1]], &mut tails, [one, other], &turns);
        }
        check(&model, &logs)?;
    }
}

fn check(model: &Model, logs: &[Vec<Entry>; 2]) -> Result<(), TestCaseError> {
    for (log, offset) in logs.iter().zip(model.offsets.values()) {
        prop_assert_eq!(log.len() as u64, offset.unsigned_abs(), "a partition did not come to its end");
    }
    let mut ids = HashSet::new();
    let mut last: HashMap<AccountKey, (i64, i128)> = HashMap::new();
    for (id, _, key, tail, kind, minor) in &model.rows {
        prop_assert!(ids.insert(*id), "an id is two rows");
        let (seq, balance) = last.entry(key.clone()).or_default();
        *seq += 1;
        *balance += i128::from(*minor) * if *kind == Kind::Entrada { 1 } else { -1 };
        prop_assert_eq!((tail.account_seq, i128::from(tail.balance)), (*seq, *balance));
    }
    for entry in logs.iter().flatten() {
        let Content::Accepted(accepted) = &entry.content else { continue };
        let row = model.rows.iter().find(|row| row.0 == accepted.transaction.id);
        let same = row.is_some_and(|row| row.1 == accepted.content_hash);
        let refused = model.quarantine.contains_key(&entry.position);
        prop_assert!(same != refused, "a record is neither a row nor refused, or both: {:?}", entry.position);
    }
    Ok(())
}
