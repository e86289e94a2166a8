//! Where clients in the cluster reach the api.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    HTTP, SERVICE_PORT,
    metadata::{Component, metadata, selector},
};
use crate::controller::model::ValidatedPipeline;

pub(super) fn service(pipeline: &ValidatedPipeline) -> Service {
    let component = Component::Api;
    Service {
        metadata: metadata(pipeline, pipeline.identity.child(component.as_str()), Some(component)),
        spec: Some(ServiceSpec {
            selector: Some(selector(&pipeline.identity, component)),
            ports: Some(vec![ServicePort {
                name: Some(HTTP.into()),
                port: SERVICE_PORT,
                target_port: Some(IntOrString::String(HTTP.into())),
                protocol: Some("TCP".into()),
                app_protocol: Some("http".into()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}
