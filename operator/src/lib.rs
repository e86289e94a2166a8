//! The operator of Fluxo: keeps what a `TransactionPipeline` describes true.
//!
//! In suggested reading order:
//!
//! - [`crd`]: the custom resource, and what the API server refuses by itself. [`identity`]: what one is told apart by.
//! - [`lag`] and [`scaling`]: how far listeners are behind, and how many there should be. Neither does I/O.
//! - [`kafka`]: the only place that knows Kafka's client: offsets, topics.
//! - [`controller`]: what a pipeline is made of, and the steps by which it is kept true.
//! - [`autoscaler`]: the loop that reads lag and writes the number of listeners.
//! - [`watch`] and [`run`]: the process, which does not get stuck.
//! - [`settings`], [`metrics`] and [`command`]: what the one who runs it sees.

pub mod autoscaler;
pub mod command;
pub mod controller;
pub mod crd;
pub mod identity;
pub mod kafka;
pub mod lag;
pub mod metrics;
pub mod run;
pub mod scaling;
pub mod settings;
pub mod watch;
