//! `quarantine`: records that can never become a row, as Kafka had them, and whether the dead-letter topic has them.

use sea_orm_migration::{
    DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait,
    sea_query::{ColumnDef, Index, Table},
};

use super::dialect::Dialect;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261121_000003_quarantine"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let dialect = Dialect::of(manager);
        let mut table = dialect
            .table("quarantine")
            .col(dialect.ascii("topic_id", 64).not_null())
            .col(ColumnDef::new("partition").integer().not_null())
            .col(ColumnDef::new("offset").big_integer().not_null())
            .col(dialect.ascii("topic", 249).not_null())
            .col(ColumnDef::new("id").binary_len(16))
            .col(dialect.ascii("reason", 32).not_null())
            .col(dialect.bytes("key"))
            .col(dialect.bytes("value"))
            .col(dialect.bytes("headers").not_null())
            // Milliseconds since 1970, which is what Kafka keeps: a producer may write any number there.
            .col(ColumnDef::new("record_timestamp").big_integer())
            .col(dialect.moment("recorded_at").not_null())
            .col(dialect.moment("forwarded_at"))
            .primary_key(Index::create().col("topic_id").col("partition").col("offset"))
            .to_owned();
        if dialect.is_mysql() {
            table.index(Index::create().name("id").col("id"));
            return manager.create_table(table).await;
        }
        // SQLite has no such index inside a table.
        manager.create_table(table).await?;
        let index =
            Index::create().if_not_exists().name("quarantine_id").table("quarantine").col("id").to_owned();
        manager.create_index(index).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("quarantine").if_exists().to_owned()).await
    }
}
