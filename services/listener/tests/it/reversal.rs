//! A transaction is taken back once, whoever asks for it.

use std::collections::HashSet;

use fluxo_core::TransactionId;
use fluxo_testkit::eventually;
use reqwest::{Client, Response};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::pipeline::{PATIENCE, Pipeline};

const TRANSACTION: &str = r#"{"account":"ana","kind":"entrada","amount":"10.50","currency":"BRL"}"#;

async fn post(http: &Client, url: &str, path: &str, body: &'static str) -> Response {
    let request = http.post(format!("{url}{path}")).header("content-type", "application/json");
    request.header("prefer", "wait=30").body(body).send().await.unwrap()
}

async fn id(response: Response) -> TransactionId {
    let answer: Value = response.json().await.unwrap();
    TransactionId::parse(answer["id"].as_str().unwrap_or_default()).unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test]
async fn fifty_reversals_at_once_through_two_replicas_are_one_row() {
    let pipeline = Pipeline::new(3).await;
    let listener = pipeline.listen(&[]).await;
    let replicas = [pipeline.serve_api(&[]).await, pipeline.serve_api(&[]).await];
    let http = Client::new();
    let first = id(post(&http, &replicas[0].url, "/v1/transactions", TRANSACTION).await).await;
    assert_eq!(pipeline.balance_after("ana", 1).await, "10.50");

    let path = format!("/v1/transactions/{first}/reversal");
    let mut calls = JoinSet::new();
    for call in 0..50 {
        let (http, url, path) = (http.clone(), replicas[call % 2].url.clone(), path.clone());
        calls.spawn(async move {
            let answer = post(&http, &url, &path, "").await;
            assert_eq!(answer.status(), 201, "{answer:?}");
            id(answer).await
        });
    }
    let ids: HashSet<_> = calls.join_all().await.into_iter().collect();
    assert_eq!(ids, HashSet::from([first.of_reversal()]));
    // What comes after all that was sent for the reversal: then nothing of it is still to come.
    post(&http, &replicas[0].url, "/v1/transactions", TRANSACTION).await;
    assert_eq!(pipeline.balance_after("ana", 3).await, "10.50");
    assert_eq!(pipeline.statement("ana").await[..2], [first, first.of_reversal()]);
    let reversal = pipeline.store.transaction(first.of_reversal()).await.unwrap().unwrap();
    assert_eq!(reversal.accepted.reverses, Some(first));
    assert_eq!(reversal.balance_after.to_string(), "0.00");
    for replica in replicas {
        replica.stop().await;
    }
    listener.stop().await;
}

#[tokio::test]
async fn while_the_database_is_away_reversals_are_503_and_posts_are_not() {
    let pipeline = Pipeline::new(1).await;
    let listener = pipeline.listen(&[]).await;
    let (link, through) = pipeline.database.linked();
    let api = pipeline.serve_api(&[&format!("--database-url={through}")]).await;
    let http = Client::new();
    let first = id(post(&http, &api.url, "/v1/transactions", TRANSACTION).await).await;
    assert_eq!(pipeline.balance_after("ana", 1).await, "10.50");

    link.refuses();
    let path = format!("/v1/transactions/{first}/reversal");
    let away = post(&http, &api.url, &path, "").await;
    assert_eq!((away.status().as_u16(), &away.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    let problem: Value = away.json().await.unwrap();
    assert_eq!(problem["type"], "urn:fluxo:problem:database-unavailable");
    let posted = http.post(format!("{}/v1/transactions", api.url)).header("content-type", "application/json");
    assert_eq!(posted.body(TRANSACTION).send().await.unwrap().status(), 202);
    assert_eq!(pipeline.balance_after("ana", 2).await, "21.00");

    link.passes();
    let back = eventually("the reversal", PATIENCE, async || {
        let answer = post(&http, &api.url, &path, "").await;
        (answer.status() == 201).then_some(answer)
    });
    assert_eq!(id(back.await).await, first.of_reversal());
    assert_eq!(pipeline.balance_after("ana", 3).await, "10.50");
    api.stop().await;
    listener.stop().await;
}
