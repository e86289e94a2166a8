//! `owner`: whose the database is, in one row; nobody's as long as there is none.

use sea_orm_migration::{
    DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait,
    sea_query::{ColumnDef, Expr, ExprTrait, Table},
};

use super::dialect::Dialect;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261121_000005_owner"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let dialect = Dialect::of(manager);
        // No second row can be added, whoever writes it.
        let is_the_only = Expr::col("id").eq(1);
        let table = dialect
            .table("owner")
            .col(ColumnDef::new("id").tiny_unsigned().not_null().primary_key().check(is_the_only))
            // A namespace, a slash, and the name of a pipeline.
            .col(dialect.ascii("pipeline", 317).not_null())
            .to_owned();
        manager.create_table(table).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("owner").if_exists().to_owned()).await
    }
}
