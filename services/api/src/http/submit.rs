//! `POST /v1/transactions`: one transaction.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use fluxo_core::TransactionId;
use fluxo_store::read::Fate;
use serde::Serialize;
use tracing::Span;
use utoipa::ToSchema;

use super::{
    App,
    auth::Writer,
    body::{self, Media},
    json::{self, Rejected},
    preference,
    problem::{Document, Problem},
};
use crate::{
    publish::{Acceptance, Published, Sent},
    trace::Trace,
};

const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// A transaction to be recorded.
#[derive(ToSchema)]
#[schema(as = Submission)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "it is read by `json`; this describes it")]
pub(super) struct Request {
    /// Whose money moves
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,64}$", example = "ana")]
    account: String,
    /// `entrada`: money in; `saida`: money out. `saída`, `inflow` and `outflow` are read too
    #[schema(example = "entrada")]
    kind: String,
    /// A decimal in a string, above zero, with no more decimals than the currency has; at most 10^15 minor units.
    /// Never a JSON number
    #[schema(pattern = r"^(0|[1-9][0-9]*)(\.[0-9]+)?$", example = "1234.56")]
    amount: String,
    /// The ISO 4217 code of a currency that has a minor unit
    #[schema(pattern = "^[A-Z]{3}$", example = "BRL")]
    currency: String,
    /// What for: 1 to 500 characters without control characters
    #[schema(min_length = 1, max_length = 500, example = "aluguel de novembro")]
    description: Option<String>,
    /// When it happened, RFC 3339 with an offset; if it is absent, when it was accepted
    #[schema(format = DateTime, example = "2026-11-21T14:32:00-03:00")]
    occurred_at: Option<String>,
    /// At most 16 pairs of your own
    #[schema(example = json!({"pedido": "4711"}))]
    metadata: Option<BTreeMap<String, String>>,
    /// As the header Idempotency-Key, and before it
    #[schema(pattern = "^[!-~]{1,255}$", example = "pedido-4711")]
    idempotency_key: Option<String>,
}

/// What became of a transaction.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Receipt {
    /// Its id
    #[schema(value_type = uuid::Uuid)]
    pub(super) id: String,
    pub(super) state: ReceiptState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ReceiptState {
    /// Kafka has it, on all in-sync replicas: it becomes exactly one row, or exactly one record in quarantine
    Accepted,
    /// It is a row
    Recorded,
}

/// Submits a transaction
///
/// It is answered once all in-sync replicas of Kafka have it. With an `Idempotency-Key`, whatever the answer, sending
/// the same again is safe: it never makes a second row.
#[utoipa::path(
    post,
    path = "/v1/transactions",
    tag = "transactions",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Stands for this transaction and all its retries: 1 to 255 visible ASCII characters"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds until the row can be read"),
    ),
    request_body(content = Request, content_type = "application/json"),
    responses(
        (status = 202, description = "Accepted", body = Receipt, headers(
            ("Location" = String, description = "Where the transaction is"),
            ("Idempotency-Replayed" = Option<String>, description = "`true` when an earlier request was accepted with this key"),
            ("Preference-Applied" = Option<String>, description = "The wait that was applied"),
        )),
        (status = 201, description = "Recorded, with Prefer: wait", body = Receipt, headers(("Location" = String, description = "Where the transaction is"))),
        (status = 400, description = "The body is not JSON, or a header cannot be used", body = Document, content_type = "application/problem+json"),
        (status = 401, description = "No valid key", body = Document, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope write", body = Document, content_type = "application/problem+json"),
        (status = 408, description = "The body did not arrive in time", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "Too many requests with this key are in flight", body = Document, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Document, content_type = "application/problem+json"),
        (status = 415, description = "The body is not application/json", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "The transaction is invalid, the key was used with other content, or the transaction is in quarantine", body = Document, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests, or too much in flight; see Retry-After", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "Kafka cannot be reached, or does not take it; nothing was written", body = Document, content_type = "application/problem+json"),
        (status = 504, description = "The outcome is unknown; with an Idempotency-Key it is safe to send it again, without one ask at Location", body = Document, content_type = "application/problem+json"),
    ),
    security(("key" = ["write"])),
)]
pub(super) async fn submit(
    Writer(client): Writer,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    if Media::of(&headers) != Some(Media::Json) {
        return Err(Problem::MediaType(Media::Json.as_str()));
    }
    let key = preference::idempotency_key(&headers)?;
    let wait = preference::wait(&headers, app.limits.wait);
    let body = body::read(&headers, body, &app.limits).await?;
    let mut sent = read(&body)?;
    sent.key = sent.key.or(key);
    let trace = trace(&app, &headers);
    let published = app.publisher.publish(&client, vec![sent], &trace).await.pop();
    answer(&app, published.expect("one was published"), wait).await
}

/// The trace that a request's records belong to.
pub(super) fn trace(app: &App, headers: &HeaderMap) -> Trace {
    if app.has_traces { Trace::of(&Span::current()) } else { Trace::passed_through(headers) }
}

/// Reads one transaction.
pub(super) fn read(text: &[u8]) -> Result<Sent, Problem> {
    let text = std::str::from_utf8(text)
        .map_err(|error| Problem::Malformed(format!("not UTF-8 at byte {}", error.valid_up_to()).into()))?;
    json::transaction(text).map_err(|rejected| match rejected {
        Rejected::Malformed { line, column } => {
            Problem::Malformed(format!("not JSON at line {line}, column {column}").into())
        }
        Rejected::Invalid(all) => Problem::Invalid(all),
    })
}

/// Answers how the publishing of one transaction ended, after waiting for its row if that was asked for.
pub(super) async fn answer(
    app: &App,
    published: Published,
    wait: Option<Duration>,
) -> Result<Response, Problem> {
    let acceptance = published.outcome?;
    let id = published.id;
    let fate = match wait {
        Some(time) => app.fates.wait(id, time).await,
        None => None,
    };
    let (status, state) = match fate {
        None => (StatusCode::ACCEPTED, ReceiptState::Accepted),
        Some(Fate::Recorded(hash)) if hash == published.hash => (StatusCode::CREATED, ReceiptState::Recorded),
        Some(Fate::Recorded(_)) => return Err(Problem::KeyReused),
        Some(Fate::Refused(reason)) => return Err(Problem::Refused(reason)),
    };
    let mut response =
        (status, [(header::LOCATION, super::location(id))], receipt(id, state)).into_response();
    if acceptance == Acceptance::Before {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    if let Some(wait) = wait {
        let applied = format!("wait={}", wait.as_secs());
        let applied = HeaderValue::try_from(applied).expect("it is ASCII");
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    Ok(response)
}

fn receipt(id: TransactionId, state: ReceiptState) -> Json<Receipt> {
    Json(Receipt { id: id.to_string(), state })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use fluxo_core::invalid::Field;
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn the_fields_that_are_documented_are_those_that_are_read() {
        let schema = serde_json::to_value(Request::schema()).unwrap();
        let documented: BTreeSet<_> = schema["properties"].as_object().unwrap().keys().cloned().collect();
        let read: BTreeSet<_> = Field::ALL.iter().map(|field| field.name().to_owned()).collect();
        assert_eq!(documented, read);
        assert_eq!(schema["additionalProperties"], false);
    }
}
