//! The operator of Fluxo: keeps what a `TransactionPipeline` describes true.
//!
//! In suggested reading order:
//!
//! - [`crd`]: the custom resource, and what the API server refuses by itself.
//! - [`lag`] and [`scaling`]: how far listeners are behind, and how many there should be. Neither does I/O.
//! - [`kafka`]: the only place that knows Kafka's client: offsets, topics.
//! - [`command`]: the program.

pub mod command;
pub mod controller;
pub mod crd;
pub mod kafka;
pub mod lag;
pub mod scaling;
