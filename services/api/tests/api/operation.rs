//! How it starts, ends, and is looked at.

use std::time::Duration;

use fluxo_api::Api;
use fluxo_core::kit::shutdown::Shutdown;

use crate::support::{Fixture, LONG, TOPIC, VALID, cluster, problem, settings};

#[tokio::test]
async fn a_request_in_flight_is_answered_before_the_api_ends() {
    let api = Fixture::ready(&[]).await;
    api.cluster.broker_round_trip_time(1, Duration::from_secs(5)).unwrap();
    let in_flight = tokio::spawn(api.post(VALID).send());
    let taken = async || (api.metric("fluxo_api_in_flight_records").await == Some(1)).then_some(());
    fluxo_testkit::eventually("the request is in flight", LONG, taken).await;
    api.shutdown.drain();
    assert_eq!(in_flight.await.unwrap().unwrap().status(), 202);
    api.end().await;
}

#[tokio::test]
async fn at_the_end_of_the_grace_what_kafka_has_not_acknowledged_is_told_to_be_unknown() {
    let api = Fixture::ready(&["--shutdown-grace=2s"]).await;
    api.cluster.broker_round_trip_time(1, Duration::from_secs(20)).unwrap();
    let in_flight = tokio::spawn(api.post(VALID).send());
    let taken = async || (api.metric("fluxo_api_in_flight_records").await == Some(1)).then_some(());
    fluxo_testkit::eventually("the request is in flight", LONG, taken).await;
    api.shutdown.drain();
    let response = in_flight.await.unwrap().unwrap();
    assert!(matches!(response.status().as_u16(), 503 | 504), "{response:?}");
    api.end().await;
}

#[tokio::test]
async fn a_database_that_will_not_serve_these_settings_ends_the_api_with_the_reason() {
    let cluster = cluster();
    let brokers = cluster.bootstrap_servers();
    let ended = async |database: &str| {
        let run = fluxo_api::run(settings(&brokers, TOPIC, database, &[]), Shutdown::manual());
        format!("{:#}", tokio::time::timeout(LONG, run).await.unwrap().unwrap_err())
    };
    let database = fluxo_testkit::database().await;
    let error = ended(&database.url).await;
    assert!(error.contains("will not serve these settings"), "no schema: {error}");
    let error = ended(&format!("{}_not_there", database.url)).await;
    assert!(error.contains("will not serve these settings"), "no database: {error}");
    let error = ended(&database.url.replace("root@", "nobody:wrong@")).await;
    assert!(error.contains("will not serve these settings") && !error.contains("wrong"), "no user: {error}");
    let error = ended("postgres://x/y").await;
    assert!(error.contains("FLUXO_DATABASE_URL"), "not a database of ours: {error}");
}

#[tokio::test]
async fn while_the_database_is_away_transactions_are_accepted_and_reads_are_503() {
    let cluster = cluster();
    let nowhere = "mysql://fluxo@127.0.0.1:1/fluxo";
    let api = Api::bind(settings(&cluster.bootstrap_servers(), TOPIC, nowhere, &[])).await.unwrap();
    let (address, readiness, shutdown) = (api.local_addr().unwrap(), api.readiness(), Shutdown::manual());
    let serving = tokio::spawn(api.serve(shutdown.clone()));
    let ready = async || readiness.missing().is_empty().then_some(());
    fluxo_testkit::eventually("ready without a database", LONG, ready).await;
    let client = reqwest::Client::new();
    let post = client.post(format!("http://{address}/v1/transactions")).header("idempotency-key", "1");
    let post = post.header("content-type", "application/json").body(VALID);
    assert_eq!(post.send().await.unwrap().status(), 202);
    let read = client.get(format!("http://{address}/v1/accounts/ana/balance")).send().await.unwrap();
    assert_eq!(read.headers()["retry-after"], "1");
    problem(read, 503, "database-unavailable").await;
    shutdown.drain();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn metrics_count_by_route_and_never_by_what_clients_invent() {
    let api = Fixture::ready(&[]).await;
    assert_eq!(api.post(VALID).send().await.unwrap().status(), 202);
    api.get("/v1/transactions/4711").send().await.unwrap();
    api.client.request("INVENTED".parse().unwrap(), format!("{}/invented", api.url)).send().await.unwrap();
    let text = api.client.get(format!("{}/metrics", api.admin)).send().await.unwrap().text().await.unwrap();
    for line in [
        r#"fluxo_api_requests_total{method="POST",route="/v1/transactions",status="202"} 1"#,
        r#"fluxo_api_requests_total{method="GET",route="/v1/transactions/{id}",status="400"} 1"#,
        r#"fluxo_api_requests_total{method="other",route="none",status="404"} 1"#,
        r#"fluxo_api_records_total{outcome="delivered"} 1"#,
        r#"fluxo_api_records_total{outcome="unknown"} 0"#,
        "fluxo_api_database_up 1",
        "fluxo_api_in_flight_bytes 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!text.contains("invented"));
}

#[tokio::test]
async fn the_documents_are_served_without_anything_from_elsewhere() {
    let api = Fixture::ready(&[]).await;
    let document = api.get("/openapi.json").send().await.unwrap();
    let document: serde_json::Value = document.json().await.unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let page = api.get("/docs/").send().await.unwrap();
    assert_eq!(page.status(), 200);
    let page = page.text().await.unwrap();
    assert!(page.contains("swagger") && !page.contains("//unpkg") && !page.contains("//cdn"), "{page}");
    assert_eq!(api.get("/docs/swagger-ui-bundle.js").send().await.unwrap().status(), 200);
}
