//! The only place of the operator that knows rdkafka: what it asks a cluster, and what it tells it.
//!
//! A [`Kafka`] is one connection to a cluster as one user. It is never a member of a group: groups are named in each
//! question, so one serves every pipeline that has the same [`Connection`]. It starts no transaction, produces nothing
//! and commits nothing.

mod age;
mod connection;
mod context;
mod error;
mod offsets;
pub mod topic;

use std::{sync::Arc, time::Duration};

use fluxo_kafka::admin::{self, Admin};
use rdkafka::consumer::{BaseConsumer, Consumer as _};

pub use connection::{Connection, KeyPair, Sasl, SaslMechanism, Tls};
use context::Context;
pub use error::Error;

/// How long one question may take, unless another time is chosen.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How many events of librdkafka are served between questions.
const EVENTS_MOST: usize = 64;

/// One connection to a cluster, as one user. Its clones are the same connection.
///
/// Dropping the last clone closes the connection, which may block for a moment.
#[derive(Clone)]
pub struct Kafka {
    client: Arc<BaseConsumer<Context>>,
    connection: Arc<Connection>,
    timeout: Duration,
}

impl Kafka {
    /// Prepares a connection. Brokers that are away are no error here. `group` is one that this user may read as: the
    /// client has its name and never joins it, nor is it asked about for that.
    ///
    /// # Errors
    /// When librdkafka cannot use the settings, for instance a certificate that is none.
    pub fn new(connection: Connection, group: &str) -> Result<Self, Error> {
        let client =
            connection.client(group).create_with_context(Context::default()).map_err(Error::Settings)?;
        Ok(Self { client: Arc::new(client), connection: Arc::new(connection), timeout: TIMEOUT })
    }

    /// The same connection, on which one question may take so long.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Asks about a topic, on a thread that may block.
    async fn ask<T: Send + 'static>(
        &self,
        topic: &str,
        question: impl FnOnce(&Admin<'_, Context>, &str) -> Result<T, admin::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (client, timeout, topic) = (Arc::clone(&self.client), self.timeout, topic.to_owned());
        let asked = tokio::task::spawn_blocking(move || {
            let answer = question(&Admin::new(client.client(), timeout), &topic);
            // What librdkafka logs would otherwise be kept in memory until it is asked for.
            for _ in 0..EVENTS_MOST {
                let _ = client.poll(Duration::ZERO);
            }
            answer.map_err(|error| Error::of(error, &topic).because(client.context().last_error()))
        });
        asked.await.expect("a question does not panic, and is not cancelled")
    }
}

impl std::fmt::Debug for Kafka {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kafka").field("connection", &self.connection).finish_non_exhaustive()
    }
}
