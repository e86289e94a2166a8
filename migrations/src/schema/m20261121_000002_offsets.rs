//! `offsets`: where each partition goes on, and on which topic of which cluster.
//!
//! It is moved in the SQL transaction that writes the rows, by compare-and-set on the whole primary key.

use sea_orm_migration::{
    DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait,
    sea_query::{ColumnDef, Index, Table},
};

use super::dialect::Dialect;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261121_000002_offsets"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let dialect = Dialect::of(manager);
        let table = dialect
            .table("offsets")
            .col(dialect.ascii("topic", 249).not_null())
            .col(ColumnDef::new("partition").integer().not_null())
            .col(dialect.ascii("cluster_id", 64).not_null())
            .col(dialect.ascii("topic_id", 64).not_null())
            .col(ColumnDef::new("next_offset").big_integer().not_null())
            .primary_key(Index::create().col("topic").col("partition"))
            .to_owned();
        manager.create_table(table).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("offsets").if_exists().to_owned()).await
    }
}
