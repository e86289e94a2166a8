//! The demo: both services in one process, with nothing to install. Kafka is librdkafka's mock cluster, in memory;
//! the database is a SQLite file, which stays.
//!
//! Layout, in suggested reading order: `settings` are the demo's own and those that it gives the services;
//! `demo` puts the parts together and ends them in their order; `kafka` is the mock cluster; `data` the file.
//! The services do not know that they are in a demo.

mod data;
mod demo;
mod kafka;
mod settings;

use fluxo_core::kit::shutdown::Shutdown;

pub use self::{demo::Demo, settings::Settings};

/// Runs until it is told to end.
///
/// # Errors
/// When a port or the file cannot be used, or a service fails.
pub async fn run(settings: Settings, shutdown: Shutdown) -> anyhow::Result<()> {
    Box::pin(Demo::bind(settings).await?.serve(shutdown)).await
}
