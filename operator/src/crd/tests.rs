use super::*;

fn schema() -> Value {
    definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

#[test]
fn the_generated_definition_is_the_one_that_was_kept() {
    fluxo_golden::check(concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/transactionpipelines.yaml"), &yaml());
}

/// Below these, fields are those of Kubernetes.
const OF_KUBERNETES: [&str; 5] =
    ["affinity", "conditions", "extraEnv", "tolerations", "topologySpreadConstraints"];

fn undocumented(path: &str, schema: &Value, found: &mut Vec<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        if !field["description"]
            .as_str()
            .is_some_and(|text| text.ends_with(['.', ')']) || text.contains("Default: "))
        {
            found.push(path.clone());
        }
        if !OF_KUBERNETES.contains(&name.as_str()) {
            undocumented(&path, field, found);
            undocumented(&path, &field["items"], found);
        }
    }
}

#[test]
fn every_field_is_documented() {
    let mut found = Vec::new();
    for part in ["spec", "status"] {
        undocumented(part, &schema()["properties"][part], &mut found);
    }
    assert_eq!(found, [""; 0]);
}

/// All sources of this crate, but for those that only compare reasons.
fn sources(folder: &std::path::Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let only_compares = path.ends_with("events.rs") || path.ends_with("tests.rs");
        if path.is_dir() {
            sources(&path, text);
        } else if !only_compares {
            text.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_reason_is_given_by_somebody() {
    let mut text = String::new();
    sources(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut text);
    let name = |rest: &str| rest.split(|char: char| !char.is_alphanumeric()).next().unwrap().to_owned();
    let given: std::collections::BTreeSet<_> = text.split("Reason::").skip(1).map(name).collect();
    let never: Vec<_> = Reason::ALL.iter().filter(|reason| !given.contains(reason.as_str())).collect();
    assert!(never.is_empty(), "{never:?}");
}

fn strings_and_lists_without_bound(path: &str, schema: &Value, found: &mut Vec<String>) {
    let bound = match schema["type"].as_str() {
        Some("string") if schema.get("enum").is_none() => "maxLength",
        Some("array") => "maxItems",
        Some("object") if schema.get("additionalProperties").is_some() => "maxProperties",
        _ => "type",
    };
    if schema.get(bound).is_none() && schema.get("x-kubernetes-int-or-string").is_none() {
        found.push(path.to_owned());
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        if !OF_KUBERNETES.contains(&name.as_str()) {
            strings_and_lists_without_bound(&format!("{path}.{name}"), field, found);
        }
    }
    for of_many in ["items", "additionalProperties"] {
        if let Some(schema) = schema.get(of_many) {
            strings_and_lists_without_bound(&format!("{path}[]"), schema, found);
        }
    }
}

#[test]
fn everything_in_the_spec_is_bounded() {
    let mut found = Vec::new();
    strings_and_lists_without_bound("spec", &schema()["properties"]["spec"], &mut found);
    assert_eq!(found, [""; 0]);
}

fn rules(schema: &Value, found: &mut Vec<Value>) {
    match schema {
        Value::Object(fields) => {
            found.extend(
                fields
                    .get("x-kubernetes-validations")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .cloned(),
            );
            fields.values().for_each(|field| rules(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| rules(item, found)),
        _ => {}
    }
}

#[test]
fn every_rule_has_a_message_in_one_line() {
    let mut found = Vec::new();
    rules(&schema(), &mut found);
    assert!(found.len() > 40, "{}", found.len());
    for rule in found {
        let message = rule["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty() && !message.contains('\n'), "{rule}");
    }
}

#[test]
fn the_definition_is_small_enough_for_client_side_apply() {
    let bytes = serde_json::to_vec(&definition()).unwrap().len();
    assert!(
        bytes < 200 * 1024,
        "{bytes} bytes: kubectl apply keeps them in an annotation of at most 256 KiB"
    );
}

#[test]
fn no_name_is_longer_than_a_condition_can_hold() {
    for reason in Reason::ALL {
        assert!(reason.as_str().len() <= 64 && reason.as_str().starts_with(char::is_uppercase), "{reason}");
    }
}

#[test]
fn nothing_that_was_left_out_is_written_as_null() {
    let pipeline: TransactionPipeline = serde_json::from_value(serde_json::json!({
        "apiVersion": "fluxo.dev/v1alpha1",
        "kind": "TransactionPipeline",
        "metadata": {"name": "p"},
        "spec": {
            "kafka": {"bootstrapServers": "b:9092"},
            "mysql": {"host": "m", "database": "fluxo", "credentials": {"secret": "s"}},
            "api": {"auth": {"secret": "k"}},
        },
        "status": {"decisions": [{"at": "2026-11-21T00:00:00Z", "from": 1, "to": 2, "reason": "ScaledOut", "inputs": {}}]},
    }))
    .unwrap();
    let text = serde_json::to_string(&pipeline).unwrap();
    assert!(!text.contains("null"), "{text}");
}

#[test]
fn what_is_declared_of_a_topic_goes_before_the_defaults() {
    let mut topic = Topic::default();
    assert_eq!(topic.configuration()["min.insync.replicas"], "2");
    topic.replicas = 1;
    topic.config.insert("retention.ms".into(), "-1".into());
    let configuration = topic.configuration();
    assert_eq!(configuration["min.insync.replicas"], "1");
    assert_eq!(configuration["retention.ms"], "-1");
    assert_eq!(configuration["cleanup.policy"], "delete");
}
