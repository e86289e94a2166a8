//! `transactions`: what was recorded. Rows are never changed or deleted.
//!
//! It has the three indexes that its guarantees need and no other, since each is paid by every write: the primary key,
//! under which rows are appended; `id`, which makes a transaction one row; `account_seq`, which makes the rows of an
//! account and currency a sequence, and serves every read of them.

use sea_orm_migration::{
    DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait,
    sea_query::{ColumnDef, Index, Table},
};

use super::dialect::Dialect;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261121_000001_transactions"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let dialect = Dialect::of(manager);
        let mut seq = ColumnDef::new("seq");
        seq.not_null().auto_increment().primary_key();
        if dialect.is_mysql() {
            seq.big_integer();
        } else {
            seq.integer();
        }
        let table = dialect
            .table("transactions")
            .col(seq)
            .col(ColumnDef::new("id").binary_len(16).not_null())
            .col(dialect.ascii("account", 64).not_null())
            .col(dialect.currency("currency").not_null())
            .col(ColumnDef::new("account_seq").big_integer().not_null())
            .col(dialect.word("kind", &["entrada", "saida"]).not_null())
            .col(ColumnDef::new("amount").big_integer().not_null())
            .col(ColumnDef::new("scale").tiny_unsigned().not_null())
            .col(ColumnDef::new("balance_after").big_integer().not_null())
            .col(ColumnDef::new("description").string_len(500))
            .col(ColumnDef::new("metadata").json())
            .col(dialect.moment("occurred_at").not_null())
            .col(dialect.moment("accepted_at").not_null())
            .col(dialect.moment("recorded_at").not_null())
            .col(dialect.ascii("client", 64).not_null())
            .col(ColumnDef::new("content_hash").binary_len(32).not_null())
            .col(ColumnDef::new("reverses").binary_len(16))
            .col(dialect.ascii("topic_id", 64).not_null())
            .col(ColumnDef::new("partition").integer().not_null())
            .col(ColumnDef::new("offset").big_integer().not_null())
            .index(Index::create().unique().name("id").col("id"))
            .index(
                Index::create()
                    .unique()
                    .name("account_seq")
                    .col("account")
                    .col("currency")
                    .col("account_seq"),
            )
            .to_owned();
        manager.create_table(table).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("transactions").if_exists().to_owned()).await
    }
}
