//! The migrations, in the order in which they run.
//!
//! Each is one statement that does no harm when it is run again: MySQL commits every change of a table by itself, so a
//! process that dies between a change and its entry in `seaql_migrations` is followed by one that begins there.
#![allow(
    elided_lifetimes_in_paths,
    reason = "SeaORM's trait elides them, and async_trait takes no others then"
)]

mod dialect;
mod m20261121_000001_transactions;
mod m20261121_000002_offsets;
mod m20261121_000003_quarantine;
mod m20261121_000004_ledger;
mod m20261121_000005_owner;
mod m20261122_000006_quarantine_forwarded;

use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// All migrations of this build.
#[derive(Clone, Copy, Debug)]
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261121_000001_transactions::Migration),
            Box::new(m20261121_000002_offsets::Migration),
            Box::new(m20261121_000003_quarantine::Migration),
            Box::new(m20261121_000004_ledger::Migration),
            Box::new(m20261121_000005_owner::Migration),
            Box::new(m20261122_000006_quarantine_forwarded::Migration),
        ]
    }
}
