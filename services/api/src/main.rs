//! `api`: serves HTTP; see `api --help`.

use std::process::ExitCode;

use fluxo_api::{Settings, tools};
use fluxo_core::kit::process;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match tools::run(std::env::args_os().skip(1)) {
        Some(code) => code,
        None => process::main::<Settings>("api", fluxo_api::run),
    }
}
