//! What is made of a pipeline, before and after the API server has seen it.

use std::marker::PhantomData;

use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::Job,
    core::v1::{Secret, Service},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
};

use super::{HttpRoute, strimzi::KafkaTopic};
use crate::kafka::topic;

/// As it was built: a wish.
#[derive(Debug)]
pub enum Prepared {}

/// As the API server answered: a fact.
#[derive(Debug)]
pub enum Applied {}

/// The objects of a pipeline, in the order in which they are applied.
///
/// `build` alone makes prepared ones, `apply` alone applied ones. Of prepared ones, `None` means that there is to be
/// none; of applied ones, that there is none (yet).
#[derive(Debug)]
pub struct Resources<Stage> {
    /// The pipeline's own copy of what Strimzi keeps in Secrets of its namespace.
    pub kafka_secret: Option<Secret>,
    /// Topics beside Strimzi, in its namespace: they have no owner, since it would have to be of their namespace.
    pub kafka_topics: Vec<KafkaTopic>,
    /// Topics of other clusters, which the operator itself asks Kafka for.
    pub native_topics: Vec<topic::Wanted>,
    /// Who may reach the pods.
    pub network_policies: Vec<NetworkPolicy>,
    /// What brings the schema up to date. Its name follows from its content: an unchanged Job is never run again. While
    /// it has not succeeded, neither Deployment is applied.
    pub migration: Option<Job>,
    /// How many pods may be evicted at once.
    pub disruption_budgets: Vec<PodDisruptionBudget>,
    /// The listeners, without a number of replicas, which is the scaler's. Rolled out before the api.
    pub listener: Option<Deployment>,
    /// Where clients in the cluster reach the api.
    pub service: Option<Service>,
    /// The api.
    pub api: Option<Deployment>,
    /// Where clients from outside reach it; either this or the route.
    pub ingress: Option<Ingress>,
    /// Where clients from outside reach it.
    pub http_route: Option<HttpRoute>,
    /// How far they are.
    pub(in crate::controller) stage: PhantomData<Stage>,
}

impl<Stage> Resources<Stage> {
    /// Without any object.
    pub(in crate::controller) const fn empty() -> Self {
        Self {
            kafka_secret: None,
            kafka_topics: Vec::new(),
            native_topics: Vec::new(),
            network_policies: Vec::new(),
            migration: None,
            disruption_budgets: Vec::new(),
            listener: None,
            service: None,
            api: None,
            ingress: None,
            http_route: None,
            stage: PhantomData,
        }
    }
}
