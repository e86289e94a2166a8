//! A row of `transactions`.

use sea_orm::entity::prelude::*;
use time::PrimitiveDateTime;

/// A row of `transactions`: written once, never changed.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "transactions")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub seq: i64,
    #[sea_orm(unique, column_type = "Binary(16)")]
    pub id: Uuid,
    pub account: String,
    pub currency: String,
    pub account_seq: i64,
    pub kind: String,
    /// Minor units of the currency; above zero.
    pub amount: i64,
    pub scale: u8,
    /// Minor units of the currency.
    pub balance_after: i64,
    pub description: Option<String>,
    /// An object of strings.
    pub metadata: Option<Json>,
    pub occurred_at: PrimitiveDateTime,
    pub accepted_at: PrimitiveDateTime,
    pub recorded_at: PrimitiveDateTime,
    pub client: String,
    #[sea_orm(column_type = "Binary(32)")]
    pub content_hash: Vec<u8>,
    #[sea_orm(column_type = "Binary(16)")]
    pub reverses: Option<Uuid>,
    pub topic_id: String,
    pub partition: i32,
    pub offset: i64,
}

impl ActiveModelBehavior for ActiveModel {}
