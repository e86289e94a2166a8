//! `demo`: both services in one process; see `demo --help`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    fluxo_core::kit::process::main("fluxo-demo", fluxo_demo::run)
}
