//! The operator's process against a real API server and a real Kafka: what it makes, mends, refuses and leaves.
//!
//! There are no nodes, so pods stay pending: what must be ready is said to be by the tests themselves.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod changes;
mod children;
mod deletion;
mod middle;
mod pitfalls;
mod references;
mod scaling;
mod scene;
mod steps;
mod strimzi;
mod survival;
mod topics;

use std::time::Duration;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_mins(1);
