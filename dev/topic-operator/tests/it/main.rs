//! The stand-in on a real API server with Strimzi's real resources, and a real Kafka.
#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

mod behaviour;
mod cluster;
mod observed;
