//! The listener's process.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    fluxo_core::kit::process::main("fluxo-listener", fluxo_listener::run)
}
