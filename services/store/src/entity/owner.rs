//! The row of `owner`.

use sea_orm::entity::prelude::*;

/// The row of `owner`: whose the database is.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "owner")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: u8,
    pub pipeline: String,
}

impl ActiveModelBehavior for ActiveModel {}
