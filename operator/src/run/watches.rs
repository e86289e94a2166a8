//! The watches: one task for each kind and namespace. They keep what was seen, and say which pipelines are due.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use futures::{StreamExt as _, channel::mpsc, future::join_all};
use kube::{
    Api, Resource, ResourceExt as _,
    runtime::{
        Predicate as _, PredicateConfig, WatchStreamExt as _, predicates,
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use tokio::task::JoinSet;

use super::Process;
use crate::{
    controller::{
        apply::{Children, Object, Seen},
        model::strimzi::{CLAIMED_NAME, Kafka, KafkaTopic, KafkaUser},
    },
    crd::TransactionPipeline,
};

/// What is watched of objects in the namespace of a pipeline.
const OWNED: &str = "app.kubernetes.io/managed-by=fluxo-operator";

/// Pipelines that are due.
pub(super) type Due = mpsc::UnboundedReceiver<ObjectRef<TransactionPipeline>>;

/// All watches.
pub(super) struct Watches {
    /// For each namespace, `None` for all, what was seen of its pipelines and those that are due.
    pub(super) pipelines: Vec<(Option<String>, Store<TransactionPipeline>, Due)>,
    pub(super) children: Children,
    pub(super) routes: Routes,
}

/// Leads a pipeline that is due to where its namespace is looked after.
#[derive(Clone, Default)]
pub(super) struct Routes(Arc<HashMap<Option<String>, mpsc::UnboundedSender<ObjectRef<TransactionPipeline>>>>);

impl Routes {
    /// This pipeline is due.
    pub(super) fn send(&self, pipeline: ObjectRef<TransactionPipeline>) {
        let route = self.0.get(&pipeline.namespace).or_else(|| self.0.get(&None));
        // Of a pipeline in a namespace that is not looked after nothing is kept true; and at the end nobody listens.
        if let Some(route) = route {
            _ = route.unbounded_send(pipeline);
        }
    }
}

/// Starts watches.
struct Starter<'a> {
    process: &'a Process,
    tasks: &'a mut JoinSet<()>,
    routes: Routes,
}

impl Watches {
    /// Starts all of them.
    pub(super) fn start(process: &Process, tasks: &mut JoinSet<()>) -> Self {
        let namespaces = own(&process.settings.namespaces());
        let kafka_namespaces = own(&process.settings.kafka_namespaces());
        let (mut routes, mut due) = (HashMap::new(), Vec::new());
        for namespace in &namespaces {
            let (sender, receiver) = mpsc::unbounded();
            routes.insert(namespace.clone(), sender);
            due.push(receiver);
        }
        let mut starter = Starter { process, tasks, routes: Routes(Arc::new(routes)) };
        let stores: Vec<_> =
            namespaces.iter().map(|namespace| starter.pipelines(namespace.as_deref())).collect();
        let children = Children {
            // To watch them would take the right to read all of them: they are read one by one, by their names.
            secrets: Seen(Vec::new()),
            kafka_topics: starter.children(&kafka_namespaces, CLAIMED_NAME, claimed_by),
            network_policies: starter.children(&namespaces, OWNED, owned_by),
            jobs: starter.children(&namespaces, OWNED, owned_by),
            disruption_budgets: starter.children(&namespaces, OWNED, owned_by),
            deployments: starter.children(&namespaces, OWNED, owned_by),
            services: starter.children(&namespaces, OWNED, owned_by),
            ingresses: starter.children(&namespaces, OWNED, owned_by),
            http_routes: starter.children(&namespaces, OWNED, owned_by),
        };
        for namespace in &kafka_namespaces {
            starter.named::<Kafka>(namespace.as_deref(), &stores, kafka_digest, |pipeline, kafka| {
                names(pipeline, &kafka, |strimzi| Some(strimzi.cluster.as_str()))
            });
            starter.named::<KafkaUser>(namespace.as_deref(), &stores, user_digest, |pipeline, user| {
                names(pipeline, &user, |strimzi| strimzi.user.as_deref())
            });
        }
        let routes = starter.routes;
        let pipelines = namespaces.into_iter().zip(stores).zip(due);
        let pipelines = pipelines.map(|((namespace, store), due)| (namespace, store, due)).collect();
        Self { pipelines, children, routes }
    }

    /// Waits until all of them have told once what there is.
    pub(super) async fn ready(&self) {
        let pipelines = self.pipelines.iter().map(|(_, store, _)| store.wait_until_ready());
        // A store whose watch ended is told by its task.
        join_all(pipelines).await;
        self.children.ready().await;
    }
}

impl Starter<'_> {
    /// Watches pipelines. One is due when somebody changes what it is to be, not when its status is written.
    fn pipelines(&mut self, namespace: Option<&str>) -> Store<TransactionPipeline> {
        let (store, writer) = reflector::store();
        let events = self.process.watcher.watch(self.api(namespace), watcher::Config::default(), &());
        let changed = events.map(Ok).modify(prune).reflect(writer).applied_objects().predicate_filter(
            predicates::generation.combine(predicates::finalizers),
            PredicateConfig::default(),
        );
        let routes = self.routes.clone();
        self.tasks.spawn(changed.for_each(move |pipeline| {
            if let Ok(pipeline) = pipeline {
                routes.send(ObjectRef::from_obj(&pipeline));
            }
            std::future::ready(())
        }));
        store
    }

    /// Watches what pipelines own. Any change makes the owner due: a status, a change by another, a deletion.
    fn children<K: Object>(
        &mut self,
        namespaces: &[Option<String>],
        labels: &str,
        owner: fn(&K) -> Option<ObjectRef<TransactionPipeline>>,
    ) -> Seen<K> {
        let stores = namespaces.iter().map(|namespace| {
            let (store, mut writer) = reflector::store();
            let config = watcher::Config::default().labels(labels);
            let events = self.process.watcher.watch(self.api::<K>(namespace.as_deref()), config, &());
            let routes = self.routes.clone();
            self.tasks.spawn(events.for_each(move |event| {
                let event = event.modify(prune);
                writer.apply_watcher_event(&event);
                if let watcher::Event::Apply(object)
                | watcher::Event::InitApply(object)
                | watcher::Event::Delete(object) = &event
                    && let Some(owner) = owner(object)
                {
                    routes.send(owner);
                }
                std::future::ready(())
            }));
            store
        });
        Seen(stores.collect())
    }

    /// Watches what pipelines name. They are due when what is read of it changes, and not each time that Strimzi writes
    /// a time into its status.
    fn named<K: Object>(
        &mut self,
        namespace: Option<&str>,
        pipelines: &[Store<TransactionPipeline>],
        digest: fn(&K) -> Option<u64>,
        names: fn(&TransactionPipeline, (Option<String>, String)) -> bool,
    ) {
        let events = self.process.watcher.watch(self.api::<K>(namespace), watcher::Config::default(), &());
        let changed = events.map(Ok).touched_objects().predicate_filter(digest, PredicateConfig::default());
        let (routes, pipelines) = (self.routes.clone(), pipelines.to_vec());
        self.tasks.spawn(changed.for_each(move |object| {
            if let Ok(object) = object {
                let is_named =
                    |pipeline: &TransactionPipeline| names(pipeline, (object.namespace(), object.name_any()));
                for pipeline in pipelines.iter().flat_map(|store| store.state_filter(is_named)) {
                    routes.send(ObjectRef::from_obj(&*pipeline));
                }
            }
            std::future::ready(())
        }));
    }

    fn api<K: Object>(&self, namespace: Option<&str>) -> Api<K> {
        let client = self.process.client.clone();
        match namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        }
    }
}

/// Drops what nobody reads and takes the most room.
fn prune<K: Resource>(object: &mut K) {
    object.meta_mut().managed_fields = None;
}

fn own(namespaces: &[Option<&str>]) -> Vec<Option<String>> {
    namespaces.iter().map(|namespace| namespace.map(Into::into)).collect()
}

fn owned_by<K: Object>(object: &K) -> Option<ObjectRef<TransactionPipeline>> {
    let owner = object.owner_references().iter().find(|owner| owner.controller == Some(true))?;
    let namespace = object.namespace()?;
    ObjectRef::from_owner_ref(Some(&namespace), owner, ())
}

fn claimed_by(topic: &KafkaTopic) -> Option<ObjectRef<TransactionPipeline>> {
    let (namespace, name) = topic.claimed_by()?;
    Some(ObjectRef::new(name).within(namespace))
}

/// Whether a pipeline names an object beside Strimzi.
fn names<'a>(
    pipeline: &'a TransactionPipeline,
    (namespace, name): &(Option<String>, String),
    named: impl FnOnce(&'a crate::crd::Strimzi) -> Option<&'a str>,
) -> bool {
    pipeline.spec.kafka.strimzi.as_ref().is_some_and(|strimzi| {
        let theirs = strimzi.namespace.as_ref().or(pipeline.metadata.namespace.as_ref());
        theirs == namespace.as_ref() && named(strimzi) == Some(name)
    })
}

/// Of what is read of a `Kafka`.
fn kafka_digest(kafka: &Kafka) -> Option<u64> {
    let status = kafka.status.as_ref();
    let of = (&kafka.spec, status.map(|status| (&status.listeners, &status.cluster_id)));
    digest(kafka.metadata.uid.as_ref(), &of)
}

/// Of what is read of a `KafkaUser`.
fn user_digest(user: &KafkaUser) -> Option<u64> {
    let status = user.status.as_ref();
    let of =
        (&user.spec, &user.metadata.annotations, status.map(|status| (&status.username, &status.secret)));
    digest(user.metadata.uid.as_ref(), &of)
}

fn digest(uid: Option<&String>, of: &impl serde::Serialize) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    uid.hash(&mut hasher);
    serde_json::to_string(of).ok()?.hash(&mut hasher);
    Some(hasher.finish())
}
