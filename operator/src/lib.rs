//! The operator of Fluxo: keeps what a `TransactionPipeline` describes true.

pub mod kafka;
pub mod lag;
pub mod scaling;
