//! Watches that do not get stuck, and whose pulse can be felt.
//!
//! # Guarantees
//! - Each watch has a back-off of its own, capped below the time that a connection may take. One that fails never
//!   keeps another from being polled: errors end here, and whoever merges the streams sees events only.
//! - A watch asks anew every few seconds, so one whose connection went silent is found out about as fast.
//! - Each poll is a beat of its pulse. [`Heartbeat::stopped`] names the watches that nobody polled for long: then the
//!   process is stuck, whether or not the API server is there.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt as _, stream};
use kube::{
    Api, Resource,
    api::ListParams,
    runtime::{WatchStreamExt as _, utils::Backoff, watcher},
};
use serde::de::DeserializeOwned;

use crate::metrics::Metrics;

/// After how long a watch asks anew, in seconds: sooner than a connection counts as silent, see
/// [`ANSWER_TIMEOUT`](crate::run::ANSWER_TIMEOUT). An answer without events costs the API server next to nothing.
const ASKS_ANEW_SECS: u32 = 5;
/// The most that a watch waits after an error: below [`CONNECT_TIMEOUT`](crate::run::CONNECT_TIMEOUT).
const RETRY_MOST: Duration = Duration::from_secs(1);
const RETRY_LEAST: Duration = Duration::from_millis(100);
/// After how long without an error the next one counts as the first.
const CALM: Duration = Duration::from_secs(10);
/// How often a watch whose resource is not installed looks for it.
const NOT_INSTALLED: Duration = Duration::from_secs(15);
const BEAT: Duration = Duration::from_secs(1);
/// Without a beat for so long, a watch counts as stuck. A loaded machine delays beats by seconds, not by this.
const STOPPED: Duration = Duration::from_secs(30);

/// The pulse of every watch. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Heartbeat(Arc<Mutex<BTreeMap<String, Instant>>>);

impl Heartbeat {
    /// The watches that nobody polled for long.
    pub fn stopped(&self) -> Vec<String> {
        let beats = self.lock();
        beats.iter().filter(|(_, at)| at.elapsed() > STOPPED).map(|(name, _)| name.clone()).collect()
    }

    /// Forgets all watches: they were ended on purpose.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Something called so is alive.
    pub fn beat(&self, name: &str) {
        let mut beats = self.lock();
        match beats.get_mut(name) {
            Some(at) => *at = Instant::now(),
            None => _ = beats.insert(name.to_owned(), Instant::now()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where watches tell how they are.
#[derive(Clone, Debug)]
pub struct Watcher {
    /// Their pulse.
    pub heartbeat: Heartbeat,
    /// Their failures.
    pub metrics: Metrics,
}

impl Watcher {
    /// Watches what an `api` has, for ever. A resource that is not installed is waited for.
    pub fn watch<K>(
        &self,
        api: Api<K>,
        config: watcher::Config,
        dyntype: &K::DynamicType,
    ) -> impl Stream<Item = watcher::Event<K>> + Send + 'static
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let kind = K::kind(dyntype).into_owned();
        let name = format!("{kind} {}", api.resource_url());
        let metrics = self.metrics.clone();
        let (asked, waited) = (api.clone(), installed(api.clone(), kind.clone(), metrics.clone()));
        // Of what is not installed there is nothing, and that is known at once.
        let nothing = stream::once(async move { is_missing(&asked).await }).flat_map(|missing| {
            let nothing = [watcher::Event::Init, watcher::Event::InitDone];
            stream::iter(missing.then_some(nothing).into_iter().flatten())
        });
        let events =
            watcher(api, config.timeout(ASKS_ANEW_SECS)).backoff(Retry::default()).filter_map(move |event| {
                let event = event.inspect_err(|error| {
                    metrics.watch_failed(&kind);
                    tracing::warn!(
                        watch.kind = kind,
                        error = error as &dyn std::error::Error,
                        "a watch failed"
                    );
                });
                std::future::ready(event.ok())
            });
        let waited = stream::once(waited).map(|()| None);
        let events = nothing.map(Some).chain(waited).chain(events.map(Some));
        let heartbeat = self.heartbeat.clone();
        let beats = beats().map(move |()| {
            heartbeat.beat(&name);
            None
        });
        stream::select(events, beats).filter_map(std::future::ready)
    }
}

/// Waits until the resource is served.
async fn installed<K>(api: Api<K>, kind: String, metrics: Metrics)
where
    K: Clone + DeserializeOwned + Debug,
{
    while is_missing(&api).await {
        metrics.watch_failed(&kind);
        tracing::debug!(watch.kind = kind, "not installed: it is looked for again and again");
        tokio::time::sleep(NOT_INSTALLED).await;
    }
}

async fn is_missing<K>(api: &Api<K>) -> bool
where
    K: Clone + DeserializeOwned + Debug,
{
    let asked = api.list_metadata(&ListParams::default().limit(1)).await;
    matches!(asked, Err(kube::Error::Api(status)) if status.code == 404)
}

fn beats() -> impl Stream<Item = ()> + Send {
    let mut interval = tokio::time::interval(BEAT);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    stream::unfold(interval, async |mut interval| {
        interval.tick().await;
        Some(((), interval))
    })
}

/// Waits twice as long after each error, up to a most, until there was none for a while. An event alone tells nothing:
/// that a watch begins anew is one, too, whatever becomes of it.
#[derive(Debug)]
struct Retry {
    wait: Duration,
    failed_at: Option<tokio::time::Instant>,
}

impl Default for Retry {
    fn default() -> Self {
        Self { wait: RETRY_LEAST, failed_at: None }
    }
}

impl Iterator for Retry {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.failed_at.is_some_and(|at| at.elapsed() > CALM) {
            self.wait = RETRY_LEAST;
        }
        self.failed_at = Some(tokio::time::Instant::now());
        let now = self.wait;
        self.wait = (now * 2).min(RETRY_MOST);
        Some(now)
    }
}

impl Backoff for Retry {
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use k8s_openapi::api::core::v1::Service;

    use super::*;

    #[test]
    fn the_back_off_stays_below_the_time_of_a_connection() {
        let waits: Vec<_> = Retry::default().take(20).collect();
        assert!(waits.iter().all(|wait| *wait < crate::run::CONNECT_TIMEOUT), "{waits:?}");
        assert_eq!(waits[0], RETRY_LEAST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_fails_is_asked_again_soon_and_never_in_a_hot_loop() {
        let asked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&asked);
        let fails = tower::service_fn(move |_: http::Request<kube::client::Body>| {
            count.fetch_add(1, Ordering::Relaxed);
            let answer = http::Response::builder().status(500).body(kube::client::Body::empty());
            std::future::ready(answer)
        });
        let api = Api::<Service>::namespaced(kube::Client::new(fails, "default"), "default");
        let metrics = Metrics::register(&mut prometheus_client::registry::Registry::default());
        let watcher = Watcher { heartbeat: Heartbeat::default(), metrics };
        let events = watcher.watch(api, watcher::Config::default(), &());
        let minute = Duration::from_mins(1);
        assert!(tokio::time::timeout(minute, events.for_each(async |_| {})).await.is_err());
        let asked = asked.load(Ordering::Relaxed);
        assert!((25..100).contains(&asked), "{asked} times in a minute");
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_is_polled_beats_and_one_that_is_not_stops() {
        let heartbeat = Heartbeat::default();
        heartbeat.beat("polled");
        assert!(heartbeat.stopped().is_empty());
        let long_ago = Instant::now().checked_sub(STOPPED * 2).unwrap();
        heartbeat.lock().insert("not polled".into(), long_ago);
        assert_eq!(heartbeat.stopped(), ["not polled"]);
    }
}
