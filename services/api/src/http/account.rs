//! `GET /v1/accounts/{account}/…`: the transactions, the balance and the statement (extrato) of an account.

use std::sync::Arc;

use axum::{Json, extract::State};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use fluxo_core::{Account, Currency, Kind, Timestamp};
use fluxo_store::read::{AccountBalance, Cursor, Filter, LIMIT_MAX};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    App,
    auth::Reader,
    parameters::Parameters,
    problem::{Document, Problem},
    transaction::Row,
};

/// How many transactions a page has, unless the request says otherwise.
const LIMIT_DEFAULT: usize = 100;

/// A part of the transactions of an account.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TransactionPage {
    transactions: Vec<Row>,
    /// The cursor of the next page; absent when there is none. A page may be short, or empty, and still have one
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The balances of an account.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Balances {
    #[schema(example = "ana")]
    account: String,
    /// One for each currency that the account has transactions in
    balances: Vec<CurrencyBalance>,
}

/// The balance of an account in one currency.
#[derive(Debug, Serialize, ToSchema)]
struct CurrencyBalance {
    #[schema(example = "BRL")]
    currency: String,
    /// A decimal, with all the decimals of its currency
    #[schema(example = "-20.00")]
    balance: String,
    /// The number of the last transaction that it counts
    account_seq: i64,
    /// When that transaction was recorded
    #[schema(format = DateTime)]
    recorded_at: String,
}

/// Lists the transactions of an account, newest first
///
/// A cursor stays valid for ever: new transactions come before it.
#[utoipa::path(
    get,
    path = "/v1/accounts/{account}/transactions",
    tag = "accounts",
    params(
        ("account" = String, Path, description = "The account"),
        ("type" = Option<String>, Query, description = "Only `entrada`, or only `saida`"),
        ("from" = Option<String>, Query, description = "Only those that occurred then or later, RFC 3339"),
        ("to" = Option<String>, Query, description = "Only those that occurred before, RFC 3339"),
        ("limit" = Option<u16>, Query, description = "The most transactions of a page: 1 to 1000, else 100"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = TransactionPage),
        (status = 400, description = "A parameter that cannot be used, or that this call does not have", body = Document, content_type = "application/problem+json"),
        (status = 401, description = "No valid key", body = Document, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope read", body = Document, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests; see Retry-After", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "The database cannot be reached", body = Document, content_type = "application/problem+json"),
    ),
    security(("key" = ["read"])),
)]
pub(super) async fn transactions(
    _: Reader,
    State(app): State<Arc<App>>,
    mut parameters: Parameters,
) -> Result<Json<TransactionPage>, Problem> {
    let account = parameters.path("account", Account::parse);
    let filter = Filter {
        kind: parameters.query("type", Kind::parse),
        from: parameters.query("from", moment),
        to: parameters.query("to", moment),
    };
    let limit = parameters.query("limit", limit).unwrap_or(LIMIT_DEFAULT);
    let cursor = parameters.query("cursor", |text| Cursor::parse(text).ok_or(NO_CURSOR));
    let account = parameters.end(account)?;
    let page = app.database.store().transactions(&account, filter, cursor.as_ref(), limit);
    let page = app.database.read(page).await?;
    Ok(Json(TransactionPage {
        transactions: page.transactions.iter().map(Row::from).collect(),
        next: page.next.map(|next| next.to_string()),
    }))
}

/// Shows the balance of an account
///
/// An account that has no transactions has no balances.
#[utoipa::path(
    get,
    path = "/v1/accounts/{account}/balance",
    tag = "accounts",
    params(
        ("account" = String, Path, description = "The account"),
        ("at" = Option<String>, Query, description = "As it was recorded at this time, RFC 3339; else now"),
    ),
    responses(
        (status = 200, description = "One balance for each currency", body = Balances),
        (status = 400, description = "A parameter that cannot be used, or that this call does not have", body = Document, content_type = "application/problem+json"),
        (status = 401, description = "No valid key", body = Document, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope read", body = Document, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests; see Retry-After", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "The database cannot be reached", body = Document, content_type = "application/problem+json"),
    ),
    security(("key" = ["read"])),
)]
pub(super) async fn balance(
    _: Reader,
    State(app): State<Arc<App>>,
    mut parameters: Parameters,
) -> Result<Json<Balances>, Problem> {
    let account = parameters.path("account", Account::parse);
    let at = parameters.query("at", moment);
    let account = parameters.end(account)?;
    let balances = app.database.read(app.database.store().balances(&account, at)).await?;
    Ok(Json(Balances {
        account: account.to_string(),
        balances: balances.iter().map(CurrencyBalance::from).collect(),
    }))
}

/// Shows the statement (extrato) of an account in a currency, oldest first
///
/// Each transaction has the balance after it.
#[utoipa::path(
    get,
    path = "/v1/accounts/{account}/statement",
    tag = "accounts",
    params(
        ("account" = String, Path, description = "The account"),
        ("currency" = String, Query, description = "The ISO 4217 code of the currency"),
        ("limit" = Option<u16>, Query, description = "The most transactions of a page: 1 to 1000, else 100"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = TransactionPage),
        (status = 400, description = "A parameter that cannot be used, or that this call does not have", body = Document, content_type = "application/problem+json"),
        (status = 401, description = "No valid key", body = Document, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope read", body = Document, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests; see Retry-After", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "The database cannot be reached", body = Document, content_type = "application/problem+json"),
    ),
    security(("key" = ["read"])),
)]
pub(super) async fn statement(
    _: Reader,
    State(app): State<Arc<App>>,
    mut parameters: Parameters,
) -> Result<Json<TransactionPage>, Problem> {
    let account = parameters.path("account", Account::parse);
    let currency = parameters.required("currency", Currency::parse);
    let limit = parameters.query("limit", limit).unwrap_or(LIMIT_DEFAULT);
    let after = parameters.query("cursor", statement_cursor).unwrap_or_default();
    let (account, currency) = parameters.end(account.zip(currency))?;
    let rows = app.database.store().statement(&account, currency, after, limit);
    let rows = app.database.read(rows).await?;
    let last = rows.last().filter(|_| rows.len() == limit).map(|last| last.account_seq);
    Ok(Json(TransactionPage {
        transactions: rows.iter().map(Row::from).collect(),
        next: last.map(print_statement_cursor),
    }))
}

impl From<&AccountBalance> for CurrencyBalance {
    fn from(balance: &AccountBalance) -> Self {
        Self {
            currency: balance.balance.currency.to_string(),
            balance: balance.balance.to_string(),
            account_seq: balance.account_seq,
            recorded_at: balance.recorded_at.to_string(),
        }
    }
}

fn limit(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| format!("must be 1 to {LIMIT_MAX}"))
}

fn moment(text: &str) -> Result<Timestamp, String> {
    // In a query an unescaped + is a space.
    let hint = if text.contains(' ') { "; in a query a + is written %2B" } else { "" };
    Timestamp::parse(text).map_err(|invalid| format!("{invalid}{hint}"))
}

const NO_CURSOR: &str = "is not a cursor of this call";

/// The number of the last row of a page, in a form that nobody builds on.
fn print_statement_cursor(seq: i64) -> String {
    URL_SAFE_NO_PAD.encode(seq.to_be_bytes())
}

fn statement_cursor(text: &str) -> Result<i64, &'static str> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(i64::from_be_bytes).filter(|seq| *seq > 0).ok_or(NO_CURSOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_of_a_statement_reads_back_what_it_prints() {
        for seq in [1, 12, i64::MAX] {
            assert_eq!(statement_cursor(&print_statement_cursor(seq)), Ok(seq));
        }
        for bad in
            ["", "%", "QlJM", &print_statement_cursor(0), &print_statement_cursor(-1), &"A".repeat(9_000)]
        {
            assert!(statement_cursor(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_moment_whose_plus_became_a_space_is_told_how_to_write_it() {
        assert!(moment("2026-11-21T14:32:00 03:00").unwrap_err().contains("%2B"));
        assert!(moment("2026-11-21T14:32:00+03:00").is_ok());
    }
}
