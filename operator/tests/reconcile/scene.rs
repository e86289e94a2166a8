//! A namespace with a pipeline and all that it refers to, and an operator that looks after this namespace only.

use std::fmt::Debug;

use clap::Parser;
use fluxo_core::kit::shutdown::Shutdown;
use fluxo_operator::{
    crd::{self, TransactionPipeline},
    run::Operator,
    settings::Settings,
};
use fluxo_testkit::{TestNamespace, TestTopics, eventually};
use k8s_openapi::{
    NamespaceResourceScope, api::core::v1::Secret,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, Patch, PatchParams},
    runtime::{conditions::is_crd_established, wait::await_condition},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::PATIENCE;

pub(crate) struct Scene {
    pub(crate) client: Client,
    operator: Option<(Shutdown, JoinHandle<anyhow::Result<()>>)>,
    pub(crate) admin: std::net::SocketAddr,
    pub(crate) namespace: TestNamespace,
    // Dropped last.
    _topics: TestTopics,
}

#[derive(Parser)]
struct Parsed {
    #[command(flatten)]
    settings: Settings,
}

impl Scene {
    /// One with an operator, and Secrets that a pipeline can name, but no pipeline.
    pub(crate) async fn start() -> Self {
        let namespace = fluxo_testkit::namespace().await;
        let client = fluxo_testkit::kubernetes().await;
        install(&client).await;
        let topics = fluxo_testkit::topics(&namespace.name);
        let admin = "127.0.0.1:0".parse().unwrap();
        let mut scene = Self { client, operator: None, admin, namespace, _topics: topics };
        scene.secret("mysql", &[("username", "fluxo"), ("password", "geheim")]).await;
        scene.secret("keys", &[("keys.json", "{}")]).await;
        scene.run().await;
        scene
    }

    /// Starts the operator, which must not run.
    pub(crate) async fn run(&mut self) {
        let namespace = &self.namespace.name;
        let arguments = [
            "operator",
            "--admin-listen=127.0.0.1:0",
            &format!("--operator-namespaces={namespace}"),
            &format!("--operator-namespace={namespace}"),
            "--operator-resync=2s",
        ];
        let Parsed { settings } = Parsed::parse_from(arguments);
        let operator = Operator::bind(settings, self.client.clone()).await.unwrap();
        self.admin = operator.admin_addr().unwrap();
        let shutdown = Shutdown::manual();
        let running = tokio::spawn(operator.serve(shutdown.clone()));
        self.operator = Some((shutdown, running));
    }

    /// Ends the operator.
    pub(crate) async fn stop(&mut self) {
        let (shutdown, running) = self.operator.take().unwrap();
        shutdown.drain();
        tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    }

    pub(crate) async fn secret(&self, name: &str, values: &[(&str, &str)]) {
        let values: serde_json::Map<_, _> =
            values.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        let secret =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values});
        self.put::<Secret>(secret).await;
    }

    /// The name of a topic of this test.
    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}-{name}", self.namespace.name)
    }

    /// A pipeline whose Kafka is the real one, without Strimzi.
    pub(crate) fn pipeline(&self, name: &str) -> Value {
        json!({
            "apiVersion": "fluxo.dev/v1alpha1",
            "kind": "TransactionPipeline",
            "metadata": {"name": name},
            "spec": {
                "kafka": {
                    "bootstrapServers": fluxo_testkit::kafka(),
                    "topic": {"name": self.topic("transactions"), "partitions": 3, "replicas": 1},
                },
                "mysql": {"host": "mysql", "database": "fluxo", "credentials": {"secret": "mysql"}, "migrate": "Manual"},
                "api": {"auth": {"secret": "keys"}},
            },
        })
    }

    /// Makes a pipeline of the real Kafka, and waits until it was looked at.
    pub(crate) async fn make(&self, name: &str) -> TransactionPipeline {
        self.put(self.pipeline(name)).await
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace.name)
    }

    /// Makes an object as a person does.
    pub(crate) async fn put<K>(&self, object: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let name = object["metadata"]["name"].as_str().unwrap();
        self.api::<K>().patch(name, &PatchParams::apply("a-person"), &Patch::Apply(&object)).await.unwrap()
    }

    /// Changes an object as a person does.
    pub(crate) async fn change<K>(&self, name: &str, change: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        self.api::<K>().patch(name, &PatchParams::default(), &Patch::Merge(change)).await.unwrap()
    }

    /// Says how an object is, as its controller does.
    pub(crate) async fn say<K>(&self, name: &str, status: Value)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let status = Patch::Merge(json!({"status": status}));
        self.api::<K>().patch_status(name, &PatchParams::default(), &status).await.unwrap();
    }

    pub(crate) async fn delete<K>(&self, name: &str)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        self.api::<K>().delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Waits until an object is there that is as it must be.
    pub(crate) async fn until<K>(&self, name: &str, what: &str, is: impl Fn(&K) -> bool) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let api = self.api::<K>();
        eventually(what, PATIENCE, async || api.get_opt(name).await.unwrap().filter(|object| is(object)))
            .await
    }

    /// Waits until an object is gone.
    pub(crate) async fn until_gone<K>(&self, name: &str)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let api = self.api::<K>();
        eventually("it is gone", PATIENCE, async || api.get_opt(name).await.unwrap().is_none().then_some(()))
            .await;
    }

    /// Waits until a condition of a pipeline says this.
    pub(crate) async fn until_said(&self, name: &str, type_: &str, status: &str, reason: &str) -> String {
        let what = format!("{type_} is {status} {reason}");
        let said = |pipeline: &TransactionPipeline| {
            let conditions = pipeline.status.iter().flat_map(|status| &status.conditions);
            let mut conditions = conditions.filter(|condition| condition.type_ == type_);
            let found = conditions.find(|condition| condition.status == status && condition.reason == reason);
            found.map(|condition| condition.message.clone())
        };
        let pipeline =
            self.until::<TransactionPipeline>(name, &what, |pipeline| said(pipeline).is_some()).await;
        said(&pipeline).unwrap()
    }
}

/// Installs the definition: the same for all tests.
async fn install(client: &Client) {
    let definitions = Api::<CustomResourceDefinition>::all(client.clone());
    let name = "transactionpipelines.fluxo.dev";
    let by = PatchParams::apply("fluxo-tests").force();
    definitions.patch(name, &by, &Patch::Apply(crd::definition())).await.unwrap();
    let established = await_condition(definitions, name, is_crd_established());
    tokio::time::timeout(PATIENCE, established).await.unwrap().unwrap();
}
