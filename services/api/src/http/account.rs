//! `GET /v1/accounts/{account}/…`: the transactions, the balance and the statement (extrato) of an account.

use std::sync::Arc;

use axum::{Json, extract::State};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use fluxo_core::{Account, Currency, Kind, Timestamp};
use fluxo_store::read::{AccountBalance, Cursor, Filter};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    App,
    auth::Reader,
    parameters::Parameters,
    problem::{Document, Problem},
    transaction::Row,
};

/// How many transactions a page has, unless the request says otherwise, and at most.
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1_000;
/// The longest cursor, in characters: more currencies than there are.
const CURSOR_MAX: usize = 8_192;

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
    account_seq: u64,
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
    let cursor = parameters.query("cursor", list_cursor);
    let account = parameters.end(account)?;
    let page = app.database.store().transactions(&account, filter, cursor.as_ref(), limit);
    let page = app.database.read(page).await?;
    Ok(Json(TransactionPage {
        transactions: page.transactions.iter().map(Row::from).collect(),
        next: page.next.as_ref().map(print_list_cursor),
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
        next: last.map(|seq| URL_SAFE_NO_PAD.encode(seq.to_string())),
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

fn uncode(text: &str) -> Option<String> {
    let short = Some(text).filter(|text| text.len() <= CURSOR_MAX)?;
    String::from_utf8(URL_SAFE_NO_PAD.decode(short).ok()?).ok()
}

fn statement_cursor(text: &str) -> Result<u64, &'static str> {
    uncode(text).and_then(|text| text.parse().ok()).ok_or("is not a cursor of this call")
}

/// `BRL:12,USD:3`, so that nobody builds on it in Base64.
fn print_list_cursor(cursor: &Cursor) -> String {
    let parts: Vec<_> = cursor.0.iter().map(|(currency, seq)| format!("{currency}:{seq}")).collect();
    URL_SAFE_NO_PAD.encode(parts.join(","))
}

fn list_cursor(text: &str) -> Result<Cursor, &'static str> {
    let part = |part: &str| {
        let (currency, seq) = part.split_once(':')?;
        Currency::parse(currency).ok().zip(seq.parse().ok())
    };
    let text = uncode(text);
    let parts = text.and_then(|text| text.split(',').map(part).collect());
    parts.map(Cursor).ok_or("is not a cursor of this call")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_what_it_prints() {
        let currency = |code| Currency::parse(code).unwrap();
        let cursor = Cursor(vec![(currency("BRL"), 12), (currency("USD"), u64::MAX)]);
        assert_eq!(list_cursor(&print_list_cursor(&cursor)), Ok(cursor));
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for bad in ["", "%", "QlJM", &URL_SAFE_NO_PAD.encode("BRL:-1"), &"A".repeat(9_000)] {
            assert!(list_cursor(bad).is_err(), "{bad}");
            assert!(statement_cursor(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_moment_whose_plus_became_a_space_is_told_how_to_write_it() {
        assert!(moment("2026-11-21T14:32:00 03:00").unwrap_err().contains("%2B"));
        assert!(moment("2026-11-21T14:32:00+03:00").is_ok());
    }
}
