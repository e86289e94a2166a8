//! Single rows: what was written is what is read, and what Fluxo never wrote is told.

use fluxo_core::{
    Accepted, Balance, ContentHash, Currency, Description, Kind, Metadata, Money, Timestamp, Transaction,
    TransactionId, money::MAX_MINOR, quarantine::Reason,
};
use fluxo_store::{
    Error,
    read::{Fate, Filter, Recorded, Refused},
};

use crate::{
    history::{BEGIN, History, Random, account, currencies, moment},
    ledger::Ledger,
    on_both,
};

on_both! {
    every_value_reads_back_what_was_written,
    a_transaction_is_told_with_whether_another_reverses_it,
    moments_are_ordered_and_filtered_to_the_microsecond,
    an_id_that_is_nowhere_is_none,
    fates_are_told_of_rows_and_of_quarantine,
    a_value_that_fluxo_never_wrote_is_told_with_its_column,
}

async fn every_value_reads_back_what_was_written(ledger: &Ledger) {
    let mut history = History::new();
    let kuwait = Currency::parse("KWD").unwrap();
    history.push("ana", Kind::Saida, Money::from_minor(MAX_MINOR, kuwait).unwrap(), moment(BEGIN));
    history.push("ana", Kind::Entrada, Money::from_minor(1, kuwait).unwrap(), moment(BEGIN));
    let pairs = [("ç", ""), ("b", "\"'\\%_;--"), ("a.long:er-key", "日本 😀")]
        .map(|(key, value)| (if key.is_ascii() { key } else { "c" }, value));
    let full = &mut history.rows[0];
    *full = Recorded {
        accepted: Accepted {
            transaction: Transaction {
                description: Some(Description::parse(&"😀".repeat(500)).unwrap()),
                metadata: Metadata::parse(pairs).unwrap(),
                occurred_at: Timestamp::parse("1900-01-01T00:00:00.000001Z").unwrap(),
                ..full.accepted.transaction.clone()
            },
            accepted_at: Timestamp::parse("9999-12-31T23:59:59.999999Z").unwrap(),
            reverses: Some(TransactionId::generate()),
            content_hash: ContentHash::from([0xff; 32]),
            ..full.accepted.clone()
        },
        balance_after: Balance { minor: i64::MIN, currency: kuwait },
        recorded_at: moment(BEGIN + 120_000),
        account_seq: full.account_seq,
    };
    history.rows[1].balance_after.minor = i64::MAX;
    history.rows[1].recorded_at = moment(BEGIN + 120_001);
    ledger.insert(&history.rows).await;
    for row in &history.rows {
        let found = ledger.store.transaction(row.accepted.transaction.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(row));
    }
}

async fn a_transaction_is_told_with_whether_another_reverses_it(ledger: &Ledger) {
    let mut history = History::new();
    let money = Money::from_minor(1, currencies(&["BRL"])[0]).unwrap();
    for kind in [Kind::Entrada, Kind::Saida, Kind::Entrada] {
        history.push("ana", kind, money, moment(BEGIN));
    }
    let first = history.rows[0].accepted.transaction.id;
    history.rows[1].accepted.transaction.id = first.of_reversal();
    history.rows[1].accepted.reverses = Some(first);
    ledger.insert(&history.rows).await;
    for (row, is_reversed) in history.rows.iter().zip([true, false, false]) {
        let found = ledger.store.transaction_and_reversal(row.accepted.transaction.id).await.unwrap();
        assert_eq!(found, Some((row.clone(), is_reversed)));
    }
    assert_eq!(ledger.store.transaction_and_reversal(TransactionId::generate()).await.unwrap(), None);
}

/// SQLite keeps moments as text: its order must be that of time, whatever the number of decimals.
async fn moments_are_ordered_and_filtered_to_the_microsecond(ledger: &Ledger) {
    let money = Money::from_minor(1, currencies(&["BRL"])[0]).unwrap();
    let decimals =
        [0, 1, 9, 10, 50_000, 99_999, 100_000, 100_001, 110_000, 500_000, 999_999, 1_000_000, 9_000_000];
    let mut history = History::new();
    for micros in decimals {
        history.push("ana", Kind::Entrada, money, moment(BEGIN + micros));
    }
    ledger.insert(&history.rows).await;
    let ordered =
        ledger.query("SELECT CONCAT(account_seq, '') FROM transactions ORDER BY occurred_at", 1).await;
    assert_eq!(ordered.concat(), (1..=decimals.len()).map(|seq| seq.to_string()).collect::<Vec<_>>());
    for at in decimals.into_iter().flat_map(|micros| [micros - 1, micros, micros + 1]) {
        for (from, to) in [(Some(moment(BEGIN + at)), None), (None, Some(moment(BEGIN + at)))] {
            let filter = Filter { from, to, ..Filter::default() };
            let page = ledger.store.transactions(&account("ana"), filter, None, 100).await.unwrap();
            assert_eq!(page.transactions, history.list(&account("ana"), filter), "{filter:?}");
        }
    }
}

async fn an_id_that_is_nowhere_is_none(ledger: &Ledger) {
    let id = TransactionId::generate();
    assert_eq!(ledger.store.transaction(id).await.unwrap(), None);
    assert_eq!(ledger.store.refused(id).await.unwrap(), None);
    assert!(ledger.store.fates(&[id]).await.unwrap().is_empty());
    assert!(ledger.store.fates(&[]).await.unwrap().is_empty());
}

async fn fates_are_told_of_rows_and_of_quarantine(ledger: &Ledger) {
    let mut history = History::new();
    history.add(&mut Random::new(1), "ana", &currencies(&["BRL"]), 700);
    ledger.insert(&history.rows).await;
    let of_row = |index: usize| &history.rows[index].accepted;
    let refused: Vec<_> = (0..300).map(|_| TransactionId::generate()).collect();
    for (offset, id) in (0..).zip(&refused) {
        ledger.refuse(*id, offset, "overflow", moment(BEGIN + 7)).await;
    }
    // The same id again, later in the topic, and that of a row.
    ledger.refuse(refused[0], 1_000, "conflict", moment(BEGIN + 8)).await;
    ledger.refuse(of_row(0).transaction.id, 1_001, "conflict", moment(BEGIN + 9)).await;

    let mut ids: Vec<_> =
        history.rows.iter().map(|row| row.accepted.transaction.id).chain(refused.clone()).collect();
    ids[999] = TransactionId::generate();
    let fates = ledger.store.fates(&ids).await.unwrap();
    assert_eq!(fates.len(), 999);
    assert_eq!(fates[&ids[0]], Fate::Recorded(of_row(0).content_hash));
    assert_eq!(fates[&ids[699]], Fate::Recorded(of_row(699).content_hash));
    assert!(refused[..299].iter().all(|id| fates[id] == Fate::Refused(Reason::Overflow)));

    let first = Refused { reason: Reason::Overflow, recorded_at: moment(BEGIN + 7) };
    assert_eq!(ledger.store.refused(refused[0]).await.unwrap(), Some(first));
}

async fn a_value_that_fluxo_never_wrote_is_told_with_its_column(ledger: &Ledger) {
    let mut history = History::new();
    history.add(&mut Random::new(1), "ana", &currencies(&["BRL"]), 40);
    ledger.insert(&history.rows).await;
    let foreign = [
        ("account", "'a b'"),
        ("currency", "'XXX'"),
        ("scale", "3"),
        ("amount", "0"),
        ("description", "''"),
        ("metadata", "'{\"a\": 1}'"),
        ("client", "''"),
    ];
    for (column, value) in foreign {
        let row = history.rows.pop().unwrap();
        let id = row.accepted.transaction.id;
        let sql = format!("UPDATE transactions SET {column} = {value} WHERE id = ?");
        ledger.run(&sql, vec![id.as_uuid().as_bytes().as_slice().into()]).await;
        let error = ledger.store.transaction(id).await.unwrap_err();
        assert!(
            matches!(error, Error::Foreign { table: "transactions", column: found } if found == column),
            "{column}: {error:?}"
        );
    }
    // A number that is missing would let a search go astray.
    ledger.run("DELETE FROM transactions WHERE account_seq BETWEEN 2 AND 20", vec![]).await;
    ledger.run("UPDATE transactions SET currency = 'BRL', scale = 2", vec![]).await;
    let error = ledger.store.balances(&account("ana"), Some(moment(BEGIN))).await.unwrap_err();
    assert!(matches!(error, Error::Foreign { column: "account_seq", .. }), "{error:?}");
}
