//! `POST /v1/transactions/{id}/reversal`: takes a transaction back (estorno), once.
//!
//! The reversal is another transaction, made of the row that it reverses alone: its id and its content are the same
//! whichever replica is asked, by whom and how often, so it is sent again as a keyed transaction is, and the database
//! makes one row of it.

use std::sync::Arc;

use axum::{body::Body, extract::State, http::HeaderMap, response::Response};
use fluxo_core::{Transaction, TransactionId};

use super::{
    App,
    auth::Writer,
    body,
    parameters::Parameters,
    preference,
    problem::{Document, Problem},
    submit::{self, Receipt},
};
use crate::publish::Sent;

/// Reverses a transaction
///
/// Accepts another transaction of the same account with the same amount in the other direction, which names the first
/// in `reverses`. It has no body and needs no `Idempotency-Key`: a transaction has one reversal, with one id, however
/// often it is asked for. A reversal is a transaction, so it can be reversed too, once.
#[utoipa::path(
    post,
    path = "/v1/transactions/{id}/reversal",
    tag = "transactions",
    params(
        ("id" = uuid::Uuid, Path, description = "The id of the transaction to reverse"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds until the row can be read"),
    ),
    responses(
        (status = 202, description = "Accepted", body = Receipt, headers(
            ("Location" = String, description = "Where the reversal is"),
            ("Idempotency-Replayed" = Option<String>, description = "`true` when it was accepted before"),
            ("Preference-Applied" = Option<String>, description = "The wait that was applied"),
        )),
        (status = 201, description = "Recorded, with Prefer: wait", body = Receipt, headers(("Location" = String, description = "Where the reversal is"))),
        (status = 400, description = "Not an id, a parameter that this call does not have, or a body", body = Document, content_type = "application/problem+json"),
        (status = 401, description = "No valid key", body = Document, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope write", body = Document, content_type = "application/problem+json"),
        (status = 404, description = "The transaction is unknown or not yet written", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "Too many requests for this reversal are in flight", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "The transaction, or its reversal, is in quarantine", body = Document, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests, or too much in flight; see Retry-After", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "The database or Kafka cannot be reached; nothing was written", body = Document, content_type = "application/problem+json"),
        (status = 504, description = "The outcome is unknown; it is safe to send it again", body = Document, content_type = "application/problem+json"),
    ),
    security(("key" = ["write"])),
)]
pub(super) async fn reverse(
    Writer(client): Writer,
    State(app): State<Arc<App>>,
    mut parameters: Parameters,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let id = parameters.path("id", |text| TransactionId::parse(text).ok_or("is not a UUID"));
    let id = parameters.end(id)?;
    let wait = preference::wait(&headers, app.limits.wait);
    // What it says would be left out of the reversal, so it is better refused.
    if !body::read(&headers, body, &app.limits).await?.is_empty() {
        return Err(Problem::Malformed("a reversal has no body".into()));
    }
    let submission = recorded(&app, id).await?.reversal();
    let sent = Sent { submission, key: None, reverses: Some(id) };
    let published = app.publisher.publish(&client, vec![sent], &submit::trace(&app, &headers)).await.pop();
    submit::answer(&app, published.expect("one was published"), wait).await
}

/// The transaction, if it is a row: what only Kafka has may still be refused.
async fn recorded(app: &App, id: TransactionId) -> Result<Transaction, Problem> {
    let (database, store) = (&app.database, app.database.store());
    if let Some(recorded) = database.read(store.transaction(id)).await? {
        return Ok(recorded.accepted.transaction);
    }
    let refused = database.read(store.refused(id)).await?.ok_or(Problem::UnknownTransaction)?;
    Err(Problem::Refused(refused.reason))
}
