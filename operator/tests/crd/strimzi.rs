//! The Kafka of the examples, before Strimzi's own definitions.

use kube::{Client, Error};
use serde_json::{Value, json};

fn documents() -> Vec<Value> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/examples/kafka.yaml");
    serde_saphyr::from_multiple(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// What the API server would make of an object, in a namespace that every cluster has.
async fn try_create(client: &Client, object: &Value) -> Result<Value, Error> {
    let mut object = object.clone();
    object["metadata"]["namespace"] = json!("default");
    let (version, kind) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    let plural = kind.to_lowercase();
    let path = format!("/apis/{version}/namespaces/default/{plural}s?dryRun=All&fieldValidation=Strict");
    let request = http::Request::post(path).header("content-type", "application/json");
    client.request(request.body(serde_json::to_vec(&object).unwrap()).unwrap()).await
}

#[tokio::test]
async fn strimzi_takes_the_kafka_of_the_examples() {
    let client = fluxo_testkit::kubernetes().await;
    let documents = documents();
    let kinds: Vec<_> = documents.iter().map(|document| document["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Kafka", "KafkaNodePool", "KafkaUser"]);
    for document in &documents {
        if let Err(refused) = try_create(&client, document).await {
            panic!("{}: {refused}", document["kind"]);
        }
    }
    let mut unknown = documents[0].clone();
    unknown["spec"]["kafka"]["listener"] = json!([]);
    let refused = try_create(&client, &unknown).await.unwrap_err().to_string();
    assert!(refused.contains("unknown field \"spec.kafka.listener\""), "{refused}");
}
