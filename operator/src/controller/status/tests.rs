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
    for reason in [Reason::MigrationFailed, Reason::AlreadyClaimed, Reason::DatabaseUnreachable] {
        let failed = Migration::Failed { reason, why: "the words of the Job".into(), retry_in: None };
        let status = said(&pipeline(None), &Phase::Kept, &Outcome { migration: failed, ..all_well() }, 1);
        for type_ in [ConditionType::Migrated, ConditionType::Ready] {
            assert_eq!(condition(&status, type_), ("False", reason.as_str(), 1));
            let told = status.conditions.iter().find(|told| told.type_ == type_.as_str()).unwrap();
            assert!(told.message.contains("the words of the Job"), "{}", told.message);
        }
    }
}

#[test]
fn ready_is_never_true_while_something_is_still_to_come() {
    type Change = fn(&mut Outcome);
    let changes: [(&str, Change, &str); 16] = [
        ("a topic is not looked at", |all| all.topics.dead_letter = None, "Waiting"),
        (
            "a topic is pending",
            |all| {
                let found = Found::Not(Reason::TopicPending, "not yet".into());
                all.topics.transactions = Some(TopicState { id: None, found });
            },
            "TopicPending",
        ),
        ("the Job waits", |all| all.migration = Migration::Waits, "Waiting"),
        ("the Job is not made", |all| all.migration = Migration::None, "Waiting"),
        ("the Job runs", |all| all.migration = Migration::Runs { waits: None }, "Migrating"),
        ("there are no listeners", |all| all.resources.listener = None, "Waiting"),
        ("there is no api", |all| all.resources.api = None, "Waiting"),
        ("the api waits for the listeners", |all| all.api_waits = true, "Waiting"),
        (
            "a Deployment is newer than its status",
            |all| all.resources.listener.as_mut().unwrap().metadata.generation = Some(2),
            "RollingOut",
        ),
        (
            "no controller has seen a Deployment",
            |all| all.resources.api.as_mut().unwrap().status = None,
            "RollingOut",
        ),
        (
            "a Deployment is being deleted",
            |all| all.resources.api.as_mut().unwrap().metadata.deletion_timestamp = Some(at(1)),
            "RollingOut",
        ),
        ("pods are still to be replaced", |all| of_api(all).updated_replicas = Some(1), "RollingOut"),
        ("pods of before are left", |all| of_api(all).replicas = Some(3), "RollingOut"),
        (
            "pods do not get ready in time",
            |all| {
                let stalled =
                    json!({"type": "Progressing", "status": "False", "message": "deadline exceeded"});
                of_api(all).conditions = Some(vec![serde_json::from_value(stalled).unwrap()]);
            },
            "RolloutStalled",
        ),
        (
            "too few pods are ready for long enough",
            |all| {
                let unavailable = json!({"type": "Available", "status": "False"});
                of_api(all).conditions = Some(vec![serde_json::from_value(unavailable).unwrap()]);
            },
            "PodsNotReady",
        ),
        (
            "an object is another's",
            |all| all.problems.push(Problem::Foreign(Named::new("Ingress", "fluxo", "pagamentos-api"))),
            "NameConflict",
        ),
    ];
    assert_eq!(ready(&all_well()), ("True".into(), "AsDeclared".into()));
    for (what, change, reason) in changes {
        let mut outcome = all_well();
        change(&mut outcome);
        assert_eq!(ready(&outcome), ("False".into(), reason.into()), "{what}");
    }
}

fn of_api(outcome: &mut Outcome) -> &mut k8s_openapi::api::apps::v1::DeploymentStatus {
    outcome.resources.api.as_mut().unwrap().status.as_mut().unwrap()
}

/// What the condition `Ready` says, and why.
fn ready(outcome: &Outcome) -> (String, String) {
    let status = said(&pipeline(None), &Phase::Kept, outcome, 1);
    let ready = &status.conditions[0];
    assert_eq!((ready.type_.as_str(), ready.observed_generation), ("Ready", Some(3)));
    (ready.status.clone(), ready.reason.clone())
}

#[test]
fn a_deployment_that_was_stalled_before_its_last_change_is_rolling_out() {
    let mut outcome = all_well();
    let stalled = json!({"type": "Progressing", "status": "False"});
    of_api(&mut outcome).conditions = Some(vec![serde_json::from_value(stalled).unwrap()]);
    outcome.resources.api.as_mut().unwrap().metadata.generation = Some(2);
    assert_eq!(ready(&outcome).1, "RollingOut");
}

#[test]
fn a_condition_that_nobody_has_looked_at_stays_about_the_generation_before() {
    let first = said(&pipeline(None), &Phase::Kept, &all_well(), 1);
    let mut changed = pipeline(Some(first));
    changed.metadata.generation = Some(4);
    let secret = ObjectName { kind: "Secret", namespace: "fluxo".into(), name: "mysql".into() };
    let wrong = Phase::Wrong(vec![validate::Error::Missing(MissingReference::NotFound(secret))]);
    let status = said(&changed, &wrong, &all_well(), 2);
    let about = |type_: ConditionType| {
        let found = status.conditions.iter().find(|condition| condition.type_ == type_.as_str());
        found.unwrap().observed_generation
    };
    assert_eq!((about(ConditionType::Ready), about(ConditionType::TopicsReady)), (Some(4), Some(3)));
    assert_eq!(status.observed_generation, Some(4));
}
