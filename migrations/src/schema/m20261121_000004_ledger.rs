//! `ledger`: the transactions for people who read with SQL. Amounts are decimals, ids are text.
//!
//! Every amount is exact. On MySQL it is a DECIMAL with the four decimals that a currency can have at most; SQLite has
//! no such type, so it is text with as many as the currency has.

use sea_orm_migration::{
    DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait, sea_orm::ConnectionTrait,
};

use super::dialect::Dialect;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261121_000004_ledger"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let view = if Dialect::of(manager).is_mysql() {
            // Whoever reads it needs to be allowed to read the table: the view gives nobody a right.
            let select = select(mysql_decimal, |id| format!("BIN_TO_UUID({id})"));
            format!("CREATE OR REPLACE SQL SECURITY INVOKER VIEW ledger AS {select}")
        } else {
            format!("CREATE VIEW IF NOT EXISTS ledger AS {}", select(sqlite_decimal, sqlite_uuid))
        };
        manager.get_connection().execute_unprepared(&view).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared("DROP VIEW IF EXISTS ledger").await?;
        Ok(())
    }
}

fn select(decimal: fn(&str) -> String, uuid: fn(&str) -> String) -> String {
    format!(
        "SELECT seq, {id} AS id, account, account_seq, kind, currency, {amount} AS amount, \
         {balance_after} AS balance_after, description, metadata, occurred_at, accepted_at, recorded_at, client, \
         {reverses} AS reverses FROM transactions",
        id = uuid("id"),
        amount = decimal("amount"),
        balance_after = decimal("balance_after"),
        reverses = uuid("reverses"),
    )
}

/// Never a division or `POW`, which are not exact. 19 digits are those of any BIGINT.
fn mysql_decimal(column: &str) -> String {
    let unit =
        "CASE scale WHEN 0 THEN 1 WHEN 1 THEN 0.1 WHEN 2 THEN 0.01 WHEN 3 THEN 0.001 WHEN 4 THEN 0.0001 END";
    format!("CAST({column} * {unit} AS DECIMAL(23,4))")
}

/// The parts are taken apart before `abs`, which fails for the lowest integer.
fn sqlite_decimal(column: &str) -> String {
    let unit = "CASE scale WHEN 1 THEN 10 WHEN 2 THEN 100 WHEN 3 THEN 1000 WHEN 4 THEN 10000 END";
    format!(
        "CASE WHEN scale = 0 THEN CAST({column} AS TEXT) ELSE printf('%s%d.%0*d', \
         CASE WHEN {column} < 0 THEN '-' ELSE '' END, abs({column} / {unit}), scale, abs({column} % {unit})) END"
    )
}

fn sqlite_uuid(column: &str) -> String {
    let part = |from, length| format!("substr(lower(hex({column})), {from}, {length})");
    let parts = [part(1, 8), part(9, 4), part(13, 4), part(17, 4), part(21, 12)];
    format!("CASE WHEN {column} IS NOT NULL THEN {} END", parts.join(" || '-' || "))
}
