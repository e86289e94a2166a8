//! A row of `offsets`.

use sea_orm::entity::prelude::*;

/// A row of `offsets`: where a partition goes on.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "offsets")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub topic: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub partition: i32,
    pub cluster_id: String,
    pub topic_id: String,
    pub next_offset: i64,
}

impl ActiveModelBehavior for ActiveModel {}
