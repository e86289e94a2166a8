//! The rows of Fluxo: the only crate that knows the entities of the database.
//!
//! Layout: [`connect`] opens a [`Store`]; [`record`] is the one SQL transaction that turns a batch of records into
//! rows, exactly once; [`offsets`] says where each partition goes on, [`owner`] whose the database is; [`quarantine`]
//! tells what can never be a row, and what the dead-letter topic has of it; [`read`] answers questions about
//! transactions, balances and statements, each with a bounded number of index reads; [`error`] sorts what can fail.

pub mod connect;
mod entity;
pub mod error;
mod headers;
pub mod offsets;
pub mod owner;
pub mod quarantine;
pub mod read;
pub mod record;
mod socket;

pub use connect::Store;
pub use error::Error;
