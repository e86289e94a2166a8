//! The listener's state machines against a model of Kafka and of the database, on virtual time.
//!
//! What is simulated is the code that runs: [`Sink`](fluxo_listener::sink::Sink), which decides what is fetched and
//! written when; [`resolve::decide`](fluxo_listener::resolve::decide), which decides where a partition may go on; and
//! [`record::drive`](fluxo_store::record::drive), which turns a batch into rows. What is modelled is what they talk to.
//! One number, the seed, decides everything that happens, so a run that fails can be run again.
//!
//! Layout, in suggested reading order: `world` is what happens, step by step; `listener` is one process; `kafka` and
//! `database` are the models; `verdict` is what must hold at the end; [`Mutant`] is what must be found out.

mod database;
mod kafka;
mod listener;
mod mutant;
mod verdict;
mod world;

pub use mutant::Mutant;
pub use world::{Summary, simulate};
