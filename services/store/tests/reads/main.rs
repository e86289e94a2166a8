//! Reads on real databases, against a plain model of the same rows: MySQL, and SQLite for the demo.
#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

mod bounds;
mod history;
mod ledger;
mod lists;
mod rows;

/// Makes of each function a test on each of the two databases.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod on_mysql {
            $(#[tokio::test] async fn $name() { super::$name(&crate::ledger::Ledger::mysql().await).await })*
        }
        mod on_sqlite {
            $(#[tokio::test] async fn $name() { super::$name(&crate::ledger::Ledger::sqlite().await).await })*
        }
    };
}
pub(crate) use on_both;
