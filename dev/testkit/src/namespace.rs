//! A namespace of its own for each test.

use std::fmt::Write as _;

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    discovery::{ApiGroup, ApiResource, Discovery, Scope, verbs},
};
use serde_json::json;
use uuid::Uuid;

use crate::Link;

/// How many kinds are asked for at once.
const CONCURRENCY: usize = 16;

/// A namespace, which is deleted with all that is in it with this value, unless the test panics.
#[derive(Debug)]
pub struct TestNamespace {
    /// Its name.
    pub name: String,
}

/// How the API server of `FLUXO_TEST_KUBERNETES` is reached: over a link, if there is one.
///
/// # Panics
/// When the variable is missing, or does not name a kubeconfig.
#[allow(clippy::panic, reason = "without its server a test has failed")]
pub async fn kubernetes_config(over: Option<&Link>) -> Config {
    let config = config(&crate::variable("FLUXO_TEST_KUBERNETES")).await;
    let mut config = config.unwrap_or_else(|error| panic!("cannot use FLUXO_TEST_KUBERNETES: {error:#}"));
    if let Some(link) = over {
        let host = config.cluster_url.host().expect("a kubeconfig names a server");
        config.tls_server_name.get_or_insert_with(|| host.to_owned());
        let url = format!("https://{}", link.address());
        config.cluster_url = url.parse().expect("an address makes a URL");
    }
    config
}

/// A client of the API server of `FLUXO_TEST_KUBERNETES`, which may do everything. It belongs to the runtime that it
/// is made on.
///
/// # Panics
/// When the variable is missing, or does not name a kubeconfig.
#[allow(clippy::panic, reason = "without its server a test has failed")]
pub async fn kubernetes() -> Client {
    let connected = connect(&crate::variable("FLUXO_TEST_KUBERNETES")).await;
    connected.unwrap_or_else(|error| panic!("cannot use FLUXO_TEST_KUBERNETES: {error:#}"))
}

/// Makes an empty namespace.
///
/// # Panics
/// When the variable is missing or the API server does not make it.
#[allow(clippy::panic, reason = "without its server a test has failed")]
pub async fn namespace() -> TestNamespace {
    let name = format!("fluxo-test-{}", Uuid::new_v4().simple());
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some(name.clone());
    let namespaces = Api::<Namespace>::all(kubernetes().await);
    let made = namespaces.create(&PostParams::default(), &namespace).await;
    made.unwrap_or_else(|error| panic!("cannot make a namespace on FLUXO_TEST_KUBERNETES: {error:#}"));
    TestNamespace { name }
}

impl Drop for TestNamespace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            dump(&self.name);
        }
        crate::clean_up(&format!("the namespace {}", self.name), delete(&self.name));
    }
}

async fn connect(path: &str) -> anyhow::Result<Client> {
    Ok(Client::try_from(config(path).await?)?)
}

async fn config(path: &str) -> anyhow::Result<Config> {
    let kubeconfig = Kubeconfig::read_from(path).with_context(|| format!("cannot read {path}"))?;
    Ok(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
}

/// Deletes a namespace and whatever is in it: also what waits for an operator that the test has ended already.
async fn delete(name: &str) -> anyhow::Result<()> {
    let client = connect(&crate::variable("FLUXO_TEST_KUBERNETES")).await?;
    let gone = Api::<Namespace>::all(client.clone()).delete(name, &DeleteParams::default()).await;
    gone.context("the API server does not delete the namespace")?;
    for (kind, object) in objects(&client, name).await? {
        if object.finalizers().is_empty() {
            continue;
        }
        let api = Api::<DynamicObject>::namespaced_with(client.clone(), name, &kind);
        let object = object.name_any();
        // Deleted first: then nobody can add a finalizer again.
        found(api.delete(&object, &DeleteParams::default()).await.map(drop))?;
        let without = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        found(api.patch(&object, &PatchParams::default(), &without).await.map(drop))?;
    }
    Ok(())
}

/// What is gone already need not be deleted.
fn found(outcome: kube::Result<()>) -> kube::Result<()> {
    match outcome {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        outcome => outcome,
    }
}

/// Prints what is in a namespace, but for the contents of Secrets.
#[allow(clippy::print_stderr, reason = "it is read beside the failure of the test")]
fn dump(name: &str) {
    let printed = crate::block_on(async {
        let client = connect(&crate::variable("FLUXO_TEST_KUBERNETES")).await?;
        let mut printed = String::new();
        for (kind, mut object) in objects(&client, name).await? {
            object.metadata.managed_fields = None;
            if kind.kind == "Secret" {
                object.data["data"] = json!("…");
            }
            writeln!(printed, "{} {}", kind.kind, serde_json::to_string(&object)?)?;
        }
        eprintln!("in the namespace {name}:\n{printed}");
        Ok(())
    });
    if let Err(error) = printed {
        eprintln!("in the namespace {name}: {error:#}");
    }
}

/// All objects of a namespace but those that every namespace has, by kind.
async fn objects(client: &Client, namespace: &str) -> anyhow::Result<Vec<(ApiResource, DynamicObject)>> {
    let discovered = Discovery::new(client.clone()).run_aggregated().await?;
    let kinds = discovered.groups_alphabetical().into_iter().flat_map(ApiGroup::recommended_resources);
    let kinds = kinds.filter(|(_, can)| {
        can.scope == Scope::Namespaced
            && can.supports_operation(verbs::LIST)
            && can.supports_operation(verbs::DELETE)
    });
    let lists = kinds.map(|(kind, _)| list(client, namespace, kind));
    let lists: Vec<_> = stream::iter(lists.collect::<Vec<_>>()).buffered(CONCURRENCY).try_collect().await?;
    let objects = lists.into_iter().flatten();
    Ok(objects.filter(|(_, object)| !is_given(&object.name_any())).collect())
}

async fn list(
    client: &Client,
    namespace: &str,
    kind: ApiResource,
) -> kube::Result<Vec<(ApiResource, DynamicObject)>> {
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &kind);
    match api.list(&ListParams::default()).await {
        Ok(objects) => Ok(objects.into_iter().map(|object| (kind.clone(), object)).collect()),
        // A kind that another test has taken away.
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn is_given(name: &str) -> bool {
    matches!(name, "kube-root-ca.crt" | "default")
}
