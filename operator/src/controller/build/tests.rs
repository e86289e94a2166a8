use std::collections::BTreeSet;

use k8s_openapi::api::{apps::v1::Deployment, core::v1::PodSpec};
use serde::Serialize;
use serde_json::{Value, json};

use super::*;
use crate::controller::fixtures::{EXAMPLES, Scene, certificate};

/// Pipelines that differ from the examples in what is built of them.
fn variants() -> Vec<(&'static str, Scene)> {
    let tls_user = json!({"authentication": {"type": "tls"}});
    let mut mutual = Scene::example_with("strimzi", &json!({"kafka": {"topic": {"name": "Pagamentos_v2"}}}));
    let found = mutual.strimzi();
    let user = found.user.as_mut().unwrap().as_mut().unwrap();
    user.resource.spec = serde_json::from_value(tls_user).unwrap();
    user.secret = Ok([
        ("user.crt", certificate("value-of-fluxo-user.crt")),
        ("user.key", crate::controller::fixtures::private_key("value-of-fluxo-user.key")),
    ]
    .into_iter()
    .collect());
    let listeners = &mut found.kafka.as_mut().unwrap().spec.kafka.listeners;
    listeners[0].authentication.as_mut().unwrap().kind = "tls".into();
    vec![
        ("mutual-tls", mutual),
        (
            "open",
            Scene::minimal_with(&json!({
                "kafka": {"tls": {"certificateSecret": "kafka-client"}},
                "mysql": {"host": "fd00::1", "database": "a$b", "tls": {"mode": "Required"}},
                "api": {"replicas": 1, "auth": {"mode": "None", "secret": null}},
                "networkPolicy": {"enabled": false},
            })),
        ),
    ]
}

fn scenes() -> Vec<(&'static str, Scene)> {
    EXAMPLES.map(|name| (name, Scene::example(name))).into_iter().chain(variants()).collect()
}

fn objects(resources: &Resources<Prepared>) -> Vec<Value> {
    fn json<'a, T: Serialize + 'a>(objects: impl IntoIterator<Item = &'a T>) -> Vec<Value> {
        objects.into_iter().map(|object| serde_json::to_value(object).unwrap()).collect()
    }
    [
        json(&resources.kafka_secret),
        json(&resources.kafka_topics),
        json(&resources.network_policies),
        json(&resources.migration),
        json(&resources.disruption_budgets),
        json(&resources.listener),
        json(&resources.service),
        json(&resources.api),
        json(&resources.ingress),
        json(&resources.http_route),
    ]
    .concat()
}

fn built(scene: &Scene) -> Resources<Prepared> {
    build(&scene.validated())
}

fn pod(deployment: Option<&Deployment>) -> &PodSpec {
    deployment.unwrap().spec.as_ref().unwrap().template.spec.as_ref().unwrap()
}

/// The value of the variable of the only container of a pod.
fn variable<'a>(pod: &'a PodSpec, name: &str) -> Option<&'a str> {
    let mut variables = pod.containers[0].env.as_deref().unwrap_or_default().iter();
    variables.find(|variable| variable.name == name)?.value.as_deref()
}

fn checksums(scene: &Scene) -> [String; 3] {
    let built = built(scene);
    let of = |template: &k8s_openapi::api::core::v1::PodTemplateSpec| {
        template.metadata.as_ref().unwrap().annotations.as_ref().unwrap()[checksum::CHECKSUM].clone()
    };
    let deployment = |deployment: Option<Deployment>| of(&deployment.unwrap().spec.unwrap().template);
    let job = of(&built.migration.as_ref().unwrap().spec.as_ref().unwrap().template);
    [deployment(built.api), deployment(built.listener), job]
}

fn each_value(value: &Value, see: &mut impl FnMut(&Value)) {
    see(value);
    match value {
        Value::Object(fields) => fields.values().for_each(|value| each_value(value, see)),
        Value::Array(items) => items.iter().for_each(|value| each_value(value, see)),
        _ => {}
    }
}

#[test]
fn the_generated_objects_of_each_example_are_those_that_were_kept() {
    for (name, scene) in scenes() {
        let documents: Vec<_> =
            objects(&built(&scene)).iter().map(|object| serde_saphyr::to_string(object).unwrap()).collect();
        let text = format!(
            "# What the operator makes of a pipeline. Do not edit: `make generate` writes it.\n{}",
            documents.join("---\n")
        );
        let file = format!("{}/testdata/objects/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
        fluxo_golden::check(file, &text);
    }
}

#[test]
fn nothing_that_is_not_meant_is_written_as_null_or_empty() {
    for (name, scene) in scenes() {
        for object in objects(&built(&scene)) {
            each_value(&object, &mut |value| {
                assert!(!value.is_null(), "{name}: {object}");
                // An empty namespaceSelector selects all namespaces: it is meant.
                let is_empty = value.as_array().is_some_and(Vec::is_empty) || value.as_str() == Some("");
                assert!(!is_empty, "{name}: {object}");
            });
        }
    }
}

#[test]
fn the_listeners_replicas_are_left_to_the_scaler() {
    for (name, scene) in scenes() {
        let listener = serde_json::to_value(built(&scene).listener.unwrap()).unwrap();
        assert_eq!(listener["spec"].get("replicas"), None, "{name}");
    }
}

#[test]
fn every_object_is_named_after_the_pipeline_and_goes_with_it_but_topics() {
    for (name, scene) in scenes() {
        let mut seen = BTreeSet::new();
        for object in objects(&built(&scene)) {
            let metadata = &object["metadata"];
            assert!(
                seen.insert((object["kind"].clone().to_string(), metadata["name"].to_string())),
                "{name}"
            );
            if object["kind"] == "KafkaTopic" {
                assert_eq!(metadata["namespace"], "kafka", "{name}");
                assert_eq!(metadata.get("ownerReferences"), None, "{name}");
                continue;
            }
            assert_eq!(metadata["namespace"], "pagamentos", "{name}");
            assert!(metadata["name"].as_str().unwrap().starts_with("pagamentos-"), "{name}: {metadata}");
            assert_eq!(metadata["ownerReferences"][0]["uid"], scene.pipeline.metadata.uid.clone().unwrap());
            assert_eq!(metadata["ownerReferences"][0]["controller"], true);
        }
    }
}

#[test]
fn the_longest_name_of_a_pipeline_fits_into_every_label() {
    let mut scene = Scene::example("minimal");
    scene.pipeline.metadata.name = Some("p".repeat(40));
    for object in objects(&built(&scene)) {
        assert!(object["metadata"]["name"].as_str().unwrap().len() <= 63, "{}", object["metadata"]["name"]);
        each_value(&object, &mut |value| {
            for label in value["labels"].as_object().into_iter().flat_map(|labels| labels.values()) {
                assert!(label.as_str().unwrap().len() <= 63, "{label}");
            }
        });
    }
}

#[test]
fn a_process_has_ended_before_its_pod_is_killed() {
    for (name, scene) in scenes() {
        let built = built(&scene);
        for pod in [pod(built.api.as_ref()), pod(built.listener.as_ref())] {
            let lifecycle = pod.containers[0].lifecycle.as_ref();
            let sleep =
                lifecycle.map_or(0, |all| all.pre_stop.as_ref().unwrap().sleep.as_ref().unwrap().seconds);
            let grace = variable(pod, "FLUXO_SHUTDOWN_GRACE").unwrap().trim_end_matches('s');
            let needed = sleep + grace.parse::<i64>().unwrap();
            assert!(pod.termination_grace_period_seconds.unwrap() > needed, "{name}");
        }
    }
}

#[test]
fn selectors_are_disjoint_and_say_nothing_that_changes() {
    for (name, scene) in scenes() {
        let pipeline = scene.validated();
        let built = build(&pipeline);
        let selectors = [&built.api, &built.listener]
            .map(|deployment| deployment.as_ref().unwrap().spec.as_ref().unwrap())
            .map(|spec| {
                (spec.selector.match_labels.clone().unwrap(), spec.template.metadata.clone().unwrap())
            });
        for (selector, template) in &selectors {
            let labels = template.labels.as_ref().unwrap();
            assert!(selector.iter().all(|(key, value)| labels.get(key) == Some(value)), "{name}");
            let keys: Vec<_> = selector.keys().map(String::as_str).collect();
            assert_eq!(
                keys,
                ["app.kubernetes.io/component", "app.kubernetes.io/instance", "app.kubernetes.io/name"]
            );
        }
        let component = |at: usize| selectors[at].0["app.kubernetes.io/component"].clone();
        assert_ne!(component(0), component(1));
        assert_eq!(
            metadata::listener_selector(&pipeline.identity),
            "app.kubernetes.io/component=listener,app.kubernetes.io/instance=pagamentos,app.kubernetes.io/name=fluxo"
        );
    }
}

#[test]
fn a_label_of_the_pipeline_cannot_make_a_pod_that_of_another_component() {
    let mut scene = Scene::example("minimal");
    let label = ("app.kubernetes.io/component".to_owned(), "listener".to_owned());
    scene.pipeline.spec.pod_template.labels.extend([label]);
    let api = built(&scene).api.unwrap().spec.unwrap().template.metadata.unwrap().labels.unwrap();
    assert_eq!(api["app.kubernetes.io/component"], "api");
}

#[test]
fn no_service_ingress_or_route_leads_to_the_admin_port() {
    for (name, scene) in scenes() {
        for object in objects(&built(&scene)) {
            let kind = object["kind"].as_str().unwrap();
            if ["Service", "Ingress", "HTTPRoute"].contains(&kind) {
                each_value(&object, &mut |value| {
                    assert!(value != &json!(ADMIN) && value != &json!(ADMIN_PORT), "{name}: {object}");
                });
            }
        }
    }
}

#[test]
fn no_value_of_a_secret_is_outside_of_the_copied_secret() {
    for (name, scene) in scenes() {
        for object in objects(&built(&scene)).iter().filter(|object| object["kind"] != "Secret") {
            assert!(!object.to_string().contains("value-of-"), "{name}: {object}");
        }
        let shown = format!("{:?} {:?}", scene.found, scene.validated());
        assert!(!shown.contains("value-of-"), "{name}: {shown}");
    }
}

#[test]
fn only_what_strimzi_keeps_is_copied() {
    assert!(built(&Scene::example("external")).kafka_secret.is_none());
    let secret = built(&Scene::example("strimzi")).kafka_secret.unwrap();
    let keys: Vec<_> = secret.data.unwrap().into_keys().collect();
    assert_eq!(keys, ["ca.crt", "password"]);
}

#[test]
fn pods_are_replaced_exactly_when_a_value_changes_that_they_read_at_their_start() {
    let example = || Scene::example_with("external", &json!({"mysql": {"migrate": "Auto"}}));
    let before = checksums(&example());
    assert_eq!(before, checksums(&example()));
    let changed = |secret: &str, key: &str, value: &str| {
        let after = checksums(&example().with_secret(secret, key, value));
        [0, 1, 2].map(|at| before[at] != after[at])
    };
    let (api, listener, migration) = ([true, false, false], [false, true, false], [false, false, true]);
    assert_eq!(changed("mysql-fluxo-api", "password", "new"), api);
    assert_eq!(changed("mysql-fluxo-listener", "username", "new"), listener);
    assert_eq!(changed("mysql-fluxo-migrations", "pass", "new"), migration);
    assert_eq!(changed("mysql-ca", "authority.pem", &certificate("new")), [true, true, true]);
    assert_eq!(changed("kafka-fluxo", "password", "new"), [true, true, false]);
    assert_eq!(changed("kafka-ca", "ca.crt", &certificate("new")), [true, true, false]);
    // The api reads it again by itself.
    assert_eq!(changed("fluxo-keys", "keys.json", "new"), [false; 3]);
    assert_eq!(changed("mysql-fluxo-api", "nobody-reads-it", "new"), [false; 3]);
}

#[test]
fn a_change_of_strimzis_status_alone_replaces_nothing() {
    let before = Scene::example("strimzi");
    let mut after = before.clone();
    let status = after.strimzi().kafka.as_mut().unwrap().status.as_mut().unwrap();
    status.conditions.push(serde_json::from_value(json!({"type": "Ready", "status": "True"})).unwrap());
    status.cluster_id = Some("another".into());
    assert_eq!(objects(&built(&before)), objects(&built(&after)));
}

#[test]
fn an_authority_or_password_that_strimzi_replaces_replaces_the_pods() {
    let before = checksums(&Scene::example("strimzi"));
    let mut ca = Scene::example("strimzi");
    ca.strimzi().ca =
        Ok([("ca.crt", certificate("new")), ("ca-2026-11-21T00-00-00Z.crt", certificate("cluster-ca"))]
            .into_iter()
            .collect());
    let mut password = Scene::example("strimzi");
    let user = password.strimzi().user.as_mut().unwrap().as_mut().unwrap();
    user.secret = Ok([("password", "new")].into_iter().collect());
    for after in [checksums(&ca), checksums(&password)] {
        assert!(before[0] != after[0] && before[1] != after[1] && before[2] == after[2]);
    }
}

#[test]
fn pods_are_not_replaced_again_when_strimzi_removes_an_old_authority() {
    let old = ("ca-2026-11-21T00-00-00Z.crt", certificate("cluster-ca"));
    let mut both = Scene::example("strimzi");
    both.strimzi().ca = Ok([("ca.crt", certificate("new")), old].into_iter().collect());
    let mut new = Scene::example("strimzi");
    new.strimzi().ca = Ok([("ca.crt", certificate("new"))].into_iter().collect());
    for scene in [&mut both, &mut new] {
        let status = scene.strimzi().kafka.as_mut().unwrap().status.as_mut().unwrap();
        status.listeners[0].certificates = vec![certificate("new")];
    }
    assert_eq!(checksums(&both), checksums(&new));
    assert_ne!(built(&both).kafka_secret, built(&new).kafka_secret);
}

#[test]
fn a_migration_is_run_again_only_for_another_image_or_other_settings() {
    let name = |scene: &Scene| built(scene).migration.unwrap().metadata.name.unwrap();
    let before = name(&Scene::example("minimal"));
    assert_eq!(before, name(&Scene::minimal_with(&json!({"api": {"replicas": 5}}))));
    let mut others = BTreeSet::from([before]);
    for patch in [
        json!({"image": {"tag": "0.2.0"}}),
        json!({"mysql": {"host": "another"}}),
        json!({"podTemplate": {"nodeSelector": {"disk": "ssd"}}}),
    ] {
        assert!(others.insert(name(&Scene::minimal_with(&patch))), "{patch}");
    }
    let new_password = Scene::example("minimal").with_secret("mysql-fluxo", "password", "new");
    assert!(others.insert(name(&new_password)));
}

#[test]
fn pods_are_not_replaced_when_their_number_may_change() {
    let of = |patch: &Value| {
        let built = built(&Scene::example_with("external", patch));
        [built.api, built.listener].map(|deployment| deployment.unwrap().spec.unwrap().template)
    };
    let replicas = |replicas: i32| json!({"listener": {"replicas": replicas}});
    assert_eq!(of(&replicas(1)), of(&replicas(24)));
}

#[test]
fn variables_of_the_pipeline_are_added_and_never_go_before_those_of_the_operator() {
    let mut scene = Scene::example("strimzi");
    let own = json!({"name": "FLUXO_KAFKA_TOPIC", "value": "another"});
    scene.pipeline.spec.pod_template.extra_env.push(serde_json::from_value(own).unwrap());
    let built = built(&scene);
    for pod in [pod(built.api.as_ref()), pod(built.listener.as_ref())] {
        assert_eq!(variable(pod, "FLUXO_KAFKA_TOPIC"), Some("transactions"));
        assert_eq!(variable(pod, "FLUXO_API_RATE_LIMIT"), Some("1000"));
        let names: Vec<_> = pod.containers[0].env.as_ref().unwrap().iter().map(|one| &one.name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }
}

#[test]
fn a_dollar_in_a_name_is_not_taken_for_a_variable_by_kubernetes() {
    let scene = Scene::minimal_with(&json!({"mysql": {"host": "fd00::1", "database": "a$b"}}));
    let built = built(&scene);
    let url = variable(pod(built.api.as_ref()), "FLUXO_DATABASE_URL").unwrap();
    assert_eq!(url, "mysql://$(FLUXO_MYSQL_USERNAME)@[fd00::1]:3306/a$$b");
}

#[test]
fn brokers_and_servers_without_an_authority_of_their_own_are_verified_by_public_ones() {
    let built = built(&Scene::minimal_with(&json!({
        "kafka": {"tls": {}},
        "mysql": {"tls": {"mode": "VerifyIdentity"}},
    })));
    for pod in [built.api.as_ref(), built.listener.as_ref()].map(pod) {
        assert_eq!(variable(pod, "FLUXO_KAFKA_SECURITY_PROTOCOL"), Some("ssl"));
        assert_eq!(variable(pod, "FLUXO_DATABASE_TLS"), Some("verify-identity"));
        assert_eq!(variable(pod, "FLUXO_KAFKA_CA_FILE"), None);
        assert_eq!(variable(pod, "FLUXO_DATABASE_CA_FILE"), None);
    }
}

#[test]
fn all_pods_are_told_whose_the_database_must_be() {
    for (name, scene) in scenes() {
        let built = built(&scene);
        let job = built.migration.as_ref().and_then(|job| job.spec.as_ref()?.template.spec.as_ref());
        for pod in [built.api.as_ref(), built.listener.as_ref()].map(pod).into_iter().chain(job) {
            assert_eq!(variable(pod, "FLUXO_DATABASE_OWNER"), Some("pagamentos/pagamentos"), "{name}");
        }
    }
}

/// The settings that services have in common, as they read them.
#[derive(Debug, clap::Parser)]
struct Settings {
    #[command(flatten)]
    run: fluxo_core::settings::RunSettings,
    #[command(flatten)]
    kafka: fluxo_core::settings::KafkaSettings,
    #[command(flatten)]
    database: fluxo_core::settings::DatabaseSettings,
}

/// The variables of a pod, as the process sees them where the user of MySQL is called fluxo.
fn environment(pod: &PodSpec) -> Vec<(String, String)> {
    let variables = pod.containers[0].env.as_ref().unwrap().iter();
    let seen = |value: &str| value.replace("$(FLUXO_MYSQL_USERNAME)", "fluxo").replace("$$", "$");
    variables
        .map(|one| (one.name.clone(), one.value.as_deref().map_or_else(|| "of-a-secret".into(), seen)))
        .collect()
}

#[test]
fn the_services_take_every_variable_that_they_are_given() {
    let of_api = include_str!("../../../../services/api/SETTINGS.md");
    let of_listener = include_str!("../../../../services/listener/SETTINGS.md");
    for (name, scene) in scenes() {
        let built = built(&scene);
        let job = built.migration.as_ref().and_then(|job| job.spec.as_ref()?.template.spec.as_ref());
        let deployments = [built.api.as_ref(), built.listener.as_ref()].map(pod);
        for pod in deployments.into_iter().chain(job) {
            let mut flags = vec!["service".to_owned()];
            for (variable, value) in environment(pod) {
                let common = ["FLUXO_ADMIN_", "FLUXO_SHUTDOWN_", "FLUXO_KAFKA_", "FLUXO_DATABASE_"];
                if common.iter().any(|prefix| variable.starts_with(prefix)) {
                    let flag = variable.trim_start_matches("FLUXO_").to_lowercase().replace('_', "-");
                    flags.push(format!("--{flag}={value}"));
                } else if variable.starts_with("FLUXO_API_") {
                    assert!(of_api.contains(&format!("`{variable}`")), "{name}: {variable}");
                } else if variable.starts_with("FLUXO_LISTENER_") {
                    assert!(of_listener.contains(&format!("`{variable}`")), "{name}: {variable}");
                }
            }
            if pod.containers[0].name == "migrations" {
                flags.push("--kafka-bootstrap-servers=".into());
            }
            let settings = <Settings as clap::Parser>::try_parse_from(&flags);
            let settings = settings.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(settings.run.admin_listen.port(), 9090);
            let shows_password = settings.kafka.kafka_username.is_some();
            assert_eq!(settings.kafka.kafka_password_file.is_some(), shows_password, "{name}");
            assert!(settings.database.database_password_file.is_some(), "{name}");
        }
    }
}

#[test]
fn each_path_that_a_process_is_given_is_mounted() {
    for (name, scene) in scenes() {
        let built = built(&scene);
        for pod in [built.api.as_ref(), built.listener.as_ref()].map(pod) {
            let mounts = pod.containers[0].volume_mounts.as_deref().unwrap_or_default();
            let volumes = pod.volumes.as_deref().unwrap_or_default();
            let files: BTreeSet<_> = mounts
                .iter()
                .zip(volumes)
                .flat_map(|(mount, volume)| {
                    let sources = volume.projected.as_ref().unwrap().sources.as_ref().unwrap().iter();
                    let items =
                        sources.flat_map(|source| source.secret.as_ref().unwrap().items.as_ref().unwrap());
                    items.map(|item| format!("{}/{}", mount.mount_path, item.path))
                })
                .collect();
            let read = environment(pod).into_iter().filter(|(variable, _)| variable.ends_with("_FILE"));
            assert_eq!(read.map(|(_, path)| path).collect::<BTreeSet<_>>(), files, "{name}");
        }
    }
}
