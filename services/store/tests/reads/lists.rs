//! Lists, balances and statements of generated histories.

use fluxo_core::{Currency, Kind, Timestamp};
use fluxo_store::read::{Cursor, Filter, Page, Recorded};

use crate::{
    history::{BEGIN, History, Random, account, all_currencies, currencies, moment},
    ledger::Ledger,
    on_both,
};

on_both! {
    balances_are_those_of_the_model_now_and_at_every_time,
    statements_are_those_of_the_model_from_everywhere,
    pages_are_the_list_of_the_model_however_it_is_cut,
    pages_stay_right_while_rows_and_currencies_come_in,
    an_account_with_every_currency_is_read,
    a_filter_that_nothing_passes_ends_after_a_few_empty_pages,
    accounts_that_differ_in_case_are_not_mixed,
    what_no_list_gave_does_no_harm,
}

async fn balances_are_those_of_the_model_now_and_at_every_time(ledger: &Ledger) {
    let (mut random, mut history) = (Random::new(1), History::new());
    history.add(&mut random, "ana", &currencies(&["BRL", "JPY", "USD"]), 600);
    history.add(&mut random, "bia", &currencies(&["BRL"]), 40);
    ledger.insert(&history.rows).await;
    for name in ["ana", "bia", "nobody"] {
        let account = account(name);
        assert_eq!(ledger.store.balances(&account, None).await.unwrap(), history.balances(&account, None));
        let times = history.moments().step_by(13).map(Timestamp::micros);
        let times =
            times.flat_map(|at| [at - 1, at, at + 1]).chain([0, BEGIN, i64::from(i32::MAX) * 2_000_000]);
        for at in times.map(moment) {
            let found = ledger.store.balances(&account, Some(at)).await.unwrap();
            assert_eq!(found, history.balances(&account, Some(at)), "{name} at {at}");
        }
    }
}

async fn statements_are_those_of_the_model_from_everywhere(ledger: &Ledger) {
    let (mut random, mut history) = (Random::new(2), History::new());
    let (of, account) = (currencies(&["BRL", "JPY"]), account("ana"));
    history.add(&mut random, "ana", &of, 200);
    ledger.insert(&history.rows).await;
    for currency in of {
        for (after, limit) in [(0, 1), (0, 1_000), (7, 10), (50, 50), (100, 3), (1_000, 10), (i64::MAX, 10)] {
            let found = ledger.store.statement(&account, currency, after, limit).await.unwrap();
            assert_eq!(
                found,
                history.statement(&account, currency, after, limit),
                "{currency} after {after}"
            );
        }
    }
}

async fn pages_are_the_list_of_the_model_however_it_is_cut(ledger: &Ledger) {
    let (mut random, mut history) = (Random::new(3), History::new());
    history.add(&mut random, "ana", &currencies(&["BRL", "EUR", "JPY", "USD"]), 300);
    history.add(&mut random, "ana", &currencies(&["KWD"]), 2);
    history.add(&mut random, "zoe", &currencies(&["BRL"]), 50);
    ledger.insert(&history.rows).await;
    for limit in [1, 2, 7, 50, 1_000] {
        for filter in filters() {
            let (expected, mut found, mut cursor) = (history.list(&account("ana"), filter), Vec::new(), None);
            loop {
                let page = page(ledger, "ana", filter, cursor.as_ref(), limit).await;
                assert!(page.transactions.len() <= limit);
                found.extend(page.transactions);
                let Some(next) = page.next else { break };
                cursor = Some(next);
            }
            assert_eq!(found, expected, "{limit} a page, {filter:?}");
        }
    }
}

async fn pages_stay_right_while_rows_and_currencies_come_in(ledger: &Ledger) {
    for seed in 10..20 {
        let (mut random, mut history) = (Random::new(seed), History::new());
        let name = format!("account-{seed}");
        let mut of = currencies(&["BRL", "JPY", "USD"]);
        history.add(&mut random, &name, &of, 100);
        ledger.insert(&history.rows).await;
        let filter = filters()[usize::try_from(seed).unwrap() % filters().len()];
        let (expected, mut found, mut cursor) = (history.list(&account(&name), filter), Vec::new(), None);
        for new in ["AUD", "EUR", "ZMW"].iter().cycle() {
            let limit = 1 + usize::try_from(random.below(30)).unwrap();
            let page = page(ledger, &name, filter, cursor.as_ref(), limit).await;
            found.extend(page.transactions);
            let Some(next) = page.next else { break };
            cursor = Cursor::parse(&next.to_string());
            assert_eq!(cursor, Some(next));
            of.extend(currencies(&[new]));
            let before = history.add(&mut random, &name, &of, 20);
            ledger.insert(&history.rows[before..]).await;
        }
        assert_eq!(found, expected, "seed {seed}, {filter:?}");
    }
}

async fn an_account_with_every_currency_is_read(ledger: &Ledger) {
    let (mut random, mut history) = (Random::new(4), History::new());
    let of = all_currencies();
    assert!(of.len() > 150);
    history.add(&mut random, "ana", &of, 1_500);
    ledger.insert(&history.rows).await;
    assert_eq!(
        all(ledger, "ana", Filter::default(), 1_000).await,
        history.list(&account("ana"), Filter::default())
    );
    let at = history.rows[700].recorded_at;
    for at in [None, Some(at)] {
        let found = ledger.store.balances(&account("ana"), at).await.unwrap();
        assert_eq!(found, history.balances(&account("ana"), at));
    }
}

async fn a_filter_that_nothing_passes_ends_after_a_few_empty_pages(ledger: &Ledger) {
    let (mut random, mut history) = (Random::new(5), History::new());
    history.add(&mut random, "ana", &currencies(&["BRL"]), 5_000);
    ledger.insert(&history.rows).await;
    let filter = Filter { to: Some(moment(BEGIN)), ..Filter::default() };
    let (mut pages, mut cursor) = (0, None);
    loop {
        let page = page(ledger, "ana", filter, cursor.as_ref(), 10).await;
        assert_eq!(page.transactions, []);
        pages += 1;
        let Some(next) = page.next else { break };
        assert_ne!(Some(&next), cursor.as_ref());
        cursor = Some(next);
    }
    assert_eq!(pages, 3);
}

async fn accounts_that_differ_in_case_are_not_mixed(ledger: &Ledger) {
    let (mut random, mut history) = (Random::new(6), History::new());
    for name in ["Ana", "ana", "ANA", "ana."] {
        history.add(&mut random, name, &currencies(&["BRL"]), 10);
    }
    ledger.insert(&history.rows).await;
    for name in ["Ana", "ana", "ANA", "ana.", "aNa"] {
        let account = account(name);
        assert_eq!(all(ledger, name, Filter::default(), 7).await, history.list(&account, Filter::default()));
        assert_eq!(ledger.store.balances(&account, None).await.unwrap(), history.balances(&account, None));
    }
}

async fn what_no_list_gave_does_no_harm(ledger: &Ledger) {
    let (mut random, mut history) = (Random::new(7), History::new());
    history.add(&mut random, "ana", &currencies(&["BRL"]), 30);
    ledger.insert(&history.rows).await;
    let of_others = |code: &str, seq| Cursor(vec![(Currency::parse(code).unwrap(), seq)]);
    let empty = page(ledger, "ana", Filter::default(), Some(&of_others("USD", 2)), 10).await;
    assert_eq!(empty, Page { transactions: vec![], next: None });
    let far = page(ledger, "ana", Filter::default(), Some(&of_others("BRL", i64::MAX)), 10).await;
    assert_eq!(far.transactions, []);
    assert!(far.next.is_some());
    let negative = page(ledger, "ana", Filter::default(), Some(&of_others("BRL", i64::MIN)), 10).await;
    assert_eq!(negative, Page { transactions: vec![], next: None });
    let none = page(ledger, "ana", Filter::default(), Some(&Cursor(vec![])), 10).await;
    assert_eq!(none, Page { transactions: vec![], next: None });
}

fn filters() -> Vec<Filter> {
    let (early, late) = (Some(moment(BEGIN + 1_000_000)), Some(moment(BEGIN + 3_000_000)));
    vec![
        Filter::default(),
        Filter { kind: Some(Kind::Entrada), ..Filter::default() },
        Filter { kind: Some(Kind::Saida), from: early, to: late },
        Filter { from: late, ..Filter::default() },
        Filter { to: early, ..Filter::default() },
        Filter { from: late, to: early, ..Filter::default() },
    ]
}

async fn page(ledger: &Ledger, name: &str, filter: Filter, cursor: Option<&Cursor>, limit: usize) -> Page {
    ledger.store.transactions(&account(name), filter, cursor, limit).await.unwrap()
}

async fn all(ledger: &Ledger, name: &str, filter: Filter, limit: usize) -> Vec<Recorded> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = page(ledger, name, filter, cursor.as_ref(), limit).await;
        found.extend(page.transactions);
        let Some(next) = page.next else { return found };
        cursor = Some(next);
    }
}
