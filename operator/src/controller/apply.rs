//! The fourth step: makes the API server and Kafka have what was built, and nothing that is as it should be is written
//! again. This alone turns [`Resources<Prepared>`](Resources) into [`Resources<Applied>`](Resources).
//!
//! The order has reasons: pods need their Secret and their topics; no pod of a new image may meet an old schema; and a
//! listener must know what a newer api writes. What cannot be applied keeps what stands on it from being applied, and
//! takes nothing away.

mod children;
mod migration;
mod object;
mod pods;

use std::{
    fmt::{self, Debug},
    sync::Arc,
};

use k8s_openapi::{NamespaceResourceScope, api::core::v1::Secret};
use kube::{Client, Resource, ResourceExt as _};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    model::{Applied, ObjectName, Prepared, Resources},
    secrets::Secrets,
    topics::{self, TopicsState},
};
use crate::{crd::TransactionPipeline, identity::Identity, metrics::Metrics};

pub use children::{Child, Children, Seen};
pub(super) use children::{image, is_rolled_out};
pub use migration::Migration;
pub(super) use migration::Retries;
pub use object::Ledger;
use object::is_owned_by;
pub(super) use object::version;

/// The field manager of all that is applied here. The number of listeners is
/// [another's](crate::autoscaler::FIELD_MANAGER).
pub const FIELD_MANAGER: &str = "fluxo-operator";

/// Why it is not known whether an object is as it should be: trying again may help.
#[derive(Debug, thiserror::Error)]
#[error("{verb} {what} failed")]
pub struct Error {
    verb: &'static str,
    what: Named,
    #[source]
    source: Box<kube::Error>,
}

/// An object, as a person names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    kind: String,
    namespace: String,
    name: String,
}

/// Why an object is not as it should be, which a person must mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Another one of its name is there, which is not of this pipeline.
    Foreign(Named),
    /// The API server refuses it, and why.
    Refused {
        /// What it refuses.
        what: Named,
        /// Its words.
        why: String,
    },
}

/// What became of what was built.
#[derive(Debug)]
pub struct Outcome {
    /// What there is now.
    pub resources: Resources<Applied>,
    /// What a person must mend.
    pub problems: Vec<Problem>,
    /// How the topics are.
    pub topics: TopicsState,
    /// How far the schema is.
    pub migration: Migration,
    /// Whether the api waits for the listeners to be of the new image.
    pub api_waits: bool,
}

/// What is needed to apply.
#[derive(Clone)]
pub struct Applier {
    /// The API server.
    pub client: Client,
    /// What pipelines were last seen to own.
    pub children: Children,
    /// Writes are counted here.
    pub metrics: Metrics,
    /// The Secrets of pipelines, as they were last read.
    pub secrets: Secrets,
    pub(super) ledger: Ledger,
    pub(super) retries: Retries,
    pub(super) topics: topics::Keeper,
}

impl Applier {
    /// The copy of what Strimzi keeps, as it was last read or written; a pipeline that is not beside Strimzi has none.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn copy(
        &self,
        pipeline: &TransactionPipeline,
        identity: &Identity,
    ) -> Result<Option<Arc<Secret>>, Error> {
        if pipeline.spec.kafka.strimzi.is_none() {
            return Ok(None);
        }
        let (namespace, name) = (&identity.namespace, identity.kafka_secret());
        let copy = self.secrets.of(pipeline).get(namespace, &name, None).await;
        copy.map_err(|error| Error::new("reading", Named::new("Secret", namespace, &name), error))
    }

    /// Makes the API server and Kafka have what was built. `copy` is the [copy](Self::copy) that there is. What is done to
    /// topics without Strimzi is added to `taken`, also when the pass then comes to no end.
    ///
    /// # Errors
    /// When the API server does not answer. What was applied until then stays.
    pub async fn apply(
        &self,
        topics: topics::Request<'_>,
        prepared: Resources<Prepared>,
        mut copy: Option<Arc<Secret>>,
        taken: &mut Vec<topics::Taken>,
    ) -> Result<Outcome, Error> {
        let identity = &topics.pipeline.identity;
        let mut pass = Pass { applier: self, identity, problems: vec![] };
        let mut outcome = Outcome::default();
        let now = &mut outcome.resources;

        now.network_policies = pass.all(&self.children.network_policies, &prepared.network_policies).await?;
        if let Some(wanted) = &prepared.kafka_secret {
            if copy.is_none() {
                // Somebody may have made one of that name since it was looked for.
                copy = self.asked(wanted).await?;
            }
            now.kafka_secret = pass.as_it_is(copy.clone(), wanted).await?;
            if let Some(copy) = &now.kafka_secret {
                self.secrets.wrote(identity, copy);
            }
        }
        outcome.topics = self.topics.keep(self, topics, &prepared, taken).await?;
        now.disruption_budgets =
            pass.all(&self.children.disruption_budgets, &prepared.disruption_budgets).await?;
        now.service = pass.one(&self.children.services, prepared.service.as_ref()).await?;

        let may_migrate = pass.problems.is_empty() && !outcome.topics.is_of_another();
        let migrated = match prepared.migration.as_ref() {
            Some(job) if may_migrate => pass.migrate(job, &mut outcome.migration).await?,
            Some(_) => self.children.job(identity),
            None => None,
        };
        now.migration = migrated;
        let may_roll_out = may_migrate && outcome.migration.lets_pods_run();
        if may_roll_out {
            now.listener = pass.one(&self.children.deployments, prepared.listener.as_ref()).await?;
            let api = prepared.api.as_ref();
            outcome.api_waits = self.children.api_waits(now.listener.as_ref(), api);
            now.api = match api {
                Some(api) if outcome.api_waits => {
                    self.children.deployment(&identity.namespace, &api.name_any())
                }
                api => pass.one(&self.children.deployments, api).await?,
            };
        } else {
            let there = |wanted: Option<&_>| {
                wanted.and_then(|wanted| self.children.deployment(&identity.namespace, &named(wanted).name))
            };
            (now.listener, now.api) = (there(prepared.listener.as_ref()), there(prepared.api.as_ref()));
        }
        let are_new = |pods: &Option<_>| pods.as_ref().is_some_and(is_rolled_out);
        let all_are_new = may_roll_out && are_new(&now.listener) && are_new(&now.api);
        now.ingress = pass.one(&self.children.ingresses, prepared.ingress.as_ref()).await?;
        now.http_route = pass.one(&self.children.http_routes, prepared.http_route.as_ref()).await?;
        let is_exposed = now.ingress.is_some() == prepared.ingress.is_some()
            && now.http_route.is_some() == prepared.http_route.is_some();
        pass.remove_what_is_not_wanted(&prepared, is_exposed).await?;
        // Until then a pod from before may need it to start again.
        if all_are_new {
            pass.remove_unwanted_copy(&prepared, copy).await?;
        }
        outcome.problems = pass.problems;
        Ok(outcome)
    }

    /// What there is of a pipeline of which nothing can be built now. Nothing is changed.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn observe(&self, identity: &Identity) -> Result<Outcome, Error> {
        let (listener, api) = self.children.deployments_of(identity);
        let migration = self.children.job(identity);
        let state = match &migration {
            Some(job) => self.state_of(job).await?,
            None => Migration::None,
        };
        let resources = Resources { migration, listener, api, ..Resources::empty() };
        Ok(Outcome { resources, migration: state, ..Outcome::default() })
    }

    /// Ends the pods of a pipeline, before its topics are deleted. Whether all are gone.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn stop(&self, identity: &Identity) -> Result<bool, Error> {
        let (listener, api) = self.children.deployments_of(identity);
        let mut gone = true;
        for deployment in [listener, api].into_iter().flatten() {
            gone = false;
            self.delete(&deployment).await?;
        }
        Ok(gone)
    }

    /// Forgets a pipeline that is gone.
    pub(super) fn forget(&self, identity: &Identity) {
        self.secrets.forget(identity);
        self.retries.forget(&identity.namespace, &identity.name);
        self.topics.forget(&identity.uid);
    }
}

impl Default for Outcome {
    /// Nothing was looked at.
    fn default() -> Self {
        Self {
            resources: Resources::empty(),
            problems: Vec::new(),
            topics: TopicsState::default(),
            migration: Migration::default(),
            api_waits: false,
        }
    }
}

/// One pass over the objects of one pipeline.
struct Pass<'a> {
    applier: &'a Applier,
    identity: &'a Identity,
    problems: Vec<Problem>,
}

impl Pass<'_> {
    /// Applies an object, if there is to be one.
    async fn one<K>(&mut self, seen: &children::Seen<K>, wanted: Option<&K>) -> Result<Option<K>, Error>
    where
        K: Object,
    {
        let Some(wanted) = wanted else { return Ok(None) };
        let there = self.applier.there(seen, wanted).await?;
        self.as_it_is(there, wanted).await
    }

    /// Applies an object, of which it is known what there is.
    async fn as_it_is<K: Object>(&mut self, there: Option<Arc<K>>, wanted: &K) -> Result<Option<K>, Error> {
        let owner = self.identity;
        match self.applier.ensure(there, wanted, owner, |live| is_owned_by(live, &owner.uid)).await? {
            Ok(applied) => Ok(Some(applied)),
            Err(problem) => {
                self.problems.push(problem);
                Ok(None)
            }
        }
    }

    async fn all<K: Object>(&mut self, seen: &children::Seen<K>, wanted: &[K]) -> Result<Vec<K>, Error> {
        let mut applied = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            applied.extend(self.one(seen, Some(wanted)).await?);
        }
        Ok(applied)
    }

    /// Removes what the pipeline owned before and does not want any more.
    async fn remove_what_is_not_wanted(
        &mut self,
        prepared: &Resources<Prepared>,
        is_exposed: bool,
    ) -> Result<(), Error> {
        let children = &self.applier.children;
        self.orphans(&children.network_policies, &names(&prepared.network_policies)).await?;
        self.orphans(&children.disruption_budgets, &names(&prepared.disruption_budgets)).await?;
        self.orphans(&children.services, &names(&prepared.service)).await?;
        // A way in from outside goes only once the other one is there.
        if is_exposed {
            self.orphans(&children.ingresses, &names(&prepared.ingress)).await?;
            self.orphans(&children.http_routes, &names(&prepared.http_route)).await?;
        }
        self.jobs_but(&names(&prepared.migration)).await
    }

    /// Removes the copy of what Strimzi keeps, when nothing of that is used any more.
    async fn remove_unwanted_copy(
        &self,
        prepared: &Resources<Prepared>,
        copy: Option<Arc<Secret>>,
    ) -> Result<(), Error> {
        let is_unwanted =
            |copy: &Arc<Secret>| prepared.kafka_secret.is_none() && is_owned_by(&**copy, &self.identity.uid);
        if let Some(copy) = copy.filter(is_unwanted) {
            self.applier.delete(&*copy).await?;
            self.applier.secrets.forget(self.identity);
        }
        Ok(())
    }

    async fn orphans<K: Object>(&self, seen: &children::Seen<K>, wanted: &[String]) -> Result<(), Error> {
        for orphan in seen.owned_by(self.identity) {
            if !wanted.contains(&orphan.name_any()) && orphan.meta().deletion_timestamp.is_none() {
                self.applier.delete(&*orphan).await?;
            }
        }
        Ok(())
    }
}

/// What can be applied: any namespaced kind.
pub trait Object:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
}

impl<K> Object for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static
{
}

fn names<'a, K: Object>(wanted: impl IntoIterator<Item = &'a K>) -> Vec<String> {
    wanted.into_iter().map(kube::ResourceExt::name_any).collect()
}

fn named<K: Object>(object: &K) -> Named {
    let namespace = object.namespace().unwrap_or_default();
    Named { kind: K::kind(&()).into_owned(), namespace, name: object.name_any() }
}

impl Named {
    /// An object, as a person names it.
    pub fn new(kind: &str, namespace: &str, name: &str) -> Self {
        Self { kind: kind.into(), namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

impl From<ObjectName> for Named {
    fn from(name: ObjectName) -> Self {
        Self { kind: name.kind.to_owned(), namespace: name.namespace, name: name.name }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign(what) => {
                write!(
                    f,
                    "{what} is there and is not of this pipeline: remove or rename it, it is left alone"
                )
            }
            Self::Refused { what, why } => write!(f, "the API server refuses {what}: {why}"),
        }
    }
}

impl Error {
    pub(super) fn new(verb: &'static str, what: Named, source: kube::Error) -> Self {
        Self { verb, what, source: Box::new(source) }
    }
}
