//! The Lease that one of several operators holds.

use std::time::{Duration, Instant};

use kube::Client;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder};
use tower::BoxError;

use super::Process;
use crate::settings::OperatorSettings;

/// After how long without being renewed the Lease is anybody's, in seconds: the longest that nobody works after a crash.
const DURATION_SECS: u64 = 12;
/// How long before that it is renewed, in seconds.
const GRACE_SECS: u64 = 6;
/// How long the API server may take for an answer about the Lease.
const ANSWER_MOST: Duration = Duration::from_secs(2);
/// How long after a first failure the Lease counts as lost. The failure came at most 8 s after the last renewal, and the
/// last try before this ends takes at most 3 s: in all, less than after what the Lease is anybody's.
const LOST_AFTER: Duration = Duration::from_secs(3);
/// How soon the API server is asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long the Lease is given back, at most: after that it runs out by itself.
const GIVE_BACK_MOST: Duration = Duration::from_secs(2);

/// What this process is called.
pub(super) fn identity(settings: &OperatorSettings) -> String {
    settings.operator_identity.clone().unwrap_or_else(|| {
        let started = jiff::Timestamp::now().as_nanosecond();
        format!("operator-{}-{started:x}", std::process::id())
    })
}

/// Waits until this process holds the Lease.
pub(super) async fn hold(process: &Process, identity: &str) -> LeaseManager {
    loop {
        match try_hold(process, identity).await {
            Ok(lease) => return lease,
            Err(error) => {
                process.readiness.fails(format!("the Lease cannot be held: {error}"));
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

async fn try_hold(process: &Process, identity: &str) -> kube_lease_manager::Result<LeaseManager> {
    let namespace = process.settings.operator_namespace.as_deref();
    let lease = LeaseManagerBuilder::new(prompt(process.client.clone()), &process.settings.operator_lease)
        .with_namespace(namespace.unwrap_or(process.client.default_namespace()))
        .with_duration(DURATION_SECS)
        .with_grace(GRACE_SECS)
        .with_identity(identity)
        .with_field_manager(identity)
        .build()
        .await?;
    // One that waits is ready to take over.
    process.readiness.holds();
    while !lease.changed().await? {}
    Ok(lease)
}

/// A client that has an answer soon, or none.
fn prompt(client: Client) -> Client {
    let namespace = client.default_namespace().to_owned();
    let asked = tower::service_fn(move |request| {
        let client = client.clone();
        async move { Ok::<_, BoxError>(tokio::time::timeout(ANSWER_MOST, client.send(request)).await??) }
    });
    Client::new(asked, namespace)
}

/// Keeps the Lease, until another has it, or it could not be renewed for so long that another may.
pub(super) async fn lost(lease: &LeaseManager) {
    let mut failing = None;
    loop {
        match lease.changed().await {
            Ok(true) => failing = None,
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the Lease was not renewed");
                let now = Instant::now();
                // Tries that fail follow each other closely: before one that comes alone, the Lease was renewed.
                let since = match failing {
                    Some((since, last)) if now - last < Duration::from_secs(GRACE_SECS) => since,
                    _ => now,
                };
                if now - since >= LOST_AFTER {
                    return;
                }
                failing = Some((since, now));
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// Lets another process work at once.
pub(super) async fn give_back(lease: &LeaseManager) {
    match tokio::time::timeout(GIVE_BACK_MOST, lease.release()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the Lease was not given back");
        }
        Err(_) => tracing::warn!("the Lease was not given back in time"),
    }
}
