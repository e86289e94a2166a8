//! The listener on a real Kafka and a real MySQL.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod exactly_once;
mod flow;
mod identity;
mod pipeline;
mod reversal;
mod secure;
mod trace;
