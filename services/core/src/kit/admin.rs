//! The admin port: `/livez`, `/readyz` and `/metrics`. No Ingress reaches it.

use std::{io, sync::Arc};

use axum::{
    Router,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use prometheus_client::{encoding::text::encode, registry::Registry};
use tokio::net::TcpListener;

use super::{health::Readiness, shutdown::Shutdown};

/// Serves the admin port until the process aborts: probes and metrics answer during the drain, too.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    registry: Arc<Registry>,
    shutdown: Shutdown,
) -> io::Result<()> {
    serve_with(listener, || Ok(()), readiness, registry, shutdown).await
}

/// As [`serve`], for a process that can be stuck though it answers: `alive` says so, with the reason.
///
/// # Errors
/// When the listener fails.
pub async fn serve_with(
    listener: TcpListener,
    alive: impl Fn() -> Result<(), String> + Clone + Send + Sync + 'static,
    readiness: Readiness,
    registry: Arc<Registry>,
    shutdown: Shutdown,
) -> io::Result<()> {
    let draining = shutdown.clone();
    let router = Router::new()
        .route("/livez", get(async move || live(alive())))
        .route("/readyz", get(async move || ready(&readiness, &draining)))
        .route("/metrics", get(async move || metrics(&registry)));
    axum::serve(listener, router).with_graceful_shutdown(async move { shutdown.aborted().await }).await
}

fn live(alive: Result<(), String>) -> (StatusCode, String) {
    match alive {
        Ok(()) => (StatusCode::OK, "live\n".into()),
        Err(reason) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{reason}\n")),
    }
}

fn ready(readiness: &Readiness, shutdown: &Shutdown) -> (StatusCode, String) {
    if shutdown.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n".into());
    }
    let missing = readiness.missing();
    if missing.is_empty() {
        return (StatusCode::OK, "ready\n".into());
    }
    let lines: Vec<_> = missing.iter().map(|(name, reason)| format!("{name}: {reason}\n")).collect();
    (StatusCode::SERVICE_UNAVAILABLE, lines.concat())
}

fn metrics(registry: &Registry) -> impl IntoResponse + use<> {
    let mut text = String::new();
    let status = match encode(&mut text, registry) {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
}
