//! The api as its clients see it: over HTTP, with librdkafka's mock cluster and a SQLite file; and, in [`kafka`], with
//! a real Kafka.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod auth;
mod batch;
mod idempotency;
mod idle;
mod kafka;
mod killed;
mod limits;
mod operation;
mod reads;
mod reversal;
mod stream;
mod submit;
mod support;
