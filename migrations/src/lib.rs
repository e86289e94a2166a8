//! The schema of Fluxo, as migrations that run on MySQL and, for the demo, on SQLite.
//!
//! Layout: [`schema`] holds the migrations, one file each; [`change`] runs them, one process at a time; [`command`] is
//! the program `migrations`, which waits for a database that is away. `README.md` says how a table is changed while
//! two releases run on it.

pub mod change;
pub mod command;
mod reach;
pub mod schema;

pub use change::{State, down, status, up, up_for};
pub use schema::Migrator;
pub use sea_orm_migration::MigratorTrait;
