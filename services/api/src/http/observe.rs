//! What surrounds every call: its span, its count and duration, the bound of how many there are at once, panics.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, LazyLock},
    time::Instant,
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use tracing::{Instrument, Span};

use super::{
    App,
    problem::{MEDIA_TYPE, Problem},
};
use crate::{metrics::Refused, trace::Trace};

/// The route of what has none.
static NO_ROUTE: LazyLock<Arc<str>> = LazyLock::new(|| "none".into());

/// Runs a call.
pub(super) async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = method(request.method());
    // The templates of paths are a closed set; a path is not.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| NO_ROUTE.clone(), |path| path.as_str().into());
    let span = span(&app, &request, method, &route);
    let answered = async {
        let Ok(_permit) = app.concurrency.try_acquire() else {
            app.metrics.refused(Refused::Concurrency);
            return Problem::Backlog.into_response();
        };
        caught(next.run(request)).await
    };
    let response = as_problem(answered.instrument(span.clone()).await);
    let (status, time) = (response.status().as_u16(), begun.elapsed());
    span.record("http.response.status_code", status);
    app.metrics.request(method, &route, status, time);
    tracing::debug!(method, route = &*route, status, duration_us = time.as_micros(), "answered");
    response
}

/// The answer of a call, even when it panics.
async fn caught(call: impl Future<Output = Response>) -> Response {
    AssertUnwindSafe(call).catch_unwind().await.unwrap_or_else(|_| {
        // What it panicked with, and where, was written by the panic hook.
        tracing::error!("a call panicked");
        Problem::Internal.into_response()
    })
}

/// A span is made only where it is exported: it costs as much as a tenth of a request.
fn span(app: &App, request: &Request, method: &'static str, route: &str) -> Span {
    if !app.has_traces {
        return Span::none();
    }
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        http.response.status_code = tracing::field::Empty,
    );
    Trace::join(&span, request.headers());
    span
}

/// The method as a label: a closed set, whatever a client sends.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// An error that something else than our calls has made, such as the files of /docs, as a problem too.
fn as_problem(response: Response) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error
        || response.headers().get(header::CONTENT_TYPE) == Some(&HeaderValue::from_static(MEDIA_TYPE))
    {
        return response;
    }
    match status {
        StatusCode::NOT_FOUND => Problem::NoSuchPath,
        StatusCode::METHOD_NOT_ALLOWED => Problem::MethodNotAllowed,
        _ if status.is_client_error() => Problem::Malformed("the request cannot be read".into()),
        _ => Problem::Internal,
    }
    .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_that_panics_is_answered_500() {
        let response = caught(async { panic!("made by a test") }).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
    }

    #[test]
    fn what_others_answer_becomes_a_problem_and_what_we_answer_stays() {
        let other = as_problem((StatusCode::NOT_FOUND, "Not Found").into_response());
        assert_eq!(other.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
        let ours = as_problem(Problem::UnknownTransaction.into_response());
        assert_eq!(ours.status(), StatusCode::NOT_FOUND);
        let fine = as_problem("fine".into_response());
        assert_eq!(fine.status(), StatusCode::OK);
    }

    #[test]
    fn a_method_that_nobody_knows_is_no_label() {
        assert_eq!(method(&"INVENTED".parse().unwrap()), "other");
    }
}
