//! A real API server, with the definition in a group of its own: no test sees another's, nor one that is installed.

use std::time::Duration;

use fluxo_operator::crd;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, Config,
    api::{DeleteParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{conditions::is_crd_established, wait::await_condition},
};
use serde_json::{Value, json};

const NAMESPACE: &str = "default";

pub(crate) struct Server {
    client: Client,
    group: String,
}

/// Each refusal, as `field: message`.
type Refused = Vec<String>;

impl Server {
    /// The server that `FLUXO_TEST_KUBERNETES` names, after it has taken the definition.
    pub(crate) async fn with_definition() -> Self {
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(Kubeconfig::read_from(kubeconfig()).unwrap(), &options);
        let client = Client::try_from(config.await.unwrap()).unwrap();
        let group = format!("t{}.fluxo.dev", &uuid::Uuid::new_v4().simple().to_string()[..12]);
        let mut definition: CustomResourceDefinition = serde_json::from_value(crd::definition()).unwrap();
        let name = format!("{}.{group}", definition.spec.names.plural);
        definition.metadata.name = Some(name.clone());
        definition.spec.group.clone_from(&group);
        definition.spec.names.short_names = None; // or `kubectl get txp` would be of more than one meanwhile
        definition.spec.names.categories = None;
        let definitions = Api::<CustomResourceDefinition>::all(client.clone());
        definitions.create(&PostParams::default(), &definition).await.unwrap();
        let established = await_condition(definitions, &name, is_crd_established());
        tokio::time::timeout(Duration::from_secs(30), established).await.unwrap().unwrap();
        let server = Self { client, group };
        fluxo_testkit::eventually("the resource is served", Duration::from_secs(30), async || {
            server.send("GET", &server.path(""), "application/json", None).await.is_ok().then_some(())
        })
        .await;
        server
    }

    /// Takes the definition away again, and with it every pipeline of this test.
    pub(crate) async fn remove(self) {
        let name = format!("transactionpipelines.{}", self.group);
        let definitions = Api::<CustomResourceDefinition>::all(self.client);
        definitions.delete(&name, &DeleteParams::default()).await.unwrap();
    }

    /// What would be kept, if this were created.
    pub(crate) async fn try_create(&self, pipeline: &Value) -> Result<Value, Refused> {
        let path = self.path("?dryRun=All&fieldValidation=Strict");
        self.send("POST", &path, "application/json", Some(&self.of_group(pipeline))).await
    }

    /// What would be kept, if one were there and became the other.
    pub(crate) async fn try_update(&self, before: &Value, after: &Value) -> Result<Value, Refused> {
        let there = self.create(before).await;
        let name = there["metadata"]["name"].as_str().unwrap();
        let mut after = self.of_group(after);
        after["metadata"]["resourceVersion"] = there["metadata"]["resourceVersion"].clone();
        let path = self.path(&format!("/{name}?dryRun=All&fieldValidation=Strict"));
        let answer = self.send("PUT", &path, "application/json", Some(&after)).await;
        self.send("DELETE", &self.path(&format!("/{name}")), "application/json", None).await.unwrap();
        answer
    }

    pub(crate) async fn create(&self, pipeline: &Value) -> Value {
        self.send("POST", &self.path(""), "application/json", Some(&self.of_group(pipeline))).await.unwrap()
    }

    /// The pipeline of the examples.
    pub(crate) async fn get(&self) -> Value {
        self.send("GET", &self.path("/pagamentos"), "application/json", None).await.unwrap()
    }

    pub(crate) async fn patch(&self, subresource: &str, change: &Value) -> Value {
        self.try_patch(subresource, change).await.unwrap()
    }

    pub(crate) async fn try_patch(&self, subresource: &str, change: &Value) -> Result<Value, Refused> {
        let path = self.path(&format!("/pagamentos{subresource}"));
        self.send("PATCH", &path, "application/merge-patch+json", Some(change)).await
    }

    /// What `kubectl get` prints.
    pub(crate) async fn table(&self) -> Value {
        let request = http::Request::get(self.path(""))
            .header("accept", "application/json;as=Table;g=meta.k8s.io;v=v1")
            .body(Vec::new());
        self.client.request(request.unwrap()).await.unwrap()
    }

    fn path(&self, rest: &str) -> String {
        format!("/apis/{}/v1alpha1/namespaces/{NAMESPACE}/transactionpipelines{rest}", self.group)
    }

    fn of_group(&self, pipeline: &Value) -> Value {
        let mut pipeline = pipeline.clone();
        pipeline["apiVersion"] = json!(format!("{}/v1alpha1", self.group));
        pipeline["metadata"].as_object_mut().unwrap().remove("namespace");
        pipeline
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        body: Option<&Value>,
    ) -> Result<Value, Refused> {
        let request = http::Request::builder().method(method).uri(path).header("content-type", kind);
        let body = body.map(|body| serde_json::to_vec(body).unwrap()).unwrap_or_default();
        match self.client.request(request.body(body).unwrap()).await {
            Ok(answer) => Ok(answer),
            Err(kube::Error::Api(status)) => Err(refusals(&status)),
            Err(error) => panic!("{method} {path}: {error}"),
        }
    }
}

fn refusals(status: &kube::core::Status) -> Refused {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let mut refused: Refused = causes
        .filter(|cause| !cause.message.contains("some validation rules were not checked"))
        .map(|cause| format!("{}: {}", cause.field, without_value(&cause.message)))
        .collect();
    if refused.is_empty() {
        refused.push(format!("{}: {}", status.code, status.message));
    }
    refused.sort();
    refused.dedup();
    refused
}

/// A message without the `Invalid value: "…": ` before it.
fn without_value(message: &str) -> &str {
    message
        .strip_prefix("Invalid value: ")
        .and_then(|rest| rest.split_once("\": "))
        .map_or(message, |(_, said)| said)
}

#[allow(clippy::disallowed_methods, reason = "where the servers are is no setting of the operator")]
fn kubeconfig() -> String {
    std::env::var("FLUXO_TEST_KUBERNETES").unwrap_or_else(|_| {
        panic!("FLUXO_TEST_KUBERNETES is not set: name the kubeconfig of a Kubernetes API server, such as `dev/kubernetes/up api` prints")
    })
}
