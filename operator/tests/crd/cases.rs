//! The cases of `cases.yaml`, and what can be said about them without an API server.

use std::collections::BTreeSet;

use fluxo_operator::crd;
use kube::core::cel::Validator;
use serde::Deserialize;
use serde_json::{Value, json};

/// A pipeline that the API server is to accept, or to refuse in these words.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    example: String,
    before: Option<Value>,
    patch: Value,
    #[serde(default)]
    pub(crate) refused: Vec<String>,
}

impl Case {
    /// What is there before, if the case is a change.
    pub(crate) fn before(&self) -> Option<Value> {
        let patch = self.before.as_ref()?;
        let mut pipeline = example(&self.example);
        merge(&mut pipeline, patch);
        Some(pipeline)
    }

    /// What is tried.
    pub(crate) fn after(&self) -> Value {
        let mut pipeline = self.before().unwrap_or_else(|| example(&self.example));
        merge(&mut pipeline, &self.patch);
        pipeline
    }
}

pub(crate) fn all() -> Vec<Case> {
    serde_saphyr::from_str(include_str!("cases.yaml")).unwrap()
}

/// A file of `crds/examples`.
pub(crate) fn example(name: &str) -> Value {
    let file = format!("{}/../crds/examples/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    serde_saphyr::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap()
}

/// JSON merge patch (RFC 7396).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let target = target.as_object_mut().expect("made an object above");
    for (name, value) in fields {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}

fn rule_messages(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            for rule in fields.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten()
            {
                found.insert(rule["message"].as_str().unwrap().to_owned());
            }
            fields.values().for_each(|field| rule_messages(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| rule_messages(item, found)),
        _ => {}
    }
}

fn message(refusal: &str) -> &str {
    refusal.split_once(": ").unwrap().1
}

#[test]
fn the_rules_say_the_same_without_an_api_server() {
    let definition = crd::definition();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut rules = BTreeSet::new();
    rule_messages(schema, &mut rules);
    let mut wrong = Vec::new();
    for case in all() {
        // What breaks the schema itself is refused before its rules are asked.
        if !case.refused.iter().all(|refusal| rules.contains(message(refusal))) {
            continue;
        }
        let said = Validator::new().validate_with_defaults(schema, &case.after(), case.before().as_ref());
        let said: BTreeSet<_> = said
            .err()
            .into_iter()
            .flat_map(kube::core::cel::ValidationErrors::into_vec)
            .map(|e| e.message)
            .collect();
        let written: BTreeSet<_> = case.refused.iter().map(|refusal| message(refusal).to_owned()).collect();
        if said != written {
            wrong.push(format!("{}\n  written {written:?}\n  said    {said:?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_has_a_case_that_it_refuses() {
    let definition = crd::definition();
    let mut rules = BTreeSet::new();
    rule_messages(&definition["spec"]["versions"][0]["schema"], &mut rules);
    for case in all() {
        for refusal in &case.refused {
            rules.remove(message(refusal));
        }
    }
    assert!(rules.is_empty(), "no case is refused with {rules:#?}");
}

#[test]
fn every_case_is_tried_once() {
    let cases = all();
    let distinct: BTreeSet<_> = cases.iter().map(|case| &case.name).collect();
    assert_eq!(distinct.len(), cases.len());
    assert!(cases.len() >= 60, "{}", cases.len());
}
