use fluxo_kafka::admin::ConfigEntry;
use serde_json::json;

use super::*;
use crate::kafka::Topic;

fn spec(spec: Value) -> KafkaTopicSpec {
    serde_json::from_value(spec).unwrap()
}

fn topic(metadata: Value) -> KafkaTopic {
    let metadata = serde_json::from_value(metadata).unwrap();
    KafkaTopic { metadata, spec: spec(json!({"topicName": "shared"})), status: None }
}

/// Six partitions, each on one broker, and `retention.ms` as its only own configuration.
fn found() -> Topic {
    let entry = |value: &str, is_own| ConfigEntry { value: Some(value.into()), is_own };
    let config =
        [("retention.ms".into(), entry("7200000", true)), ("cleanup.policy".into(), entry("delete", false))];
    Topic {
        id: "jSyN8l2SSwKejfzjpWS-9A".into(),
        replicas: (0..6).map(|partition| (partition, 1)).collect(),
        config: config.into(),
    }
}

#[test]
fn a_topic_that_is_as_it_shall_be_is_left_alone() {
    let declared = spec(json!({"partitions": 6, "replicas": 1, "config": {"retention.ms": 7_200_000}}));
    assert_eq!(plan(&declared, &found()), Plan::default());
    let defaults = spec(json!({"config": {"retention.ms": "7200000", "cleanup.policy": ["delete"]}}));
    assert_eq!(plan(&defaults, &found()), Plan::default());
}

#[test]
fn what_is_not_declared_goes_back_to_its_default() {
    let plan = plan(&spec(json!({"config": {"cleanup.policy": ["compact", "delete"]}})), &found());
    let altered =
        [("cleanup.policy".into(), Some("compact,delete".into())), ("retention.ms".into(), None)].into();
    assert_eq!(plan, Plan { alter: altered, ..Plan::default() });
}

#[test]
fn partitions_are_added_and_never_taken_away() {
    let config = json!({"retention.ms": 7_200_000});
    let more = plan(&spec(json!({"partitions": 8, "config": config})), &found());
    assert_eq!(more, Plan { grow_to: Some(8), ..Plan::default() });
    let fewer = plan(&spec(json!({"partitions": 3, "config": config})), &found());
    assert_eq!((fewer.is_done(), fewer.grow_to, fewer.shrinking.is_some()), (true, None, true));
}

#[test]
fn only_partitions_with_other_replicas_are_named() {
    let mut found = found();
    found.replicas.insert(4, 3);
    let refused = plan(&spec(json!({"replicas": 1, "config": {"retention.ms": 7_200_000}})), &found).replicas;
    let message = "Replication factor change not supported, but required for partitions [4]";
    assert_eq!(refused, Some(Refusal::NotSupported(message.into())));
}

#[test]
fn of_several_resources_for_one_topic_the_oldest_has_it() {
    let named = |name: &str, second: u32| {
        let created = format!("2026-11-21T12:53:{second:02}Z");
        topic(json!({"name": name, "namespace": "kafka", "uid": name, "creationTimestamp": created}))
    };
    let all = [named("b", 2), named("c", 1), named("a", 3)];
    assert_eq!(refused_duplicate(&all[1], &all), None);
    let refused = Refusal::ResourceConflict("Managed by Ref{namespace='kafka', name='c'}".into());
    assert_eq!(refused_duplicate(&all[0], &all), Some(refused.clone()));
    assert_eq!(refused_duplicate(&all[2], &all), Some(refused));
}

#[test]
fn of_two_that_are_equally_old_the_one_that_has_it_keeps_it() {
    let named =
        |name: &str| topic(json!({"name": name, "uid": name, "creationTimestamp": "2026-11-21T12:53:01Z"}));
    let mut all = [named("a"), named("b")];
    assert_eq!(refused_duplicate(&all[0], &all), None);
    all[1].status = status(&all[1], &Outcome::Ready, None, "now");
    assert_eq!(refused_duplicate(&all[1], &all), None);
    assert!(refused_duplicate(&all[0], &all).is_some());
}

#[test]
fn what_is_not_managed_stands_in_nobodys_way() {
    let annotations = json!({"strimzi.io/managed": "false"});
    let unmanaged = topic(json!({"name": "a", "uid": "a", "annotations": annotations}));
    let managed = topic(json!({"name": "b", "uid": "b", "creationTimestamp": "2026-11-21T12:53:01Z"}));
    assert_eq!(refused_duplicate(&managed, [&unmanaged, &managed]), None);
}

#[test]
fn a_status_is_written_only_when_it_says_something_new() {
    let mut topic = topic(json!({"name": "a", "generation": 1}));
    let id = Some("jSyN8l2SSwKejfzjpWS-9A".to_owned());
    topic.status = status(&topic, &Outcome::Ready, id.clone(), "then");
    assert!(topic.status.is_some());
    assert_eq!(status(&topic, &Outcome::Ready, id.clone(), "now"), None);
    topic.metadata.generation = Some(2);
    assert!(status(&topic, &Outcome::Ready, id, "now").is_some());
}
