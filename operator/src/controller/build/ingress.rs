//! Leads clients from outside of the cluster to the api, by an Ingress.

use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend,
    IngressSpec, IngressTLS, ServiceBackendPort,
};

use super::{
    HTTP,
    metadata::{Component, metadata},
};
use crate::{controller::model::ValidatedPipeline, crd};

pub(super) fn ingress(pipeline: &ValidatedPipeline, exposure: &crd::Ingress) -> Ingress {
    let component = Component::Api;
    let name = pipeline.identity.child(component.as_str());
    let mut metadata = metadata(pipeline, name.clone(), Some(component));
    metadata.annotations = (!exposure.annotations.is_empty()).then(|| exposure.annotations.clone());
    let port = ServiceBackendPort { name: Some(HTTP.into()), number: None };
    let service = IngressServiceBackend { name, port: Some(port) };
    let path = HTTPIngressPath {
        path: Some("/".into()),
        path_type: "Prefix".into(),
        backend: IngressBackend { service: Some(service), resource: None },
    };
    let tls = |tls: &crd::IngressTls| {
        vec![IngressTLS { hosts: Some(vec![exposure.host.clone()]), secret_name: Some(tls.secret.clone()) }]
    };
    Ingress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: exposure.class_name.clone(),
            rules: Some(vec![IngressRule {
                host: Some(exposure.host.clone()),
                http: Some(HTTPIngressRuleValue { paths: vec![path] }),
            }]),
            tls: exposure.tls.as_ref().map(tls),
            default_backend: None,
        }),
        status: None,
    }
}
