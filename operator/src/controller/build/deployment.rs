//! The api and the listeners.

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{Container, ContainerPort, Lifecycle, LifecycleHandler, PodTemplateSpec, SleepAction},
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    ADMIN, ADMIN_PORT, HTTP, HTTP_PORT,
    environment::Environment,
    metadata::{Component, label_selector, metadata},
    pod::{probe, spread, template},
};
use crate::controller::model::ValidatedPipeline;

/// How long the api goes on as before when its pod is to end, in seconds: meanwhile all that lead clients to it learn
/// that they must not.
const API_PRE_STOP: i64 = 10;
/// How long the api may take to answer what has begun, in seconds: longer than its delivery timeout of 30 s, so that
/// Kafka's answer comes before the end.
const API_GRACE: i64 = 35;
/// How long a listener may take to end the batch under way and leave the group, in seconds. MySQL waits for a lock for
/// 10 s at most.
const LISTENER_GRACE: i64 = 20;
/// How long a process may take besides, until traces are flushed and it has ended, in seconds.
const LAST: i64 = 10;

/// How long a pod must have been ready before the next one is replaced, in seconds: one that fails over its first work
/// stops the rollout, and clients have found it by then.
const MIN_READY: i32 = 5;
/// How many old sets of replicas are kept, for `kubectl rollout undo` to look at.
const HISTORY: i32 = 3;

pub(super) fn api(pipeline: &ValidatedPipeline) -> Deployment {
    let api = &pipeline.api;
    let mut environment = Environment::default();
    environment.run(API_GRACE);
    environment.kafka(pipeline);
    environment.database(pipeline, &pipeline.database.api, api.connections);
    environment.api(pipeline);
    let template = template(pipeline, Component::Api, environment, api.resources.clone());
    let mut serving = serving(template, API_PRE_STOP + API_GRACE + LAST, |container| {
        container.ports = Some(vec![port(HTTP, HTTP_PORT), port(ADMIN, ADMIN_PORT)]);
        // Kubernetes itself sleeps: there is no program in the image that could.
        container.lifecycle = Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction { seconds: API_PRE_STOP }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        });
    });
    spread_out(pipeline, Component::Api, &mut serving);
    deployment(pipeline, Component::Api, Some(api.replicas), serving)
}

/// The listeners. How many there are is written by the scaler alone, under its own name.
pub(super) fn listener(pipeline: &ValidatedPipeline) -> Deployment {
    let listener = &pipeline.listener;
    let mut environment = Environment::default();
    environment.run(LISTENER_GRACE);
    environment.kafka(pipeline);
    environment.database(pipeline, &pipeline.database.listener, listener.connections);
    environment.set("FLUXO_LISTENER_GROUP", &listener.group);
    environment.set("FLUXO_LISTENER_DEAD_LETTER_TOPIC", &pipeline.topics.dead_letter.name);
    let template = template(pipeline, Component::Listener, environment, listener.resources.clone());
    let mut serving = serving(template, LISTENER_GRACE + LAST, |container| {
        container.ports = Some(vec![port(ADMIN, ADMIN_PORT)]);
    });
    spread_out(pipeline, Component::Listener, &mut serving);
    deployment(pipeline, Component::Listener, None, serving)
}

/// New pods come before old ones go, one at a time: a release that does not work leaves those that do, and the
/// connections to MySQL stay counted. A listener more than there are partitions only waits for one.
fn deployment(
    pipeline: &ValidatedPipeline,
    component: Component,
    replicas: Option<i32>,
    template: PodTemplateSpec,
) -> Deployment {
    Deployment {
        metadata: metadata(pipeline, pipeline.identity.child(component.as_str()), Some(component)),
        spec: Some(DeploymentSpec {
            replicas,
            selector: label_selector(pipeline, component),
            template,
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_unavailable: Some(IntOrString::Int(0)),
                    max_surge: Some(IntOrString::Int(1)),
                }),
            }),
            min_ready_seconds: Some(MIN_READY),
            revision_history_limit: Some(HISTORY),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

/// A pod that serves until it is told to end, and then has so many seconds.
fn serving(
    mut template: PodTemplateSpec,
    termination_grace: i64,
    change: impl Fn(&mut Container),
) -> PodTemplateSpec {
    if let Some(spec) = &mut template.spec {
        spec.termination_grace_period_seconds = Some(termination_grace);
        for container in &mut spec.containers {
            // The admin port is open before anything else is tried, so it is the process that starts slowly.
            container.startup_probe = Some(probe("/livez", 1, 60));
            container.liveness_probe = Some(probe("/livez", 10, 3));
            container.readiness_probe = Some(probe("/readyz", 2, 3));
            change(container);
        }
    }
    template
}

fn spread_out(pipeline: &ValidatedPipeline, component: Component, template: &mut PodTemplateSpec) {
    if let Some(spec) = &mut template.spec {
        spec.topology_spread_constraints = Some(spread(pipeline, component));
    }
}

fn port(name: &str, number: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.into()),
        container_port: number,
        protocol: Some("TCP".into()),
        ..ContainerPort::default()
    }
}
