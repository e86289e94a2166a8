//! Which pipeline something is of, and what that names.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource as _, ResourceExt as _};

use crate::crd::TransactionPipeline;

/// Which pipeline it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid: another one of that name has another.
    pub uid: String,
}

impl Identity {
    /// That of a pipeline which the API server keeps: it has all three.
    pub fn of(pipeline: &TransactionPipeline) -> Self {
        let namespace = pipeline.namespace().unwrap_or_default();
        Self { namespace, name: pipeline.name_any(), uid: pipeline.uid().unwrap_or_default() }
    }

    /// Name of the object that something of the pipeline has, such as `api`: at most 22 characters longer than its own.
    pub fn child(&self, of: &str) -> String {
        format!("{}-{of}", self.name)
    }

    /// The consumer group of its listeners.
    pub fn group(&self) -> String {
        format!("fluxo.{}.{}", self.namespace, self.name)
    }

    /// Name of the Secret with copies of what Strimzi keeps.
    pub fn kafka_secret(&self) -> String {
        self.child("kafka")
    }

    /// What names the pipeline as the owner of an object in its namespace.
    pub fn owner_reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: TransactionPipeline::api_version(&()).into(),
            kind: TransactionPipeline::kind(&()).into(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }
}
