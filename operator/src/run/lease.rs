//! The Lease that one of several operators holds.

use std::time::{Duration, Instant};

use kube_lease_manager::{LeaseManager, LeaseManagerBuilder};

use super::Process;
use crate::settings::OperatorSettings;

/// After how long without being renewed the Lease is anybody's, in seconds: the longest that nobody works after a crash.
const DURATION_SECS: u64 = 12;
/// How long before that it is renewed, in seconds.
const GRACE_SECS: u64 = 6;
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
    let lease = LeaseManagerBuilder::new(process.client.clone(), &process.settings.operator_lease)
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

/// Keeps the Lease, until another has it, or it could not be renewed for so long that another may.
pub(super) async fn lost(lease: &LeaseManager) {
    let mut failing_since = None;
    loop {
        match lease.changed().await {
            Ok(true) => failing_since = None,
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the Lease was not renewed");
                let since = *failing_since.get_or_insert_with(Instant::now);
                // It was renewed at most this long before the first failure.
                if since.elapsed() >= Duration::from_secs(GRACE_SECS) {
                    return;
                }
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
