//! A namespace with a pipeline and all that it refers to, and operators that look after this namespace only.

use std::fmt::Debug;

use clap::Parser;
use fluxo_core::kit::shutdown::Shutdown;
use fluxo_operator::{
    crd::{self, TransactionPipeline},
    run::{self, Operator},
    settings::Settings,
};
use fluxo_testkit::{Link, TestNamespace, TestTopics, eventually};
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
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinHandle,
};

use crate::{PATIENCE, middle::Middle};

/// How often an operator looks at all again, unless a test has another time for it.
const RESYNC: &str = "--operator-resync=2s";
/// Nothing comes of looking at all again: what is seen, watches have told.
pub(crate) const NO_RESYNC: &str = "--operator-resync=1h";

pub(crate) struct Scene {
    /// That of the test itself, which nothing is between.
    pub(crate) client: Client,
    operator: Option<Running>,
    pub(crate) namespace: TestNamespace,
    // Dropped last.
    _topics: TestTopics,
}

/// An operator that runs.
pub(crate) struct Running {
    admin: std::net::SocketAddr,
    pub(crate) middle: Middle,
    shutdown: Shutdown,
    task: JoinHandle<anyhow::Result<()>>,
}

#[derive(Parser)]
struct Parsed {
    #[command(flatten)]
    settings: Settings,
}

impl Scene {
    /// One with an operator, and Secrets that a pipeline can name, but no pipeline.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[RESYNC]).await
    }

    /// The same, with these arguments of the operator.
    pub(crate) async fn start_with(arguments: &[&str]) -> Self {
        let mut scene = Self::idle().await;
        scene.start_operator(arguments).await;
        scene
    }

    /// One without an operator.
    pub(crate) async fn idle() -> Self {
        let namespace = fluxo_testkit::namespace().await;
        let client = fluxo_testkit::kubernetes().await;
        install(&client).await;
        let topics = fluxo_testkit::topics(&namespace.name);
        let scene = Self { client, operator: None, namespace, _topics: topics };
        scene.secret("mysql", &[("username", "fluxo"), ("password", "geheim")]).await;
        scene.secret("keys", &[("keys.json", "{}")]).await;
        scene
    }

    /// The operator that was started with this.
    pub(crate) fn operator(&self) -> &Running {
        self.operator.as_ref().unwrap()
    }

    /// Starts the operator, which must not run, with these arguments.
    pub(crate) async fn start_operator(&mut self, arguments: &[&str]) {
        self.operator = Some(self.operate(arguments).await);
    }

    /// Ends the operator.
    pub(crate) async fn stop(&mut self) {
        self.operator.take().unwrap().stop().await;
    }

    /// Starts a further operator.
    pub(crate) async fn operate(&self, arguments: &[&str]) -> Running {
        self.operate_over(None, Middle::new(), arguments).await
    }

    /// Starts a further operator, behind these.
    pub(crate) async fn operate_over(
        &self,
        link: Option<&Link>,
        middle: Middle,
        arguments: &[&str],
    ) -> Running {
        let namespace = &self.namespace.name;
        let (looks_after, lease) =
            (format!("--operator-namespaces={namespace}"), format!("--operator-namespace={namespace}"));
        let all = ["operator", "--admin-listen=127.0.0.1:0", &looks_after, &lease];
        let Parsed { settings } = Parsed::parse_from(all.iter().chain(arguments));
        let client = run::client(fluxo_testkit::kubernetes_config(link).await).unwrap();
        let operator = Operator::bind(settings, middle.before(client)).await.unwrap();
        let admin = operator.admin_addr().unwrap();
        let shutdown = Shutdown::manual();
        let task = tokio::spawn(operator.serve(shutdown.clone()));
        Running { admin, middle, shutdown, task }
    }

    pub(crate) async fn secret(&self, name: &str, values: &[(&str, &str)]) {
        self.secret_in(&self.namespace.name, name, values).await;
    }

    pub(crate) async fn secret_in(&self, namespace: &str, name: &str, values: &[(&str, &str)]) {
        let values: serde_json::Map<_, _> =
            values.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        let secret =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values});
        self.put_in::<Secret>(namespace, secret).await;
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
        self.put_in(&self.namespace.name, object).await
    }

    /// Makes an object of another namespace as a person does.
    pub(crate) async fn put_in<K>(&self, namespace: &str, object: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let name = object["metadata"]["name"].as_str().unwrap();
        let by = PatchParams::apply("a-person");
        let api = Api::<K>::namespaced(self.client.clone(), namespace);
        api.patch(name, &by, &Patch::Apply(&object)).await.unwrap()
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

impl Running {
    /// Ends it as Kubernetes does.
    pub(crate) async fn stop(self) {
        self.shutdown.drain();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }

    /// Ends it as a power cut does.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    /// What the admin port answers.
    pub(crate) async fn get(&self, path: &str) -> Option<String> {
        let mut stream = tokio::net::TcpStream::connect(self.admin).await.ok()?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    }

    /// Whether the admin port says that all is well.
    pub(crate) async fn is_well(&self, path: &str) -> bool {
        self.get(path).await.is_some_and(|answer| answer.starts_with("HTTP/1.0 200"))
    }

    /// What a metric is now.
    pub(crate) async fn metric(&self, name: &str) -> Option<u64> {
        let metrics = self.get("/metrics").await?;
        let of = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
        metrics.lines().find_map(of)
    }

    pub(crate) async fn leads(&self) -> bool {
        self.metric("fluxo_operator_leading").await == Some(1)
    }

    /// Waits until it is the one that works.
    pub(crate) async fn until_it_leads(&self) {
        eventually("it leads", PATIENCE, async || self.leads().await.then_some(())).await;
    }

    /// Waits until it has made several passes.
    pub(crate) async fn settled(&self) {
        self.counted("fluxo_operator_reconciles_total").await;
    }

    /// Waits until a counter has grown by three.
    pub(crate) async fn counted(&self, counter: &str) {
        let count = async || self.metric(counter).await;
        let began = eventually("it works", PATIENCE, count).await;
        eventually("it goes on", PATIENCE, async || count().await.filter(|now| *now >= began + 3)).await;
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
