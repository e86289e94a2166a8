//! The listener on a real Kafka and a real MySQL.

mod flow;
mod identity;
mod pipeline;
