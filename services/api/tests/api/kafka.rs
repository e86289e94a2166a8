//! With a real Kafka: what the mock cluster cannot know.

use fluxo_core::{kit::shutdown::Shutdown, message, settings::DatabaseSettings};
use fluxo_store::Store;
use rdkafka::{Message, message::Headers};
use reqwest::StatusCode;

use crate::support::{LONG, VALID, read_topic, settings};

/// Partitions of 12 as Java clients choose them, by `Utils.toPositive(Utils.murmur2(key)) % 12`.
const JAVA: [(&str, i32); 4] = [("ana", 4), ("beto", 3), ("loja-1:caixa.2", 8), ("x", 10)];

#[tokio::test]
async fn accepted_transactions_are_on_kafka_in_the_partitions_that_java_clients_choose() {
    let topic = fluxo_testkit::topic(12).await;
    let database = fluxo_testkit::database().await;
    let store = Store::open(&DatabaseSettings::of_url(database.url.as_str())).await.unwrap();
    fluxo_migrations::up(store.connection(), LONG).await.unwrap();
    let settings = settings(&topic.bootstrap_servers, &topic.name, &database.url, &[]);
    let api = fluxo_api::Api::bind(settings).await.unwrap();
    let (url, readiness, shutdown) = (api.local_addr().unwrap(), api.readiness(), Shutdown::manual());
    let serving = tokio::spawn(api.serve(shutdown.clone()));
    let ready = async || readiness.missing().is_empty().then_some(());
    fluxo_testkit::eventually("the api is ready", LONG, ready).await;
    assert!(
        read_topic(&topic.bootstrap_servers, &topic.name, 12).is_empty(),
        "to become ready nothing is written"
    );

    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let client = reqwest::Client::new();
    for (account, _) in JAVA {
        let request = client.post(format!("http://{url}/v1/transactions"));
        let request = request.header("content-type", "application/json").header("traceparent", parent);
        let response = request.body(VALID.replace("ana", account)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::ACCEPTED);
    }
    shutdown.drain();
    serving.await.unwrap().unwrap();

    let records = read_topic(&topic.bootstrap_servers, &topic.name, 12);
    assert_eq!(records.len(), JAVA.len());
    for record in records {
        let accepted = message::decode(record.key(), record.payload()).unwrap();
        let account = accepted.transaction.account.as_str();
        let expected = JAVA.iter().find(|(other, _)| *other == account);
        assert_eq!(Some(&(account, record.partition())), expected);
        let header = record.headers().unwrap().get(0);
        assert_eq!((header.key, header.value), ("traceparent", Some(parent.as_bytes())));
    }
}
