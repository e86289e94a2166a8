//! `GET /v1/transactions/{id}`: one transaction, by its id.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use fluxo_core::TransactionId;
use fluxo_store::read::{Recorded, Refused};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    App,
    auth::Reader,
    parameters::Parameters,
    problem::{Document, Problem},
};

/// What became of a transaction.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "state", rename_all = "lowercase")]
pub(super) enum Outcome {
    /// It is a row
    Recorded(Box<Shown>),
    /// It is in quarantine, and never becomes a row
    Refused(Quarantined),
}

/// A recorded transaction, and what came after it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ShownTransaction)]
pub(super) struct Shown {
    #[serde(flatten)]
    row: Row,
    /// The transaction that reverses this one
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    reversed_by: Option<String>,
}

/// A recorded transaction. It never changes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Transaction)]
pub(super) struct Row {
    #[schema(value_type = uuid::Uuid)]
    id: String,
    #[schema(example = "ana")]
    account: String,
    /// `entrada`: money in; `saida`: money out
    #[schema(example = "entrada")]
    kind: &'static str,
    /// A decimal, with all the decimals of its currency
    #[schema(example = "1234.56")]
    amount: String,
    #[schema(example = "BRL")]
    currency: String,
    /// Its number among those of its account and currency, from 1
    account_seq: i64,
    /// The balance of its account in its currency after it
    #[schema(example = "-20.00")]
    balance_after: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[schema(format = DateTime)]
    occurred_at: String,
    #[schema(format = DateTime)]
    accepted_at: String,
    /// Grows with `account_seq`
    #[schema(format = DateTime)]
    recorded_at: String,
    /// Who sent it
    client: String,
    /// The transaction that this one reverses
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    reverses: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
}

/// A transaction in quarantine.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Quarantined {
    #[schema(value_type = uuid::Uuid)]
    id: String,
    /// Why: `not_ours`, `key_mismatch`, `overflow` or `conflict`
    #[schema(example = "overflow")]
    reason: &'static str,
    /// Why, for people
    detail: &'static str,
    #[schema(format = DateTime)]
    recorded_at: String,
}

/// Shows a transaction
#[utoipa::path(
    get,
    path = "/v1/transactions/{id}",
    tag = "transactions",
    params(("id" = uuid::Uuid, Path, description = "The id of the transaction")),
    responses(
        (status = 200, description = "What became of it", body = Outcome),
        (status = 400, description = "Not an id, or a parameter that this call does not have", body = Document, content_type = "application/problem+json"),
        (status = 401, description = "No valid key", body = Document, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope read", body = Document, content_type = "application/problem+json"),
        (status = 404, description = "Unknown or not yet written", body = Document, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests; see Retry-After", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "The database cannot be reached", body = Document, content_type = "application/problem+json"),
    ),
    security(("key" = ["read"])),
)]
pub(super) async fn transaction(
    _: Reader,
    State(app): State<Arc<App>>,
    mut parameters: Parameters,
) -> Result<Json<Outcome>, Problem> {
    let id = parameters.path("id", |text| TransactionId::parse(text).ok_or("is not a UUID"));
    let id = parameters.end(id)?;
    let (database, store) = (&app.database, app.database.store());
    if let Some((recorded, is_reversed)) = database.read(store.transaction_and_reversal(id)).await? {
        let reversed_by = is_reversed.then(|| id.of_reversal().to_string());
        return Ok(Json(Outcome::Recorded(Box::new(Shown { row: Row::from(&recorded), reversed_by }))));
    }
    let refused = database.read(store.refused(id)).await?.ok_or(Problem::UnknownTransaction)?;
    Ok(Json(Outcome::Refused(Quarantined::of(id, &refused))))
}

impl From<&Recorded> for Row {
    fn from(recorded: &Recorded) -> Self {
        let accepted = &recorded.accepted;
        let transaction = &accepted.transaction;
        let pair = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        Self {
            id: transaction.id.to_string(),
            account: transaction.account.to_string(),
            kind: transaction.kind.as_str(),
            amount: transaction.money.to_string(),
            currency: transaction.money.currency().to_string(),
            account_seq: recorded.account_seq,
            balance_after: recorded.balance_after.to_string(),
            description: transaction.description.as_ref().map(|text| text.as_str().to_owned()),
            occurred_at: transaction.occurred_at.to_string(),
            accepted_at: accepted.accepted_at.to_string(),
            recorded_at: recorded.recorded_at.to_string(),
            client: accepted.client.to_string(),
            reverses: accepted.reverses.map(|id| id.to_string()),
            metadata: transaction.metadata.iter().map(pair).collect(),
        }
    }
}

impl Quarantined {
    fn of(id: TransactionId, refused: &Refused) -> Self {
        Self {
            id: id.to_string(),
            reason: refused.reason.as_str(),
            detail: refused.reason.explanation(),
            recorded_at: refused.recorded_at.to_string(),
        }
    }
}
