//! What is said, of values alone.

use serde_json::json;

use super::*;
use crate::controller::{
    apply::{Named, Problem},
    model::{MissingReference, ObjectName, Resources},
    topics::TopicsState,
};

fn pipeline(status: Option<PipelineStatus>) -> TransactionPipeline {
    let mut pipeline: TransactionPipeline = serde_json::from_value(json!({
        "apiVersion": "fluxo.dev/v1alpha1",
        "kind": "TransactionPipeline",
        "metadata": {"name": "pagamentos", "namespace": "fluxo", "generation": 3, "uid": "uid"},
        "spec": {
            "kafka": {"bootstrapServers": "kafka:9092"},
            "mysql": {"host": "mysql", "database": "fluxo", "credentials": {"secret": "mysql"}},
            "api": {"auth": {"secret": "keys"}},
        },
    }))
    .unwrap();
    pipeline.status = status;
    pipeline
}

fn deployment(name: &str, ready: i32) -> k8s_openapi::api::apps::v1::Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": name, "generation": 1},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": name}},
            "template": {"spec": {"containers": [{"name": "main", "image": "image:1"}]}},
        },
        "status": {
            "observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": ready,
            "conditions": [{"type": "Available", "status": if ready > 0 { "True" } else { "False" }}],
        },
    }))
    .unwrap()
}

fn all_well() -> Outcome {
    let topic = || Some(TopicState { id: Some("id".into()), found: Found::AsDeclared });
    Outcome {
        resources: Resources {
            listener: Some(deployment("pagamentos-listener", 2)),
            api: Some(deployment("pagamentos-api", 2)),
            ..Resources::empty()
        },
        topics: TopicsState { transactions: topic(), dead_letter: topic() },
        migration: Migration::Done,
        ..Outcome::default()
    }
}

fn at(second: i64) -> Time {
    Time(jiff::Timestamp::from_second(second).unwrap())
}

fn said(pipeline: &TransactionPipeline, phase: &Phase, outcome: &Outcome, now: i64) -> PipelineStatus {
    status(Facts { pipeline, phase, outcome, report: None, cluster_id: None }, &at(now))
}

fn condition(status: &PipelineStatus, type_: ConditionType) -> (&str, &str, i64) {
    let found = status.conditions.iter().find(|condition| condition.type_ == type_.as_str()).unwrap();
    (&found.status, &found.reason, found.last_transition_time.0.as_second())
}

#[test]
fn a_pipeline_is_ready_when_all_parts_are_though_its_lag_is_not_known_yet() {
    let status = said(&pipeline(None), &Phase::Kept, &all_well(), 1);
    assert_eq!(condition(&status, ConditionType::Ready), ("True", "AsDeclared", 1));
    assert_eq!(condition(&status, ConditionType::Scaling), ("Unknown", "Waiting", 1));
    assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(3)));
    assert_eq!((status.observed_generation, status.topic_id.as_deref()), (Some(3), Some("id")));
    assert_eq!(status.selector.as_deref(), Some("app=pagamentos-listener"));
}

#[test]
fn what_says_the_same_later_is_equal_to_it() {
    let first = said(&pipeline(None), &Phase::Kept, &all_well(), 1);
    let again = said(&pipeline(Some(first.clone())), &Phase::Kept, &all_well(), 2);
    assert_eq!(again, first);
}

#[test]
fn the_time_of_a_condition_changes_when_it_turns_and_only_then() {
    let first = said(&pipeline(None), &Phase::Kept, &all_well(), 1);
    let mut broken = all_well();
    broken.resources.api = Some(deployment("pagamentos-api", 0));
    let then = said(&pipeline(Some(first)), &Phase::Kept, &broken, 2);
    assert_eq!(condition(&then, ConditionType::ApiAvailable), ("False", "PodsNotReady", 2));
    assert_eq!(condition(&then, ConditionType::Ready), ("False", "PodsNotReady", 2));
    assert_eq!(condition(&then, ConditionType::ListenerAvailable), ("True", "AsDeclared", 1));
}

#[test]
fn a_missing_reference_is_named_and_what_runs_is_still_told() {
    let secret = ObjectName { kind: "Secret", namespace: "fluxo".into(), name: "mysql".into() };
    let missing = validate::Error::Missing(MissingReference::NotFound(secret));
    let first = said(&pipeline(None), &Phase::Kept, &all_well(), 1);
    let status = said(&pipeline(Some(first)), &Phase::Wrong(vec![missing]), &all_well(), 2);
    assert_eq!(condition(&status, ConditionType::Ready), ("False", "ReferenceNotFound", 2));
    assert_eq!(condition(&status, ConditionType::TopicsReady), ("True", "AsDeclared", 1));
    assert_eq!(condition(&status, ConditionType::ApiAvailable), ("True", "AsDeclared", 1));
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert!(ready.message.contains("Secret fluxo/mysql"), "{}", ready.message);
}

#[test]
fn a_foreign_object_is_named() {
    let what = Named::new("Service", "fluxo", "pagamentos-api");
    let outcome = Outcome { problems: vec![Problem::Foreign(what)], ..all_well() };
    let status = said(&pipeline(None), &Phase::Kept, &outcome, 1);
    assert_eq!(condition(&status, ConditionType::Ready), ("False", "NameConflict", 1));
    assert!(status.conditions[0].message.contains("Service fluxo/pagamentos-api"));
}

#[test]
fn a_paused_pipeline_says_so_and_else_what_it_said_before() {
    let first = said(&pipeline(None), &Phase::Kept, &all_well(), 1);
    let status = said(&pipeline(Some(first)), &Phase::Paused, &Outcome::default(), 2);
    assert_eq!(condition(&status, ConditionType::Ready), ("Unknown", "Paused", 2));
    assert_eq!(condition(&status, ConditionType::ApiAvailable), ("True", "AsDeclared", 1));
}

#[test]
fn a_failed_migration_is_told_in_the_words_of_the_job() {
    let failed = Migration::Failed { why: "BackoffLimitExceeded: gave up".into(), retry_in: None };
    let status = said(&pipeline(None), &Phase::Kept, &Outcome { migration: failed, ..all_well() }, 1);
    assert_eq!(condition(&status, ConditionType::Migrated), ("False", "MigrationFailed", 1));
    assert_eq!(condition(&status, ConditionType::Ready), ("False", "MigrationFailed", 1));
}
