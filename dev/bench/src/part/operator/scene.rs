//! What there is at the API server: pipelines and what they name, and who stands in for Strimzi and the kubelets.

use std::{
    collections::BTreeMap,
    fmt::{self, Debug},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use fluxo_operator::{
    controller::model::strimzi::Kafka,
    crd::{self, TransactionPipeline},
};
use fluxo_testkit::TestNamespace;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        core::v1::{Pod, Secret},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::progress::Progress;

/// How many requests of the scene are under way at once.
const CONCURRENCY: usize = 8;
/// How long pipelines may take to be Ready. The controllers of Kubernetes make 20 requests a second.
const READY: Duration = Duration::from_mins(30);
const AGAIN: Duration = Duration::from_millis(500);
/// How often it is looked whether the operator has acted.
const LOOK: Duration = Duration::from_millis(20);

/// A namespace with all that pipelines name.
pub(super) struct Scene {
    pub(super) namespace: TestNamespace,
    pub(super) kubeconfig: PathBuf,
    client: Client,
}

/// Requests that change something at the API server, by verb and resource; those for Leases are not among them.
pub(super) struct Writes(BTreeMap<String, u64>);

/// The version of the API server.
pub(super) async fn version() -> anyhow::Result<String> {
    let version = fluxo_testkit::kubernetes().await.apiserver_version().await?;
    Ok(format!("Kubernetes {}", version.git_version))
}

impl Scene {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let client = fluxo_testkit::kubernetes().await;
        let by = PatchParams::apply("fluxo-bench").force();
        let definitions = Api::<CustomResourceDefinition>::all(client.clone());
        definitions.patch("transactionpipelines.fluxo.dev", &by, &Patch::Apply(crd::definition())).await?;
        let scene = Self { namespace: fluxo_testkit::namespace().await, kubeconfig: kubeconfig()?, client };
        for (name, values) in [
            ("mysql", json!({"username": "fluxo", "password": "correct-horse"})),
            ("keys", json!({"keys.json": "{}"})),
            ("eventos-cluster-ca-cert", json!({"ca.crt": "not used without TLS"})),
        ] {
            let secret = json!({"metadata": {"name": name}, "stringData": values});
            scene.put::<Secret>(secret).await?;
        }
        let listeners = json!([{"name": "plain", "port": 9092, "type": "internal", "tls": false}]);
        scene
            .put::<Kafka>(
                json!({"metadata": {"name": "eventos"}, "spec": {"kafka": {"listeners": listeners}}}),
            )
            .await?;
        let status = json!({"status": {
            "clusterId": "bench",
            "listeners": [{"name": "plain", "bootstrapServers": fluxo_testkit::kafka()}],
        }});
        let kafkas = scene.api::<Kafka>();
        kafkas.patch_status("eventos", &PatchParams::default(), &Patch::Merge(status)).await?;
        Ok(scene)
    }

    /// Makes so many pipelines, and waits until all are Ready. Nothing that stands in for others goes on after that.
    pub(super) async fn make(&self, count: u32) -> anyhow::Result<()> {
        let made = async {
            let pipelines = (0..count).map(|number| self.put::<TransactionPipeline>(self.pipeline(number)));
            stream::iter(pipelines).buffer_unordered(CONCURRENCY).try_for_each(|_| async { Ok(()) }).await?;
            let (began, mut progress) = (Instant::now(), Progress::begin());
            loop {
                let ready = self.ready().await?;
                progress.say(format_args!("{ready} of {count} pipelines are Ready"));
                if ready == usize::try_from(count)? {
                    return Ok(());
                }
                ensure!(began.elapsed() < READY, "{ready} of {count} pipelines are Ready after {READY:?}");
                tokio::time::sleep(AGAIN).await;
            }
        };
        let topics = fluxo_topic_operator::Settings::new(
            self.namespace.name.clone(),
            "eventos".into(),
            fluxo_testkit::kafka(),
        );
        tokio::select! {
            made = made => made,
            ended = fluxo_topic_operator::run(self.client.clone(), topics, std::future::pending()) => {
                ended.context("the stand-in for the Topic Operator ended")
            }
            ended = self.run_pods() => ended.context("the stand-in for kubelets ended"),
        }
    }

    /// Whether all pipelines say what is true: that they are Ready, of what is declared.
    pub(super) async fn all_are_right(&self, count: u32) -> anyhow::Result<()> {
        let ready = self.ready().await?;
        ensure!(ready == usize::try_from(count)?, "{ready} of {count} pipelines are Ready");
        Ok(())
    }

    pub(super) async fn set_api_replicas(&self, replicas: i32) -> anyhow::Result<()> {
        let change = Patch::Merge(json!({"spec": {"api": {"replicas": replicas}}}));
        self.api::<TransactionPipeline>().patch("pipeline-0", &PatchParams::default(), &change).await?;
        Ok(())
    }

    /// Waits until the first pipeline's api is to have so many replicas.
    pub(super) async fn has_api_replicas(&self, replicas: i32, patience: Duration) -> anyhow::Result<()> {
        let (deployments, began) = (self.api::<Deployment>(), Instant::now());
        loop {
            let now = deployments.get("pipeline-0-api").await?.spec.and_then(|spec| spec.replicas);
            if now == Some(replicas) {
                return Ok(());
            }
            ensure!(began.elapsed() < patience, "the operator did not act within {patience:?}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What was written until now, as the API server counts it.
    pub(super) async fn writes(&self) -> anyhow::Result<Writes> {
        let request = http::Request::get("/metrics").body(Vec::new())?;
        let text = self.client.request_text(request).await?;
        let mut writes = BTreeMap::new();
        for line in text.lines().filter_map(|line| line.strip_prefix("apiserver_request_total{")) {
            let label = |name: &str| {
                let (_, rest) = line.split_once(&format!("{name}=\""))?;
                rest.split('"').next()
            };
            let (verb, resource) = (label("verb").unwrap_or("?"), label(",resource").unwrap_or("?"));
            let is_write = ["APPLY", "DELETE", "DELETECOLLECTION", "PATCH", "POST", "PUT"].contains(&verb);
            if is_write && resource != "leases" {
                let count = line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok()).unwrap_or(0);
                *writes.entry(format!("{verb} {resource}")).or_default() += count;
            }
        }
        Ok(Writes(writes))
    }

    async fn ready(&self) -> anyhow::Result<usize> {
        let pipelines = self.api::<TransactionPipeline>().list(&ListParams::default()).await?;
        let is_ready = |pipeline: &&TransactionPipeline| {
            let status = pipeline.status.as_ref();
            status.is_some_and(|status| {
                let mut conditions = status.conditions.iter();
                status.observed_generation == pipeline.metadata.generation
                    && status.lag == Some(0)
                    && conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
            })
        };
        Ok(pipelines.iter().filter(is_ready).count())
    }

    /// Says of pods what kubelets would say: those of Jobs have done their work, all others serve.
    async fn run_pods(&self) -> anyhow::Result<()> {
        let pods = self.api::<Pod>();
        let pending = ListParams::default().fields("status.phase=Pending").limit(500);
        let by = PatchParams::default();
        loop {
            let now = jiff::Timestamp::now().to_string();
            let found = pods.list(&pending).await?;
            let said = found.iter().map(|pod| {
                let is_of_a_job = pod.owner_references().iter().any(|owner| owner.kind == "Job");
                let serves = json!([{"type": "Ready", "status": "True", "lastTransitionTime": now}]);
                let status = if is_of_a_job {
                    json!({"status": {"phase": "Succeeded"}})
                } else {
                    json!({"status": {"phase": "Running", "conditions": serves}})
                };
                let (pods, by) = (&pods, &by);
                async move { pods.patch_status(&pod.name_any(), by, &Patch::Merge(status)).await }
            });
            // One that is gone by now needs no kubelet.
            stream::iter(said).buffer_unordered(CONCURRENCY).for_each(|_| async {}).await;
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn pipeline(&self, number: u32) -> Value {
        let topic = format!("{}-{number}", self.namespace.name);
        json!({
            "metadata": {"name": format!("pipeline-{number}")},
            "spec": {
                "kafka": {
                    "strimzi": {"cluster": "eventos", "listener": "plain"},
                    "topic": {
                        "name": topic, "partitions": 1, "replicas": 1, "config": {"min.insync.replicas": "1"},
                    },
                },
                "mysql": {"host": "mysql", "database": "fluxo", "credentials": {"secret": "mysql"}},
                "api": {"auth": {"secret": "keys"}},
            },
        })
    }

    fn api<K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace.name)
    }

    async fn put<K>(&self, mut object: Value) -> anyhow::Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        object["apiVersion"] = K::api_version(&()).into();
        object["kind"] = K::kind(&()).into();
        let name = object["metadata"]["name"].as_str().context("it has a name")?.to_owned();
        let by = PatchParams::apply("fluxo-bench");
        Ok(self.api::<K>().patch(&name, &by, &Patch::Apply(&object)).await?)
    }
}

impl Writes {
    /// What was written after others.
    pub(super) fn since(&self, before: &Self) -> Self {
        let written = self.0.iter().filter_map(|(what, count)| {
            let written = count - before.0.get(what).unwrap_or(&0);
            (written > 0).then(|| (what.clone(), written))
        });
        Self(written.collect())
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Writes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str("0");
        }
        let each: Vec<_> = self.0.iter().map(|(what, count)| format!("{what} {count}")).collect();
        f.write_str(&each.join(", "))
    }
}

#[allow(clippy::disallowed_methods, reason = "where the servers are is no setting of a service")]
fn kubeconfig() -> anyhow::Result<PathBuf> {
    let path = std::env::var("FLUXO_TEST_KUBERNETES");
    Ok(path
        .context("FLUXO_TEST_KUBERNETES is not set: `make bench-operator` starts the server and sets it")?
        .into())
}
