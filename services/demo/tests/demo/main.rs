//! The demo as its users have it: by its calls, through a stop, and through a kill.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod client;
mod kill;
mod load;

use std::time::Duration;

/// How long anything that must come may take, on a machine that does other things too.
const TIMEOUT: Duration = Duration::from_mins(2);
