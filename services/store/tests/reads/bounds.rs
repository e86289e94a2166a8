//! What reads cost on MySQL, counted by the server: it must not grow with the history of an account.

use fluxo_core::Kind;
use fluxo_store::read::{Cursor, Filter};

use crate::{
    history::{BEGIN, History, Random, account, currencies, moment},
    ledger::Ledger,
};

const ROWS: usize = 50_000;

/// How many rows or index entries the session read since the last call.
async fn reads(ledger: &Ledger) -> u64 {
    let counters = ledger.query("SHOW SESSION STATUS LIKE 'Handler_read%'", 2).await;
    ledger.run("FLUSH STATUS", vec![]).await;
    counters.iter().map(|counter| counter[1].parse::<u64>().unwrap()).sum()
}

macro_rules! cost {
    ($ledger:ident, $read:expr) => {{
        reads($ledger).await;
        $read.await.unwrap();
        reads($ledger).await
    }};
}

#[tokio::test]
async fn reads_of_a_long_history_are_bounded() {
    let ledger = &Ledger::mysql().await;
    let (mut random, mut history) = (Random::new(1), History::new());
    let (brl, account) = (currencies(&["BRL"]), account("ana"));
    history.add(&mut random, "ana", &brl, ROWS);
    history.add(&mut random, "ana", &currencies(&["USD"]), 100);
    history.add(&mut random, "an", &brl, 2_000);
    history.add(&mut random, "anb", &brl, 2_000);
    ledger.insert(&history.rows).await;
    let store = &ledger.store;

    // What counting itself costs is taken off.
    let nothing = cost!(ledger, async { Ok::<_, ()>(()) });
    let id = history.rows[25_000].accepted.transaction.id;
    let early = Some(history.rows[10_000].recorded_at);
    let middle = Cursor(vec![(brl[0], 30_000)]);
    let none = Filter { kind: Some(Kind::Entrada), to: Some(moment(BEGIN)), ..Filter::default() };
    let ids: Vec<_> = history.rows.iter().step_by(60).map(|row| row.accepted.transaction.id).collect();
    let costs = [
        ("a transaction", 3, cost!(ledger, store.transaction(id))),
        ("a transaction and its reversal", 4, cost!(ledger, store.transaction_and_reversal(id))),
        ("fates of 902 ids", 2 * 1_024, cost!(ledger, store.fates(&ids))),
        ("balances", 9, cost!(ledger, store.balances(&account, None))),
        ("balances at a time", 200, cost!(ledger, store.balances(&account, early))),
        ("a statement of 100", 110, cost!(ledger, store.statement(&account, brl[0], 25_000, 100))),
        (
            "the first page of 50",
            250,
            cost!(ledger, store.transactions(&account, Filter::default(), None, 50)),
        ),
        (
            "a later page of 50",
            60,
            cost!(ledger, store.transactions(&account, Filter::default(), Some(&middle), 50)),
        ),
        ("a page that nothing passes", 2_050, cost!(ledger, store.transactions(&account, none, None, 50))),
    ];
    for (what, bound, cost) in costs {
        let cost = cost.saturating_sub(nothing);
        println!("{what}: {cost} reads of rows or index entries, bound {bound}");
        assert!((1..=bound).contains(&cost), "{what}: {cost} reads, more than {bound}");
    }
}

#[tokio::test]
async fn every_read_uses_the_whole_index() {
    let ledger = &Ledger::mysql().await;
    let mut history = History::new();
    history.add(&mut Random::new(1), "ana", &currencies(&["BRL", "USD"]), 1_000);
    ledger.insert(&history.rows).await;
    ledger.run("ANALYZE TABLE transactions", vec![]).await;
    let key = "account = 'ana' AND currency = 'BRL'";
    for (condition, order) in [
        ("account = 'ana' AND currency < '['", "currency DESC, account_seq DESC LIMIT 1"),
        (&*format!("{key} AND account_seq IN (1, 10, 20)"), "account_seq"),
        (&*format!("{key} AND account_seq > 100"), "account_seq LIMIT 10"),
        (&*format!("{key} AND account_seq >= 100 AND account_seq < 150"), "account_seq DESC"),
    ] {
        let sql =
            format!("EXPLAIN FORMAT=TREE SELECT * FROM transactions WHERE {condition} ORDER BY {order}");
        let plan = ledger.query(&sql, 1).await.concat().concat();
        assert!(plan.contains("using account_seq"), "{condition}: {plan}");
        assert!(!plan.contains("Sort") && !plan.contains("Table scan"), "{condition}: {plan}");
    }
}
