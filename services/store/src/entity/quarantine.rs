//! A row of `quarantine`.

use sea_orm::entity::prelude::*;
use time::PrimitiveDateTime;

/// A row of `quarantine`: a record that can never be a transaction.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "quarantine")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub topic_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub partition: i32,
    #[sea_orm(primary_key, auto_increment = false)]
    pub offset: i64,
    pub topic: String,
    #[sea_orm(column_type = "Binary(16)", indexed)]
    pub id: Option<Vec<u8>>,
    pub reason: String,
    #[sea_orm(column_type = "Blob")]
    pub key: Option<Vec<u8>>,
    #[sea_orm(column_type = "Blob")]
    pub value: Option<Vec<u8>>,
    #[sea_orm(column_type = "Blob")]
    pub headers: Vec<u8>,
    /// Milliseconds since 1970, as Kafka keeps them.
    pub record_timestamp: Option<i64>,
    pub recorded_at: PrimitiveDateTime,
    /// When the dead-letter topic had it.
    pub forwarded_at: Option<PrimitiveDateTime>,
}

impl ActiveModelBehavior for ActiveModel {}
