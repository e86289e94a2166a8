//! Parts of the schema that fields share.

use k8s_openapi::api::core::v1::{Affinity, EnvVar, Toleration, TopologySpreadConstraint};
use kube::core::Rule;
use schemars::{
    JsonSchema, Schema, SchemaGenerator, json_schema,
    transform::{RecursiveTransform, Transform},
};
use serde_json::Value;

/// Names of children and of their pods are the pipeline's plus at most 23 characters, and some are DNS labels.
pub(super) fn pipeline_name() -> Rule {
    Rule::new("size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("the name of a pipeline has at most 40 lower-case letters, digits and -, and begins with a letter: Services are named after it")
}

/// Of the whole resource: a topic that was there before the pipeline may have fewer partitions than were declared, and
/// only the status tells.
pub(super) fn partitions_never_shrink() -> Rule {
    Rule::new("self.spec.kafka.topic.partitions >= oldSelf.spec.kafka.topic.partitions || has(self.status) && has(self.status.partitions) && self.spec.kafka.topic.partitions >= self.status.partitions")
        .message("partitions never shrink, since Kafka cannot do it: set the number back, or make another pipeline with another topic")
        .field_path(".spec.kafka.topic.partitions")
}

pub(super) fn object_name() -> Rule {
    Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')")
        .message("must be the name of an object: lower-case letters, digits, - and ., such as mysql-fluxo")
}

pub(super) fn namespace() -> Rule {
    Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
        .message("must be the name of a namespace: lower-case letters, digits and -, such as kafka")
}

pub(super) fn key() -> Rule {
    Rule::new("self.matches('^[-._a-zA-Z0-9]+$')")
        .message("must be a key of a Secret: letters, digits, -, _ and ., such as ca.crt")
}

pub(super) fn host() -> Rule {
    Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')").message(
        "must be a host name without scheme, port and path, in lower case, such as pagamentos.example.com",
    )
}

pub(super) fn topic_name() -> Rule {
    Rule::new("self.matches('^[a-zA-Z0-9._-]+$') && self != '.' && self != '..' && !self.startsWith('__')").message(
        "must be a topic's name: letters, digits, ., _ and -, not beginning with __, which is Kafka's own",
    )
}

/// A number with a unit, between two bounds, which are given as text.
pub(super) fn duration(least: &str, most: &str) -> Rule {
    Rule::new(format!(
        "self.matches('^[0-9]{{1,9}}(ms|s|m|h)$') && duration(self) >= duration('{least}') && duration(self) <= duration('{most}')"
    ))
    .message(format!("must be a number with a unit (ms, s, m or h) from {least} to {most}, such as 30s").as_str())
}

/// The schema of a type of Kubernetes, without its descriptions: these are in `kubectl explain pod.spec`, and are
/// three quarters of its size.
fn undocumented<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = generator.subschema_for::<T>();
    RecursiveTransform(|schema: &mut Schema| {
        schema.remove("description");
    })
    .transform(&mut schema);
    schema
}

fn list(items: &Schema, at_most: u32) -> Schema {
    json_schema!({"type": "array", "items": items, "maxItems": at_most})
}

pub(super) fn affinity(generator: &mut SchemaGenerator) -> Schema {
    undocumented::<Affinity>(generator)
}

pub(super) fn tolerations(generator: &mut SchemaGenerator) -> Schema {
    list(&undocumented::<Toleration>(generator), 64)
}

pub(super) fn topology_spread_constraints(generator: &mut SchemaGenerator) -> Schema {
    list(&undocumented::<TopologySpreadConstraint>(generator), 16)
}

/// Variables by name, so that two owners can apply one each; the name is bounded, since rules read it.
pub(super) fn extra_env(generator: &mut SchemaGenerator) -> Schema {
    let mut variable = undocumented::<EnvVar>(generator);
    if let Some(name) = variable.pointer_mut("/properties/name").and_then(|name| name.as_object_mut()) {
        name.insert("minLength".into(), 1.into());
        name.insert("maxLength".into(), 128.into());
    }
    let mut list = list(&variable, 64);
    list.insert("x-kubernetes-list-type".into(), "map".into());
    list.insert("x-kubernetes-list-map-keys".into(), ["name"].as_slice().into());
    list
}

/// `requests` and `limits` of a container.
pub(super) fn resources(_: &mut SchemaGenerator) -> Schema {
    let quantities = |description: &str| {
        json_schema!({
            "description": description,
            "type": "object",
            "maxProperties": 8,
            "additionalProperties": {"x-kubernetes-int-or-string": true, "maxLength": 32},
        })
    };
    json_schema!({
        "type": "object",
        "properties": {
            "requests": quantities("What a node must have free for the pod, such as cpu: 100m, memory: 128Mi."),
            "limits": quantities("What the pod may not exceed: it is slowed down at the limit of cpu, and killed at the limit of memory."),
        },
    })
}

/// Text by text, such as labels.
pub(super) fn texts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": {"type": "string", "maxLength": 1024},
    })
}

/// Text by text, where the text may be long: annotations hold whole configurations.
pub(super) fn annotations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": {"type": "string", "maxLength": 16384},
    })
}

/// Joins the lines of descriptions: whoever shows them breaks lines by itself.
pub(super) fn join_lines(schema: &mut Value) {
    match schema {
        Value::Object(fields) => fields.iter_mut().for_each(|(name, field)| match field {
            Value::String(text) if name == "description" => *text = text.replace('\n', " "),
            field => join_lines(field),
        }),
        Value::Array(items) => items.iter_mut().for_each(join_lines),
        _ => {}
    }
}

/// What resources must be, for a field that [`resources`] is the schema of.
pub(super) fn quantities() -> Rule {
    Rule::new("(!has(self.requests) || self.requests.all(k, isQuantity(string(self.requests[k])))) && (!has(self.limits) || self.limits.all(k, isQuantity(string(self.limits[k]))))")
        .message("each must be a quantity, such as 100m of cpu or 256Mi of memory")
}

pub(super) fn requests_within_limits() -> Rule {
    Rule::new("!has(self.requests) || !has(self.limits) || self.requests.all(k, !(k in self.limits) || !isQuantity(string(self.requests[k])) || !isQuantity(string(self.limits[k])) || quantity(string(self.requests[k])).compareTo(quantity(string(self.limits[k]))) <= 0)")
        .message("a request is above its limit: lower the request, or raise the limit")
}
