//! HTTP: one file for each group of calls, and what they share.
//!
//! A new call is a function in the file of its group, or in a new one, and a line in `routes`.

pub(crate) mod account;
mod auth;
mod batch;
mod body;
pub(crate) mod docs;
pub(crate) mod json;
mod observe;
mod parameters;
mod preference;
pub(crate) mod problem;
mod reversal;
mod stream;
mod submit;
mod transaction;

use std::{sync::Arc, time::Duration};

use axum::{Router, http::HeaderValue, middleware};
use fluxo_core::TransactionId;
use tokio::sync::Semaphore;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) use self::auth::RateLimit;
use self::problem::Problem;
use crate::{
    database::Database, fates::Fates, keys::Keys, metrics::Metrics, publish::Publisher, stream::Streams,
};

/// What every call can use.
pub(crate) struct App {
    pub(crate) publisher: Publisher,
    pub(crate) database: Arc<Database>,
    pub(crate) fates: Fates,
    pub(crate) streams: Arc<Streams>,
    pub(crate) keys: Keys,
    pub(crate) rate: Option<RateLimit>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Limits,
    /// The requests that may still begin.
    pub(crate) concurrency: Semaphore,
    /// Whether spans are exported.
    pub(crate) has_traces: bool,
}

/// The bounds of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes.
    pub(crate) body: u32,
    pub(crate) body_timeout: Duration,
    pub(crate) wait: Duration,
    pub(crate) keep_alive: Duration,
}

/// All calls.
pub(crate) fn router(app: Arc<App>) -> Router {
    let (calls, document) = routes().split_for_parts();
    calls
        .merge(docs::router(document))
        .method_not_allowed_fallback(async || Problem::MethodNotAllowed)
        .fallback(async || Problem::NoSuchPath)
        .layer(middleware::from_fn_with_state(app.clone(), observe::observe))
        .with_state(app)
}

fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(docs::base())
        .routes(routes!(submit::submit))
        .routes(routes!(batch::submit_batch))
        .routes(routes!(stream::follow))
        .routes(routes!(transaction::transaction))
        .routes(routes!(reversal::reverse))
        .routes(routes!(account::transactions))
        .routes(routes!(account::balance))
        .routes(routes!(account::statement))
}

/// Where a transaction is.
fn location(id: TransactionId) -> HeaderValue {
    HeaderValue::try_from(format!("/v1/transactions/{id}")).expect("an id is ASCII")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use proptest::prelude::*;

    use super::*;
    use crate::trace::Trace;

    /// The headers that a call reads.
    const NAMES: [&str; 9] = [
        "authorization",
        "content-encoding",
        "content-length",
        "content-type",
        "idempotency-key",
        "last-event-id",
        "prefer",
        "traceparent",
        "tracestate",
    ];

    proptest! {
        #[test]
        fn no_headers_panic(
            headers in prop::collection::vec(
                (prop::sample::select(&NAMES[..]), "[ -~]{0,80}|wait=[0-9\"]{0,30}|[a-z/]{1,9}[;=,\" ]{0,4}[a-z0-9-]{0,9}"),
                0..12,
            ),
            bytes in prop::collection::vec(0x80..=0xff_u8, 0..20),
        ) {
            let mut all = HeaderMap::new();
            for (name, value) in headers {
                all.append(name, value.parse().unwrap());
            }
            all.append(NAMES[bytes.len() % NAMES.len()], HeaderValue::from_bytes(&bytes).unwrap());
            let longest = Duration::from_secs(30);
            prop_assert!(preference::wait(&all, longest).is_none_or(|wait| wait <= longest));
            let _ = (preference::idempotency_key(&all), stream::last_event(&all), auth::bearer(&all));
            let _ = (body::Media::of(&all), Trace::passed_through(&all));
        }
    }
}
