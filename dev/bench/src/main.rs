//! What Fluxo reaches against its floors, measured in one run on one machine: what counts are the ratios, and the CPU
//! that each process takes for a transaction. `make bench` runs it on servers of its own; see `--help` for its parts.
//!
//! Layout: `part` has the measurements; they use `child` (a service in a process of its own), `load` (HTTP as
//! fast, or as often, as wanted), `server` (Kafka and MySQL), `measure` (CPU and memory), `table`, and `progress` for
//! whoever waits for a long one.
#![allow(
    clippy::disallowed_types,
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "measurements, not money"
)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output is what it is for")]

mod child;
mod command;
mod load;
mod measure;
mod part;
mod progress;
mod server;
mod table;

/// That of the services, which run in this program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    command::run().await
}
