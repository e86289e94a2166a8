//! Writes a status, if it is not the one that is there.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::{
    controller::apply::FIELD_MANAGER,
    crd::{PipelineStatus, TransactionPipeline},
};

/// The status was not written.
#[derive(Debug, thiserror::Error)]
#[error("the status could not be written")]
pub struct Error(#[source] Box<kube::Error>);

/// Writes statuses. Clones are the same.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    /// The last status written of each pipeline, with the version that it made, by uid.
    written: Arc<Mutex<HashMap<String, (u64, PipelineStatus)>>>,
}

impl Writer {
    /// One that has written nothing yet.
    pub fn new(client: Client) -> Self {
        Self { client, written: Arc::default() }
    }

    /// The pipeline with the newest status that is known: the watch may be behind what was written.
    pub fn refreshed(&self, pipeline: &TransactionPipeline) -> TransactionPipeline {
        let mut pipeline = pipeline.clone();
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((version, status)) = written.get(&pipeline.uid().unwrap_or_default())
            && version_of(&pipeline) < *version
        {
            pipeline.status = Some(status.clone());
        }
        pipeline
    }

    /// Writes a status, if it is not what the pipeline has. Whether it did.
    ///
    /// # Errors
    /// When the API server does not take it. A pipeline that is gone by now needs none.
    pub async fn write(&self, pipeline: &TransactionPipeline, status: PipelineStatus) -> Result<bool, Error> {
        if pipeline.status.as_ref() == Some(&status) {
            return Ok(false);
        }
        let (name, namespace) = (pipeline.name_any(), pipeline.namespace().unwrap_or_default());
        let body = json!({
            "apiVersion": TransactionPipeline::api_version(&()),
            "kind": TransactionPipeline::kind(&()),
            "metadata": {"name": name, "namespace": namespace, "uid": pipeline.uid()},
            "status": status,
        });
        let api = Api::<TransactionPipeline>::namespaced(self.client.clone(), &namespace);
        let by = PatchParams::apply(FIELD_MANAGER).force();
        match api.patch_status(&name, &by, &Patch::Apply(&body)).await {
            Ok(written) => {
                let mut all = self.written.lock().unwrap_or_else(PoisonError::into_inner);
                all.insert(pipeline.uid().unwrap_or_default(), (version_of(&written), status));
                Ok(true)
            }
            Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(false),
            Err(error) => Err(Error(Box::new(error))),
        }
    }

    /// Keeps only what it wrote of these, by uid.
    pub fn keep(&self, is_there: impl Fn(&str) -> bool) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.retain(|uid, _| is_there(uid));
    }
}

fn version_of(pipeline: &TransactionPipeline) -> u64 {
    pipeline.resource_version().and_then(|version| version.parse().ok()).unwrap_or_default()
}
