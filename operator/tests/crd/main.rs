//! The custom resource on a real API server: what it accepts, refuses, fills in and shows.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cases;
mod server;
mod strimzi;

use fluxo_operator::crd::{Decision, Inputs, PipelineStatus, Reason, TransactionPipeline, Workload};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde_json::{Value, json};

use crate::{cases::example, server::Server};

/// Whether each field that was sent is there with its value.
fn holds(kept: &Value, sent: &Value) -> bool {
    match (kept, sent) {
        (Value::Object(kept), Value::Object(sent)) => {
            sent.iter().all(|(name, sent)| kept.get(name).is_some_and(|kept| holds(kept, sent)))
        }
        (Value::Array(kept), Value::Array(sent)) => {
            kept.len() == sent.len() && kept.iter().zip(sent).all(|(kept, sent)| holds(kept, sent))
        }
        (kept, sent) => kept == sent,
    }
}

#[tokio::test]
async fn the_api_server_answers_each_case_as_it_is_written() {
    let server = Server::with_definition().await;
    let mut wrong = Vec::new();
    for case in cases::all() {
        let answer = match case.before() {
            None => server.try_create(&case.after()).await,
            Some(before) => server.try_update(&before, &case.after()).await,
        };
        let refused = answer.err().unwrap_or_default();
        if refused != case.refused {
            wrong.push(format!("{}\n  written  {:?}\n  answered {refused:?}", case.name, case.refused));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    server.remove().await;
}

#[tokio::test]
async fn partitions_may_be_declared_as_few_as_the_topic_has_and_no_fewer() {
    let server = Server::with_definition().await;
    server.create(&example("minimal")).await;
    server.patch("/status", &json!({"status": {"partitions": 6}})).await;
    let declare = |partitions: u32| json!({"spec": {"kafka": {"topic": {"partitions": partitions}}}});
    let refused = server.try_patch("", &declare(5)).await.unwrap_err();
    assert!(refused[0].contains("partitions never shrink"), "{refused:?}");
    server.patch("", &declare(6)).await;
    server.remove().await;
}

#[tokio::test]
async fn the_examples_are_accepted_whole() {
    let server = Server::with_definition().await;
    for name in ["minimal", "external", "strimzi"] {
        let example = example(name);
        let kept = server.try_create(&example).await.unwrap_or_else(|refused| panic!("{name}: {refused:?}"));
        assert!(holds(&kept["spec"], &example["spec"]), "{name} became {:#}", kept["spec"]);
    }
    server.remove().await;
}

#[tokio::test]
async fn the_defaults_of_the_schema_are_those_of_the_types() {
    let server = Server::with_definition().await;
    for name in ["minimal", "external", "strimzi"] {
        let example = example(name);
        let filled_in = server.try_create(&example).await.unwrap();
        let here: TransactionPipeline = serde_json::from_value(example).unwrap();
        assert_eq!(filled_in["spec"], serde_json::to_value(&here.spec).unwrap(), "{name}");
    }
    server.remove().await;
}

/// A status in which every field is set.
fn status() -> PipelineStatus {
    let at = |text: &str| Time(text.parse().unwrap());
    let age = Some(std::time::Duration::from_secs(5).into());
    PipelineStatus {
        observed_generation: Some(1),
        conditions: vec![Condition {
            type_: "Ready".into(),
            status: "False".into(),
            reason: Reason::AlreadyClaimed.as_str().into(),
            message: "the topic is that of the pipeline other/pagamentos".into(),
            observed_generation: Some(1),
            last_transition_time: at("2026-11-21T12:00:00Z"),
        }],
        replicas: Some(3),
        selector: Some("app.kubernetes.io/name=fluxo-listener".into()),
        lag: Some(1200),
        oldest_age: age,
        topic_id: Some("c87s48xRQpWnSnFx4Tb95g".into()),
        dead_letter_topic_id: Some("uzb1l9gkQTKVNqxWVQLrCg".into()),
        partitions: Some(12),
        dead_letter_topic: Some("transactions.dlq".into()),
        cluster_id: Some("5L6g3nShT-eMCtK--X86sw".into()),
        migrated_by: Some("localhost/fluxo-migrations:0.1.0".into()),
        api: Some(Workload {
            image: "localhost/fluxo-api:0.1.0".into(),
            ready_replicas: 2,
            updated_replicas: 2,
        }),
        listener: Some(Workload::default()),
        decisions: vec![Decision {
            at: at("2026-11-21T12:00:00Z"),
            from: 1,
            to: 3,
            reason: Reason::ScaledOut.as_str().into(),
            inputs: Inputs {
                lag: Some(120_000),
                oldest_age: age,
                arrivals_per_second: Some(900),
                kept_per_second_and_replica: Some(1000),
                partitions: Some(12),
                ready_replicas: Some(1),
            },
        }],
    }
}

#[tokio::test]
async fn a_status_comes_back_as_it_was_written() {
    let server = Server::with_definition().await;
    server.create(&example("minimal")).await;
    let status = status();
    let kept = server.patch("/status", &json!({"status": &status})).await;
    assert_eq!(kept["status"], serde_json::to_value(&status).unwrap());
    let back: TransactionPipeline = serde_json::from_value(kept).unwrap();
    assert_eq!(back.status, Some(status));
    server.remove().await;
}

#[tokio::test]
async fn a_second_condition_of_one_type_is_refused() {
    let server = Server::with_definition().await;
    server.create(&example("minimal")).await;
    let mut status = status();
    status.conditions.push(status.conditions[0].clone());
    let refused = server.try_patch("/status", &json!({"status": status})).await.unwrap_err();
    assert_eq!(refused, ["status.conditions[1]: Duplicate value: {\"type\":\"Ready\"}"]);
    server.remove().await;
}

#[tokio::test]
async fn scaling_writes_the_replicas_of_the_listener() {
    let server = Server::with_definition().await;
    server.create(&example("minimal")).await;
    server.patch("/status", &json!({"status": status()})).await;
    let scale = server.patch("/scale", &json!({"spec": {"replicas": 4}})).await;
    assert_eq!(scale["spec"], json!({"replicas": 4}));
    assert_eq!(scale["status"], json!({"replicas": 3, "selector": "app.kubernetes.io/name=fluxo-listener"}));
    let pipeline: TransactionPipeline = serde_json::from_value(server.get().await).unwrap();
    assert_eq!(pipeline.spec.listener.replicas, 4);
    server.remove().await;
}

#[tokio::test]
async fn a_list_shows_whether_it_is_ready_why_and_how_far_behind() {
    let server = Server::with_definition().await;
    server.create(&example("minimal")).await;
    server.patch("/status", &json!({"status": status()})).await;
    let table = server.table().await;
    let columns = table["columnDefinitions"].as_array().unwrap().iter();
    let shown: Vec<_> = columns
        .zip(table["rows"][0]["cells"].as_array().unwrap())
        .filter(|(column, _)| column["priority"] == 0 && column["name"] != "Age")
        .map(|(column, cell)| (column["name"].as_str().unwrap(), cell.clone()))
        .collect();
    let expected = [
        ("Name", json!("pagamentos")),
        ("Ready", json!("False")),
        ("Reason", json!("AlreadyClaimed")),
        ("Lag", json!(1200)),
        ("Age of oldest", json!("5s")),
        ("Replicas", json!(3)),
        ("Topic", json!("transactions")),
    ];
    assert_eq!(shown, expected);
    server.remove().await;
}
