//! Each field of a pipeline, changed, and where that is seen.

use std::collections::BTreeSet;

use fluxo_operator::{
    controller::model,
    crd::{self, TransactionPipeline},
};
use fluxo_testkit::eventually;
use k8s_openapi::api::{apps::v1::Deployment, batch::v1::Job, networking::v1};
use kube::{
    Resource, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams},
};
use serde_json::{Value, json};

use Child::{Api, HttpRoute, Ingress, Listener, Migrations};

use crate::{PATIENCE, children::gateway_api, scene::Scene};

/// What a pipeline has that shows a change.
#[derive(Clone, Copy, Debug)]
enum Child {
    Api,
    Listener,
    Migrations,
    Ingress,
    HttpRoute,
}

/// A change of the spec, and what each of these children then has in it.
type Change = (Value, Vec<(Child, String)>);

/// Below these, fields are those of Kubernetes, and are handed on.
const HANDED_ON: [&str; 5] =
    ["affinity", "extraEnv", "resources", "tolerations", "topologySpreadConstraints"];

/// Fields whose change no child shows, or that cannot change, and where they are tested.
const ELSEWHERE: [(&str, &str); 18] = [
    ("kafka.deadLetter.name", "crd/cases.yaml: it cannot change"),
    ("kafka.deletionPolicy", "deletion.rs"),
    ("kafka.strimzi.cluster", "crd/cases.yaml: it cannot change"),
    ("kafka.strimzi.listener", "strimzi.rs"),
    ("kafka.strimzi.namespace", "crd/cases.yaml: it cannot change"),
    ("kafka.strimzi.user", "strimzi.rs"),
    ("kafka.topic.acknowledgePartitionGrowth", "topics.rs, and kafka/topics.rs"),
    ("kafka.topic.config", "topics.rs, and kafka/topics.rs"),
    ("kafka.topic.name", "crd/cases.yaml: it cannot change"),
    ("kafka.topic.partitions", "topics.rs, and kafka/topics.rs"),
    ("kafka.topic.replicas", "kafka/topics.rs: it is refused"),
    ("listener.scaling.catchUp", "src/scaling/tests.rs"),
    ("listener.scaling.maxRebalancesPerHour", "src/scaling/tests.rs"),
    ("listener.scaling.scaleInDelay", "src/scaling/tests.rs"),
    ("listener.scaling.targetAge", "src/scaling/tests.rs"),
    ("mysql.database", "crd/cases.yaml: it cannot change"),
    ("networkPolicy.enabled", "children.rs"),
    ("paused", "children.rs"),
];

/// In this order, one upon the other.
fn changes() -> Vec<Change> {
    [of_api(), of_listeners(), of_pods(), of_mysql(), of_the_rest()].concat()
}

fn of_api() -> Vec<Change> {
    let api = |change: Value, part: &str| (json!({"api": change}), only(Api, &[part]));
    let ingress = |change: Value, part: &str| (json!({"api": {"ingress": change}}), only(Ingress, &[part]));
    let route = |change: Value, part: &str| (json!({"api": change}), only(HttpRoute, &[part]));
    vec![
        api(json!({"replicas": 3}), r#""replicas":3"#),
        api(json!({"resources": {"limits": {"memory": "300Mi"}}}), "300Mi"),
        api(json!({"auth": {"secret": "other-keys"}}), r#""name":"other-keys""#),
        api(json!({"auth": {"key": "other.json"}}), r#""key":"other.json""#),
        api(json!({"auth": {"mode": "None", "secret": null}}), &variable("FLUXO_API_AUTH", "none")),
        ingress(json!({"host": "a.example"}), r#""host":"a.example""#),
        ingress(json!({"className": "internal"}), r#""ingressClassName":"internal""#),
        ingress(json!({"annotations": {"example.com/body": "1m"}}), r#""example.com/body":"1m""#),
        ingress(json!({"tls": {"secret": "certificate"}}), r#""secretName":"certificate""#),
        route(
            json!({"ingress": null, "httpRoute": {"parentRefs": [{"name": "gateway"}]}}),
            r#""name":"gateway""#,
        ),
        route(json!({"httpRoute": {"hostnames": ["b.example"]}}), r#""hostnames":["b.example"]"#),
    ]
}

fn of_listeners() -> Vec<Change> {
    let listener = |change: Value, part: &str| (json!({"listener": change}), only(Listener, &[part]));
    vec![
        listener(json!({"resources": {"limits": {"memory": "400Mi"}}}), "400Mi"),
        listener(json!({"replicas": 2, "scaling": {"mode": "Fixed"}}), r#""replicas":2"#),
        listener(json!({"scaling": {"mode": "Auto", "minReplicas": 3}}), r#""replicas":3"#),
    ]
}

fn of_pods() -> Vec<Change> {
    let pods = |change: Value, part: &str| (json!({"podTemplate": change}), both(part));
    let zones = json!({"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "Exists"}]}]});
    let racks = json!({"topologyKey": "rack", "maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule"});
    vec![
        pods(
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": zones}}}),
            r#""key":"zone""#,
        ),
        pods(json!({"annotations": {"example.com/a": "b"}}), r#""example.com/a":"b""#),
        pods(json!({"extraEnv": [{"name": "FLUXO_LOG", "value": "debug"}]}), &variable("FLUXO_LOG", "debug")),
        pods(json!({"labels": {"cost-centre": "7"}}), r#""cost-centre":"7""#),
        pods(json!({"nodeSelector": {"disk": "fast"}}), r#""nodeSelector":{"disk":"fast"}"#),
        pods(json!({"priorityClassName": "money"}), r#""priorityClassName":"money""#),
        pods(json!({"serviceAccountName": "fluxo"}), r#""serviceAccountName":"fluxo""#),
        pods(
            json!({"tolerations": [{"key": "money", "operator": "Exists"}]}),
            r#"{"key":"money","operator":"Exists"}"#,
        ),
        pods(json!({"topologySpreadConstraints": [racks]}), r#""topologyKey":"rack""#),
    ]
}

fn of_mysql() -> Vec<Change> {
    let mysql = |change: Value, seen: Vec<(Child, String)>| (json!({"mysql": change}), seen);
    let connections = |number: &str| only(Api, &[&variable("FLUXO_DATABASE_MAX_CONNECTIONS", number)]);
    let tls = json!({"mode": "VerifyCa", "caSecret": {"name": "ca"}});
    vec![
        mysql(json!({"host": "moved"}), both("@moved:3306/")),
        mysql(json!({"port": 3307}), both("@moved:3307/")),
        // Of each pod of the api, with one more in a rollout: (90 - 4 listeners × 4) / 4, and (90 - 2 × 4) / 4.
        mysql(json!({"maxConnections": 90}), connections("18")),
        (json!({"listener": {"scaling": {"minReplicas": 1, "maxReplicas": 1}}}), connections("20")),
        mysql(json!({"tls": tls}), both(&variable("FLUXO_DATABASE_TLS", "verify-ca"))),
        mysql(
            json!({"tls": {"caSecret": {"key": "other.crt"}}}),
            both(r#"{"items":[{"key":"other.crt","path":"ca.crt"}],"name":"ca"}"#),
        ),
        mysql(json!({"credentials": user("all")}), [of_user(Api, "all"), of_user(Listener, "all")].concat()),
        mysql(json!({"apiCredentials": user("api")}), of_user(Api, "api")),
        mysql(json!({"listenerCredentials": user("listener")}), of_user(Listener, "listener")),
    ]
}

fn of_the_rest() -> Vec<Change> {
    let image = |change: Value, seen: Vec<(Child, String)>| (json!({"image": change}), seen);
    let kafka = |change: Value, seen: Vec<(Child, String)>| (json!({"kafka": change}), seen);
    let brokers = format!("{0},{0}", fluxo_testkit::kafka());
    let sasl = json!({"mechanism": "SCRAM-SHA-256", "credentials": user("kafka")});
    let by_sasl = only(Listener, &[&variable("FLUXO_KAFKA_SASL_MECHANISM", "scram-sha-256")]);
    let migrations = json!({"migrate": "Auto", "migrationCredentials": user("migrations")});
    vec![
        kafka(
            json!({"bootstrapServers": brokers}),
            both(&variable("FLUXO_KAFKA_BOOTSTRAP_SERVERS", &brokers)),
        ),
        image(json!({"pullPolicy": "Always"}), both(r#""imagePullPolicy":"Always""#)),
        image(json!({"pullSecrets": ["registry"]}), both(r#""imagePullSecrets":[{"name":"registry"}]"#)),
        // From here on the api waits for listeners of the new image, which no node runs.
        image(
            json!({"repository": "registry.example/fluxo"}),
            only(Listener, &[r#""image":"registry.example/fluxo-listener:"#]),
        ),
        image(json!({"tag": "9.8.7"}), only(Listener, &[r#":9.8.7""#])),
        // From here on the operator itself cannot come to Kafka, which takes neither.
        kafka(json!({"sasl": sasl}), [of_user(Listener, "kafka"), by_sasl].concat()),
        kafka(
            json!({"tls": {"caSecret": {"name": "ca", "key": "other.crt"}}}),
            only(Listener, &["FLUXO_KAFKA_CA_FILE"]),
        ),
        kafka(
            json!({"tls": {"certificateSecret": "certificate"}}),
            only(Listener, &["FLUXO_KAFKA_CERTIFICATE_FILE"]),
        ),
        // And from here on pods wait for a Job, which no node runs either.
        (json!({"mysql": migrations}), of_user(Migrations, "migrations")),
    ]
}

fn only(child: Child, parts: &[&str]) -> Vec<(Child, String)> {
    parts.iter().map(|part| (child, (*part).to_owned())).collect()
}

fn both(part: &str) -> Vec<(Child, String)> {
    vec![(Api, part.to_owned()), (Listener, part.to_owned())]
}

fn variable(name: &str, value: &str) -> String {
    format!(r#"{{"name":"{name}","value":"{value}"}}"#)
}

/// How a pipeline names a user, whose name and password have other keys than by default.
fn user(secret: &str) -> Value {
    json!({"secret": secret, "usernameKey": "user", "passwordKey": "pass"})
}

/// Where that is seen.
fn of_user(child: Child, secret: &str) -> Vec<(Child, String)> {
    let name = format!(r#""secretKeyRef":{{"key":"user","name":"{secret}"}}"#);
    let password = format!(r#"{{"items":[{{"key":"pass","path":"password"}}],"name":"{secret}"}}"#);
    only(child, &[&name, &password])
}

#[tokio::test]
async fn each_field_can_be_changed_and_the_change_is_seen() {
    let scene = Scene::start().await;
    gateway_api(&scene).await;
    let certificate = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
    let key = "-----BEGIN PRIVATE KEY-----\nMA==\n-----END PRIVATE KEY-----\n";
    scene.secret("other-keys", &[("keys.json", "{}"), ("other.json", "{}")]).await;
    scene.secret("ca", &[("ca.crt", certificate), ("other.crt", certificate)]).await;
    scene.secret("certificate", &[("tls.crt", certificate), ("tls.key", key)]).await;
    for user in ["all", "api", "listener", "migrations", "kafka"] {
        scene.secret(user, &[("user", "fluxo"), ("pass", "geheim")]).await;
    }
    scene.make("pagamentos").await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    for (change, seen) in changes() {
        let before = texts(&scene, &seen).await;
        assert!(
            seen.iter().zip(&before).any(|((_, part), text)| !text.contains(part)),
            "{change} is there already"
        );
        scene.change::<TransactionPipeline>("pagamentos", json!({"spec": change})).await;
        eventually(&format!("{change} is seen as {seen:?}"), PATIENCE, async || {
            let now = texts(&scene, &seen).await;
            seen.iter().zip(&now).all(|((_, part), text)| text.contains(part)).then_some(())
        })
        .await;
    }
}

#[test]
fn no_field_is_left_out() {
    let mut changed = BTreeSet::new();
    for (change, _) in changes() {
        fields("", &change, &mut changed);
    }
    for (field, _) in ELSEWHERE {
        assert!(changed.insert(field.to_owned()), "{field} is tested here as well");
    }
    let spec = &crd::definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut declared = BTreeSet::new();
    declared_fields("", spec, &mut declared);
    assert_eq!(changed, declared);
}

/// What there is of each child that a change is seen in, without what the API server writes down of who wrote it.
async fn texts(scene: &Scene, seen: &[(Child, String)]) -> Vec<String> {
    let mut texts = Vec::new();
    for (child, _) in seen {
        let (kind, name) = child.found_as();
        let api =
            kube::Api::<DynamicObject>::namespaced_with(scene.client.clone(), &scene.namespace.name, &kind);
        let mut found = api.list(&ListParams::default()).await.unwrap().items;
        found.retain(|object| object.name_any().starts_with(name));
        for object in &mut found {
            object.metadata.managed_fields = None;
        }
        texts.push(serde_json::to_string(&found).unwrap());
    }
    texts
}

impl Child {
    /// Its kind, and how its name begins.
    fn found_as(self) -> (ApiResource, &'static str) {
        fn kind<K: Resource<DynamicType = ()>>() -> ApiResource {
            ApiResource::erase::<K>(&())
        }
        match self {
            Self::Api => (kind::<Deployment>(), "pagamentos-api"),
            Self::Listener => (kind::<Deployment>(), "pagamentos-listener"),
            Self::Migrations => (kind::<Job>(), "pagamentos-migrations"),
            Self::Ingress => (kind::<v1::Ingress>(), "pagamentos-api"),
            Self::HttpRoute => (kind::<model::HttpRoute>(), "pagamentos-api"),
        }
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.into() } else { format!("{path}.{name}") }
}

/// The fields that a change has.
fn fields(path: &str, change: &Value, found: &mut BTreeSet<String>) {
    let is_whole =
        |name: &str| HANDED_ON.contains(&name) || ["annotations", "labels", "nodeSelector"].contains(&name);
    match change {
        Value::Object(values) => {
            for (name, value) in values {
                let path = joined(path, name);
                if is_whole(name) {
                    found.insert(path);
                } else {
                    fields(&path, value, found);
                }
            }
        }
        Value::Null => {}
        _ => {
            found.insert(path.to_owned());
        }
    }
}

/// The fields that a schema has.
fn declared_fields(path: &str, schema: &Value, found: &mut BTreeSet<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = joined(path, name);
        if field["properties"].is_null() || HANDED_ON.contains(&name.as_str()) {
            found.insert(path);
        } else {
            declared_fields(&path, field, found);
        }
    }
}
