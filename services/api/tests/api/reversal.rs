//! `POST /v1/transactions/{id}/reversal`.

use fluxo_core::message;
use futures::future::join_all;
use rdkafka::Message;
use serde_json::{Value, json};

use crate::support::{Fixture, LARGEST, VALID, problem};

const UNKNOWN: &str = "00000000-0000-7000-8000-000000000000";

async fn reverse(api: &Fixture, id: &str) -> reqwest::Response {
    api.post_to(&format!("/v1/transactions/{id}/reversal"), "").send().await.unwrap()
}

async fn id(response: reqwest::Response) -> String {
    assert_eq!(response.status(), 202, "{response:?}");
    response.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
}

/// The id of a transaction that is a row.
async fn recorded(api: &Fixture) -> String {
    let id = id(api.post(VALID).send().await.unwrap()).await;
    api.record().await;
    id
}

async fn show(api: &Fixture, id: &str) -> Value {
    api.get(&format!("/v1/transactions/{id}")).send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn a_reversal_is_an_opposite_transaction_that_names_the_first() {
    let api = Fixture::ready(&[]).await;
    let first = recorded(&api).await;
    let accepted = reverse(&api, &first).await;
    let location = accepted.headers()["location"].to_str().unwrap().to_owned();
    let reversal = id(accepted).await;
    assert_eq!(location, format!("/v1/transactions/{reversal}"));
    assert_eq!(show(&api, &first).await.get("reversed_by"), None, "it is not yet a row");
    api.record().await;
    let shown = show(&api, &reversal).await;
    for (field, value) in [
        ("state", json!("recorded")),
        ("account", json!("ana")),
        ("kind", json!("saida")),
        ("amount", json!("10.50")),
        ("balance_after", json!("0.00")),
        ("reverses", json!(first)),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
    assert_eq!(show(&api, &first).await["reversed_by"], json!(reversal));
}

#[tokio::test]
async fn a_transaction_is_reversed_once_however_often_it_is_asked_for() {
    let api = Fixture::ready(&["--api-idempotency-time=1s"]).await;
    let first = recorded(&api).await;
    let answers = join_all((0..20).map(|_| reverse(&api, &first))).await;
    let replayed = answers.iter().filter(|answer| answer.headers().contains_key("idempotency-replayed"));
    assert_eq!(replayed.count(), 19);
    let mut ids = join_all(answers.into_iter().map(id)).await;
    ids.dedup();
    let [reversal] = ids.as_slice() else { panic!("{ids:?}") };
    let on_kafka = |api: &Fixture| {
        let records = api.records();
        let accepted = records.iter().map(|record| message::decode(record.key(), record.payload()).unwrap());
        accepted.filter(|accepted| accepted.transaction.id.to_string() == *reversal).count()
    };
    assert_eq!(on_kafka(&api), 1);
    api.record().await;
    // The database remembers when this replica does not any more.
    let again = reverse(&api, &first).await;
    assert_eq!(again.headers()["idempotency-replayed"], "true");
    assert_eq!((id(again).await, on_kafka(&api)), (reversal.clone(), 1));
}

#[tokio::test]
async fn a_reversal_can_be_reversed_and_the_first_stays_reversed() {
    let api = Fixture::ready(&[]).await;
    let first = recorded(&api).await;
    let second = id(reverse(&api, &first).await).await;
    api.record().await;
    let third = id(reverse(&api, &second).await).await;
    api.record().await;
    let shown = show(&api, &third).await;
    assert_eq!((&shown["kind"], &shown["reverses"]), (&json!("entrada"), &json!(second)));
    assert_eq!(shown["balance_after"], "10.50");
    assert_eq!(id(reverse(&api, &first).await).await, second);
}

#[tokio::test]
async fn what_is_no_row_cannot_be_reversed() {
    let api = Fixture::ready(&[]).await;
    problem(reverse(&api, UNKNOWN).await, 404, "unknown-transaction").await;
    let unwritten = id(api.post(VALID).send().await.unwrap()).await;
    problem(reverse(&api, &unwritten).await, 404, "unknown-transaction").await;
    problem(reverse(&api, "4711").await, 400, "bad-parameter").await;
    api.record().await;
    api.fill("bia").await;
    let refused = id(api.post(LARGEST.replace("ana", "bia")).send().await.unwrap()).await;
    api.record().await;
    let told = problem(reverse(&api, &refused).await, 422, "refused").await;
    assert_eq!(told["reason"], "overflow");
    assert_eq!(api.records().len(), 2, "nothing was sent");
}

#[tokio::test]
async fn a_body_is_refused_since_nothing_of_it_would_be_kept() {
    let api = Fixture::ready(&[]).await;
    let first = recorded(&api).await;
    let path = format!("/v1/transactions/{first}/reversal");
    let with_body = api.post_to(&path, r#"{"description":"erro"}"#).send().await.unwrap();
    problem(with_body, 400, "malformed-body").await;
    assert_eq!(api.records().len(), 1);
}
