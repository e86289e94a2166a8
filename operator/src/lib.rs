//! The operator of Fluxo: keeps what a `TransactionPipeline` describes true.
//!
//! In suggested reading order:
//!
//! - [`crd`]: the custom resource, and what the API server refuses by itself.
//! - [`command`]: the program.

pub mod command;
pub mod crd;
