//! What every Fluxo process runs in: logs and traces, the admin port, readiness, shutdown, exit codes.

pub mod admin;
pub mod health;
pub mod process;
pub mod shutdown;
pub mod telemetry;
