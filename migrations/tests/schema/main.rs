//! The schema on real databases: MySQL, and SQLite for the demo.
#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

mod empty;
mod generated;
mod program;
mod rights;
mod steps;

/// Makes of each function a test on each of the two databases.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod on_mysql {
            $(#[tokio::test] async fn $name() { super::$name(&crate::empty::Empty::mysql().await).await })*
        }
        mod on_sqlite {
            $(#[tokio::test] async fn $name() { super::$name(&crate::empty::Empty::sqlite().await).await })*
        }
    };
}
pub(crate) use on_both;
