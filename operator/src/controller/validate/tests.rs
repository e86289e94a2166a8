use serde_json::json;

use super::*;
use crate::{
    controller::{
        fixtures::{EXAMPLES, Scene, certificate, missing},
        model::{
            MissingReference, ObjectName,
            strimzi::{CLAIMED_NAME, CLAIMED_NAMESPACE, KafkaTopic, KafkaTopicSpec, allows},
        },
    },
    crd::Reason,
    kafka::topic::Refusal,
};

fn topic(name: &str, partitions: u32, claim: Option<(&str, &str)>) -> (String, KafkaTopic) {
    let spec = KafkaTopicSpec { partitions: Some(partitions), ..KafkaTopicSpec::default() };
    let mut topic = KafkaTopic::new(&KafkaTopic::object_name(name), spec);
    topic.metadata.labels = claim.map(|(namespace, name)| {
        [(CLAIMED_NAMESPACE.into(), namespace.into()), (CLAIMED_NAME.into(), name.into())].into()
    });
    (KafkaTopic::object_name(name), topic)
}

const OURS: Option<(&str, &str)> = Some(("pagamentos", "pagamentos"));

#[test]
fn each_example_is_valid_with_what_it_refers_to() {
    for name in EXAMPLES {
        let pipeline = Scene::example(name).validated();
        assert_eq!(pipeline.listener.group, "fluxo.pagamentos.pagamentos");
    }
}

#[test]
fn what_is_missing_is_told_all_at_once_and_once() {
    let mut scene = Scene::example("external");
    scene.found.secrets.insert("mysql-ca".into(), missing("Secret", "pagamentos", "mysql-ca"));
    scene.found.secrets.insert("kafka-fluxo".into(), missing("Secret", "pagamentos", "kafka-fluxo"));
    scene.found.secrets.insert("fluxo-keys".into(), Ok([("keys.txt", "{}")].into_iter().collect()));
    assert_eq!(
        scene.wrong(),
        [
            "ReferenceNotFound Secret pagamentos/kafka-fluxo is not there: make it, or name another one",
            "ReferenceNotFound Secret pagamentos/mysql-ca is not there: make it, or name another one",
            "ReferenceInvalid Secret pagamentos/fluxo-keys has no key keys.json (it has: keys.txt): add it, or name another key",
        ]
    );
    let mut scene = Scene::example("minimal");
    scene.found.secrets.insert("mysql-fluxo".into(), missing("Secret", "pagamentos", "mysql-fluxo"));
    assert_eq!(scene.wrong().len(), 1, "three users have it");
}

#[test]
fn a_value_that_the_pods_could_not_use_is_refused_without_being_repeated() {
    for (secret, key, value, told) in [
        ("mysql-fluxo-api", "username", "fluxo\n", "is no user's name that a URL can have"),
        ("mysql-fluxo-api", "username", "flu:xo", "is no user's name that a URL can have"),
        ("mysql-fluxo-api", "password", "\n", "is empty"),
        ("kafka-fluxo", "username", "fluxo\n", "is no user's name: it has a line break"),
        ("mysql-ca", "authority.pem", "flu:xo", "holds no certificate in PEM"),
    ] {
        let wrong = Scene::example("external").with_secret(secret, key, value).wrong();
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert!(wrong[0].starts_with("ReferenceInvalid") && wrong[0].contains(told), "{wrong:?}");
        assert!(!wrong[0].contains("flu:xo"), "{wrong:?}");
    }
    let mut scene = Scene::example("external");
    scene.found.secrets.insert("kafka-ca".into(), Ok([("ca.crt", [0xff])].into_iter().collect()));
    assert!(scene.wrong()[0].contains("is not text"), "{:?}", scene.wrong());
}

#[test]
fn a_user_of_kafka_who_may_not_be_used_is_told_with_the_annotation_that_lets_him() {
    let mut scene = Scene::example("strimzi");
    let user = ObjectName { kind: "KafkaUser", namespace: "kafka".into(), name: "fluxo".into() };
    let refused = MissingReference::NotPermitted { what: user, namespace: "pagamentos".into() };
    scene.strimzi().user = Some(Err(refused));
    assert_eq!(
        scene.wrong(),
        [
            "ReferenceNotPermitted KafkaUser kafka/fluxo does not let pipelines of namespace pagamentos use it: annotate it fluxo.dev/allowed-namespaces: pagamentos"
        ]
    );
}

#[test]
fn a_user_of_kafka_allows_the_namespaces_that_it_names_and_its_own() {
    let mut scene = Scene::example("strimzi");
    let user = &mut scene.strimzi().user.as_mut().unwrap().as_mut().unwrap().resource;
    assert!(
        allows(&user.metadata, "pagamentos")
            && allows(&user.metadata, "kafka")
            && !allows(&user.metadata, "pag")
    );
    user.metadata.annotations =
        Some([("fluxo.dev/allowed-namespaces".into(), "a, pagamentos ,b".into())].into());
    assert!(
        allows(&user.metadata, "pagamentos") && allows(&user.metadata, "b") && !allows(&user.metadata, "")
    );
    user.metadata.annotations = None;
    assert!(!allows(&user.metadata, "pagamentos"));
}

/// Listeners by name, type and authentication; the last is where the brokers are.
fn with_listeners(listeners: &[(&str, &str, Option<&str>)], patch: &serde_json::Value) -> Scene {
    let mut scene = Scene::example_with("strimzi", &json!({"kafka": {"strimzi": patch}}));
    let kafka = scene.strimzi().kafka.as_mut().unwrap();
    let spec = |(name, kind, way): &(&str, &str, Option<&str>)| {
        let authentication = way.map(|way| json!({"type": way}));
        let mut listener = json!({"name": name, "type": kind, "tls": *kind != "internal"});
        if let Some(authentication) = authentication {
            listener["authentication"] = authentication;
        }
        serde_json::from_value(listener).unwrap()
    };
    kafka.spec.kafka.listeners = listeners.iter().map(spec).collect();
    let status = |(name, ..): &(&str, &str, Option<&str>)| {
        serde_json::from_value(json!({"name": name, "bootstrapServers": format!("{name}:9092")})).unwrap()
    };
    kafka.status.as_mut().unwrap().listeners = listeners.iter().map(status).collect();
    scene
}

#[test]
fn a_listener_is_chosen_by_name_then_by_the_user_then_internal_then_by_the_alphabet() {
    let scram = Some("scram-sha-512");
    let all = [
        ("b", "internal", scram),
        ("a", "route", scram),
        ("c", "internal", scram),
        ("d", "internal", None),
        ("e", "internal", Some("tls")),
    ];
    let chosen =
        |listeners: &[_], patch| with_listeners(listeners, &patch).validated().kafka.bootstrap_servers;
    let unnamed = || json!({"listener": null});
    assert_eq!(chosen(&all, unnamed()), "b:9092");
    assert_eq!(chosen(&all, json!({"listener": "a"})), "a:9092");
    assert_eq!(chosen(&all[1..2], unnamed()), "a:9092");
    let nobody = |mut scene: Scene| {
        scene.strimzi().user = None;
        scene
    };
    let without_user = nobody(with_listeners(&all, &json!({"listener": null, "user": null})));
    assert_eq!(without_user.validated().kafka.bootstrap_servers, "d:9092");

    let wrong = |listeners: &[_], patch| with_listeners(listeners, &patch).wrong().join("; ");
    assert_eq!(
        wrong(&all, json!({"listener": "f"})),
        "ReferenceInvalid Kafka kafka/eventos has no listener f: name one of b (users by scram-sha-512), a (users by scram-sha-512), c (users by scram-sha-512), d (clients without a user), e (users by tls) in kafka.strimzi.listener"
    );
    assert_eq!(
        wrong(&all, json!({"listener": "d"})),
        "ReferenceInvalid listener d (clients without a user) of Kafka kafka/eventos does not let in users by scram-sha-512: change kafka.strimzi.user, or kafka.strimzi.listener"
    );
    assert!(
        wrong(&all[3..], unnamed()).starts_with(
            "ReferenceInvalid no listener of Kafka kafka/eventos lets in users by scram-sha-512"
        )
    );
    assert!(wrong(&[], unnamed()).contains("has no listener at all"));
}

#[test]
fn a_kafka_that_is_not_there_or_not_ready_is_waited_for() {
    let mut scene = Scene::example("strimzi");
    scene.strimzi().kafka.as_mut().unwrap().status = None;
    assert_eq!(scene.validate().unwrap_err()[0].reason(), Reason::KafkaNotReady);
    scene.strimzi().kafka = missing("Kafka", "kafka", "eventos");
    assert_eq!(scene.validate().unwrap_err()[0].reason(), Reason::ReferenceNotFound);
    scene.found.strimzi = None;
    assert_eq!(scene.validate().unwrap_err()[0].reason(), Reason::ReferenceNotFound);
}

#[test]
fn old_and_new_authorities_of_the_brokers_are_trusted_and_never_that_of_the_users() {
    let mut scene = Scene::example("strimzi");
    let found = scene.strimzi();
    found.ca = Ok([
        ("ca-2026-11-21T00-00-00Z.crt", certificate("old")),
        ("ca.crt", certificate("new")),
        ("ca.p12", "binary".into()),
    ]
    .into_iter()
    .collect());
    let user = found.user.as_mut().unwrap().as_mut().unwrap();
    user.secret = Ok([("password", "p".into()), ("ca.crt", certificate("of users"))].into_iter().collect());
    let ca = scene.validated().kafka.tls.unwrap().ca.unwrap().value;
    let expected = [certificate("old"), certificate("new"), certificate("cluster-ca")].concat();
    assert_eq!(ca.reveal(), expected);

    let found = scene.strimzi();
    found.ca = missing("Secret", "kafka", "eventos-cluster-ca-cert");
    assert!(scene.validate().is_ok(), "the listener's own certificates are enough");
    let status = scene.strimzi().kafka.as_mut().unwrap().status.as_mut().unwrap();
    status.listeners[0].certificates.clear();
    assert_eq!(
        scene.wrong(),
        ["ReferenceNotFound Secret kafka/eventos-cluster-ca-cert is not there: make it, or name another one"]
    );
}

#[test]
fn the_operator_itself_connects_as_the_pods_do() {
    let scene = Scene::example("external").with_secret("kafka-fluxo", "password", "secret\n");
    let connection = scene.validated().kafka.connection();
    let sasl = connection.sasl.unwrap();
    assert_eq!((sasl.username.as_str(), sasl.password.as_str()), ("value-of-kafka-fluxo-username", "secret"));
    assert_eq!(connection.tls.unwrap().ca, Some(certificate("value-of-kafka-ca-ca.crt")));
}

#[test]
fn a_topic_has_one_pipeline() {
    let mut scene = Scene::example("strimzi");
    scene.strimzi().topics = [topic("transactions", 12, OURS), topic("transactions.dlq", 12, OURS)].into();
    assert!(scene.validate().is_ok());
    scene.strimzi().topics =
        [topic("transactions", 12, Some(("other", "pagamentos"))), topic("transactions.dlq", 12, None)]
            .into();
    assert_eq!(
        scene.wrong(),
        [
            "AlreadyClaimed KafkaTopic kafka/transactions is of the pipeline other/pagamentos: declare another topic, or delete that pipeline first",
            "NameConflict KafkaTopic kafka/transactions.dlq is there and is of no pipeline: label it fluxo.dev/pipeline-namespace=pagamentos and fluxo.dev/pipeline=pagamentos to hand it over, or declare another topic",
        ]
    );
}

#[test]
fn partitions_that_would_lose_or_reorder_records_stay_as_they_are() {
    let topics = |there: u32, declared: u32, acknowledged: Option<u32>| {
        let patch = json!({"kafka": {"topic": {
            "partitions": declared,
            "acknowledgePartitionGrowth": acknowledged,
        }}, "listener": {"scaling": {"maxReplicas": null}}});
        let mut scene = Scene::example_with("strimzi", &patch);
        scene.strimzi().topics =
            [topic("transactions", there, OURS), topic("transactions.dlq", there, OURS)].into();
        let topics = scene.validated().topics;
        (topics.transactions.partitions, topics.dead_letter.partitions, topics.refusals)
    };
    assert_eq!(topics(12, 12, None), (12, 12, vec![]));
    assert_eq!(topics(12, 6, None), (12, 12, vec![Refusal::Shrink { from: 12, to: 6 }]));
    assert_eq!(topics(12, 24, None), (12, 12, vec![Refusal::Growth { from: 12, to: 24 }]));
    assert_eq!(topics(12, 24, Some(20)), (12, 12, vec![Refusal::Growth { from: 12, to: 24 }]));
    assert_eq!(topics(12, 24, Some(24)), (24, 24, vec![]));
}

#[test]
fn what_kafka_says_of_partitions_goes_before_what_it_was_asked_for() {
    let mut scene = Scene::example("strimzi");
    scene.found.partitions.insert("transactions".into(), 6);
    let topics = scene.validated().topics;
    assert_eq!(topics.refusals, [Refusal::Growth { from: 6, to: 12 }]);
    assert_eq!(topics.transactions.partitions, 6);
    assert_eq!(scene.validated().listener.most, 6);
}

#[test]
fn the_dead_letter_topic_keeps_as_long_and_takes_larger_records() {
    let config = json!({"retention.ms": "-1", "retention.bytes": "1", "max.message.bytes": "2000000",
        "compression.type": "zstd"});
    let scene = Scene::minimal_with(&json!({"kafka": {"topic": {"config": config, "replicas": 1}}}));
    let dead_letter = scene.validated().topics.dead_letter;
    let expected = [
        ("cleanup.policy", "delete"),
        ("max.message.bytes", "2065536"),
        ("min.insync.replicas", "1"),
        ("retention.bytes", "1"),
        ("retention.ms", "-1"),
        ("unclean.leader.election.enable", "false"),
    ];
    assert_eq!(dead_letter.config, expected.map(|(key, value)| (key.into(), value.into())).into());
    assert_eq!((dead_letter.name.as_str(), dead_letter.replicas), ("transactions.dlq", 1));
    let default = Scene::example("minimal").validated().topics.dead_letter;
    assert_eq!(default.config["max.message.bytes"], "1114124");
}

#[test]
fn the_connections_of_all_pods_are_never_more_than_allowed_even_in_a_rollout() {
    for allowed in 8..150_u32 {
        for (replicas, partitions, writers) in [(0, 1, 1), (1, 12, 2), (2, 12, 2), (3, 24, 2), (5, 48, 16)] {
            let scene = Scene::minimal_with(&json!({
                "kafka": {"topic": {"partitions": partitions}},
                "mysql": {"maxConnections": allowed},
                "api": {"replicas": replicas},
                "podTemplate": {"extraEnv": [{"name": "FLUXO_LISTENER_WRITERS", "value": writers.to_string()}]},
            }));
            let api_pods = if replicas == 0 { 0 } else { replicas + 1 };
            let of_listener = writers + 2;
            match scene.validate() {
                Ok(pipeline) => {
                    let (api, listener) = (pipeline.api.connections, &pipeline.listener);
                    assert!(api >= 2 && listener.connections == 2 && listener.most >= 1);
                    assert!(listener.most <= partitions);
                    let most = api_pods * api + (listener.most + 1) * of_listener;
                    assert!(most <= allowed, "{most} of {allowed}");
                }
                Err(wrong) => {
                    assert_eq!(wrong[0].reason(), Reason::InvalidSpec);
                    assert!(api_pods * 2 + 2 * of_listener > allowed, "{allowed}: {wrong:?}");
                }
            }
        }
    }
}

#[test]
fn by_default_each_partition_can_have_a_listener() {
    let pipeline = Scene::example("minimal").validated();
    assert_eq!((pipeline.listener.most, pipeline.api.connections), (12, 2));
    let pipeline = Scene::minimal_with(&json!({"listener": {"scaling": {"maxReplicas": 4}}})).validated();
    assert_eq!((pipeline.listener.most, pipeline.api.connections), (4, 13));
}

#[test]
fn too_few_connections_are_told_with_how_many_are_needed() {
    let wrong = Scene::minimal_with(&json!({"mysql": {"maxConnections": 13}})).wrong();
    assert_eq!(
        wrong,
        [
            "InvalidSpec mysql.maxConnections is 13, and 14 are needed for 2 replicas of the api and 1 listeners, with one more of each during a rollout: raise it, or lower api.replicas or listener.scaling.minReplicas"
        ]
    );
    assert!(Scene::minimal_with(&json!({"mysql": {"maxConnections": 14}})).validate().is_ok());
}

#[test]
fn writers_that_cannot_be_counted_are_refused() {
    for variable in [
        json!({"name": "FLUXO_LISTENER_WRITERS", "value": "17"}),
        json!({"name": "FLUXO_LISTENER_WRITERS", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
    ] {
        let scene = Scene::minimal_with(&json!({"podTemplate": {"extraEnv": [variable]}}));
        assert_eq!(scene.validate().unwrap_err(), [Error::Writers]);
    }
}

#[test]
fn a_topic_that_kubernetes_cannot_name_has_a_resource_of_its_own_name() {
    for (topic, expected) in
        [("transactions", "transactions"), ("payments.v2-x.dlq", "payments.v2-x.dlq"), ("0", "0")]
    {
        assert_eq!(KafkaTopic::object_name(topic), expected);
    }
    let mut seen = std::collections::BTreeSet::new();
    for topic in ["Transactions", "transactions_", "transactions-", "_", "a..b", "a.-b", "A..b", "-"] {
        let name = KafkaTopic::object_name(topic);
        let fits = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit();
        assert!(name.starts_with(fits) && name.ends_with(fits), "{topic}: {name}");
        assert!(name.chars().all(|char| fits(char) || char == '-'), "{topic}: {name}");
        assert!(seen.insert(name), "{topic}");
    }
}
