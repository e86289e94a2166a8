//! The listener on a real Kafka and a real MySQL.

mod exactly_once;
mod flow;
mod identity;
mod pipeline;
