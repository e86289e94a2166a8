//! The end of a pipeline. What it owns in its namespace goes with it, by Kubernetes' own means: the operator need not
//! even be there. Only topics that are to be deleted hold a pipeline back, by a finalizer that it has in this case only.

use std::time::Duration;

use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{
    Context, Error as PassError, apply, deletes_topics, dereference, status::Phase, topics, validate,
};
use crate::{
    crd::TransactionPipeline,
    identity::Identity,
    kafka::{self, Connection},
};

/// Holds a pipeline until its topics are deleted.
pub(super) const FINALIZER: &str = "fluxo.dev/topics";
/// How soon it is looked again whether what was deleted is gone.
const AGAIN: Duration = Duration::from_secs(2);

/// Why what a pipeline has could not be deleted: it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The finalizer could not be changed.
    #[error("the finalizer {FINALIZER} could not be changed")]
    Finalizer(#[source] Box<kube::Error>),
    /// What the pipeline names could not be read.
    #[error("how Kafka is reached could not be read")]
    Dereference(#[source] dereference::Error),
    /// Kubernetes did not delete it.
    #[error("Kubernetes did not delete it")]
    Objects(#[source] apply::Error),
    /// Kafka did not delete its topics.
    #[error("Kafka did not delete the topics")]
    Kafka(#[source] kafka::Error),
}

impl Context {
    /// Has the finalizer if topics go with the pipeline, and only then.
    pub(super) async fn hold_if_topics_are_to_be_deleted(
        &self,
        pipeline: &TransactionPipeline,
    ) -> Result<(), Error> {
        let is_held = pipeline.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
        if is_held == deletes_topics(pipeline) {
            return Ok(());
        }
        let others = pipeline.finalizers().iter().filter(|finalizer| *finalizer != FINALIZER);
        let ours = Some(FINALIZER.to_owned()).filter(|_| !is_held);
        self.set_finalizers(pipeline, others.cloned().chain(ours).collect()).await
    }

    /// Deletes what is to go, step by step, and then lets the pipeline go. After what time it is to be looked at again.
    pub(super) async fn delete(
        &self,
        pipeline: &TransactionPipeline,
        identity: &Identity,
    ) -> Result<Option<Duration>, PassError> {
        self.board.pause(identity);
        if !pipeline.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
            return Ok(None);
        }
        let waits = if deletes_topics(pipeline) {
            Box::pin(self.delete_topics(pipeline, identity)).await
        } else {
            Ok(None)
        };
        if let Some(waits) = waits.map_err(PassError::Delete)? {
            let there = self.applier.observe(identity).await.map_err(PassError::Apply)?;
            self.say(pipeline, &Phase::Deleting(waits), &there, None).await?;
            return Ok(Some(AGAIN));
        }
        let others = pipeline.finalizers().iter().filter(|finalizer| *finalizer != FINALIZER).cloned();
        self.set_finalizers(pipeline, others.collect()).await.map_err(PassError::Delete)?;
        self.forget(identity);
        Ok(None)
    }

    /// Deletes the topics of a pipeline; what is waited for, or `None` once they are gone.
    async fn delete_topics(
        &self,
        pipeline: &TransactionPipeline,
        identity: &Identity,
    ) -> Result<Option<String>, Error> {
        // Pods that still produce could make the topic anew.
        if !self.applier.stop(identity).await.map_err(Error::Objects)? {
            return Ok(Some("its pods end before its topics are deleted".into()));
        }
        if let Some(named) = &pipeline.spec.kafka.strimzi {
            let gone = topics::delete_beside_strimzi(&self.applier, pipeline, named).await;
            let waits = "Strimzi deletes its topics: if that does not end, see their KafkaTopics";
            return Ok((!gone.map_err(Error::Objects)?).then(|| waits.into()));
        }
        // A topic that was never seen as the pipeline's is not its to delete.
        let (kafka, status) = (&pipeline.spec.kafka, pipeline.status.clone().unwrap_or_default());
        let names = [kafka.topic.name.clone(), kafka.dead_letter_name()];
        let ids = [status.topic_id, status.dead_letter_topic_id];
        let topics = names.into_iter().zip(ids).filter_map(|(name, id)| Some((name, id?)));
        let topics: Vec<_> = topics.filter(|(_, id)| self.owner(pipeline, id).is_none()).collect();
        if topics.is_empty() {
            return Ok(None);
        }
        let connection = match self.way_to_kafka(pipeline, identity).await? {
            Ok(connection) => connection,
            Err(why) => {
                return Ok(Some(format!(
                    "its topics cannot be deleted: {why}; or set kafka.deletionPolicy to Retain to leave them"
                )));
            }
        };
        // Until Kafka tells of them no more: a pipeline that is made anew at once would take what is about to go.
        let gone = self.applier.topics.delete((&connection, &identity.group()), &topics).await;
        let waits = "Kafka deletes its topics: if that does not end, set kafka.deletionPolicy to Retain to leave them";
        Ok((!gone.map_err(Error::Kafka)?).then(|| waits.into()))
    }

    /// How Kafka is reached; or, where a namespace goes with all that is in it, how it was reached before its Secrets
    /// went. Nothing else that the pipeline names is needed any more.
    async fn way_to_kafka(
        &self,
        pipeline: &TransactionPipeline,
        identity: &Identity,
    ) -> Result<Result<Connection, String>, Error> {
        let known = (&self.beside_strimzi, &self.applier.secrets);
        let found =
            dereference::dereference(&self.client, known, pipeline, self.partitions(pipeline, identity));
        let found = Box::pin(found).await.map_err(Error::Dereference)?;
        Ok(validate::way_to_kafka(pipeline, identity, &found).or_else(|wrong| {
            let before = self.board.connection(identity);
            before.ok_or_else(|| wrong.first().map(ToString::to_string).unwrap_or_default())
        }))
    }

    async fn set_finalizers(
        &self,
        pipeline: &TransactionPipeline,
        finalizers: Vec<String>,
    ) -> Result<(), Error> {
        let api = Api::<TransactionPipeline>::namespaced(
            self.client.clone(),
            &pipeline.namespace().unwrap_or_default(),
        );
        // The version guards the list against a change by another meanwhile.
        let metadata = json!({"finalizers": finalizers, "resourceVersion": pipeline.resource_version()});
        let patch = Patch::Merge(json!({"metadata": metadata}));
        match api.patch(&pipeline.name_any(), &PatchParams::default(), &patch).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(Error::Finalizer(Box::new(error))),
        }
    }
}
