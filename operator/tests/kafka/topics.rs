//! Topics by the Admin API.

use std::collections::BTreeMap;

use fluxo_operator::kafka::{
    Error, Kafka,
    topic::{Found, Plan, Refusal, Step, Wanted, plan},
};
use fluxo_testkit::eventually;
use uuid::Uuid;

use crate::{PATIENCE, away, kafka};

/// A topic that is wanted; it is deleted by [`gone`] at the end of a test.
fn wanted(config: &[(&str, &str)]) -> Wanted {
    let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Wanted {
        name: format!("fluxo-test-{}", Uuid::new_v4().simple()),
        partitions: 2,
        replicas: 1,
        config: config.collect(),
        growth_acknowledged: false,
    }
}

/// Does what a reconciliation does, and tells what was planned.
async fn reconcile(kafka: &Kafka, wanted: &Wanted) -> Plan {
    let plan = plan(wanted, kafka.topic(&wanted.name).await.unwrap().as_ref());
    for step in &plan.steps {
        kafka.take(step, wanted).await.unwrap();
    }
    plan
}

/// What Kafka has once it is settled, which is a moment after it said that it is done.
async fn settled(kafka: &Kafka, wanted: &Wanted) -> Found {
    eventually("the topic as it is wanted", PATIENCE, async || {
        let found = kafka.topic(&wanted.name).await.unwrap()?;
        plan(wanted, Some(&found)).steps.is_empty().then_some(found)
    })
    .await
}

async fn gone(kafka: &Kafka, wanted: &Wanted) {
    let found = kafka.topic(&wanted.name).await.unwrap().expect("the test made it");
    eventually("the end of the topic", PATIENCE, async || {
        kafka.delete_topic(&wanted.name, &found.topic_id).await.unwrap().then_some(())
    })
    .await;
    assert_eq!(kafka.topic(&wanted.name).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_made_as_declared_and_then_left_alone() {
    let (kafka, wanted) = (kafka(), wanted(&[("cleanup.policy", "delete"), ("retention.ms", "7200000")]));
    assert_eq!(kafka.topic(&wanted.name).await.unwrap(), None);
    assert_eq!(reconcile(&kafka, &wanted).await.steps, [Step::Create]);
    let found = settled(&kafka, &wanted).await;
    assert_eq!(found.replicas, BTreeMap::from([(0, 1), (1, 1)]));
    assert_eq!(found.config["retention.ms"].value, "7200000");
    assert_eq!(found.topic_id.len(), 22);
    assert_eq!(reconcile(&kafka, &wanted).await, Plan::default());
    gone(&kafka, &wanted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_grows_when_that_is_acknowledged_and_never_shrinks() {
    let (kafka, mut wanted) = (kafka(), wanted(&[]));
    reconcile(&kafka, &wanted).await;
    settled(&kafka, &wanted).await;
    wanted.partitions = 5;
    assert_eq!(reconcile(&kafka, &wanted).await.refusals, [Refusal::Growth { from: 2, to: 5 }]);
    wanted.growth_acknowledged = true;
    assert_eq!(reconcile(&kafka, &wanted).await.steps, [Step::Grow { to: 5 }]);
    assert_eq!(settled(&kafka, &wanted).await.partitions(), 5);
    wanted.partitions = 3;
    assert_eq!(reconcile(&kafka, &wanted).await.refusals, [Refusal::Shrink { from: 5, to: 3 }]);
    assert_eq!(kafka.topic(&wanted.name).await.unwrap().unwrap().partitions(), 5);
    gone(&kafka, &wanted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_number_of_replicas_is_refused_and_nothing_is_done() {
    let (kafka, mut wanted) = (kafka(), wanted(&[]));
    reconcile(&kafka, &wanted).await;
    settled(&kafka, &wanted).await;
    wanted.replicas = 3;
    let plan = reconcile(&kafka, &wanted).await;
    let refusal = Refusal::Replicas { partitions: vec![0, 1], wanted: 3 };
    assert_eq!(plan, Plan { steps: vec![], refusals: vec![refusal] });
    gone(&kafka, &wanted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_of_a_declared_key_is_repaired_and_other_keys_are_left_alone() {
    let (kafka, mut wanted) = (kafka(), wanted(&[("retention.ms", "7200000"), ("segment.ms", "3600000")]));
    reconcile(&kafka, &wanted).await;
    settled(&kafka, &wanted).await;
    // Somebody sets one declared key and one other.
    let mut somebody = wanted.clone();
    somebody.config = [("retention.ms", "1000"), ("max.message.bytes", "2000000")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    reconcile(&kafka, &somebody).await;
    settled(&kafka, &somebody).await;
    // A key that is no longer declared is not taken back either.
    wanted.config.remove("segment.ms");
    let plan = reconcile(&kafka, &wanted).await;
    let [Step::Configure(drift)] = &plan.steps[..] else { unreachable!("{plan:?}") };
    assert_eq!(drift.keys().collect::<Vec<_>>(), ["retention.ms"]);
    assert_eq!(drift["retention.ms"].found.as_deref(), Some("1000"));
    let config = settled(&kafka, &wanted).await.config;
    let value = |key: &str| (config[key].value.as_str(), config[key].is_own);
    assert_eq!(value("retention.ms"), ("7200000", true));
    assert_eq!(value("max.message.bytes"), ("2000000", true));
    assert_eq!(value("segment.ms"), ("3600000", true));
    gone(&kafka, &wanted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kafka_refuses_is_told_in_its_words() {
    let kafka = kafka();
    let refused = async |wanted: &Wanted, step: Step| {
        let error = kafka.take(&step, wanted).await.unwrap_err();
        assert_eq!(error.reason(), "KafkaError");
        error.to_string()
    };
    let said = refused(&wanted(&[("retention.ms", "abc")]), Step::Create).await;
    assert!(said.contains("Invalid value abc for configuration retention.ms"), "{said}");
    let replicas = Wanted { replicas: 3, ..wanted(&[]) };
    let said = refused(&replicas, Step::Create).await;
    assert!(said.contains("Unable to replicate the partition 3 time(s)"), "{said}");
    let wanted = wanted(&[]);
    reconcile(&kafka, &wanted).await;
    settled(&kafka, &wanted).await;
    let said = refused(&wanted, Step::Create).await;
    assert!(said.contains("already exists"), "{said}");
    let said = refused(&wanted, Step::Grow { to: 1 }).await;
    assert!(said.contains("would not be an increase"), "{said}");
    let changed = Wanted { config: [("retention.ms".into(), "abc".into())].into(), ..wanted.clone() };
    let planned = plan(&changed, kafka.topic(&changed.name).await.unwrap().as_ref());
    let said = refused(&changed, planned.steps[0].clone()).await;
    assert!(said.contains("Invalid value abc for configuration retention.ms"), "{said}");
    gone(&kafka, &wanted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_topic_with_the_id_is_deleted_and_one_that_is_gone_is_no_error() {
    let (kafka, wanted) = (kafka(), wanted(&[]));
    reconcile(&kafka, &wanted).await;
    let found = settled(&kafka, &wanted).await;
    assert!(kafka.delete_topic(&wanted.name, "AAAAAAAAAAAAAAAAAAAAAA").await.unwrap());
    assert_eq!(kafka.topic(&wanted.name).await.unwrap().as_ref(), Some(&found));
    gone(&kafka, &wanted).await;
    assert!(kafka.delete_topic(&wanted.name, &found.topic_id).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kafka_that_is_away_is_told_apart_from_a_topic_that_is_not_there() {
    assert!(matches!(away().topic("topic").await, Err(Error::Away(_))));
    assert!(matches!(away().take(&Step::Create, &wanted(&[])).await, Err(Error::Away(_))));
    assert!(matches!(away().delete_topic("topic", "id").await, Err(Error::Away(_))));
}
