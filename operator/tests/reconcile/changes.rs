//! Each field of a pipeline, changed, and where that is seen.

use std::collections::BTreeSet;

use fluxo_operator::{
    controller::model::HttpRoute,
    crd::{self, TransactionPipeline},
};
use fluxo_testkit::eventually;
use k8s_openapi::api::{apps::v1::Deployment, batch::v1::Job, networking::v1::Ingress};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams},
};
use serde_json::{Value, json};

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

fn changes() -> Vec<Change> {
    use Child::{Api, HttpRoute, Ingress, Listener, Migrations};

    let both = |part: &str| vec![(Api, part.to_owned()), (Listener, part.to_owned())];
    let only = |child: Child, parts: &[&str]| parts.iter().map(|part| (child, (*part).to_owned())).collect();
    let variable = |name: &str, value: &str| format!(r#"{{"name":"{name}","value":"{value}"}}"#);
    let connections = |number: &str| variable("FLUXO_DATABASE_MAX_CONNECTIONS", number);
    let user = |child: Child, secret: &str| {
        only(
            child,
            &[
                &format!(r#""secretKeyRef":{{"key":"user","name":"{secret}"}}"#),
                &format!(r#"{{"items":[{{"key":"pass","path":"password"}}],"name":"{secret}"}}"#),
            ],
        )
    };
    let user_of = |secret: &str| json!({"secret": secret, "usernameKey": "user", "passwordKey": "pass"});
    let brokers = format!("{0},{0}", fluxo_testkit::kafka());
    let of_mysql = |change: Value| json!({"mysql": change});
    let of_pods = |change: Value| json!({"podTemplate": change});
    let node = json!({"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "Exists"}]}]});

    vec![
        (json!({"api": {"replicas": 3}}), only(Api, &[r#""replicas":3"#])),
        (json!({"api": {"resources": {"limits": {"memory": "300Mi"}}}}), only(Api, &["300Mi"])),
        (json!({"api": {"auth": {"secret": "other-keys"}}}), only(Api, &[r#""name":"other-keys""#])),
        (json!({"api": {"auth": {"key": "other.json"}}}), only(Api, &[r#""key":"other.json""#])),
        (
            json!({"api": {"auth": {"mode": "None", "secret": null}}}),
            only(Api, &[&variable("FLUXO_API_AUTH", "none")]),
        ),
        (json!({"api": {"ingress": {"host": "a.example"}}}), only(Ingress, &[r#""host":"a.example""#])),
        (
            json!({"api": {"ingress": {"className": "internal"}}}),
            only(Ingress, &[r#""ingressClassName":"internal""#]),
        ),
        (
            json!({"api": {"ingress": {"annotations": {"example.com/body": "1m"}}}}),
            only(Ingress, &[r#""example.com/body":"1m""#]),
        ),
        (
            json!({"api": {"ingress": {"tls": {"secret": "certificate"}}}}),
            only(Ingress, &[r#""secretName":"certificate""#]),
        ),
        (
            json!({"api": {"ingress": null, "httpRoute": {"parentRefs": [{"name": "gateway"}]}}}),
            only(HttpRoute, &[r#""name":"gateway""#]),
        ),
        (
            json!({"api": {"httpRoute": {"hostnames": ["b.example"]}}}),
            only(HttpRoute, &[r#""hostnames":["b.example"]"#]),
        ),
        (json!({"listener": {"resources": {"limits": {"memory": "400Mi"}}}}), only(Listener, &["400Mi"])),
        (
            json!({"listener": {"replicas": 2, "scaling": {"mode": "Fixed"}}}),
            only(Listener, &[r#""replicas":2"#]),
        ),
        (
            json!({"listener": {"scaling": {"mode": "Auto", "minReplicas": 3}}}),
            only(Listener, &[r#""replicas":3"#]),
        ),
        (
            of_pods(
                json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": node}}}),
            ),
            both(r#""key":"zone""#),
        ),
        (of_pods(json!({"annotations": {"example.com/a": "b"}})), both(r#""example.com/a":"b""#)),
        (
            of_pods(json!({"extraEnv": [{"name": "FLUXO_LOG", "value": "debug"}]})),
            both(&variable("FLUXO_LOG", "debug")),
        ),
        (of_pods(json!({"labels": {"cost-centre": "7"}})), both(r#""cost-centre":"7""#)),
        (of_pods(json!({"nodeSelector": {"disk": "fast"}})), both(r#""nodeSelector":{"disk":"fast"}"#)),
        (of_pods(json!({"priorityClassName": "money"})), both(r#""priorityClassName":"money""#)),
        (of_pods(json!({"serviceAccountName": "fluxo"})), both(r#""serviceAccountName":"fluxo""#)),
        (
            of_pods(json!({"tolerations": [{"key": "money", "operator": "Exists"}]})),
            both(r#"{"key":"money","operator":"Exists"}"#),
        ),
        (
            of_pods(json!({"topologySpreadConstraints": [
                {"topologyKey": "rack", "maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule"},
            ]})),
            both(r#""topologyKey":"rack""#),
        ),
        (of_mysql(json!({"host": "moved"})), both("@moved:3306/")),
        (of_mysql(json!({"port": 3307})), both("@moved:3307/")),
        // Of each pod of the api, with one more in a rollout: (90 - 4 listeners × 4) / 4, and (90 - 2 × 4) / 4.
        (of_mysql(json!({"maxConnections": 90})), only(Api, &[&connections("18")])),
        (
            json!({"listener": {"scaling": {"minReplicas": 1, "maxReplicas": 1}}}),
            only(Api, &[&connections("20")]),
        ),
        (
            of_mysql(json!({"tls": {"mode": "VerifyCa", "caSecret": {"name": "ca"}}})),
            both(&variable("FLUXO_DATABASE_TLS", "verify-ca")),
        ),
        (
            of_mysql(json!({"tls": {"caSecret": {"key": "other.crt"}}})),
            both(r#"{"items":[{"key":"other.crt","path":"ca.crt"}],"name":"ca"}"#),
        ),
        (
            of_mysql(json!({"credentials": user_of("mysql-all")})),
            [user(Api, "mysql-all"), user(Listener, "mysql-all")].concat(),
        ),
        (of_mysql(json!({"apiCredentials": user_of("mysql-api")})), user(Api, "mysql-api")),
        (
            of_mysql(json!({"listenerCredentials": user_of("mysql-listener")})),
            user(Listener, "mysql-listener"),
        ),
        (
            json!({"kafka": {"bootstrapServers": brokers}}),
            both(&variable("FLUXO_KAFKA_BOOTSTRAP_SERVERS", &brokers)),
        ),
        (json!({"image": {"pullPolicy": "Always"}}), both(r#""imagePullPolicy":"Always""#)),
        (
            json!({"image": {"pullSecrets": ["registry"]}}),
            both(r#""imagePullSecrets":[{"name":"registry"}]"#),
        ),
        // From here on the api waits for listeners of the new image, which no node runs.
        (
            json!({"image": {"repository": "registry.example/fluxo"}}),
            only(Listener, &[r#""image":"registry.example/fluxo-listener:"#]),
        ),
        (json!({"image": {"tag": "9.8.7"}}), only(Listener, &[r#":9.8.7""#])),
        // From here on the operator itself cannot come to Kafka, which takes neither.
        (
            json!({"kafka": {"sasl": {"mechanism": "SCRAM-SHA-256", "credentials": user_of("kafka")}}}),
            [
                user(Listener, "kafka"),
                only(Listener, &[&variable("FLUXO_KAFKA_SASL_MECHANISM", "scram-sha-256")]),
            ]
            .concat(),
        ),
        (
            json!({"kafka": {"tls": {"caSecret": {"name": "ca", "key": "other.crt"}}}}),
            only(Listener, &["FLUXO_KAFKA_CA_FILE"]),
        ),
        (
            json!({"kafka": {"tls": {"certificateSecret": "certificate"}}}),
            only(Listener, &["FLUXO_KAFKA_CERTIFICATE_FILE"]),
        ),
        // And from here on pods wait for a Job, which no node runs either.
        (
            of_mysql(json!({"migrate": "Auto", "migrationCredentials": user_of("mysql-migrations")})),
            user(Migrations, "mysql-migrations"),
        ),
    ]
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
    for user in ["mysql-all", "mysql-api", "mysql-listener", "mysql-migrations", "kafka"] {
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
        let api = Api::<DynamicObject>::namespaced_with(scene.client.clone(), &scene.namespace.name, &kind);
        let mut found = api.list(&ListParams::default()).await.unwrap().items;
        found.retain(|object| object.name_any().starts_with(name));
        found.iter_mut().for_each(|object| object.metadata.managed_fields = None);
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
            Self::Ingress => (kind::<Ingress>(), "pagamentos-api"),
            Self::HttpRoute => (kind::<HttpRoute>(), "pagamentos-api"),
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
