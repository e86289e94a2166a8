//! The api: HTTP to Kafka, and reads from the database.
//!
//! Layout, in suggested reading order: `http` has the calls, one file for each group; `http::json` turns a body into
//! a transaction and `publish` takes it from there, through `idempotency`, `admission` and `kafka`; `fates`
//! and `database` ask what became of it. `stream` tells followers what is accepted. `server` is what the calls run in, `keys` who may call, and `api` puts it
//! together. Only `kafka` knows Kafka's client.

mod admission;
mod api;
mod database;
mod fates;
mod http;
mod idempotency;
mod kafka;
mod keys;
mod metrics;
mod publish;
mod server;
mod settings;
mod stream;
pub mod tools;
mod trace;

use fluxo_core::kit::shutdown::Shutdown;

pub use self::{
    admission::{Admission, Backlog},
    api::Api,
    settings::{ApiSettings, AuthMode, Settings},
};

/// Serves until it is told to end.
///
/// # Errors
/// When the settings cannot be used, or something that the api cannot do without fails.
pub async fn run(settings: Settings, shutdown: Shutdown) -> anyhow::Result<()> {
    Api::bind(settings).await?.serve(shutdown).await
}
