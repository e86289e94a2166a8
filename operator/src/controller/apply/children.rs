//! What pipelines were last seen to own, as their watches tell.

use std::sync::Arc;

use k8s_openapi::api::{
    apps::v1::{Deployment, DeploymentSpec},
    batch::v1::{Job, JobSpec},
    core::v1::{Container, PodSpec, PodTemplateSpec, Service},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    ResourceExt as _,
    runtime::reflector::{ObjectRef, Store},
};

use super::{Object, is_owned_by};
use crate::{
    controller::model::{HttpRoute, strimzi::KafkaTopic},
    identity::Identity,
};

/// The objects of one kind, in all namespaces that are watched.
#[derive(Clone)]
pub struct Seen<K: Object>(pub Vec<Store<K>>);

/// What pipelines were last seen to own.
#[derive(Clone)]
#[allow(missing_docs, reason = "the types say it")]
pub struct Children {
    pub kafka_topics: Seen<KafkaTopic>,
    pub network_policies: Seen<NetworkPolicy>,
    pub jobs: Seen<Job>,
    pub disruption_budgets: Seen<PodDisruptionBudget>,
    pub deployments: Seen<Deployment>,
    pub services: Seen<Service>,
    pub ingresses: Seen<Ingress>,
    pub http_routes: Seen<HttpRoute>,
}

/// What a pipeline owns. There are ten of them to a pipeline, so of what watches tell no more is kept than is read; the
/// [`Ledger`](super::Ledger) has a digest of the whole.
pub trait Child: Object {
    /// Drops what nobody reads, of all but its metadata.
    fn keep_what_is_read(&mut self);
}

impl Child for Deployment {
    fn keep_what_is_read(&mut self) {
        if let Some(spec) = &mut self.spec {
            let template = with_image_only(&spec.template);
            let selector = std::mem::take(&mut spec.selector);
            *spec =
                DeploymentSpec { replicas: spec.replicas, selector, template, ..DeploymentSpec::default() };
        }
    }
}

impl Child for Job {
    fn keep_what_is_read(&mut self) {
        if let Some(spec) = &mut self.spec {
            *spec = JobSpec { template: with_image_only(&spec.template), ..JobSpec::default() };
        }
    }
}

impl Child for Service {
    fn keep_what_is_read(&mut self) {
        (self.spec, self.status) = (None, None);
    }
}

impl Child for NetworkPolicy {
    fn keep_what_is_read(&mut self) {
        self.spec = None;
    }
}

impl Child for PodDisruptionBudget {
    fn keep_what_is_read(&mut self) {
        (self.spec, self.status) = (None, None);
    }
}

impl Child for Ingress {
    fn keep_what_is_read(&mut self) {
        (self.spec, self.status) = (None, None);
    }
}

impl Child for HttpRoute {
    // It is small.
    fn keep_what_is_read(&mut self) {}
}

fn with_image_only(template: &PodTemplateSpec) -> PodTemplateSpec {
    let containers = template.spec.iter().flat_map(|spec| &spec.containers);
    let containers =
        containers.map(|container| Container { image: container.image.clone(), ..Container::default() });
    let spec = PodSpec { containers: containers.collect(), ..PodSpec::default() };
    PodTemplateSpec { metadata: None, spec: Some(spec) }
}

impl<K: Object> Seen<K> {
    /// Waits until their watches have told once what there is. One that ended is told by its task.
    async fn ready(&self) {
        for store in &self.0 {
            _ = store.wait_until_ready().await;
        }
    }

    /// One that was seen.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        let of = ObjectRef::new(name).within(namespace);
        self.0.iter().find_map(|store| store.get(&of))
    }

    /// Those that a pipeline owns.
    pub fn owned_by(&self, identity: &Identity) -> Vec<Arc<K>> {
        let is_its = |object: &K| {
            object.meta().namespace.as_deref() == Some(&identity.namespace)
                && is_owned_by(object, &identity.uid)
        };
        self.0.iter().flat_map(|store| store.state_filter(&is_its)).collect()
    }
}

impl Children {
    /// Waits until the watches of all kinds have told once what there is.
    pub async fn ready(&self) {
        self.kafka_topics.ready().await;
        self.network_policies.ready().await;
        self.jobs.ready().await;
        self.disruption_budgets.ready().await;
        self.deployments.ready().await;
        self.services.ready().await;
        self.ingresses.ready().await;
        self.http_routes.ready().await;
    }

    pub(super) fn deployment(&self, namespace: &str, name: &str) -> Option<Deployment> {
        self.deployments.get(namespace, name).map(|deployment| (*deployment).clone())
    }

    /// The Deployments of the listeners and of the api.
    pub(super) fn deployments_of(&self, identity: &Identity) -> (Option<Deployment>, Option<Deployment>) {
        let owned = self.deployments.owned_by(identity);
        let of = |component: &str| {
            let is_it = |deployment: &&Arc<Deployment>| deployment.name_any().ends_with(component);
            owned.iter().find(is_it).map(|deployment| (**deployment).clone())
        };
        (of("-listener"), of("-api"))
    }

    /// The newest Job of a pipeline.
    pub(super) fn job(&self, identity: &Identity) -> Option<Job> {
        let jobs = self.jobs.owned_by(identity);
        jobs.iter().max_by_key(|job| job.creation_timestamp()).map(|job| (**job).clone())
    }

    /// Whether the api must wait: it is to be of another image, and listeners of the image before still run.
    pub(super) fn api_waits(&self, listener: Option<&Deployment>, api: Option<&Deployment>) -> bool {
        let Some(api) = api else { return false };
        let namespace = api.namespace().unwrap_or_default();
        let Some(now) = self.deployment(&namespace, &api.name_any()) else { return false };
        image(&now) != image(api) && !listener.is_some_and(is_rolled_out)
    }
}

/// The image of the first container.
pub(in crate::controller) fn image(deployment: &Deployment) -> Option<&str> {
    deployment.spec.as_ref()?.template.spec.as_ref()?.containers.first()?.image.as_deref()
}

/// Whether all pods are of the newest template, and none of another are left.
pub(in crate::controller) fn is_rolled_out(deployment: &Deployment) -> bool {
    let Some(status) = &deployment.status else { return false };
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let (all, updated) = (status.replicas.unwrap_or(0), status.updated_replicas.unwrap_or(0));
    status.observed_generation >= deployment.metadata.generation && updated >= wanted && updated == all
}
