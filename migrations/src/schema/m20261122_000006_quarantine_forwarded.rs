//! An index of `quarantine` by which the rows are found that the dead-letter topic has yet to get: however many it has
//! got, they are not read again.

use sea_orm_migration::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait, sea_query::Index};

use super::dialect::Dialect;

pub(super) struct Migration;

const TABLE: &str = "quarantine";

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261122_000006_quarantine_forwarded"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let name = name(manager);
        // MySQL knows no IF NOT EXISTS here. One process at a time changes a schema, so nobody comes in between.
        if manager.has_index(TABLE, name).await? {
            return Ok(());
        }
        manager.create_index(Index::create().name(name).table(TABLE).col("forwarded_at").to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let name = name(manager);
        if !manager.has_index(TABLE, name).await? {
            return Ok(());
        }
        manager.drop_index(Index::drop().name(name).table(TABLE).to_owned()).await
    }
}

/// Names of indices are a table's own in MySQL, and the database's in SQLite.
fn name(manager: &SchemaManager) -> &'static str {
    if Dialect::of(manager).is_mysql() { "forwarded_at" } else { "quarantine_forwarded_at" }
}
