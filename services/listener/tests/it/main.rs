//! The listener on a real Kafka and a real MySQL.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod commands;
mod dead_letters;
mod exactly_once;
mod flow;
mod identity;
mod pipeline;
mod replay;
mod reversal;
mod secure;
