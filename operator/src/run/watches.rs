//! The watches: one task for each kind and namespace. They keep what was seen, and say which pipelines are due.

use std::{collections::HashMap, sync::Arc};

use futures::{StreamExt as _, channel::mpsc, future::join_all};
use kube::{
    Api, Resource, ResourceExt as _,
    runtime::{
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use tokio::task::JoinSet;

use super::Process;
use crate::{
    controller::{
        apply::{Child, Children, Ledger, Object, Seen},
        dereference::BesideStrimzi,
        model::strimzi::{ALLOWED_NAMESPACES, CLAIMED_NAME, Kafka, KafkaTopic, KafkaUser},
        topics::claim::ADOPTS,
    },
    crd::{self, TransactionPipeline},
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
    pub(super) beside_strimzi: BesideStrimzi,
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
            kafka_topics: starter.topics(&kafka_namespaces),
            network_policies: starter.children(&namespaces),
            jobs: starter.children(&namespaces),
            disruption_budgets: starter.children(&namespaces),
            deployments: starter.children(&namespaces),
            services: starter.children(&namespaces),
            ingresses: starter.children(&namespaces),
            http_routes: starter.children(&namespaces),
        };
        let of_kafkas = Watch { labels: None, prune: prune_kafka, is_news: is_another_kafka, child: None };
        let kafkas = starter.named(&kafka_namespaces, &stores, &of_kafkas, |named| Some(&named.cluster));
        let of_users = Watch { labels: None, prune: prune_user, is_news: is_another_user, child: None };
        let users = starter.named(&kafka_namespaces, &stores, &of_users, |named| named.user.as_deref());
        let beside_strimzi = BesideStrimzi { kafkas, users, topics: children.kafka_topics.clone() };
        let routes = starter.routes;
        let pipelines = namespaces.into_iter().zip(stores).zip(due);
        let pipelines = pipelines.map(|((namespace, store), due)| (namespace, store, due)).collect();
        Self { pipelines, children, beside_strimzi, routes }
    }

    /// Waits until all of them have told once what there is.
    pub(super) async fn ready(&self) {
        let pipelines = self.pipelines.iter().map(|(_, store, _)| store.wait_until_ready());
        // A store whose watch ended is told by its task.
        join_all(pipelines).await;
        self.children.ready().await;
    }
}

/// How the objects of a kind are watched.
struct Watch<K> {
    /// The labels that they have; all of them without it.
    labels: Option<&'static str>,
    /// Drops what nobody reads: it takes the most room.
    prune: fn(&mut K),
    /// Whether anything is to be done because one became the other.
    is_news: fn(&K, &K) -> bool,
    /// How a child is noted, of which only a part is kept.
    child: Option<Noted<K>>,
}

/// Who notes how an object is, and what drops the rest of it then.
type Noted<K> = (Ledger, fn(&mut K));

impl Starter<'_> {
    /// Watches pipelines. One is due when somebody changes what it is to be, not when its status is written.
    fn pipelines(&mut self, namespace: Option<&str>) -> Store<TransactionPipeline> {
        let watch = Watch { labels: None, prune, is_news: is_declared_anew, child: None };
        self.watch(namespace, &watch, |pipeline| vec![ObjectRef::from_obj(pipeline)])
    }

    /// Watches what pipelines own. Any change makes the owner due: a status, a change by another, a deletion.
    fn children<K: Child>(&mut self, namespaces: &[Option<String>]) -> Seen<K> {
        let stores = namespaces.iter().map(|namespace| {
            let child = Some((self.process.ledger.clone(), K::keep_what_is_read as _));
            let watch = Watch { labels: Some(OWNED), prune, is_news: |_, _| true, child };
            self.watch(namespace.as_deref(), &watch, |child| owned_by(child).into_iter().collect())
        });
        Seen(stores.collect())
    }

    /// Watches topics that pipelines have claimed. Any change makes the pipeline due.
    fn topics(&mut self, namespaces: &[Option<String>]) -> Seen<KafkaTopic> {
        let stores = namespaces.iter().map(|namespace| {
            let watch = Watch { labels: Some(CLAIMED_NAME), prune, is_news: |_, _| true, child: None };
            self.watch(namespace.as_deref(), &watch, |topic| claimed_by(topic).into_iter().collect())
        });
        Seen(stores.collect())
    }

    /// Watches what pipelines name. They are due when what is read of it changes, and not each time that Strimzi writes
    /// a time into its status.
    fn named<K: Object>(
        &mut self,
        namespaces: &[Option<String>],
        pipelines: &[Store<TransactionPipeline>],
        watch: &Watch<K>,
        name: fn(&crd::Strimzi) -> Option<&str>,
    ) -> Seen<K> {
        let stores = namespaces.iter().map(|namespace| {
            let pipelines = pipelines.to_vec();
            self.watch(namespace.as_deref(), watch, move |object| {
                let is_named = |pipeline: &TransactionPipeline| names(pipeline, object, name);
                let naming = pipelines.iter().flat_map(|store| store.state_filter(is_named));
                naming.map(|pipeline| ObjectRef::from_obj(&*pipeline)).collect()
            })
        });
        Seen(stores.collect())
    }

    /// Keeps what a watch tells, and sends those on their way that are due because of it.
    fn watch<K: Object>(
        &mut self,
        namespace: Option<&str>,
        watch: &Watch<K>,
        due: impl Fn(&K) -> Vec<ObjectRef<TransactionPipeline>> + Send + 'static,
    ) -> Store<K> {
        let (store, mut writer) = reflector::store();
        let config = watcher::Config { label_selector: watch.labels.map(Into::into), ..Default::default() };
        let events = self.process.watcher.watch(self.api::<K>(namespace), config, &());
        let (routes, seen) = (self.routes.clone(), store.clone());
        let Watch { prune, is_news, ref child, .. } = *watch;
        let child = child.clone();
        self.tasks.spawn(events.for_each(move |event| {
            let event = event.modify(|object| {
                prune(object);
                if let Some((ledger, keep_what_is_read)) = &child
                    && ledger.saw(object)
                {
                    object.meta_mut().labels = None;
                    object.meta_mut().annotations = None;
                    keep_what_is_read(object);
                }
            });
            if let (Some((ledger, _)), watcher::Event::Delete(object)) = (&child, &event) {
                ledger.gone(object);
            }
            for object in take(&event, &mut writer, &seen, is_news) {
                for pipeline in due(&object) {
                    routes.send(pipeline);
                }
            }
            std::future::ready(())
        }));
        store
    }

    fn api<K: Object>(&self, namespace: Option<&str>) -> Api<K> {
        let client = self.process.client.clone();
        match namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        }
    }
}

/// Takes what a watch tells into its store. Returns what may have something to be done about, before and after.
///
/// A watch that begins again tells what there is, piece by piece, and not what is gone: only at its end is the store
/// what there is, and all that was in it and is in it is looked at.
fn take<K: Object>(
    event: &watcher::Event<K>,
    writer: &mut reflector::store::Writer<K>,
    store: &Store<K>,
    is_news: fn(&K, &K) -> bool,
) -> Vec<Arc<K>> {
    let touched = match event {
        watcher::Event::Init | watcher::Event::InitApply(_) => Vec::new(),
        watcher::Event::InitDone => store.state(),
        watcher::Event::Delete(object) => vec![Arc::new(object.clone())],
        watcher::Event::Apply(object) => match store.get(&ObjectRef::from_obj(object)) {
            Some(before) if is_news(&before, object) => vec![before, Arc::new(object.clone())],
            Some(_) => Vec::new(),
            None => vec![Arc::new(object.clone())],
        },
    };
    writer.apply_watcher_event(event);
    match event {
        watcher::Event::InitDone => touched.into_iter().chain(store.state()).collect(),
        _ => touched,
    }
}

fn prune<K: Resource>(object: &mut K) {
    object.meta_mut().managed_fields = None;
}

/// Keeps of annotations the one that says who may use an object.
fn keep_allowed<K: Resource>(object: &mut K) {
    if let Some(annotations) = &mut object.meta_mut().annotations {
        annotations.retain(|key, _| key == ALLOWED_NAMESPACES);
    }
}

/// Keeps of a `Kafka` what is read of it: where its listeners are, which cluster it is, and who may use it.
fn prune_kafka(kafka: &mut Kafka) {
    prune(kafka);
    kafka.metadata.labels = None;
    keep_allowed(kafka);
    if let Some(status) = &mut kafka.status {
        status.conditions.clear();
    }
}

/// Keeps of a `KafkaUser` what is read of it: who it is, and who may be it.
fn prune_user(user: &mut KafkaUser) {
    prune(user);
    user.metadata.labels = None;
    keep_allowed(user);
    if let Some(status) = &mut user.status {
        status.conditions.clear();
    }
}

fn is_declared_anew(before: &TransactionPipeline, now: &TransactionPipeline) -> bool {
    let of = |pipeline: &TransactionPipeline| (pipeline.uid(), pipeline.metadata.generation);
    let adopts = |pipeline: &TransactionPipeline| pipeline.annotations().get(ADOPTS).cloned();
    of(before) != of(now) || before.finalizers() != now.finalizers() || adopts(before) != adopts(now)
}

fn is_another_kafka(before: &Kafka, now: &Kafka) -> bool {
    (before.uid(), &before.spec, &before.status) != (now.uid(), &now.spec, &now.status)
        || before.annotations() != now.annotations()
}

fn is_another_user(before: &KafkaUser, now: &KafkaUser) -> bool {
    (before.uid(), &before.spec, &before.status) != (now.uid(), &now.spec, &now.status)
        || before.annotations() != now.annotations()
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
fn names<K: Object>(
    pipeline: &TransactionPipeline,
    object: &K,
    name: fn(&crd::Strimzi) -> Option<&str>,
) -> bool {
    pipeline.spec.kafka.strimzi.as_ref().is_some_and(|strimzi| {
        let namespace = strimzi.namespace.as_ref().or(pipeline.metadata.namespace.as_ref());
        namespace == object.meta().namespace.as_ref() && name(strimzi) == object.meta().name.as_deref()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kafka(name: &str, cluster_id: &str) -> Kafka {
        let metadata = json!({"name": name, "namespace": "kafka"});
        serde_json::from_value(json!({"metadata": metadata, "spec": {}, "status": {"clusterId": cluster_id}}))
            .unwrap()
    }

    /// The names of what may have something to be done about, after each event.
    fn touched(events: impl IntoIterator<Item = watcher::Event<Kafka>>) -> Vec<Vec<String>> {
        let (store, mut writer) = reflector::store();
        let names = |touched: Vec<Arc<Kafka>>| {
            let mut names: Vec<_> = touched.iter().map(|kafka| kafka.name_any()).collect();
            names.sort();
            names
        };
        let events = events.into_iter();
        events.map(|event| names(take(&event, &mut writer, &store, is_another_kafka))).collect()
    }

    #[test]
    fn a_watch_that_begins_again_touches_what_is_gone_and_what_is_there_at_its_end() {
        use watcher::Event;
        let events = [
            Event::Apply(kafka("gone", "1")),
            Event::Init,
            Event::InitApply(kafka("there", "2")),
            Event::InitDone,
        ];
        assert_eq!(touched(events), [vec!["gone"], vec![], vec![], vec!["gone", "there"]]);
    }

    #[test]
    fn what_is_written_again_as_it_was_is_no_news() {
        use watcher::Event;
        let [before, same, other] = ["1", "1", "2"].map(|cluster| kafka("eventos", cluster));
        let events =
            [Event::Apply(before), Event::Apply(same), Event::Apply(other.clone()), Event::Delete(other)];
        assert_eq!(touched(events), [vec!["eventos"], vec![], vec!["eventos", "eventos"], vec!["eventos"]]);
    }
}
