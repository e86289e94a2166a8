//! Secrets as they were last read, by the names that pipelines give. They are not watched: that would take the right to
//! read all of them.
//!
//! A pass takes them from here, so that at rest it asks nobody. It reads them anew where something says that they may be
//! others: the pipeline is declared anew, Strimzi's resource that goes with one has changed, or something was wrong
//! before. Besides, each is read again once in an interval, and a pipeline is due when one of its Secrets is not the same
//! any more.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt as _, api::GetParams, runtime::reflector::ObjectRef};
use tokio::time::MissedTickBehavior;

use super::apply::version;
use crate::{crd::TransactionPipeline, identity::Identity};

/// The Secrets of all pipelines. Clones are the same.
#[derive(Clone)]
pub struct Secrets {
    client: Client,
    kept: Arc<Mutex<HashMap<Identity, OfPipeline>>>,
}

/// By namespace and name.
type OfPipeline = HashMap<(String, String), Kept>;

#[derive(Clone)]
struct Kept {
    /// As of what it was read: as of something else it is read anew.
    as_of: AsOf,
    /// `None` when there was none, or it may not be read.
    secret: Option<Arc<Secret>>,
}

/// The generation of the pipeline, and the version of Strimzi's resource that a Secret goes with.
type AsOf = (Option<i64>, Option<String>);

/// Those of one pipeline, as it is declared now.
pub struct SecretsOf<'a> {
    all: &'a Secrets,
    pipeline: Identity,
    generation: Option<i64>,
}

impl Secrets {
    /// Nothing was read yet.
    pub fn new(client: Client) -> Self {
        Self { client, kept: Arc::default() }
    }

    /// Those of a pipeline, as it is declared now.
    pub fn of(&self, pipeline: &TransactionPipeline) -> SecretsOf<'_> {
        SecretsOf { all: self, pipeline: Identity::of(pipeline), generation: pipeline.metadata.generation }
    }

    /// Reads all of them again, once in an interval, and says which pipelines are due. It never ends.
    pub async fn watch(self, interval: Duration, due: impl Fn(ObjectRef<TransactionPipeline>)) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first is at once, when nothing was read yet.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let pipelines: Vec<_> = self.lock().keys().cloned().collect();
            for pipeline in pipelines {
                if self.read_again(&pipeline).await {
                    due(ObjectRef::new(&pipeline.name).within(&pipeline.namespace));
                }
            }
        }
    }

    /// Reads those of a pipeline again. Whether any is not the same any more.
    async fn read_again(&self, pipeline: &Identity) -> bool {
        let ids: Vec<_> = self.lock().get(pipeline).into_iter().flat_map(HashMap::keys).cloned().collect();
        let read = ids.into_iter().map(async |id| {
            let now = match read(&self.client, &id.0, &id.1).await {
                Ok(now) => now,
                Err(kube::Error::Api(status)) if status.code == 403 => None,
                // It is not known: the next round may tell.
                Err(error) => {
                    tracing::debug!(
                        secret.namespace = id.0,
                        secret.name = id.1,
                        error = &error as &dyn std::error::Error,
                        "a Secret was not read again"
                    );
                    return false;
                }
            };
            self.lock().get_mut(pipeline).is_some_and(|kept| replace(kept, &id, now))
        });
        join_all(read).await.contains(&true)
    }

    /// What was written of a Secret that a pipeline has.
    pub(super) fn wrote(&self, pipeline: &Identity, secret: &Secret) {
        let id = (secret.namespace().unwrap_or_default(), secret.name_any());
        if let Some(kept) = self.lock().get_mut(pipeline) {
            replace(kept, &id, Some(pruned(secret.clone())));
        }
    }

    /// Forgets those of a pipeline: they are read anew when it is looked at.
    pub(super) fn forget(&self, pipeline: &Identity) {
        self.lock().remove(pipeline);
    }

    /// Keeps only those of these pipelines, by uid.
    pub(super) fn retain(&self, is_there: impl Fn(&str) -> bool) {
        self.lock().retain(|pipeline, _| is_there(&pipeline.uid));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Identity, OfPipeline>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SecretsOf<'_> {
    /// A Secret, if there is one. `beside` is the version of Strimzi's resource that it goes with.
    ///
    /// # Errors
    /// When it is neither known nor told.
    pub async fn get(
        &self,
        namespace: &str,
        name: &str,
        beside: Option<String>,
    ) -> kube::Result<Option<Arc<Secret>>> {
        let (id, as_of) = ((namespace.to_owned(), name.to_owned()), (self.generation, beside));
        let kept = self.all.lock().get(&self.pipeline).and_then(|kept| kept.get(&id)).cloned();
        if let Some(kept) = kept.filter(|kept| kept.as_of == as_of) {
            return Ok(kept.secret);
        }
        let secret = read(&self.all.client, namespace, name).await?;
        let mut all = self.all.lock();
        let of_pipeline = all.entry(self.pipeline.clone()).or_default();
        let secret = newest(of_pipeline.get(&id), secret);
        // What the pipeline named before it was declared anew is none of its any more.
        of_pipeline.retain(|_, kept| kept.as_of.0 == self.generation);
        of_pipeline.insert(id, Kept { as_of, secret: secret.clone() });
        Ok(secret)
    }
}

/// Reads a Secret as the API server's own cache has it, which is what watches tell of everything else, and what pods
/// get.
async fn read(client: &Client, namespace: &str, name: &str) -> kube::Result<Option<Arc<Secret>>> {
    let api = Api::<Secret>::namespaced(client.clone(), namespace);
    match api.get_with(name, &GetParams::any()).await {
        Ok(secret) => Ok(Some(pruned(secret))),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

/// Drops who wrote which field: nobody reads it, and it takes the most room.
fn pruned(mut secret: Secret) -> Arc<Secret> {
    secret.metadata.managed_fields = None;
    Arc::new(secret)
}

/// Puts what there is of a Secret in the place of what is kept, if it is kept still. Whether that is another now.
fn replace(kept: &mut OfPipeline, id: &(String, String), now: Option<Arc<Secret>>) -> bool {
    let Some(kept) = kept.get_mut(id) else { return false };
    let now = newest(Some(kept), now);
    let is_another = now != kept.secret;
    kept.secret = now;
    is_another
}

/// What there is, or what is kept: an API server that is behind another can tell an earlier state of the same Secret.
fn newest(kept: Option<&Kept>, now: Option<Arc<Secret>>) -> Option<Arc<Secret>> {
    let kept = kept.and_then(|kept| kept.secret.as_ref());
    let is_older = |now: &Secret, kept: &Secret| now.uid() == kept.uid() && version(now) < version(kept);
    match (kept, now) {
        (Some(kept), Some(now)) if is_older(&now, kept) => Some(Arc::clone(kept)),
        (_, now) => now,
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    /// An API server that gives each question this answer, and how often it was asked.
    #[derive(Clone)]
    struct Server(Arc<Mutex<(u16, Value, usize)>>);

    impl Server {
        fn answers(&self, code: u16, version: &str) {
            let body = if code == 200 {
                json!({"metadata": {"uid": "uid", "resourceVersion": version}})
            } else {
                json!({"status": "Failure", "code": code, "reason": "", "message": ""})
            };
            let mut shared = self.0.lock().unwrap();
            (shared.0, shared.1) = (code, body);
        }

        fn asked(&self) -> usize {
            std::mem::take(&mut self.0.lock().unwrap().2)
        }
    }

    fn secrets() -> (Secrets, Server) {
        let server = Server(Arc::default());
        server.answers(200, "1");
        let shared = Arc::clone(&server.0);
        let answer = move |_: Request<Body>| {
            let mut shared = shared.lock().unwrap();
            shared.2 += 1;
            let body = Body::from(shared.1.to_string().into_bytes());
            std::future::ready(Response::builder().status(shared.0).body(body))
        };
        (Secrets::new(Client::new(tower::service_fn(answer), "default")), server)
    }

    fn pipeline(generation: i64) -> TransactionPipeline {
        let mut pipeline = crate::controller::fixtures::Scene::example("strimzi").pipeline;
        pipeline.metadata.generation = Some(generation);
        pipeline
    }

    #[tokio::test]
    async fn a_secret_is_read_anew_when_its_pipeline_or_what_it_goes_with_changes() {
        let (secrets, server) = secrets();
        for (generation, beside, asks) in
            [(1, "1", 1), (1, "1", 0), (2, "1", 1), (2, "1", 0), (2, "2", 1), (2, "2", 0)]
        {
            let of_pipeline = pipeline(generation);
            secrets.of(&of_pipeline).get("a", "b", Some(beside.into())).await.unwrap();
            assert_eq!(server.asked(), asks, "{generation} {beside}");
        }
    }

    #[tokio::test]
    async fn a_secret_that_is_not_the_same_any_more_is_news_and_one_that_cannot_be_read_is_as_it_was() {
        let (secrets, server) = secrets();
        let pipeline = pipeline(1);
        let identity = Identity::of(&pipeline);
        let kept = async || {
            let kept = secrets.of(&pipeline).get("a", "b", None).await.unwrap();
            kept.and_then(|secret| secret.resource_version())
        };
        assert_eq!(kept().await.as_deref(), Some("1"));
        for (code, version, is_news, then) in [
            (200, "1", false, Some("1")),
            (200, "2", true, Some("2")),
            (200, "1", false, Some("2")),
            (500, "", false, Some("2")),
            (403, "", true, None),
            (403, "", false, None),
            (200, "3", true, Some("3")),
            (404, "", true, None),
        ] {
            server.answers(code, version);
            assert_eq!(secrets.read_again(&identity).await, is_news, "{code} {version}");
            assert_eq!(kept().await.as_deref(), then);
        }
        secrets.forget(&identity);
        assert!(!secrets.read_again(&identity).await, "there is nothing to read");
    }

    #[tokio::test]
    async fn what_was_written_is_known() {
        let (secrets, server) = secrets();
        let pipeline = pipeline(1);
        let get = async || secrets.of(&pipeline).get("a", "b", None).await.unwrap();
        server.answers(404, "");
        assert!(get().await.is_none());
        let written = json!({"metadata": {"namespace": "a", "name": "b", "resourceVersion": "7"}});
        secrets.wrote(&Identity::of(&pipeline), &serde_json::from_value(written).unwrap());
        assert_eq!(get().await.unwrap().resource_version().as_deref(), Some("7"));
    }
}
