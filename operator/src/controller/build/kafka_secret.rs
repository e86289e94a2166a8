//! The pipeline's own copy of what Strimzi keeps in Secrets of its namespace, which pods of another cannot read.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};

use super::metadata::metadata;
use crate::controller::model::ValidatedPipeline;

/// The Secret, if there is something in it: certificates and keys in PEM, or a password.
pub(super) fn kafka_secret(pipeline: &ValidatedPipeline) -> Option<Secret> {
    let files = if pipeline.kafka.is_copied { pipeline.kafka.files() } else { Vec::new() };
    let data: BTreeMap<_, _> = files
        .into_iter()
        .map(|file| (file.key.clone(), ByteString(file.value.reveal().as_bytes().into())))
        .collect();
    (!data.is_empty()).then(|| Secret {
        metadata: metadata(pipeline, pipeline.identity.kafka_secret(), None),
        data: Some(data),
        type_: Some("Opaque".into()),
        ..Secret::default()
    })
}
