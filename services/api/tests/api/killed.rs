//! The program itself, killed under load and started again.

use std::{
    collections::HashSet,
    net::SocketAddr,
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use fluxo_core::message;
use fluxo_testkit::{TestTopic, eventually};
use futures::future::join_all;
use rdkafka::Message;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    process::{Child, Command},
};

use crate::support::{LONG, VALID, read_topic};

const CLIENTS: usize = 16;
const EACH: usize = 200;

/// The program, which is killed with this value.
pub(crate) fn start(topic: &TestTopic, address: SocketAddr, flags: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_api"))
        .args([
            &format!("--kafka-bootstrap-servers={}", topic.bootstrap_servers),
            &format!("--kafka-topic={}", topic.name),
            &format!("--api-listen={address}"),
            // It posts without one.
            "--database-url=mysql://nobody@127.0.0.1:9/none",
            "--admin-listen=127.0.0.1:0",
            "--api-auth=none",
            "--log=error",
        ])
        .args(flags)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Posts transactions one after the other, each until it is answered 202; their ids.
async fn post_all(url: &str, client: usize, accepted: &AtomicUsize) -> Vec<String> {
    let http = reqwest::Client::new();
    let mut ids = Vec::new();
    for number in 0..EACH {
        let answer = eventually("an answer of 202", LONG, async || {
            let request = http.post(url).body(VALID).header("content-type", "application/json");
            let key = format!("{client}-{number}");
            let answer = request.header("idempotency-key", key).send().await.ok()?;
            let is_accepted = answer.status() == 202;
            let body: Value = serde_json::from_str(&answer.text().await.ok()?).ok()?;
            is_accepted.then_some(body)
        });
        ids.push(answer.await["id"].as_str().unwrap().to_owned());
        accepted.fetch_add(1, Relaxed);
    }
    ids
}

#[tokio::test]
async fn no_202_is_lost_though_the_api_is_killed_under_load_and_started_again() {
    let topic = fluxo_testkit::topic(3).await;
    // Free when this is dropped.
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (mut api, accepted) = (start(&topic, address, &[]), AtomicUsize::new(0));
    let url = format!("http://{address}/v1/transactions");
    let posting = join_all((0..CLIENTS).map(|client| post_all(&url, client, &accepted)));
    let killing = async {
        let a_part = async || (accepted.load(Relaxed) > CLIENTS * EACH / 3).then_some(());
        eventually("a part of the transactions", LONG, a_part).await;
        api.kill().await.unwrap();
        assert!(accepted.load(Relaxed) < CLIENTS * EACH, "it was killed when all was done");
        start(&topic, address, &[])
    };
    let (ids, _api) = tokio::join!(posting, killing);
    let accepted: HashSet<_> = ids.into_iter().flatten().collect();
    assert_eq!(accepted.len(), CLIENTS * EACH, "two keys got one id");

    let records = read_topic(&topic.bootstrap_servers, &topic.name, 3);
    let id = |record: &rdkafka::message::OwnedMessage| {
        message::decode(record.key(), record.payload()).unwrap().transaction.id.to_string()
    };
    assert_eq!(records.iter().map(id).collect::<HashSet<_>>(), accepted);
}
