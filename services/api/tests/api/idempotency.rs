//! `Idempotency-Key`.

use std::time::Duration;

use fluxo_api::Api;
use futures::future::join_all;
use secrecy::ExposeSecret;
use serde_json::Value;

use crate::support::{Fixture, LARGEST, LONG, PATIENT, TOPIC, VALID, problem, settings};

const OTHER: &str = r#"{"account":"ana","kind":"entrada","amount":"10.51","currency":"BRL"}"#;

async fn send(api: &Fixture, body: &'static str, key: &str) -> reqwest::Response {
    api.post(body).header("idempotency-key", key).send().await.unwrap()
}

async fn id(response: reqwest::Response) -> String {
    assert_eq!(response.status(), 202);
    response.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_same_again_is_answered_the_same_without_being_sent_again() {
    let api = Fixture::ready(&[]).await;
    let first = send(&api, VALID, "pedido-1").await;
    assert!(!first.headers().contains_key("idempotency-replayed"));
    // The same content, spelt in another way.
    let again = r#"{"amount":"10.5","currency":"BRL","kind":"inflow","account":"ana"}"#;
    let second = send(&api, again, "\"pedido-1\"").await;
    assert_eq!(second.headers()["idempotency-replayed"], "true");
    assert_eq!(id(first).await, id(second).await);
    assert_eq!(api.records().len(), 1);
}

#[tokio::test]
async fn other_content_under_a_key_is_422() {
    let api = Fixture::ready(&[]).await;
    assert_eq!(send(&api, VALID, "pedido-1").await.status(), 202);
    problem(send(&api, OTHER, "pedido-1").await, 422, "key-reused").await;
    assert_eq!(send(&api, OTHER, "pedido-2").await.status(), 202);
    assert_eq!(api.records().len(), 2);
}

#[tokio::test]
async fn a_key_in_the_body_counts_and_comes_before_the_header() {
    let api = Fixture::ready(&[]).await;
    let keyed = r#"{"account":"ana","kind":"entrada","amount":"10.50","currency":"BRL","idempotency_key":"pedido-1"}"#;
    let first = id(api.post(keyed).send().await.unwrap()).await;
    assert_eq!(id(send(&api, keyed, "pedido-2").await).await, first);
    assert_eq!(id(send(&api, VALID, "pedido-1").await).await, first);
}

#[tokio::test]
async fn of_parallel_requests_with_two_contents_one_content_is_sent_once() {
    let api = Fixture::ready(&[]).await;
    // They all arrive before the first is acknowledged.
    api.cluster.broker_round_trip_time(1, Duration::from_secs(4)).unwrap();
    let bodies = (0..40).map(|i| if i % 2 == 0 { VALID } else { OTHER });
    let answers = join_all(bodies.map(|body| send(&api, body, "pedido-1"))).await;
    let count = |status| answers.iter().filter(|answer| answer.status() == status).count();
    assert_eq!((count(202), count(422)), (20, 20));
    api.cluster.broker_round_trip_time(1, Duration::ZERO).unwrap();
    assert_eq!(api.records().len(), 1);
}

#[tokio::test]
async fn past_the_join_limit_a_request_is_409() {
    let api = Fixture::ready(&[]).await;
    // They all arrive before the first is acknowledged.
    api.cluster.broker_round_trip_time(1, Duration::from_secs(4)).unwrap();
    let answers = join_all((0..80).map(|_| send(&api, VALID, "pedido-1"))).await;
    let count = |status| answers.iter().filter(|answer| answer.status() == status).count();
    assert_eq!((count(202), count(409)), (65, 15));
}

#[tokio::test]
async fn after_an_unknown_outcome_the_key_can_be_tried_again_with_the_same_content_only() {
    let api = Fixture::ready(&["--api-delivery-timeout=1s"]).await;
    api.cluster.broker_round_trip_time(1, Duration::from_secs(3)).unwrap();
    let unknown = problem(send(&api, VALID, "pedido-1").await, 504, "outcome-unknown").await;
    api.cluster.broker_round_trip_time(1, Duration::ZERO).unwrap();
    problem(send(&api, OTHER, "pedido-1").await, 422, "key-reused").await;
    let again = fluxo_testkit::eventually("it is accepted", LONG, async || {
        let response = send(&api, VALID, "pedido-1").await;
        (response.status() == 202).then_some(response)
    });
    assert_eq!(id(again.await).await, unknown["id"].as_str().unwrap());
}

#[tokio::test]
async fn what_the_database_knows_counts_in_every_replica() {
    let api = Fixture::ready(&[]).await;
    // The other replica has accepted it, and its memory is not this one's.
    let database = api.database.database_url.expose_secret();
    let other = settings(&api.cluster.bootstrap_servers(), TOPIC, database, &[PATIENT]);
    let other = Api::bind(other).await.unwrap();
    let (address, readiness, admin) =
        (other.local_addr().unwrap(), other.readiness(), other.admin_addr().unwrap());
    tokio::spawn(other.serve(api.shutdown.clone()));
    let first = id(send(&api, VALID, "pedido-1").await).await;
    api.record().await;
    fluxo_testkit::eventually("the other replica", LONG, async || {
        let metrics =
            api.client.get(format!("http://{admin}/metrics")).send().await.ok()?.text().await.ok()?;
        (readiness.missing().is_empty() && metrics.contains("fluxo_api_database_up 1")).then_some(())
    })
    .await;
    let again = async |body: &'static str| {
        let request = api.client.post(format!("http://{address}/v1/transactions"));
        let request =
            request.header("content-type", "application/json").header("idempotency-key", "pedido-1");
        request.body(body).send().await.unwrap()
    };
    problem(again(OTHER).await, 422, "key-reused").await;
    let replay = again(VALID).await;
    assert_eq!(replay.headers()["idempotency-replayed"], "true");
    assert_eq!(id(replay).await, first);
    assert_eq!(api.records().len(), 1);
}

#[tokio::test]
async fn a_key_whose_transaction_is_in_quarantine_is_not_sent_again() {
    let api = Fixture::ready(&["--api-idempotency-time=1ms"]).await;
    api.fill("ana").await;
    assert_eq!(send(&api, LARGEST, "pedido-1").await.status(), 202);
    api.record().await;
    problem(send(&api, LARGEST, "pedido-1").await, 422, "refused").await;
    assert_eq!(api.records().len(), 1);
}

#[tokio::test]
async fn a_key_that_cannot_be_one_is_400() {
    let api = Fixture::ready(&[]).await;
    problem(send(&api, VALID, "a b").await, 400, "bad-header").await;
}
