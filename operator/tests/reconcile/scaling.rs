//! The number of listeners: by a real lag in a real Kafka, or by whoever writes the scale subresource.

use fluxo_operator::{crd::TransactionPipeline, kafka};
use fluxo_testkit::{TestTopic, eventually};
use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v1::Scale,
    core::v1::{Pod, Secret},
};
use kube::{
    ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use serde_json::json;

use crate::{PATIENCE, middle::Asked, scene::Scene};

const PARTITIONS: i32 = 3;
const RECORDS: i64 = 9_000;

fn config(topic: &TestTopic) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &topic.bootstrap_servers);
    config
}

/// Writes as many records to each partition.
fn write_records(topic: &TestTopic) {
    let producer: BaseProducer = config(topic).create().unwrap();
    for at in 0..RECORDS {
        let partition = i32::try_from(at % i64::from(PARTITIONS)).unwrap();
        producer.send(BaseRecord::<(), _>::to(&topic.name).partition(partition).payload("x")).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

/// Says that all records were read, as listeners do.
fn commit_all(topic: &TestTopic, group: &str) {
    let consumer: BaseConsumer = config(topic).set("group.id", group).create().unwrap();
    let mut offsets = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        let end = Offset::Offset(RECORDS / i64::from(PARTITIONS));
        offsets.add_partition_offset(&topic.name, partition, end).unwrap();
    }
    consumer.commit(&offsets, CommitMode::Sync).unwrap();
}

fn replicas(deployment: &Deployment) -> Option<i32> {
    deployment.spec.as_ref()?.replicas
}

async fn until_replicas(scene: &Scene, count: i32) -> Deployment {
    let has = |deployment: &Deployment| replicas(deployment) == Some(count);
    scene.until("pagamentos-listener", &format!("there are {count} listeners"), has).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_gets_listeners_in_one_write_of_the_scaler_and_loses_them_when_it_was_read() {
    let scene = Scene::idle().await;
    let topic = fluxo_testkit::topic(PARTITIONS).await;
    write_records(&topic);
    let mut pipeline = scene.pipeline("pagamentos");
    pipeline["spec"]["kafka"]["topic"]["name"] = json!(topic.name);
    let kafka =
        kafka::Kafka::new(kafka::Connection::plaintext(fluxo_testkit::kafka()), "fluxo-tests").unwrap();
    let there = kafka.topic(&topic.name).await.unwrap().unwrap();
    pipeline["metadata"]["annotations"] = json!({"fluxo.dev/adopt-topics": there.topic_id});
    pipeline["spec"]["kafka"]["deadLetter"] = json!({"name": scene.topic("dead-letter")});
    pipeline["spec"]["listener"] = json!({"scaling": {"catchUp": "1s", "scaleInDelay": "0s"}});
    scene.put::<TransactionPipeline>(pipeline).await;
    let operator = scene.operate(&["--operator-resync=2s"]).await;
    let deployment = until_replicas(&scene, PARTITIONS).await;
    let by = deployment.managed_fields().iter().filter(|field| field.subresource.as_deref() == Some("scale"));
    let by: Vec<_> = by.filter_map(|field| field.manager.as_deref()).collect();
    assert_eq!(by, ["fluxo-scaler"]);
    scene.until_said("pagamentos", "Scaling", "False", "PartitionBound").await;

    commit_all(&topic, &format!("fluxo.{}.pagamentos", scene.namespace.name));
    until_replicas(&scene, 1).await;
    let written = operator.middle.writes().into_iter().filter(|asked| asked.is_of("scale")).count();
    assert_eq!(written, 2, "one write out, and one in");
    let status = scene.api::<TransactionPipeline>().get("pagamentos").await.unwrap().status.unwrap();
    let steps: Vec<_> = status.decisions.iter().map(|decision| (decision.from, decision.to)).collect();
    assert_eq!(steps.last(), Some(&(1, PARTITIONS)));
}

#[tokio::test]
async fn listeners_have_the_number_that_is_wanted_though_the_keys_of_the_api_are_missing() {
    let scene = Scene::start().await;
    let mut pipeline = scene.pipeline("pagamentos");
    pipeline["spec"]["listener"] = json!({"scaling": {"mode": "External"}});
    scene.put::<TransactionPipeline>(pipeline).await;
    until_replicas(&scene, 1).await;
    scene.delete::<Secret>("keys").await;
    scene.until_said("pagamentos", "Ready", "False", "ReferenceNotFound").await;
    let two = Patch::Merge(json!({"spec": {"replicas": 2}}));
    let pipelines = scene.api::<TransactionPipeline>();
    pipelines.patch_scale("pagamentos", &PatchParams::default(), &two).await.unwrap();
    until_replicas(&scene, 2).await;
}

#[tokio::test]
async fn the_scale_subresource_has_its_way_and_selects_the_pods_of_this_pipelines_listeners_only() {
    let scene = Scene::start().await;
    for name in ["pagamentos", "others"] {
        let mut pipeline = scene.pipeline(name);
        pipeline["spec"]["kafka"]["topic"]["name"] = json!(scene.topic(name));
        pipeline["spec"]["listener"] = json!({"scaling": {"mode": "External"}});
        scene.put::<TransactionPipeline>(pipeline).await;
    }
    let pipelines = scene.api::<TransactionPipeline>();
    scene.until::<Deployment>("others-listener", "the others are made", |_| true).await;
    scene.until::<Deployment>("pagamentos-listener", "the listeners are made", |_| true).await;
    let two = Patch::Merge(json!({"spec": {"replicas": 2}}));
    pipelines.patch_scale("pagamentos", &PatchParams::default(), &two).await.unwrap();
    until_replicas(&scene, 2).await;
    let scale = eventually("two listeners are told", PATIENCE, async || {
        let scale: Scale = pipelines.get_scale("pagamentos").await.unwrap();
        let status = scale.status.clone().unwrap();
        (status.replicas == 2 && status.selector.is_some()).then_some(status)
    })
    .await;
    let selected = ListParams::default().labels(scale.selector.as_deref().unwrap());
    let pods = eventually("both pods are there", PATIENCE, async || {
        let all = scene.api::<Pod>().list(&ListParams::default()).await.unwrap().items;
        let other = |prefix: &str| all.iter().any(|pod| pod.name_any().starts_with(prefix));
        let others_are_there = other("pagamentos-api-") && other("others-listener-");
        let pods = scene.api::<Pod>().list(&selected).await.unwrap().items;
        (others_are_there && pods.len() >= 2).then_some(pods)
    })
    .await;
    let names: Vec<_> = pods.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names.iter().all(|name| name.starts_with("pagamentos-listener-")), "{names:?}");
}

/// Whoever applies the Deployment never says how many there are.
#[tokio::test]
async fn reconcile_never_applies_the_number_of_listeners_and_nothing_that_is_applied_has_a_null() {
    let scene = Scene::start().await;
    let mut pipeline = scene.pipeline("pagamentos");
    pipeline["spec"]["listener"] = json!({"scaling": {"minReplicas": 2}});
    pipeline["spec"]["api"]["ingress"] = json!({"host": "pagamentos.local"});
    scene.put::<TransactionPipeline>(pipeline).await;
    until_replicas(&scene, 2).await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    let written: Vec<Asked> = scene.operator().middle.writes();
    let applied: Vec<_> = written.iter().filter(|asked| asked.method == http::Method::PATCH).collect();
    assert!(applied.len() > 8, "{applied:?}");
    for asked in applied {
        let body: serde_json::Value = serde_json::from_str(&asked.body).unwrap();
        let mut nulls = false;
        each(&body, &mut |value| nulls |= value.is_null());
        assert!(!nulls, "{asked:?}");
        if asked.path.ends_with("pagamentos-listener") && asked.is_of("deployments") {
            assert_eq!(body["spec"].get("replicas"), None);
        }
    }
}

fn each(value: &serde_json::Value, see: &mut impl FnMut(&serde_json::Value)) {
    see(value);
    match value {
        serde_json::Value::Object(fields) => fields.values().for_each(|value| each(value, see)),
        serde_json::Value::Array(items) => items.iter().for_each(|value| each(value, see)),
        _ => {}
    }
}
