//! The tables, as SeaORM sees them. Nothing outside this crate knows them.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "SeaORM makes more of an entity than is used, and all of it public"
)]

pub mod offset;
pub mod owner;
pub mod quarantine;
pub mod transaction;
