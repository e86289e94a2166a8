//! One connection for all pipelines that reach a cluster in the same way.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use crate::kafka::{Connection, Error, Kafka};

/// The connections that there are. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Clusters(Arc<Mutex<HashMap<Connection, Kafka>>>);

impl Clusters {
    /// The connection, made if it is not there: with the name of a `group` that its user may read as.
    ///
    /// # Errors
    /// When it cannot be made with these settings.
    pub fn get(&self, connection: &Connection, group: &str) -> Result<Kafka, Error> {
        let mut clusters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kafka) = clusters.get(connection) {
            return Ok(kafka.clone());
        }
        let kafka = Kafka::new(connection.clone(), group)?;
        clusters.insert(connection.clone(), kafka.clone());
        Ok(kafka)
    }

    /// Closes all others.
    pub fn keep(&self, used: &HashSet<Connection>) {
        let mut clusters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let closed: Vec<_> = clusters.extract_if(|connection, _| !used.contains(connection)).collect();
        drop(clusters);
        if !closed.is_empty() {
            // Closing may block for a moment.
            drop(tokio::task::spawn_blocking(move || drop(closed)));
        }
    }
}
