//! What all pods have: where they may run, what they may do, and what the pipeline adds.

use k8s_openapi::{
    api::core::v1::{
        Capabilities, Container, HTTPGetAction, LocalObjectReference, PodSecurityContext, PodSpec,
        PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile, SecurityContext,
        TopologySpreadConstraint,
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};

use super::{
    ADMIN,
    checksum::{CHECKSUM, checksum},
    environment::Environment,
    metadata::{Component, label_selector, labels},
};
use crate::{controller::model::ValidatedPipeline, crd::PullPolicy};

/// The user and group of the images.
const USER: i64 = 65_532;

/// A pod of one container, of the image of its component.
pub(super) fn template(
    pipeline: &ValidatedPipeline,
    component: Component,
    environment: Environment<'_>,
    resources: ResourceRequirements,
) -> PodTemplateSpec {
    let extra = &pipeline.pod_template;
    let mut labels_of_pod = extra.labels.clone();
    labels_of_pod.extend(labels(pipeline, Some(component)));
    let mut annotations = extra.annotations.clone();
    annotations.insert(CHECKSUM.into(), checksum(environment.read_once.iter().copied()));
    let volumes = environment.volumes.clone();
    let spec = PodSpec {
        containers: vec![container(pipeline, component, environment, resources)],
        volumes: some(volumes),
        security_context: Some(pod_security()),
        // They do not call Kubernetes.
        automount_service_account_token: Some(false),
        service_account_name: extra.service_account_name.clone(),
        // A Service named, say, fluxo-kafka would become variables that look like settings.
        enable_service_links: Some(false),
        image_pull_secrets: some(pull_secrets(pipeline)),
        node_selector: (!extra.node_selector.is_empty()).then(|| extra.node_selector.clone()),
        tolerations: some(extra.tolerations.clone()),
        affinity: extra.affinity.clone(),
        priority_class_name: extra.priority_class_name.clone(),
        ..PodSpec::default()
    };
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels_of_pod),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(spec),
    }
}

fn container(
    pipeline: &ValidatedPipeline,
    component: Component,
    mut environment: Environment<'_>,
    resources: ResourceRequirements,
) -> Container {
    environment.extra(&pipeline.pod_template.extra_env);
    let pull_policy = pipeline.images.pull_policy.map(|policy| match policy {
        PullPolicy::Always => "Always",
        PullPolicy::IfNotPresent => "IfNotPresent",
        PullPolicy::Never => "Never",
    });
    Container {
        name: component.as_str().into(),
        image: Some(pipeline.images.of(component.as_str())),
        image_pull_policy: pull_policy.map(Into::into),
        env: some(environment.variables),
        volume_mounts: some(environment.mounts),
        resources: Some(resources),
        security_context: Some(container_security()),
        // Why it ended is in its last log line, and then also in the status of the pod.
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        ..Container::default()
    }
}

/// How pods spread where the pipeline says nothing: over zones and nodes, as far as possible. Of a rollout only the new
/// pods count, since the old ones go.
pub(super) fn spread(pipeline: &ValidatedPipeline, component: Component) -> Vec<TopologySpreadConstraint> {
    let said = &pipeline.pod_template.topology_spread_constraints;
    let selector = || Some(label_selector(pipeline, component));
    if said.is_empty() {
        let over = |key: &str| TopologySpreadConstraint {
            topology_key: key.into(),
            max_skew: 1,
            when_unsatisfiable: "ScheduleAnyway".into(),
            label_selector: selector(),
            match_label_keys: Some(vec!["pod-template-hash".into()]),
            ..TopologySpreadConstraint::default()
        };
        return vec![over("topology.kubernetes.io/zone"), over("kubernetes.io/hostname")];
    }
    let with_selector = |constraint: &TopologySpreadConstraint| {
        let is_said = |selector: &LabelSelector| *selector != LabelSelector::default();
        let own = constraint.label_selector.clone().filter(is_said);
        TopologySpreadConstraint { label_selector: own.or_else(selector), ..constraint.clone() }
    };
    said.iter().map(with_selector).collect()
}

/// Asks the admin port every `period` seconds, and gives up after so many failures.
pub(super) fn probe(path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::String(ADMIN.into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(2),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

/// A list, if there is something in it: an empty one would be a field that is meant.
pub(super) fn some<T>(items: Vec<T>) -> Option<Vec<T>> {
    (!items.is_empty()).then_some(items)
}

fn pull_secrets(pipeline: &ValidatedPipeline) -> Vec<LocalObjectReference> {
    pipeline.images.pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect()
}

/// What the level `restricted` of the Pod Security Standards asks of a pod. The group owns the files of volumes.
fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}

fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
        read_only_root_filesystem: Some(true),
        ..SecurityContext::default()
    }
}
