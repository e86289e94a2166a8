//! The operator's questions to Kafka, asked of a real one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod offsets;
mod rights;
mod topics;

use std::time::Duration;

use fluxo_operator::kafka::{Connection, Kafka};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// The Kafka of the tests.
fn kafka() -> Kafka {
    Kafka::new(Connection::plaintext(fluxo_testkit::kafka()), "fluxo-tests").unwrap().with_timeout(PATIENCE)
}

/// A Kafka that is not there, and is soon given up.
fn away() -> Kafka {
    Kafka::new(Connection::plaintext("127.0.0.1:1"), "fluxo-tests")
        .unwrap()
        .with_timeout(Duration::from_millis(500))
}
