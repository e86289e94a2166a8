//! A hundred thousand transactions through the api, two listeners, one of them killed midway.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    process::Stdio,
};

use fluxo_core::{Account, Currency, Kind, TransactionId};
use fluxo_testkit::eventually;
use serde_json::{Value, json};
use tokio::{
    process::{Child, Command},
    task::JoinSet,
};

use crate::pipeline::{PATIENCE, Pipeline, records_of};

const TRANSACTIONS: usize = 100_000;
const ACCOUNTS: usize = 1_000;
const PARTITIONS: i32 = 12;
/// The most records that the api takes in one call.
const BATCH: usize = 1_000;

/// Two accounts share each name but for the case of a letter.
fn account(number: usize) -> String {
    let initial = if number.is_multiple_of(2) { 'C' } else { 'c' };
    format!("{initial}onta-{}", number / 2)
}

/// The transaction with a number, always the same: its account, and what it adds in minor units.
fn generated(number: usize) -> (String, i64) {
    let mut seed = number as u64;
    let mut next = |bound: u64| {
        // SplitMix64.
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    };
    let account = account(usize::try_from(next(ACCOUNTS as u64)).unwrap());
    let minor = i64::try_from(1 + next(1_000_000)).unwrap();
    (account, if next(2) == 0 { minor } else { -minor })
}

fn body(numbers: std::ops::Range<usize>) -> Value {
    let one = |number| {
        let (account, minor) = generated(number);
        let amount = format!("{}.{:02}", minor.abs() / 100, minor.abs() % 100);
        let kind = if minor < 0 { "saida" } else { "entrada" };
        json!({"account": account, "kind": kind, "amount": amount, "currency": "BRL"})
    };
    numbers.map(one).collect()
}

/// Posts all transactions, in batches, from four clients at once; the accepted ids.
async fn post_all(api: &str) -> Vec<TransactionId> {
    let client = reqwest::Client::new();
    let url = format!("{api}/v1/transactions/batch");
    let clients = (0..4).map(|first| {
        let (client, url) = (client.clone(), url.clone());
        tokio::spawn(async move {
            let mut ids = Vec::new();
            for start in (first * BATCH..TRANSACTIONS).step_by(4 * BATCH) {
                let body = body(start..start + BATCH).to_string();
                let request =
                    || client.post(&url).header("content-type", "application/json").body(body.clone());
                let answer = request().send().await.unwrap();
                assert_eq!(answer.status(), 207);
                let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
                for result in answer["results"].as_array().unwrap() {
                    assert_eq!(result["status"], 202, "{result}");
                    ids.push(TransactionId::parse(result["id"].as_str().unwrap()).unwrap());
                }
            }
            ids
        })
    });
    let mut ids = Vec::new();
    for client in clients.collect::<Vec<_>>() {
        ids.extend(client.await.unwrap());
    }
    ids
}

/// A listener in a process of its own, which ends with this value.
fn spawn(pipeline: &Pipeline) -> Child {
    Command::new(env!("CARGO_BIN_EXE_listener"))
        .args(pipeline.flags())
        .args(["--log=warn", "--log-format=pretty"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn recorded(pipeline: &Pipeline) -> i64 {
    let offsets = pipeline.store.offsets(&pipeline.topic.name).await.unwrap();
    offsets.values().map(|stored| stored.next_offset).sum()
}

/// The ids on the topic, by account, in the order of their partition.
fn on_the_topic(pipeline: &Pipeline) -> BTreeMap<String, Vec<TransactionId>> {
    let mut ids: BTreeMap<String, Vec<TransactionId>> = BTreeMap::new();
    for (_, _, record) in records_of(&pipeline.topic) {
        let value: Value = serde_json::from_slice(&record.value.unwrap()).unwrap();
        let account = String::from_utf8(record.key.unwrap()).unwrap();
        ids.entry(account).or_default().push(TransactionId::parse(value["id"].as_str().unwrap()).unwrap());
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_accepted_transaction_is_one_row_in_order_though_a_listener_is_killed() {
    let pipeline = Pipeline::new(PARTITIONS).await;
    let api = pipeline.serve_api(&[]).await;
    let (mut first, mut second) = (spawn(&pipeline), spawn(&pipeline));

    let url = api.url.clone();
    let posting = tokio::spawn(async move { post_all(&url).await });
    eventually("a part of the rows", PATIENCE, async || (recorded(&pipeline).await > 10_000).then_some(()))
        .await;
    first.kill().await.unwrap();
    assert!(recorded(&pipeline).await < 100_000, "the listener was killed when all was done");
    let accepted = posting.await.unwrap();
    first = spawn(&pipeline);

    eventually("all of the rows", 2 * PATIENCE, async || {
        (recorded(&pipeline).await >= 100_000).then_some(())
    })
    .await;
    for listener in [&mut first, &mut second] {
        assert_eq!(listener.try_wait().unwrap(), None, "a listener has ended by itself");
    }
    api.stop().await;
    check(&pipeline, &accepted).await;
}

/// Every accepted id is one row, every balance is that of a model in `i128`, and the rows of an account are in the
/// order of the topic.
async fn check(pipeline: &Pipeline, accepted: &[TransactionId]) {
    let mut model: HashMap<String, i128> = HashMap::new();
    for (account, minor) in (0..TRANSACTIONS).map(generated) {
        *model.entry(account).or_default() += i128::from(minor);
    }
    let accepted: HashSet<_> = accepted.iter().copied().collect();
    assert_eq!(accepted.len(), TRANSACTIONS, "two transactions got one id");
    let topic = on_the_topic(pipeline);
    let currency = Currency::parse("BRL").unwrap();
    let mut rows_in_all = 0;
    for (name, ids) in &topic {
        let account = Account::parse(name).unwrap();
        let rows = pipeline.store.statement(&account, currency, 0, 1_000).await.unwrap();
        let (mut balance, mut kept) = (0_i128, Vec::new());
        for (row, seq) in rows.iter().zip(1..) {
            let transaction = &row.accepted.transaction;
            balance += i128::from(transaction.money.minor())
                * if transaction.kind == Kind::Entrada { 1 } else { -1 };
            assert_eq!((row.account_seq, i128::from(row.balance_after.minor)), (seq, balance), "{name}");
            assert!(accepted.contains(&transaction.id), "a row that nobody was told of");
            kept.push(transaction.id);
        }
        assert_eq!(balance, model[name], "{name}");
        assert_eq!(&kept, ids, "the rows of {name} are not in the order of the topic");
        rows_in_all += rows.len();
    }
    assert_eq!((rows_in_all, topic.len()), (TRANSACTIONS, model.len()));
}

#[tokio::test]
async fn fifty_parallel_retries_through_two_replicas_are_one_id_and_one_row() {
    let pipeline = Pipeline::new(3).await;
    let listening = pipeline.listen(&[]).await;
    let replicas = [pipeline.serve_api(&[]).await, pipeline.serve_api(&[]).await];
    let client = reqwest::Client::new();
    let post = |number: usize, key: &str| {
        let request = client.post(format!("{}/v1/transactions", replicas[number % 2].url));
        let body = r#"{"account":"ana","kind":"entrada","amount":"10.00","currency":"BRL"}"#;
        request.header("content-type", "application/json").header("idempotency-key", key).body(body)
    };
    let mut posting = JoinSet::new();
    for number in 0..50 {
        let request = post(number, "pedido-4711");
        posting.spawn(async move {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 202);
            serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap()["id"].to_string()
        });
    }
    let ids: HashSet<_> = posting.join_all().await.into_iter().collect();
    assert_eq!(ids.len(), 1);
    // Of the same account, so behind them all: when it is a row, so is whatever they are.
    assert_eq!(post(0, "pedido-4712").send().await.unwrap().status(), 202);
    assert_eq!(pipeline.balance_after("ana", 2).await, "20.00");
    for api in replicas {
        api.stop().await;
    }
    listening.stop().await;
}
