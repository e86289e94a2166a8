//! Leads clients from outside of the cluster to the api, by Gateways.

use super::{
    SERVICE_PORT,
    metadata::{Component, metadata},
};
use crate::{
    controller::model::{
        BackendRef, HttpRoute, HttpRouteSpec, PathMatch, RouteMatch, RouteRule, ValidatedPipeline,
    },
    crd,
};

pub(super) fn http_route(pipeline: &ValidatedPipeline, exposure: &crd::HttpRoute) -> HttpRoute {
    let component = Component::Api;
    let name = pipeline.identity.child(component.as_str());
    let everything = PathMatch { kind: "PathPrefix".into(), value: "/".into() };
    HttpRoute {
        metadata: metadata(pipeline, name.clone(), Some(component)),
        spec: HttpRouteSpec {
            parent_refs: exposure.parent_refs.clone(),
            hostnames: exposure.hostnames.clone(),
            rules: vec![RouteRule {
                matches: vec![RouteMatch { path: everything }],
                backend_refs: vec![BackendRef { name, port: SERVICE_PORT }],
            }],
        },
    }
}
