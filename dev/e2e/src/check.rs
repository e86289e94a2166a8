//! Reading all statements, and comparing them with what was posted.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use uuid::Uuid;

use crate::{Api, load::Plan};

/// How long what was accepted may take to become rows.
const PATIENCE: Duration = Duration::from_mins(3);
const AGAIN: Duration = Duration::from_millis(500);

#[derive(Deserialize)]
struct Statement {
    transactions: Vec<Row>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Row {
    id: Uuid,
    account_seq: u64,
    amount: String,
    kind: String,
    balance_after: String,
}

/// Looks whether each transaction is exactly one row, and each balance the sum of its account; how many accounts.
pub(crate) async fn all(api: &Api, plan: &Plan, ids: &[(u64, Uuid)]) -> anyhow::Result<usize> {
    let mut accounts = BTreeMap::<String, BTreeMap<Uuid, i64>>::new();
    for (number, id) in ids {
        let twice = accounts.entry(plan.account(*number)).or_default().insert(*id, Plan::centavos(*number));
        ensure!(twice.is_none(), "two transactions have the id {id}");
    }
    let begun = Instant::now();
    for (account, posted) in &accounts {
        let rows = loop {
            match statement(api, account).await {
                Ok(rows) if rows.len() >= posted.len() => break rows,
                Ok(rows) if begun.elapsed() > PATIENCE => {
                    bail!("{account} has {} rows of {} after {PATIENCE:?}", rows.len(), posted.len())
                }
                Err(error) if begun.elapsed() > PATIENCE => return Err(error),
                Ok(_) | Err(_) => tokio::time::sleep(AGAIN).await,
            }
        };
        compare(&rows, posted).with_context(|| format!("account {account}"))?;
    }
    Ok(accounts.len())
}

/// Rows in the order of the account against what was posted.
fn compare(rows: &[Row], posted: &BTreeMap<Uuid, i64>) -> anyhow::Result<()> {
    ensure!(rows.len() == posted.len(), "{} rows of {} transactions", rows.len(), posted.len());
    let mut balance = 0;
    let mut seen = std::collections::BTreeSet::new();
    for (row, seq) in rows.iter().zip(1..) {
        ensure!(seen.insert(row.id), "two rows of {}", row.id);
        let expected = posted.get(&row.id).with_context(|| format!("{} was never posted", row.id))?;
        let amount = if row.kind == "saida" { -centavos(&row.amount)? } else { centavos(&row.amount)? };
        balance += amount;
        let right = row.account_seq == seq && amount == *expected && centavos(&row.balance_after)? == balance;
        ensure!(right, "{row:?} should be row {seq}, move {expected} and leave {balance}");
    }
    Ok(())
}

fn centavos(amount: &str) -> anyhow::Result<i64> {
    let (whole, cents) = amount.split_once('.').context("an amount without centavos")?;
    let unsigned: i64 = format!("{}{cents}", whole.trim_start_matches('-')).parse()?;
    Ok(if whole.starts_with('-') { -unsigned } else { unsigned })
}

async fn statement(api: &Api, account: &str) -> anyhow::Result<Vec<Row>> {
    let (mut rows, mut cursor) = (Vec::new(), None);
    loop {
        let mut query = vec![("currency", "BRL".to_owned()), ("limit", "1000".to_owned())];
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let request = api.http.get(format!("{}/v1/accounts/{account}/statement", api.url)).query(&query);
        let page: Statement = request.send().await?.error_for_status()?.json().await?;
        rows.extend(page.transactions);
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(rows),
        }
    }
}
