//! Beside Strimzi: its resources are the real ones, and its Topic Operator is played by the stand-in, on the real Kafka.

use fluxo_operator::{
    controller::model::strimzi::{Kafka, KafkaTopic, KafkaUser},
    crd::TransactionPipeline,
    kafka::{
        self,
        topic::{Step, Wanted},
    },
};
use fluxo_testkit::{TestNamespace, eventually};
use fluxo_topic_operator::Settings;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Secret};
use kube::{Api, ResourceExt as _, api::ListParams};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{PATIENCE, scene::Scene};

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nfirst\n-----END CERTIFICATE-----\n";
const NEW_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nsecond\n-----END CERTIFICATE-----\n";

/// Where Strimzi has its resources. What plays it ends with this value.
pub(crate) struct Strimzi<'a> {
    scene: &'a Scene,
    namespace: String,
    _topic_operator: JoinSet<anyhow::Result<()>>,
}

impl<'a> Strimzi<'a> {
    /// In the namespace of the pipelines, with a cluster.
    pub(crate) async fn start(scene: &'a Scene) -> Self {
        let this = Self::within(scene, &scene.namespace.name);
        this.cluster(json!({"name": "plain", "port": 9092, "type": "internal", "tls": false})).await;
        this
    }

    fn within(scene: &'a Scene, namespace: &str) -> Self {
        let settings = Settings::new(namespace.to_owned(), "eventos".into(), fluxo_testkit::kafka());
        let mut topic_operator = JoinSet::new();
        topic_operator.spawn(fluxo_topic_operator::run(
            scene.client.clone(),
            settings,
            std::future::pending(),
        ));
        Self { scene, namespace: namespace.to_owned(), _topic_operator: topic_operator }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.scene.client.clone(), &self.namespace)
    }

    /// A cluster that is ready, with one listener.
    pub(crate) async fn cluster(&self, listener: Value) {
        let listeners = json!([{"name": listener["name"], "bootstrapServers": fluxo_testkit::kafka()}]);
        let kafka = json!({
            "apiVersion": "kafka.strimzi.io/v1", "kind": "Kafka", "metadata": {"name": "eventos"},
            "spec": {"kafka": {"listeners": [listener]}},
        });
        self.scene.put_in::<Kafka>(&self.namespace, kafka).await;
        self.secret(
            "eventos-cluster-ca-cert",
            &[("ca.crt", CERTIFICATE), ("ca.p12", "p12"), ("ca.password", "p12")],
        )
        .await;
        let ready = json!([{"type": "Ready", "status": "True"}]);
        let status = json!({"status": {"listeners": listeners, "conditions": ready, "clusterId": "cluster"}});
        let by = kube::api::PatchParams::default();
        self.api::<Kafka>().patch_status("eventos", &by, &kube::api::Patch::Merge(status)).await.unwrap();
    }

    async fn secret(&self, name: &str, values: &[(&str, &str)]) {
        self.scene.secret_in(&self.namespace, name, values).await;
    }

    /// A user with a password, and who may be it.
    async fn user(&self, allowed: &Value) {
        let user = json!({
            "apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaUser",
            "metadata": {"name": "fluxo", "annotations": {"fluxo.dev/allowed-namespaces": allowed}},
            "spec": {"authentication": {"type": "scram-sha-512"}},
        });
        self.scene.put_in::<KafkaUser>(&self.namespace, user).await;
        self.secret("fluxo", &[("password", "geheim"), ("sasl.jaas.config", "org.apache.kafka…")]).await;
    }

    /// The topics of the pipeline, which the real Kafka shall have: brokers that speak TLS or ask for a password, as the
    /// `Kafka` says, are not there, so that the operator cannot ask them whether they have the topics already.
    async fn topics(&self) {
        for topic in ["transactions", "transactions.dlq"].map(|name| self.scene.topic(name)) {
            let labels = json!({
                "strimzi.io/cluster": "eventos",
                "fluxo.dev/pipeline": "pagamentos",
                "fluxo.dev/pipeline-namespace": self.scene.namespace.name,
            });
            let topic = json!({
                "apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaTopic",
                "metadata": {"name": topic, "labels": labels}, "spec": {"partitions": 3, "replicas": 1},
            });
            self.scene.put_in::<KafkaTopic>(&self.namespace, topic).await;
        }
    }

    /// Says which namespaces may use the cluster, or be the user.
    async fn allows<K>(&self, name: &str, allowed: Value)
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
    {
        let change = json!({"metadata": {"annotations": {"fluxo.dev/allowed-namespaces": allowed}}});
        let by = kube::api::PatchParams::default();
        self.api::<K>().patch(name, &by, &kube::api::Patch::Merge(change)).await.unwrap();
    }
}

/// A pipeline beside Strimzi, whose topics are this test's own.
pub(crate) fn beside_strimzi(scene: &Scene, name: &str) -> Value {
    let mut pipeline = scene.pipeline(name);
    pipeline["spec"]["kafka"] = json!({
        "strimzi": {"cluster": "eventos"},
        "topic": {"name": scene.topic("transactions"), "partitions": 3, "replicas": 1},
    });
    pipeline
}

fn in_kafka() -> kafka::Kafka {
    kafka::Kafka::new(kafka::Connection::plaintext(fluxo_testkit::kafka()), "fluxo-tests").unwrap()
}

#[tokio::test]
async fn topics_are_made_through_kafka_topics_and_told_as_strimzi_tells_them() {
    let scene = Scene::start().await;
    let _strimzi = Strimzi::start(&scene).await;
    scene.put::<TransactionPipeline>(beside_strimzi(&scene, "pagamentos")).await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    let made = in_kafka().topic(&scene.topic("transactions")).await.unwrap().unwrap();
    assert_eq!((made.partitions(), &*made.config["retention.ms"].value), (3, "2592000000"));
    let status = scene.api::<TransactionPipeline>().get("pagamentos").await.unwrap().status.unwrap();
    assert_eq!((status.topic_id, status.cluster_id.as_deref()), (Some(made.topic_id), Some("cluster")));
    // Kafka itself refuses this, so it is Strimzi's to tell.
    let topic = json!({"spec": {"kafka": {"topic": {"config": {"compression.type": "tight"}}}}});
    scene.change::<TransactionPipeline>("pagamentos", topic).await;
    let message = scene.until_said("pagamentos", "TopicsReady", "False", "KafkaError").await;
    assert!(message.contains("InvalidConfigurationException"), "{message}");
    let topic = json!({"spec": {"kafka": {"topic": {"config": {"compression.type": null}}}}});
    scene.change::<TransactionPipeline>("pagamentos", topic).await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
}

#[tokio::test]
async fn the_queue_of_the_topic_operator_gets_one_write_for_each_topic_and_none_at_rest() {
    let scene = Scene::start().await;
    let _strimzi = Strimzi::start(&scene).await;
    scene.put::<TransactionPipeline>(beside_strimzi(&scene, "pagamentos")).await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    let operator = scene.operator();
    operator.settled().await;
    let of_topics = operator.middle.writes().into_iter().filter(|asked| asked.is_of("kafkatopics"));
    let written: Vec<_> = of_topics.map(|asked| asked.path).collect();
    assert_eq!(written.len(), 2, "{written:?}");
    for topic in ["transactions", "transactions.dlq"] {
        let topic = scene.api::<KafkaTopic>().get(&scene.topic(topic)).await.unwrap();
        assert_eq!(topic.labels()["strimzi.io/cluster"], "eventos", "others' Topic Operators leave it alone");
        assert_eq!(topic.metadata.generation, Some(1));
    }
}

#[tokio::test]
async fn delete_deletes_the_topics_through_strimzi_and_then_lets_the_pipeline_go() {
    let scene = Scene::start().await;
    let _strimzi = Strimzi::start(&scene).await;
    let mut pipeline = beside_strimzi(&scene, "pagamentos");
    pipeline["spec"]["kafka"]["deletionPolicy"] = json!("Delete");
    scene.put::<TransactionPipeline>(pipeline).await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    scene.delete::<TransactionPipeline>("pagamentos").await;
    scene.until_gone::<TransactionPipeline>("pagamentos").await;
    for topic in ["transactions", "transactions.dlq"].map(|name| scene.topic(name)) {
        assert!(scene.api::<KafkaTopic>().get_opt(&topic).await.unwrap().is_none());
        assert!(in_kafka().topic(&topic).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn retain_leaves_the_topics_and_their_claim_to_the_next_pipeline_of_the_name() {
    let scene = Scene::start().await;
    let _strimzi = Strimzi::start(&scene).await;
    scene.put::<TransactionPipeline>(beside_strimzi(&scene, "pagamentos")).await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    let before = in_kafka().topic(&scene.topic("transactions")).await.unwrap().unwrap();
    scene.delete::<TransactionPipeline>("pagamentos").await;
    scene.until_gone::<TransactionPipeline>("pagamentos").await;
    scene.put::<TransactionPipeline>(beside_strimzi(&scene, "others")).await;
    let message = scene.until_said("others", "Ready", "False", "AlreadyClaimed").await;
    assert!(message.contains(&format!("{}/pagamentos", scene.namespace.name)), "{message}");
    scene.put::<TransactionPipeline>(beside_strimzi(&scene, "pagamentos")).await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    let after = in_kafka().topic(&scene.topic("transactions")).await.unwrap().unwrap();
    assert_eq!(after.topic_id, before.topic_id);
}

#[tokio::test]
async fn a_kafka_topic_of_nobody_is_refused_until_it_is_handed_over() {
    let scene = Scene::start().await;
    let _strimzi = Strimzi::start(&scene).await;
    let name = scene.topic("transactions");
    let foreign = json!({
        "apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaTopic",
        "metadata": {"name": name, "labels": {"strimzi.io/cluster": "another"}},
        "spec": {"partitions": 3},
    });
    let foreign = scene.put::<KafkaTopic>(foreign).await;
    scene.put::<TransactionPipeline>(beside_strimzi(&scene, "pagamentos")).await;
    let message = scene.until_said("pagamentos", "TopicsReady", "False", "NameConflict").await;
    assert!(message.contains("fluxo.dev/pipeline"), "{message}");
    let now = scene.api::<KafkaTopic>().get(&name).await.unwrap();
    assert_eq!(now.resource_version(), foreign.resource_version());
    let labels =
        json!({"fluxo.dev/pipeline": "pagamentos", "fluxo.dev/pipeline-namespace": scene.namespace.name});
    scene.change::<KafkaTopic>(&name, json!({"metadata": {"labels": labels}})).await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
}

#[tokio::test]
async fn a_topic_that_kafka_has_without_a_kafka_topic_is_not_grown_by_being_taken() {
    let scene = Scene::start().await;
    let _strimzi = Strimzi::start(&scene).await;
    let name = scene.topic("transactions");
    let there = Wanted {
        name: name.clone(),
        partitions: 2,
        replicas: 1,
        config: [].into(),
        growth_acknowledged: false,
    };
    in_kafka().take(&Step::Create, &there).await.unwrap();
    eventually("the topic", PATIENCE, async || in_kafka().topic(&name).await.unwrap()).await;
    scene.put::<TransactionPipeline>(beside_strimzi(&scene, "pagamentos")).await;
    // It is empty, so it may be taken; but nobody has acknowledged that accounts may move.
    let message = scene.until_said("pagamentos", "TopicsReady", "False", "PartitionsDiffer").await;
    assert!(message.contains("from 2 to 3"), "{message}");
    scene.operator().settled().await;
    assert_eq!(in_kafka().topic(&name).await.unwrap().unwrap().partitions(), 2);
    let acknowledged = json!({"spec": {"kafka": {"topic": {"acknowledgePartitionGrowth": 3}}}});
    scene.change::<TransactionPipeline>("pagamentos", acknowledged).await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    assert_eq!(in_kafka().topic(&name).await.unwrap().unwrap().partitions(), 3);
}

#[tokio::test]
async fn delete_leaves_the_topics_that_an_earlier_pipeline_of_the_name_retained() {
    let scene = Scene::start().await;
    let _strimzi = Strimzi::start(&scene).await;
    scene.put::<TransactionPipeline>(beside_strimzi(&scene, "pagamentos")).await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    scene.delete::<TransactionPipeline>("pagamentos").await;
    scene.until_gone::<TransactionPipeline>("pagamentos").await;
    let mut second = beside_strimzi(&scene, "pagamentos");
    second["spec"]["kafka"]["topic"]["name"] = json!(scene.topic("second"));
    second["spec"]["kafka"]["deletionPolicy"] = json!("Delete");
    scene.put::<TransactionPipeline>(second).await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    scene.delete::<TransactionPipeline>("pagamentos").await;
    scene.until_gone::<TransactionPipeline>("pagamentos").await;
    for (topic, stays) in [("transactions", true), ("transactions.dlq", true), ("second", false)] {
        let there = scene.api::<KafkaTopic>().get_opt(&scene.topic(topic)).await.unwrap();
        assert_eq!(there.is_some(), stays, "{topic}");
    }
}

#[tokio::test]
async fn a_kafka_of_another_namespace_is_used_without_a_user_when_its_owner_lets() {
    let kafka = fluxo_testkit::namespace().await;
    let scene = beside_another_namespace(&kafka).await;
    let strimzi = Strimzi::within(&scene, &kafka.name);
    strimzi.cluster(json!({"name": "plain", "port": 9092, "type": "internal", "tls": false})).await;
    let nobody = json!({"spec": {"kafka": {"strimzi": {"user": null}}}});
    scene.change::<TransactionPipeline>("pagamentos", nobody).await;
    let message = scene.until_said("pagamentos", "Ready", "False", "ReferenceNotPermitted").await;
    assert!(message.contains(&format!("Kafka {}/eventos", kafka.name)), "{message}");
    assert!(strimzi.api::<KafkaTopic>().list(&ListParams::default()).await.unwrap().items.is_empty());
    strimzi.allows::<Kafka>("eventos", json!(scene.namespace.name)).await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
}

#[tokio::test]
async fn a_missing_cluster_is_named_and_is_found_when_it_comes() {
    let scene = Scene::start().await;
    scene.put::<TransactionPipeline>(beside_strimzi(&scene, "pagamentos")).await;
    let message = scene.until_said("pagamentos", "Ready", "False", "ReferenceNotFound").await;
    assert!(message.contains("eventos"), "{message}");
    let _strimzi = Strimzi::start(&scene).await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
}

/// A pipeline that is the user `fluxo` of a cluster in another namespace.
async fn beside_another_namespace(kafka: &TestNamespace) -> Scene {
    let mut scene = Scene::idle().await;
    let namespaces = format!("--operator-kafka-namespaces={}", kafka.name);
    scene.start_operator(&["--operator-resync=2s", &namespaces]).await;
    let mut pipeline = beside_strimzi(&scene, "pagamentos");
    pipeline["spec"]["kafka"]["strimzi"] =
        json!({"cluster": "eventos", "namespace": kafka.name, "user": "fluxo"});
    scene.put::<TransactionPipeline>(pipeline).await;
    scene
}

fn generation(deployment: &Deployment) -> Option<i64> {
    deployment.metadata.generation
}

/// The texts in the copy of what Strimzi keeps.
fn texts(copy: &Secret) -> Vec<(String, String)> {
    let texts = copy.data.iter().flatten();
    texts.map(|(key, value)| (key.clone(), String::from_utf8(value.0.clone()).unwrap())).collect()
}

#[tokio::test]
async fn a_user_of_another_namespace_is_copied_when_its_owner_lets_and_nothing_is_torn_down_when_not() {
    let kafka = fluxo_testkit::namespace().await;
    let scene = beside_another_namespace(&kafka).await;
    let strimzi = Strimzi::within(&scene, &kafka.name);
    let scram = json!({"type": "scram-sha-512"});
    strimzi
        .cluster(
            json!({"name": "tls", "port": 9093, "type": "internal", "tls": true, "authentication": scram}),
        )
        .await;
    strimzi.topics().await;
    strimzi.user(&json!("somebody-else")).await;
    let message = scene.until_said("pagamentos", "Ready", "False", "ReferenceNotPermitted").await;
    assert!(message.contains("fluxo.dev/allowed-namespaces"), "{message}");
    assert!(scene.api::<Deployment>().get_opt("pagamentos-listener").await.unwrap().is_none());

    let both = json!(format!("somebody-else,{}", scene.namespace.name));
    strimzi.allows::<KafkaUser>("fluxo", both).await;
    let made = scene.until::<Deployment>("pagamentos-listener", "the listeners are made", |_| true).await;
    let copy = scene.api::<Secret>().get("pagamentos-kafka").await.unwrap();
    let expected = [("ca.crt", CERTIFICATE), ("password", "geheim")];
    assert_eq!(texts(&copy), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;

    strimzi.allows::<KafkaUser>("fluxo", json!(null)).await;
    scene.until_said("pagamentos", "Ready", "False", "ReferenceNotPermitted").await;
    let still = scene.api::<Deployment>().get("pagamentos-listener").await.unwrap();
    assert_eq!((still.uid(), generation(&still)), (made.uid(), generation(&made)));
    assert!(scene.api::<Secret>().get_opt("pagamentos-kafka").await.unwrap().is_some());
}

#[tokio::test]
async fn a_new_password_or_authority_rolls_the_pods_once() {
    let kafka = fluxo_testkit::namespace().await;
    let scene = beside_another_namespace(&kafka).await;
    let strimzi = Strimzi::within(&scene, &kafka.name);
    let scram = json!({"type": "scram-sha-512"});
    strimzi
        .cluster(
            json!({"name": "tls", "port": 9093, "type": "internal", "tls": true, "authentication": scram}),
        )
        .await;
    strimzi.topics().await;
    strimzi.user(&json!(scene.namespace.name)).await;
    let made = scene.until::<Deployment>("pagamentos-listener", "the listeners are made", |_| true).await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    let template = |deployment: &Deployment| deployment.spec.as_ref().unwrap().template.clone();
    let rolled_from = async |before: Deployment| {
        let is_other = |now: &Deployment| template(now) != template(&before);
        scene.until::<Deployment>("pagamentos-listener", "the pods are replaced", is_other).await
    };

    strimzi.secret("fluxo", &[("password", "neu")]).await;
    let after_password = rolled_from(made).await;

    // As Strimzi replaces an authority: both are trusted until every broker has a certificate of the new one.
    let ca = "eventos-cluster-ca-cert";
    strimzi.secret(ca, &[("ca.crt", NEW_CERTIFICATE), ("ca-2026-11-21T00-00-00Z.crt", CERTIFICATE)]).await;
    let after_authority = rolled_from(after_password).await;
    let copied = async |both: bool| {
        eventually("the copy is as it must be", PATIENCE, async || {
            let copy = scene.api::<Secret>().get("pagamentos-kafka").await.unwrap();
            let ca = texts(&copy).into_iter().find(|(key, _)| key == "ca.crt").unwrap().1;
            (ca.contains("second") && ca.contains("first") == both).then_some(())
        })
        .await;
    };
    copied(true).await;
    strimzi.secret(ca, &[("ca.crt", NEW_CERTIFICATE), ("ca-2026-11-21T00-00-00Z.crt", "")]).await;
    copied(false).await;
    scene.operator().settled().await;
    let now = scene.api::<Deployment>().get("pagamentos-listener").await.unwrap();
    assert_eq!(template(&now), template(&after_authority), "pods that trust the new one need no other");
}

#[tokio::test]
async fn the_copy_of_what_strimzi_keeps_goes_with_the_user_that_it_was_for() {
    let scene = Scene::start().await;
    let strimzi = Strimzi::start(&scene).await;
    let scram = json!({"name": "scram", "port": 9093, "type": "internal", "tls": false,
        "authentication": {"type": "scram-sha-512"}});
    let plain = json!({"name": "plain", "port": 9092, "type": "internal", "tls": false});
    let listeners = json!({"spec": {"kafka": {"listeners": [plain, scram]}}});
    scene.change::<Kafka>("eventos", listeners).await;
    let address = |name: &str| json!({"name": name, "bootstrapServers": fluxo_testkit::kafka()});
    scene.say::<Kafka>("eventos", json!({"listeners": [address("plain"), address("scram")]})).await;
    strimzi.topics().await;
    strimzi.user(&Value::Null).await;
    let mut pipeline = beside_strimzi(&scene, "pagamentos");
    pipeline["spec"]["kafka"]["strimzi"]["user"] = json!("fluxo");
    // Without pods a rollout ends by itself.
    pipeline["spec"]["api"]["replicas"] = json!(0);
    pipeline["spec"]["listener"] = json!({"scaling": {"mode": "Fixed"}, "replicas": 0});
    scene.put::<TransactionPipeline>(pipeline).await;
    let keys = |secret: &Secret| secret.data.iter().flatten().map(|(key, _)| key.clone()).collect::<Vec<_>>();
    let copy = scene.until::<Secret>("pagamentos-kafka", "the password is copied", |_| true).await;
    assert_eq!(keys(&copy), ["password"]);
    scene.until::<Deployment>("pagamentos-listener", "the listeners are made", |_| true).await;
    let nobody = json!({"spec": {"kafka": {"strimzi": {"user": null}}}});
    scene.change::<TransactionPipeline>("pagamentos", nobody).await;
    scene.until_gone::<Secret>("pagamentos-kafka").await;
    // Strimzi's own is not the operator's to delete.
    assert!(scene.api::<Secret>().get_opt("fluxo").await.unwrap().is_some());
}
