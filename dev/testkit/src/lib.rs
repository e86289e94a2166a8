//! A database, a topic and a namespace of its own for each test, on the real servers that `make test` starts.
//!
//! A test that passes leaves nothing behind but a user of Kafka who may do nothing. One that panics leaves its database,
//! its topic and its namespace, and prints their names, so that their state can be looked at; of a namespace it prints
//! what is in it.

mod database;
mod link;
mod namespace;
mod poll;
mod topic;
mod user;

pub use database::{TestDatabase, database};
pub use fluxo_kafka::admin::{On, Right};
pub use link::Link;
pub use namespace::{TestNamespace, kubernetes, kubernetes_config, namespace};
pub use poll::eventually;
pub use topic::{Login, TestTopic, TestTopics, kafka, secure_kafka, secure_topic, topic, topics};
pub use user::{TestUser, secure_user};

/// A variable that names a server.
#[allow(clippy::disallowed_methods, reason = "where the servers are is no setting of a service")]
#[allow(clippy::panic, reason = "without its server a test has failed")]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: `make test` starts the servers that tests need and sets it")
    })
}

/// Runs `clean` on a runtime of its own and waits for it: a test's own cannot be waited on while a value is dropped.
fn block_on(clean: impl Future<Output = anyhow::Result<()>> + Send) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        let cleaned = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(clean)
        });
        cleaned.join().unwrap_or_else(|_| Err(anyhow::anyhow!("panicked")))
    })
}

/// Cleans up after a test that passed; says what is left of one that did not.
#[allow(clippy::print_stderr, reason = "it is read beside the failure of the test")]
fn clean_up(what: &str, clean: impl Future<Output = anyhow::Result<()>> + Send) {
    if std::thread::panicking() {
        eprintln!("left for you to look at: {what}");
    } else if let Err(error) = block_on(clean) {
        eprintln!("left behind: {what}: {error:#}");
    }
}
