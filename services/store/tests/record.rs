//! Recording on real databases: MySQL, and SQLite for the demo.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::num::NonZeroUsize;

use fluxo_core::{
    Account, Client, Currency, Position, Timestamp, TopicId, TransactionId, quarantine::Reason,
    settings::DatabaseSettings, transaction::Draft,
};
use fluxo_migrations::{Migrator, MigratorTrait};
use fluxo_store::{
    Store,
    offsets::{StoredOffset, StoredOffsets},
    quarantine::{self, Backlog, Share},
    read::Filter,
    record::{Batch, Content, Entry, Move, NotRecorded, RawHeader, RawRecord, Report, Topic, Writer},
};
use sea_orm::{ConnectionTrait as _, DbBackend, Statement};

/// A database with the schema and one topic, of one of the two kinds.
struct Ledger {
    settings: DatabaseSettings,
    store: Store,
    _mysql: Option<fluxo_testkit::TestDatabase>,
    _sqlite: Option<tempfile::TempDir>,
}

impl Ledger {
    async fn mysql() -> Self {
        let database = fluxo_testkit::database().await;
        Self::new(&database.url.clone(), Some(database), None).await
    }

    async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("fluxo.db").display());
        Self::new(&url, None, Some(folder)).await
    }

    async fn new(
        url: &str,
        mysql: Option<fluxo_testkit::TestDatabase>,
        sqlite: Option<tempfile::TempDir>,
    ) -> Self {
        let settings = DatabaseSettings::of_url(url);
        let store = Store::open(&settings).await.unwrap();
        Migrator::up(store.connection(), None).await.unwrap();
        let start = |partition| {
            (partition, StoredOffset { cluster_id: "c".into(), topic_id: topic().id, next_offset: 0 })
        };
        store.begin_offsets("t", &StoredOffsets::from([start(0), start(1)])).await.unwrap();
        Self { settings, store, _mysql: mysql, _sqlite: sqlite }
    }

    fn writer(&self) -> Writer {
        Writer::new(self.settings.clone(), NonZeroUsize::new(100).unwrap())
    }

    async fn next_offset(&self, partition: i32) -> i64 {
        self.store.offsets("t").await.unwrap()[&partition].next_offset
    }

    async fn balance(&self, account: &str) -> String {
        let account = Account::parse(account).unwrap();
        let balances = self.store.balances(&account, None).await.unwrap();
        balances.iter().map(|balance| balance.balance.to_string()).collect::<Vec<_>>().join(" ")
    }
}

#[tokio::test]
async fn a_server_that_hears_nothing_of_a_writer_lets_go_of_its_locks_soon() {
    let ledger = Ledger::mysql().await;
    let sql = "SELECT @@SESSION.wait_timeout, @@SESSION.innodb_lock_wait_timeout";
    let statement = Statement::from_string(DbBackend::MySql, sql);
    let session = ledger.store.connection().query_one_raw(statement).await.unwrap().unwrap();
    let seconds = |index| session.try_get_by_index::<u64>(index).unwrap();
    assert_eq!((seconds(0), seconds(1)), (30, 10));
}

/// Runs a test on both kinds of database.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod on_mysql { $(#[tokio::test] async fn $name() { super::$name(super::Ledger::mysql().await).await } )* }
        mod on_sqlite { $(#[tokio::test] async fn $name() { super::$name(super::Ledger::sqlite().await).await } )* }
    };
}

on_both! {
    a_batch_becomes_rows_with_running_balances_and_moves_its_offset
    accounts_that_differ_in_case_are_two
    every_field_of_a_transaction_survives
    a_batch_that_was_recorded_already_is_fenced
    a_zombie_writes_nothing
    a_batch_whose_topic_is_not_confirmed_is_not_recorded
    a_batch_for_a_topic_that_was_made_anew_is_fenced
    redelivered_records_are_rows_once_and_other_content_is_a_conflict
    a_stale_tail_is_noticed_and_read_again
    what_is_no_message_goes_to_quarantine_with_its_bytes_and_may_come_again
    a_batch_of_thousands_is_one_transaction
    two_writers_at_the_same_accounts_both_come_to_their_end
    a_batch_that_moves_nothing_writes_what_is_missing_and_leaves_the_offset
    what_is_in_quarantine_is_dealt_out_counted_and_noted
}

fn topic() -> Topic {
    Topic { name: "t".into(), id: TopicId::parse("topic-1").unwrap() }
}

fn now() -> Timestamp {
    Timestamp::parse("2026-11-21T12:00:00.123456Z").unwrap()
}

fn draft(account: &str, id: u128, amount: &str) -> Content {
    let (kind, amount) = amount.strip_prefix('-').map_or(("entrada", amount), |amount| ("saida", amount));
    let draft = Draft {
        account: Some(account),
        kind: Some(kind),
        amount: Some(amount),
        currency: Some("BRL"),
        description: Some("aluguel 'de' \"março\" \\ ; --"),
        metadata: vec![("nota", "47'11 \\ ção 💶")],
        ..Draft::default()
    };
    let id = TransactionId::from(uuid::Uuid::from_u128(id));
    Content::Accepted(Box::new(draft.parse().unwrap().accept(id, Client::parse("erp").unwrap(), now())))
}

/// A batch of one partition from an offset.
fn batch(partition: i32, from: i64, contents: Vec<Content>) -> Batch {
    let raw = RawRecord {
        key: Some(b"k\0".to_vec()),
        value: Some(vec![0xff, 0, 1]),
        headers: vec![RawHeader { name: "h".into(), value: Some(vec![0xfe]) }],
        timestamp_ms: Some(1),
    };
    let entries: Vec<_> = (from..)
        .zip(contents)
        .map(|(offset, content)| Entry {
            position: Position { partition, offset },
            content,
            raw: raw.clone(),
        })
        .collect();
    let to = from + i64::try_from(entries.len()).unwrap();
    Batch { topic: topic(), moves: vec![Move { partition, from, to }], entries }
}

async fn record(writer: &mut Writer, batch: &Batch) -> Result<Report, NotRecorded> {
    writer.record(batch, now(), async { true }).await
}

async fn a_batch_becomes_rows_with_running_balances_and_moves_its_offset(ledger: Ledger) {
    let batch = batch(0, 0, vec![draft("ana", 1, "10"), draft("bia", 2, "3.50"), draft("ana", 3, "-4.25")]);
    let report = record(&mut ledger.writer(), &batch).await.unwrap();
    assert_eq!((report.recorded, report.duplicates, report.tries), (3, 0, 1));
    assert_eq!((ledger.balance("ana").await, ledger.balance("bia").await), ("5.75".into(), "3.50".into()));
    assert_eq!((ledger.next_offset(0).await, ledger.next_offset(1).await), (3, 0));
}

async fn accounts_that_differ_in_case_are_two(ledger: Ledger) {
    record(&mut ledger.writer(), &batch(0, 0, vec![draft("Ana", 1, "10"), draft("ana", 2, "7")]))
        .await
        .unwrap();
    assert_eq!((ledger.balance("Ana").await, ledger.balance("ana").await), ("10.00".into(), "7.00".into()));
}

async fn every_field_of_a_transaction_survives(ledger: Ledger) {
    let content = draft("ana", 1, "1234.56");
    record(&mut ledger.writer(), &batch(0, 0, vec![content.clone()])).await.unwrap();
    let Content::Accepted(accepted) = content else { panic!("it is one") };
    let found = ledger.store.transaction(accepted.transaction.id).await.unwrap().unwrap();
    assert_eq!(found.accepted, *accepted);
    assert_eq!((found.account_seq, found.recorded_at), (1, now()));
}

async fn a_batch_that_was_recorded_already_is_fenced(ledger: Ledger) {
    let batch = batch(0, 0, vec![draft("ana", 1, "10")]);
    let mut writer = ledger.writer();
    record(&mut writer, &batch).await.unwrap();
    assert!(matches!(record(&mut writer, &batch).await, Err(NotRecorded::Fenced)));
    assert_eq!(ledger.balance("ana").await, "10.00");
}

async fn a_zombie_writes_nothing(ledger: Ledger) {
    let (mut zombie, mut heir) = (ledger.writer(), ledger.writer());
    record(&mut zombie, &batch(0, 0, vec![draft("ana", 1, "10")])).await.unwrap();
    record(&mut heir, &batch(0, 1, vec![draft("ana", 2, "5")])).await.unwrap();
    let late = record(&mut zombie, &batch(0, 1, vec![draft("ana", 2, "5"), draft("ana", 3, "1")])).await;
    assert!(matches!(late, Err(NotRecorded::Fenced)));
    assert_eq!((ledger.balance("ana").await, ledger.next_offset(0).await), ("15.00".into(), 2));
    record(&mut zombie, &batch(0, 2, vec![draft("ana", 3, "1")])).await.unwrap();
    assert_eq!(ledger.balance("ana").await, "16.00");
}

async fn a_batch_whose_topic_is_not_confirmed_is_not_recorded(ledger: Ledger) {
    let batch = batch(0, 0, vec![draft("ana", 1, "10")]);
    let mut writer = ledger.writer();
    let refused = writer.record(&batch, now(), async { false }).await;
    assert!(matches!(refused, Err(NotRecorded::Unconfirmed)));
    assert_eq!((ledger.balance("ana").await, ledger.next_offset(0).await), (String::new(), 0));
    record(&mut writer, &batch).await.unwrap();
}

async fn a_batch_for_a_topic_that_was_made_anew_is_fenced(ledger: Ledger) {
    let mut batch = batch(0, 0, vec![draft("ana", 1, "10")]);
    batch.topic.id = TopicId::parse("topic-2").unwrap();
    assert!(matches!(record(&mut ledger.writer(), &batch).await, Err(NotRecorded::Fenced)));
}

async fn redelivered_records_are_rows_once_and_other_content_is_a_conflict(ledger: Ledger) {
    let mut writer = ledger.writer();
    record(&mut writer, &batch(0, 0, vec![draft("ana", 1, "10"), draft("bia", 2, "1")])).await.unwrap();
    let again = vec![draft("ana", 1, "10"), draft("ana", 2, "1"), draft("ana", 3, "5"), draft("ana", 3, "5")];
    let report = record(&mut writer, &batch(0, 2, again)).await.unwrap();
    assert_eq!((report.recorded, report.duplicates, report.refused), (1, 2, vec![Reason::Conflict]));
    assert_eq!((ledger.balance("ana").await, ledger.balance("bia").await), ("15.00".into(), "1.00".into()));
    let conflict =
        ledger.store.refused(TransactionId::from(uuid::Uuid::from_u128(2))).await.unwrap().unwrap();
    assert_eq!(conflict.reason, Reason::Conflict);
}

async fn a_stale_tail_is_noticed_and_read_again(ledger: Ledger) {
    let (mut one, mut other) = (ledger.writer(), ledger.writer());
    record(&mut one, &batch(0, 0, vec![draft("ana", 1, "10")])).await.unwrap();
    record(&mut other, &batch(1, 0, vec![draft("ana", 2, "10")])).await.unwrap();
    let late = record(&mut one, &batch(0, 1, vec![draft("ana", 3, "10")])).await.unwrap();
    assert_eq!((late.recorded, late.tries), (1, 2));
    let (ana, currency) = (Account::parse("ana").unwrap(), Currency::parse("BRL").unwrap());
    let rows = ledger.store.statement(&ana, currency, 0, 10).await.unwrap();
    let balances: Vec<_> = rows.iter().map(|row| (row.account_seq, row.balance_after.to_string())).collect();
    assert_eq!(balances, [(1, "10.00".into()), (2, "20.00".into()), (3, "30.00".into())]);
}

async fn what_is_no_message_goes_to_quarantine_with_its_bytes_and_may_come_again(ledger: Ledger) {
    let contents = || vec![draft("ana", 1, "10"), Content::Refused(Reason::NotOurs), draft("ana", 2, "1")];
    let report = record(&mut ledger.writer(), &batch(0, 0, contents())).await.unwrap();
    assert_eq!((report.recorded, report.refused), (2, vec![Reason::NotOurs]));
    // A person has decided to read the range again.
    let back = StoredOffset { cluster_id: "c".into(), topic_id: topic().id, next_offset: 0 };
    ledger.store.adopt_offsets("t", &StoredOffsets::from([(0, back)])).await.unwrap();
    let report = record(&mut ledger.writer(), &batch(0, 0, contents())).await.unwrap();
    assert_eq!((report.recorded, report.duplicates), (0, 2));
    assert_eq!((ledger.balance("ana").await, ledger.next_offset(0).await), ("11.00".into(), 3));
}

async fn a_batch_of_thousands_is_one_transaction(ledger: Ledger) {
    let contents: Vec<_> = (0..3_001).map(|id| draft(&format!("conta-{}", id % 700), id, "1")).collect();
    let report = record(&mut ledger.writer(), &batch(0, 0, contents)).await.unwrap();
    assert_eq!(report.recorded, 3_001);
    assert_eq!(ledger.balance("conta-0").await, "5.00");
    let page = ledger
        .store
        .transactions(&Account::parse("conta-0").unwrap(), Filter::default(), None, 10)
        .await
        .unwrap();
    assert_eq!(page.transactions.len(), 5);
}

async fn two_writers_at_the_same_accounts_both_come_to_their_end(ledger: Ledger) {
    let write = async |partition: i32| {
        let (mut writer, mut alone) = (ledger.writer(), false);
        for from in (0..200).step_by(10) {
            let ids = (from..from + 10).map(|offset| u128::from(partition.unsigned_abs()) * 1_000 + offset);
            let contents: Vec<_> = ids.map(|id| draft("ana", id, "1")).collect();
            let batch = batch(partition, i64::try_from(from).unwrap(), contents);
            loop {
                match record(&mut writer, &batch).await {
                    Ok(report) => break alone |= report.alone,
                    Err(NotRecorded::Contended) => {}
                    // SQLite lets the other one wait only so long.
                    Err(NotRecorded::Database(error)) if error.is_transient() => {}
                    Err(other) => panic!("not recorded: {other:?}"),
                }
            }
        }
        alone
    };
    tokio::join!(write(0), write(1));
    assert_eq!(ledger.balance("ana").await, "400.00");
}

async fn a_batch_that_moves_nothing_writes_what_is_missing_and_leaves_the_offset(ledger: Ledger) {
    let mut writer = ledger.writer();
    record(&mut writer, &batch(0, 0, vec![draft("ana", 1, "10"), draft("ana", 2, "1")])).await.unwrap();
    let again = vec![draft("ana", 1, "10"), draft("ana", 3, "5"), Content::Refused(Reason::NotOurs)];
    let again = Batch { moves: Vec::new(), ..batch(0, 0, again) };
    let report = record(&mut writer, &again).await.unwrap();
    assert_eq!((report.recorded, report.duplicates, report.refused), (1, 1, vec![Reason::NotOurs]));
    assert_eq!((ledger.balance("ana").await, ledger.next_offset(0).await), ("16.00".into(), 2));
}

async fn what_is_in_quarantine_is_dealt_out_counted_and_noted(ledger: Ledger) {
    let mut writer = ledger.writer();
    for partition in 0..2 {
        let mut contents = vec![Content::Refused(Reason::NotOurs); 20];
        contents[7] = draft("ana", 1, "10");
        record(&mut writer, &batch(partition, 0, contents)).await.unwrap();
    }
    let share = |partitions, held: &[i32]| Share { topic: "t".into(), partitions, held: held.into() };
    let count = async |share: &Share| ledger.store.backlog(share).await.unwrap().rows;
    // The second one has the same transaction once more, which is no refusal.
    assert_eq!((count(&share(2, &[0])).await, count(&share(2, &[1])).await), (19, 19));
    // Of a topic that has fewer partitions now, somebody has the rows of each that is gone.
    assert_eq!((count(&share(1, &[0])).await, count(&share(2, &[])).await), (38, 0));
    let all = share(2, &[0, 1]);
    let mut places = Vec::new();
    loop {
        let page = ledger.store.unforwarded(&all, places.last(), 7).await.unwrap();
        if page.is_empty() {
            break;
        }
        places.extend(page);
    }
    assert!(places.len() == 38 && places.is_sorted(), "{places:?}");
    let (entry, raw) = ledger.store.quarantined(&places[0]).await.unwrap().unwrap();
    assert_eq!((entry.reason, entry.forwarded_at, raw.timestamp_ms), (Reason::NotOurs, None, Some(1)));
    assert_eq!((raw.value, raw.headers[0].value.clone()), (Some(vec![0xff, 0, 1]), Some(vec![0xfe])));

    ledger.store.note_forwarded(&places[..30], now()).await.unwrap();
    assert_eq!(ledger.store.unforwarded(&all, None, 100).await.unwrap(), places[30..]);
    assert_eq!(ledger.store.quarantined(&places[0]).await.unwrap().unwrap().0.forwarded_at, Some(now()));
    let Backlog { rows, oldest } = ledger.store.backlog(&all).await.unwrap();
    assert!(rows == 8 && oldest.is_some());
    let filter = quarantine::Filter { waiting: true, ..quarantine::Filter::default() };
    assert_eq!(ledger.store.quarantine(&filter, 5).await.unwrap().len(), 5);
}
