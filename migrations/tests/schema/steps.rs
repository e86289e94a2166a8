//! Up, down, and what the tables and the view do.

use std::time::Duration;

use fluxo_core::{Balance, Currency, TransactionId, settings::DatabaseSettings};
use fluxo_migrations::{Migrator, MigratorTrait, State, down, up, up_for};
use fluxo_store::{Error, Store};
use sea_orm::{ConnectionTrait, TransactionTrait};

use crate::{
    empty::{ALL, Empty, WAIT, open},
    on_both,
};

on_both! {
    it_goes_up_and_down_to_nothing_and_up_again,
    going_up_twice_is_the_same_as_once,
    each_step_down_takes_back_one,
    what_was_begun_and_not_noted_is_finished,
    a_newer_schema_serves_an_older_release,
    accounts_that_differ_in_case_are_two,
    the_ledger_has_exact_decimals_of_every_currency,
    a_kind_that_is_none_is_refused,
    services_refuse_a_database_that_is_anothers,
}

async fn it_goes_up_and_down_to_nothing_and_up_again(database: &Empty) {
    assert!(database.states().await.iter().all(|state| *state == State::Pending));
    assert_eq!(database.things().await, Vec::<String>::new());
    database.up().await;
    let things = database.things().await;
    for thing in ["ledger", "offsets", "owner", "quarantine", "transactions"] {
        assert!(things.iter().any(|other| other == thing), "{things:?}");
    }
    assert!(database.states().await.iter().all(|state| *state == State::Applied));
    database.store.ping().await.unwrap();
    down(database.store.connection(), ALL, WAIT).await.unwrap();
    assert_eq!(database.things().await, Vec::<String>::new());
    database.up().await;
    assert_eq!(database.things().await, things);
}

async fn going_up_twice_is_the_same_as_once(database: &Empty) {
    database.up().await;
    database.insert("ana", 1, 1, Currency::parse("BRL").unwrap()).await;
    database.up().await;
    assert_eq!(database.query("SELECT account FROM transactions", 1).await, [["ana"]]);
}

async fn each_step_down_takes_back_one(database: &Empty) {
    database.up().await;
    let all = Migrator::migrations().len();
    for left in (0..all).rev() {
        down(database.store.connection(), 1, WAIT).await.unwrap();
        let states = database.states().await;
        let (applied, pending) = states.split_at(left);
        assert!(applied.iter().all(|state| *state == State::Applied), "{states:?}");
        assert!(pending.iter().all(|state| *state == State::Pending), "{states:?}");
    }
}

/// MySQL commits a table before the note that it is there.
async fn what_was_begun_and_not_noted_is_finished(database: &Empty) {
    database.up().await;
    database.insert("ana", 1, 1, Currency::parse("BRL").unwrap()).await;
    database.run("DELETE FROM seaql_migrations").await;
    database.up().await;
    assert!(database.states().await.iter().all(|state| *state == State::Applied));
    assert_eq!(database.query("SELECT account FROM transactions", 1).await, [["ana"]]);
}

async fn a_newer_schema_serves_an_older_release(database: &Empty) {
    let newer = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29991231_000001_newer', 0)";
    database.up().await;
    database.run(newer).await;
    assert_eq!(database.states().await.last(), Some(&State::Newer));
    database.up().await;
    // It is not this release's to take back, nor to build on what it does not know.
    assert!(down(database.store.connection(), 1, WAIT).await.is_err());
    database.run("DELETE FROM seaql_migrations WHERE version LIKE '%ledger'").await;
    let error = up(database.store.connection(), WAIT).await.unwrap_err();
    assert!(!error.is_transient(), "{error:?}");
}

async fn accounts_that_differ_in_case_are_two(database: &Empty) {
    database.up().await;
    let brl = Currency::parse("BRL").unwrap();
    for account in ["Ana", "ana"] {
        database.insert(account, 1, 1, brl).await;
    }
    for account in ["Ana", "ana"] {
        let sql = format!("SELECT account FROM transactions WHERE account = '{account}'");
        assert_eq!(database.query(&sql, 1).await, [[account]]);
    }
    let key = "INSERT INTO offsets (topic, `partition`, cluster_id, topic_id, next_offset) VALUES";
    database.run(&format!("{key} ('T', 0, 'c', 'i', 0), ('t', 0, 'c', 'i', 0)")).await;
}

async fn the_ledger_has_exact_decimals_of_every_currency(database: &Empty) {
    database.up().await;
    let letters = || 'A'..='Z';
    let codes =
        letters().flat_map(|a| letters().flat_map(move |b| letters().map(move |c| format!("{a}{b}{c}"))));
    let currencies: Vec<_> = codes.filter_map(|code| Currency::parse(&code).ok()).collect();
    assert!(currencies.iter().all(|currency| currency.scale() <= 4), "the view knows four decimals");
    // One of each scale is enough.
    let one_of = |scale| currencies.iter().copied().find(|currency| currency.scale() == scale);
    for currency in (0..=4).filter_map(one_of) {
        let balances = [1, -1, 5, -50, 999_999, 1_000_000_000_000_000, i64::MAX, i64::MIN];
        for (amount, balance) in (1_i64..).zip(balances) {
            let account = format!("a{amount}");
            database.insert(&account, amount, balance, currency).await;
            let sql = format!(
                "SELECT CAST(balance_after AS CHAR), CAST(amount AS CHAR) FROM ledger \
                 WHERE account = '{account}' AND currency = '{currency}'"
            );
            let expected = [balance, amount].map(|minor| decimal(database, Balance { minor, currency }));
            assert_eq!(database.query(&sql, 2).await, [expected], "{currency}");
        }
    }
    let ids = database.query("SELECT id FROM ledger WHERE account = 'a1'", 1).await.concat();
    assert!(ids.iter().all(|id| TransactionId::parse(id).is_some_and(|parsed| &parsed.to_string() == id)));
}

/// MySQL's type has four decimals, SQLite's text as many as the currency.
fn decimal(database: &Empty, balance: Balance) -> String {
    let text = balance.to_string();
    if !database.is_mysql() {
        return text;
    }
    let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
    format!("{whole}.{decimals:0<4}")
}

async fn a_kind_that_is_none_is_refused(database: &Empty) {
    database.up().await;
    database.insert("ana", 1, 1, Currency::parse("BRL").unwrap()).await;
    for kind in ["Entrada", "x", ""] {
        let sql = format!("UPDATE transactions SET kind = '{kind}'");
        assert!(database.store.connection().execute_unprepared(&sql).await.is_err(), "{kind}");
    }
}

async fn services_refuse_a_database_that_is_anothers(database: &Empty) {
    let as_owner = async |owner: Option<&str>| {
        let owner = owner.map(Into::into);
        let settings = DatabaseSettings { database_owner: owner, ..DatabaseSettings::of_url(&*database.url) };
        Store::open(&settings).await.unwrap()
    };
    let (ours, others) = (as_owner(Some("bank/payments")).await, as_owner(Some("bank/other")).await);
    database.up().await;
    // A person manages it, and nobody has claimed it.
    ours.ping().await.unwrap();
    others.ping().await.unwrap();
    up_for("bank/payments", database.store.connection(), WAIT).await.unwrap();
    ours.ping().await.unwrap();
    as_owner(None).await.ping().await.unwrap();
    for refused in [others.ping().await.err(), others.offsets("transactions").await.err()] {
        let refused = refused.unwrap();
        assert!(matches!(&refused, Error::Claimed { owner, .. } if owner == "bank/payments"), "{refused:?}");
        // It may be handed over while they wait.
        assert!(refused.is_transient());
    }
    database.run("UPDATE owner SET pipeline = 'bank/other'").await;
    others.ping().await.unwrap();
}

#[tokio::test]
async fn whoever_does_not_get_the_lock_says_so_and_may_try_again() {
    let database = &Empty::mysql().await;
    let other = open(&database.url).await;
    // The lock is held by a migration that waits for a table, which waits for a transaction of this test.
    database.up().await;
    let blocked = database.store.connection().begin().await.unwrap();
    blocked.execute_unprepared("SELECT * FROM ledger").await.unwrap();
    let taking_back = tokio::spawn({
        let store = open(&database.url).await;
        async move { down(store.connection(), ALL, WAIT).await }
    });
    let error = fluxo_testkit::eventually("the lock is held", WAIT, async || {
        up(other.connection(), Duration::ZERO).await.err()
    })
    .await;
    assert!(matches!(error, Error::Unable(_)), "{error:?}");
    blocked.rollback().await.unwrap();
    taking_back.await.unwrap().unwrap();
    // It is given back.
    up(other.connection(), Duration::ZERO).await.unwrap();
}
