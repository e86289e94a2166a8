//! The Lease that one of several operators holds.
//!
//! Whoever holds it works only until it may be another's: that is told by when it was last renewed, and not by whether
//! the API server has answered since.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use kube::{Client, client::Body};
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder};
use tower::BoxError;

use super::Process;
use crate::settings::OperatorSettings;

/// After how long without being renewed the Lease is anybody's, in seconds: the longest that nobody works after a crash.
const DURATION_SECS: u64 = 12;
/// How long before that it is renewed, in seconds.
const GRACE_SECS: u64 = 8;
/// How long after it was renewed its holder still works: shorter than the Lease, for what is under way then.
const WORKS_MOST: Duration = Duration::from_secs(10);
/// How soon the API server is asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often one that waits looks whether the Lease was given back.
const LOOKS: Duration = Duration::from_secs(2);
/// How long an answer about the Lease may take: some fit between when it is to be renewed and when work ends.
const ANSWER_MOST: Duration = Duration::from_secs(2);
/// How long the Lease is given back, at most: after that it runs out by itself.
const GIVE_BACK_MOST: Duration = Duration::from_secs(2);

/// What this process is called.
pub(super) fn identity(settings: &OperatorSettings) -> String {
    settings.operator_identity.clone().unwrap_or_else(|| {
        let started = jiff::Timestamp::now().as_nanosecond();
        format!("operator-{}-{started:x}", std::process::id())
    })
}

/// The Lease, which this process holds.
pub(super) struct Lease {
    manager: LeaseManager,
    renewed: Renewed,
}

/// When the Lease was last renewed.
#[derive(Clone)]
struct Renewed(Arc<Mutex<Instant>>);

/// Waits until this process holds the Lease.
pub(super) async fn hold(process: &Process, identity: &str) -> Lease {
    loop {
        match try_hold(process, identity).await {
            Ok(Some(lease)) => return lease,
            Ok(None) => {}
            Err(error) => {
                process.readiness.fails(format!("the Lease cannot be held: {error}"));
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// The Lease, or `None` when it is still another's.
async fn try_hold(process: &Process, identity: &str) -> kube_lease_manager::Result<Option<Lease>> {
    let namespace = process.settings.operator_namespace.as_deref();
    let renewed = Renewed(Arc::new(Mutex::new(Instant::now())));
    let client = renewed.noted_by(process.client.clone());
    let manager = LeaseManagerBuilder::new(client, &process.settings.operator_lease)
        .with_namespace(namespace.unwrap_or(process.client.default_namespace()))
        .with_duration(DURATION_SECS)
        .with_grace(GRACE_SECS)
        .with_identity(identity)
        .with_field_manager(identity)
        .build()
        .await?;
    // One that waits is ready to take over.
    process.readiness.holds();
    // The manager would look again when the Lease runs out, and not when it is given back.
    match tokio::time::timeout(LOOKS, manager.changed()).await {
        Ok(is_held) => Ok(is_held?.then_some(Lease { manager, renewed })),
        Err(_) => Ok(None),
    }
}

impl Lease {
    /// Keeps the Lease, until another has it, or it could not be renewed for so long that another may.
    pub(super) async fn lost(&self) {
        tokio::select! {
            () = self.taken() => {}
            () = self.renewed.too_long_ago() => {}
        }
    }

    /// Renews the Lease until another has it.
    async fn taken(&self) {
        loop {
            match self.manager.changed().await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the Lease was not renewed");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// Lets another process work at once.
    pub(super) async fn give_back(&self) {
        match tokio::time::timeout(GIVE_BACK_MOST, self.manager.release()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the Lease was not given back");
            }
            Err(_) => tracing::warn!("the Lease was not given back in time"),
        }
    }
}

impl Renewed {
    /// A client of the Lease, which tells when it has written, and does not wait long for an answer.
    fn noted_by(&self, client: Client) -> Client {
        let (renewed, namespace) = (self.clone(), client.default_namespace().to_owned());
        let send = move |request: http::Request<Body>| {
            let (client, renewed) = (client.clone(), renewed.clone());
            async move {
                let (began, writes) = (Instant::now(), request.method() == http::Method::PATCH);
                let answer = tokio::time::timeout(ANSWER_MOST, client.send(request)).await??;
                if writes && answer.status().is_success() {
                    *renewed.0.lock().unwrap_or_else(PoisonError::into_inner) = began;
                }
                Ok::<_, BoxError>(answer)
            }
        };
        Client::new(tower::service_fn(send), namespace)
    }

    /// Waits until the Lease may soon be another's.
    async fn too_long_ago(&self) {
        loop {
            let at = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let left = WORKS_MOST.saturating_sub(at.elapsed());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }
}
