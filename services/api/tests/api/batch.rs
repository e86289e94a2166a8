//! `POST /v1/transactions/batch`.

use fluxo_core::message;
use rdkafka::Message;
use reqwest::Response;
use serde_json::Value;

use crate::support::{Fixture, VALID, problem};

const PATH: &str = "/v1/transactions/batch";

async fn results(response: Response) -> Vec<Value> {
    assert_eq!(response.status(), 207);
    let mut answer: Value = response.json().await.unwrap();
    serde_json::from_value(answer["results"].take()).unwrap()
}

fn statuses(results: &[Value]) -> Vec<i64> {
    results.iter().map(|result| result["status"].as_i64().unwrap()).collect()
}

async fn lines(api: &Fixture, body: impl Into<reqwest::Body>) -> Response {
    let request = api.client.post(format!("{}{PATH}", api.url));
    request.header("content-type", "application/x-ndjson").body(body).send().await.unwrap()
}

#[tokio::test]
async fn each_record_has_its_result_in_order() {
    let api = Fixture::ready(&[]).await;
    let body = format!("[{VALID}, {{}}, 7, {VALID}]");
    let results = results(api.post_to(PATH, body).send().await.unwrap()).await;
    assert_eq!(statuses(&results), [202, 422, 422, 202]);
    for (index, result) in results.iter().enumerate() {
        assert_eq!(result["index"], index);
    }
    assert_eq!(results[0]["location"], format!("/v1/transactions/{}", results[0]["id"].as_str().unwrap()));
    assert_eq!(results[1]["problem"]["type"], "urn:fluxo:problem:invalid-transaction");
    assert_eq!(results[1]["problem"]["errors"].as_array().unwrap().len(), 4);
    assert_eq!(results[2]["problem"]["errors"][0]["pointer"], "");
    assert_eq!(api.records().len(), 2);
}

#[tokio::test]
async fn the_records_of_an_account_stay_in_order() {
    let api = Fixture::ready(&[]).await;
    let body: Vec<_> = (1..=1_000).map(|i| VALID.replace("10.50", &format!("{i}.00"))).collect();
    let results = results(lines(&api, body.join("\n")).await).await;
    assert!(results.iter().all(|result| result["status"] == 202));
    let amounts: Vec<_> = api
        .records()
        .iter()
        .map(|record| message::decode(record.key(), record.payload()).unwrap().transaction.money.minor())
        .collect();
    assert_eq!(amounts, (1..=1_000).map(|i| i * 100).collect::<Vec<i64>>());
}

#[tokio::test]
async fn of_lines_that_were_cut_the_whole_ones_count() {
    let api = Fixture::ready(&[]).await;
    let cut = &VALID[..30];
    let results = results(lines(&api, format!("{VALID}\n\n{VALID}\r\n{cut}")).await).await;
    assert_eq!(statuses(&results), [202, 202, 400]);
    assert_eq!(results[2]["problem"]["type"], "urn:fluxo:problem:malformed-body");
    assert_eq!(api.records().len(), 2);
}

#[tokio::test]
async fn a_line_that_is_no_text_is_refused_alone() {
    let api = Fixture::ready(&[]).await;
    let body =
        [VALID.as_bytes(), b"\n\xff\xfe\n", br#"{"account":"\ud800"}"#, b"\n", VALID.as_bytes()].concat();
    assert_eq!(statuses(&results(lines(&api, body).await).await), [202, 400, 400, 202]);
}

#[tokio::test]
async fn an_array_must_be_whole() {
    let api = Fixture::ready(&[]).await;
    for body in [format!("[{VALID},"), format!("[{VALID}"), VALID.to_owned(), String::new()] {
        problem(api.post_to(PATH, body).send().await.unwrap(), 400, "malformed-body").await;
    }
    assert!(api.records().is_empty());
}

#[tokio::test]
async fn more_than_a_thousand_records_are_refused_as_a_whole() {
    let api = Fixture::ready(&[]).await;
    let array = format!("[{}]", vec!["7"; 1_001].join(","));
    problem(api.post_to(PATH, array).send().await.unwrap(), 413, "batch-too-large").await;
    problem(lines(&api, "7\n".repeat(1_001)).await, 413, "batch-too-large").await;
    let thousand = results(lines(&api, "7\n".repeat(1_000)).await).await;
    assert_eq!(thousand.len(), 1_000);
    assert!(results(api.post_to(PATH, "[]").send().await.unwrap()).await.is_empty());
}

#[tokio::test]
async fn the_key_of_a_record_is_its_own_else_that_of_the_header_with_its_index() {
    let api = Fixture::ready(&[]).await;
    let own = VALID.replace('}', r#","idempotency_key":"own"}"#);
    let body = format!("[{VALID},{own},{own}]");
    let send = async || {
        let response =
            api.post_to(PATH, body.clone()).header("idempotency-key", "batch").send().await.unwrap();
        results(response).await
    };
    let (first, again) = (send().await, send().await);
    assert_eq!(statuses(&first), [202, 202, 202]);
    assert_eq!(first[1]["id"], first[2]["id"]);
    assert_eq!(first[2]["replayed"], true, "it joined the one before it");
    assert!(again.iter().all(|result| result["replayed"] == true), "{again:?}");
    assert_eq!(first[0]["id"], again[0]["id"]);
    assert_eq!(api.records().len(), 2);

    let single = api.post(VALID).header("idempotency-key", "batch#0").send().await.unwrap();
    assert_eq!(single.json::<Value>().await.unwrap()["id"], first[0]["id"]);
}

#[tokio::test]
async fn a_key_with_other_content_is_refused_alone() {
    let api = Fixture::ready(&[]).await;
    let own = VALID.replace('}', r#","idempotency_key":"own"}"#);
    let other = own.replace("10.50", "10.51");
    let results = results(lines(&api, format!("{own}\n{other}\n{VALID}")).await).await;
    assert_eq!(statuses(&results), [202, 422, 202]);
    assert_eq!(results[1]["problem"]["type"], "urn:fluxo:problem:key-reused");
}

#[tokio::test]
async fn a_key_that_its_index_makes_too_long_is_refused() {
    let api = Fixture::ready(&[]).await;
    let request = api.post_to(PATH, format!("[{VALID}]")).header("idempotency-key", "x".repeat(255));
    let results = results(request.send().await.unwrap()).await;
    assert_eq!(results[0]["problem"]["errors"][0]["code"], "idempotency_key");
}
