//! `POST /v1/transactions`.

use std::time::Duration;

use fluxo_core::message;
use rdkafka::{Message, bindings::rd_kafka_resp_err_t as Response, message::Headers, types::RDKafkaApiKey};
use serde_json::Value;

use crate::support::{Fixture, LARGEST, LONG, VALID, cluster, errors, problem};

#[tokio::test]
async fn what_is_answered_202_is_on_kafka_under_its_account() {
    let api = Fixture::ready(&[]).await;
    let body = r#"{"account":"ana","kind":"saída","amount":"1234.5","currency":"BRL","description":"aluguel",
        "occurred_at":"2026-11-21T14:32:00-03:00","metadata":{"pedido":"4711"}}"#;
    let response = api.post(body).send().await.unwrap();
    assert_eq!(response.status(), 202);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let receipt: Value = response.json().await.unwrap();
    assert_eq!(receipt["state"], "accepted");
    assert_eq!(location, format!("/v1/transactions/{}", receipt["id"].as_str().unwrap()));

    let records = api.records();
    let [record] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!(record.key(), Some("ana".as_bytes()));
    assert!(record.headers().is_none());
    let accepted = message::decode(record.key(), record.payload()).unwrap();
    let transaction = accepted.transaction;
    assert_eq!(transaction.id.to_string(), receipt["id"].as_str().unwrap());
    assert_eq!(transaction.money.to_string(), "1234.50");
    assert_eq!(transaction.occurred_at.to_string(), "2026-11-21T17:32:00.000000Z");
    assert_eq!(accepted.client.as_str(), "anonymous");
    api.end().await;
}

#[tokio::test]
async fn the_trace_of_a_request_is_passed_on_to_the_record() {
    let api = Fixture::ready(&[]).await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = api.post(VALID).header("traceparent", parent).header("tracestate", "vendor=1");
    assert_eq!(request.send().await.unwrap().status(), 202);
    let records = api.records();
    let headers: Vec<_> =
        records[0].headers().unwrap().iter().map(|header| (header.key, header.value)).collect();
    let expected: [(&str, Option<&[u8]>); 2] =
        [("traceparent", Some(parent.as_bytes())), ("tracestate", Some("vendor=1".as_bytes()))];
    assert_eq!(headers, expected);
}

#[tokio::test]
async fn everything_that_is_wrong_is_told_by_its_pointer() {
    let api = Fixture::ready(&[]).await;
    let body = r#"{"account":"a b","kind":"entrada","amount":12.5,"currency":"BRL","ocurred_at":"now","kind":"saida",
        "metadata":{"a/b":"x","n":1}}"#;
    let problem = problem(api.post(body).send().await.unwrap(), 422, "invalid-transaction").await;
    let expected = [
        ("/amount", "wrong_type"),
        ("/ocurred_at", "unknown_field"),
        ("/kind", "repeated_field"),
        ("/metadata/n", "wrong_type"),
        ("/account", "account"),
        ("/metadata/a~1b", "metadata_key"),
    ];
    let expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    assert_eq!(errors(&problem), expected, "{problem}");
    assert_eq!(problem["retryable"], false);
    assert!(api.records().is_empty());
}

#[tokio::test]
async fn what_is_no_json_is_400_and_not_repeated() {
    let api = Fixture::ready(&[]).await;
    for body in ["", "{", "sesame", r#"{"account":"sesame\ud800"}"#, r#"{"account":"sesame"} x"#] {
        let problem = problem(api.post(body).send().await.unwrap(), 400, "malformed-body").await;
        assert!(!problem.to_string().contains("sesame"), "{problem}");
    }
    problem(api.post(&b"{\"account\":\"\xff\"}"[..]).send().await.unwrap(), 400, "malformed-body").await;
}

#[tokio::test]
async fn with_prefer_wait_the_answer_is_201_once_the_row_is_there() {
    let api = Fixture::ready(&[]).await;
    let waiting = tokio::spawn(api.post(VALID).header("prefer", "wait=20").send());
    fluxo_testkit::eventually("the record", LONG, async || (!api.records().is_empty()).then_some(())).await;
    api.record().await;
    let response = waiting.await.unwrap().unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["preference-applied"], "wait=20");
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(response.json::<Value>().await.unwrap()["state"], "recorded");
    assert_eq!(api.get(&location).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn with_prefer_wait_a_quarantined_transaction_is_422_with_its_reason() {
    let api = Fixture::ready(&[]).await;
    api.fill("ana").await;
    let waiting = tokio::spawn(api.post(LARGEST).header("prefer", "wait=20").send());
    fluxo_testkit::eventually("the record", LONG, async || (!api.records().is_empty()).then_some(())).await;
    api.record().await;
    let problem = problem(waiting.await.unwrap().unwrap(), 422, "refused").await;
    assert_eq!(problem["reason"], "overflow");
}

#[tokio::test]
async fn a_wait_that_ends_first_is_202() {
    let api = Fixture::ready(&["--api-max-wait=50ms"]).await;
    let response = api.post(VALID).header("prefer", "wait=600").send().await.unwrap();
    assert_eq!(response.status(), 202);
    assert!(response.headers().contains_key("preference-applied"));
}

#[tokio::test]
async fn a_record_that_kafka_refuses_is_503_and_may_be_sent_again() {
    let api = Fixture::ready(&[]).await;
    let refusal = Response::RD_KAFKA_RESP_ERR_INVALID_RECORD;
    api.cluster.request_errors(RDKafkaApiKey::Produce, &[refusal]);
    let problem = problem(api.post(VALID).send().await.unwrap(), 503, "kafka-unavailable").await;
    assert_eq!(problem["retryable"], true);
    assert_eq!(api.post(VALID).send().await.unwrap().status(), 202);
    assert_eq!(api.records().len(), 1);
}

#[tokio::test]
async fn while_all_brokers_are_down_the_answer_is_503_at_once_and_readiness_says_why() {
    let api = Fixture::ready(&[]).await;
    api.cluster.broker_down(1).unwrap();
    let unready = async || api.readiness.missing().into_iter().find(|(name, _)| *name == "kafka");
    let (_, reason) = fluxo_testkit::eventually("not ready", LONG, unready).await;
    assert!(reason.contains("no broker of 127.0.0.1:"), "{reason}");
    let response = api.post(VALID).send().await.unwrap();
    assert_eq!(response.headers()["retry-after"], "1");
    problem(response, 503, "kafka-unavailable").await;
    api.cluster.broker_up(1).unwrap();
    api.until_ready().await;
    assert_eq!(api.post(VALID).send().await.unwrap().status(), 202);
    assert_eq!(api.records().len(), 1);
}

#[tokio::test]
async fn an_outcome_that_nobody_knows_is_504_with_the_id_and_where_to_ask() {
    let api = Fixture::ready(&["--api-delivery-timeout=1s"]).await;
    api.cluster.broker_round_trip_time(1, Duration::from_secs(20)).unwrap();
    let response = api.post(VALID).send().await.unwrap();
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let problem = problem(response, 504, "outcome-unknown").await;
    assert_eq!(problem["outcome"], "unknown");
    assert_eq!(location, format!("/v1/transactions/{}", problem["id"].as_str().unwrap()));
}

#[tokio::test]
async fn without_the_topic_the_api_is_not_ready_and_names_it() {
    let cluster = rdkafka::mocking::MockCluster::new(1).unwrap();
    let api = Fixture::start(cluster, &[], None).await;
    let unready = async || {
        let missing = api.readiness.missing();
        missing.into_iter().find(|(_, reason)| reason.contains("the topic transactions does not exist"))
    };
    fluxo_testkit::eventually("the reason", LONG, unready).await;
    let ready = api.client.get(format!("{}/readyz", api.admin)).send().await.unwrap();
    assert_eq!(ready.status(), 503);
    assert!(ready.text().await.unwrap().contains("transactions"));
    problem(api.post(VALID).send().await.unwrap(), 503, "kafka-unavailable").await;
}

#[tokio::test]
async fn kafka_may_come_after_the_api() {
    let cluster = cluster();
    cluster.broker_down(1).unwrap();
    let api = Fixture::start(cluster, &[], None).await;
    let unready = async || {
        let missing = api.readiness.missing();
        missing.into_iter().find(|(_, reason)| reason.contains("no broker of"))
    };
    fluxo_testkit::eventually("the reason", LONG, unready).await;
    api.cluster.broker_up(1).unwrap();
    api.until_ready().await;
    assert_eq!(api.post(VALID).send().await.unwrap().status(), 202);
}
