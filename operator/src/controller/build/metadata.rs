//! Names, labels and owners: what objects have in common.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use crate::{controller::model::ValidatedPipeline, identity::Identity};

const NAME: &str = "app.kubernetes.io/name";
const INSTANCE: &str = "app.kubernetes.io/instance";
const COMPONENT: &str = "app.kubernetes.io/component";
const PART_OF: &str = "app.kubernetes.io/part-of";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const VERSION: &str = "app.kubernetes.io/version";

/// Who manages: the value of the label `app.kubernetes.io/managed-by` of every object.
pub const MANAGER: &str = "fluxo-operator";
/// The most characters of a label's value.
const LABEL_MOST: usize = 63;

/// A part of a pipeline that has pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// HTTP to Kafka.
    Api,
    /// Kafka to MySQL.
    Listener,
    /// The schema, brought up to date.
    Migrations,
}

impl Component {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Api, Self::Listener, Self::Migrations];

    /// Its name: of its image, of its container, and of the label by which its pods are selected.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Listener => "listener",
            Self::Migrations => "migrations",
        }
    }
}

/// What selects the pods of a component, and no others. It is the same for ever: a Deployment's cannot change.
pub fn selector(identity: &Identity, component: Component) -> BTreeMap<String, String> {
    labels_of([(NAME, "fluxo"), (INSTANCE, &identity.name), (COMPONENT, component.as_str())])
}

/// The selector of the listeners' pods as text, for the scale subresource.
pub fn listener_selector(identity: &Identity) -> String {
    let labels = selector(identity, Component::Listener);
    labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}

/// What selects the objects of a pipeline in its namespace, for a watch or a list.
pub fn object_selector(identity: &Identity) -> String {
    format!("{MANAGED_BY}={MANAGER},{INSTANCE}={}", identity.name)
}

pub(super) fn label_selector(pipeline: &ValidatedPipeline, component: Component) -> LabelSelector {
    LabelSelector { match_labels: Some(selector(&pipeline.identity, component)), match_expressions: None }
}

/// The labels of an object of a pipeline.
pub(super) fn labels(pipeline: &ValidatedPipeline, component: Option<Component>) -> BTreeMap<String, String> {
    let mut labels = labels_of([
        (NAME, "fluxo"),
        (INSTANCE, &pipeline.identity.name),
        (PART_OF, "fluxo"),
        (MANAGED_BY, MANAGER),
    ]);
    if let Some(component) = component {
        labels.insert(COMPONENT.into(), component.as_str().into());
    }
    if let Some(version) = version(&pipeline.images.tag) {
        labels.insert(VERSION.into(), version);
    }
    labels
}

/// The metadata of an object of a pipeline, which goes when the pipeline goes.
pub(super) fn metadata(
    pipeline: &ValidatedPipeline,
    name: String,
    component: Option<Component>,
) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(pipeline.identity.namespace.clone()),
        labels: Some(labels(pipeline, component)),
        owner_references: Some(vec![pipeline.identity.owner_reference()]),
        ..ObjectMeta::default()
    }
}

/// A tag as the value of a label, which may say less: `None` when nothing is left.
fn version(tag: &str) -> Option<String> {
    let is_outer = |char: char| char.is_ascii_alphanumeric();
    let tag = tag.trim_start_matches(|char| !is_outer(char));
    let tag = tag.get(..LABEL_MOST).unwrap_or(tag).trim_end_matches(|char| !is_outer(char));
    (!tag.is_empty()).then(|| tag.into())
}

fn labels_of<const N: usize>(labels: [(&str, &str); N]) -> BTreeMap<String, String> {
    labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_that_no_label_can_have_is_cut_until_it_can() {
        assert_eq!(version("0.1.0").unwrap(), "0.1.0");
        assert_eq!(version("_0.1.0-").unwrap(), "0.1.0");
        assert_eq!(version(&format!("{}.{}", "a".repeat(62), "b".repeat(64))).unwrap(), "a".repeat(62));
        assert_eq!(version("___"), None);
    }
}
