//! What a pipeline is made of: made, mended, and not written again when nothing changed.

use std::sync::atomic::{AtomicBool, Ordering};

use fluxo_operator::{controller::model::HttpRoute, crd::TransactionPipeline};
use fluxo_testkit::eventually;
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::Service,
        networking::v1::{Ingress, NetworkPolicy},
        policy::v1::PodDisruptionBudget,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    runtime::{conditions::is_crd_established, wait::await_condition},
};
use serde_json::json;

use crate::{middle::Fate, scene::Scene};

fn managers(deployment: &Deployment) -> Vec<(String, bool)> {
    let fields = deployment.metadata.managed_fields.iter().flatten();
    fields
        .map(|field| {
            let owns_replicas =
                field.fields_v1.as_ref().is_some_and(|fields| !fields.0["f:spec"]["f:replicas"].is_null());
            (field.manager.clone().unwrap_or_default(), owns_replicas)
        })
        .collect()
}

#[tokio::test]
async fn a_pipeline_gets_its_children_which_go_with_it() {
    let scene = Scene::start().await;
    let pipeline = scene.make("pagamentos").await;
    let listener = scene.until::<Deployment>("pagamentos-listener", "the listeners are made", |_| true).await;
    scene.until::<Deployment>("pagamentos-api", "the api is made", |_| true).await;
    scene.until::<Service>("pagamentos-api", "the Service is made", |_| true).await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    assert!(!scene.api::<PodDisruptionBudget>().list(&ListParams::default()).await.unwrap().items.is_empty());
    assert!(!scene.api::<NetworkPolicy>().list(&ListParams::default()).await.unwrap().items.is_empty());
    let owner = &listener.owner_references()[0];
    assert_eq!(Some(&owner.uid), pipeline.metadata.uid.as_ref());
    let status = scene.until_said("pagamentos", "ListenerAvailable", "False", "PodsNotReady").await;
    assert!(status.contains("pagamentos-listener"), "{status}");
}

#[tokio::test]
async fn the_number_of_listeners_is_owned_by_the_scaler_and_by_nobody_else() {
    let scene = Scene::start().await;
    let mut pipeline = scene.pipeline("pagamentos");
    pipeline["spec"]["listener"] = json!({"scaling": {"mode": "Fixed"}, "replicas": 2});
    scene.put::<TransactionPipeline>(pipeline).await;
    let has_two = |deployment: &Deployment| deployment.spec.as_ref().unwrap().replicas == Some(2);
    let listener = scene.until::<Deployment>("pagamentos-listener", "there are two", has_two).await;
    let owners: Vec<_> =
        managers(&listener).into_iter().filter(|(_, owns)| *owns).map(|(manager, _)| manager).collect();
    assert_eq!(owners, ["fluxo-scaler"]);
    // A person's number does not last, and the next declared one is taken up.
    scene.change::<TransactionPipeline>("pagamentos", json!({"spec": {"listener": {"replicas": 3}}})).await;
    let has_three = |deployment: &Deployment| deployment.spec.as_ref().unwrap().replicas == Some(3);
    scene.until::<Deployment>("pagamentos-listener", "there are three", has_three).await;
}

#[tokio::test]
async fn what_somebody_changes_or_deletes_is_mended() {
    let scene = Scene::start().await;
    scene.make("pagamentos").await;
    let image = |deployment: &Deployment| {
        deployment.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0].image.clone()
    };
    let made = scene.until::<Deployment>("pagamentos-api", "the api is made", |_| true).await;
    let container = made.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0].name.clone();
    let other =
        json!({"spec": {"template": {"spec": {"containers": [{"name": container, "image": "other"}]}}}});
    let change = kube::api::Patch::Strategic(other);
    let changed = scene
        .api::<Deployment>()
        .patch("pagamentos-api", &kube::api::PatchParams::default(), &change)
        .await
        .unwrap();
    assert_ne!(image(&changed), image(&made));
    scene
        .until::<Deployment>("pagamentos-api", "the image is mended", |now| image(now) == image(&made))
        .await;
    // Of this nothing is kept of what a watch tells.
    scene.change::<Deployment>("pagamentos-api", json!({"spec": {"minReadySeconds": 0}})).await;
    let min_ready = |deployment: &Deployment| deployment.spec.as_ref().unwrap().min_ready_seconds;
    scene
        .until::<Deployment>("pagamentos-api", "it is mended", |now| min_ready(now) == min_ready(&made))
        .await;

    let service = scene.until::<Service>("pagamentos-api", "the Service is made", |_| true).await;
    scene.delete::<Service>("pagamentos-api").await;
    scene
        .until::<Service>("pagamentos-api", "the Service is made again", |now| now.uid() != service.uid())
        .await;

    // Without the label it is not watched any more, and is found all the same.
    let without = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}});
    scene.change::<Service>("pagamentos-api", without).await;
    let is_labelled = |service: &Service| service.labels().contains_key("app.kubernetes.io/managed-by");
    scene.until::<Service>("pagamentos-api", "the label is back", is_labelled).await;
}

#[tokio::test]
async fn a_change_that_contradicts_what_is_wanted_is_mended() {
    let scene = Scene::start().await;
    scene.make("pagamentos").await;
    // Applied beside these, there would be two ports of one name, a minimum beside a maximum, a value from two sources.
    change_port_until_mended(&scene).await;

    let budget = scene.until::<PodDisruptionBudget>("pagamentos-api", "the budget is made", |_| true).await;
    let other = json!({"spec": {"maxUnavailable": null, "minAvailable": 1}});
    scene.change::<PodDisruptionBudget>("pagamentos-api", other).await;
    let is_as_made =
        |now: &PodDisruptionBudget| now.spec == budget.spec && is_ours_by_apply_alone(&now.metadata);
    scene.until::<PodDisruptionBudget>("pagamentos-api", "the budget is mended", is_as_made).await;

    let containers = |deployment: &Deployment| {
        deployment.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers.clone()
    };
    let api = scene.until::<Deployment>("pagamentos-api", "the api is made", |_| true).await;
    let mut other = serde_json::to_value(containers(&api)).unwrap();
    let env = other[0]["env"].as_array_mut().unwrap();
    let value = env.iter_mut().find(|variable| variable["value"].is_string()).unwrap();
    value["value"] = json!(null);
    value["valueFrom"] = json!({"fieldRef": {"fieldPath": "metadata.name"}});
    let other = json!({"spec": {"template": {"spec": {"containers": other}}}});
    scene.change::<Deployment>("pagamentos-api", other).await;
    let is_as_made =
        |now: &Deployment| containers(now) == containers(&api) && is_ours_by_apply_alone(&now.metadata);
    scene.until::<Deployment>("pagamentos-api", "the variable is mended", is_as_made).await;
}

#[tokio::test]
async fn a_mend_that_breaks_off_is_made_to_its_end() {
    let scene = Scene::start().await;
    scene.make("pagamentos").await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    let breaks_off = AtomicBool::new(false);
    scene.operator().middle.rule(move |asked| {
        if !asked.is_write() || !asked.is_of("services") {
            return Fate::Passes;
        }
        // As it was made it is again by then, and whether it was written by apply is no part of that.
        let is_replaced = !asked.is_apply() && !asked.body.contains("managedFields");
        if breaks_off.swap(is_replaced, Ordering::SeqCst) {
            Fate::Answered(500, "InternalError")
        } else {
            Fate::Passes
        }
    });
    change_port_until_mended(&scene).await;
}

/// Somebody changes the port of the Service.
async fn change_port_until_mended(scene: &Scene) {
    let ports = |service: &Service| service.spec.as_ref().unwrap().ports.clone();
    let service = scene.until::<Service>("pagamentos-api", "the Service is made", |_| true).await;
    let mut other = serde_json::to_value(ports(&service)).unwrap();
    other[0]["port"] = json!(8080);
    scene.change::<Service>("pagamentos-api", json!({"spec": {"ports": other}})).await;
    let is_as_made = |now: &Service| ports(now) == ports(&service) && is_ours_by_apply_alone(&now.metadata);
    scene.until::<Service>("pagamentos-api", "the port is mended", is_as_made).await;
}

/// What was written otherwise would stay when it is not wanted any more.
fn is_ours_by_apply_alone(metadata: &ObjectMeta) -> bool {
    let all = metadata.managed_fields.iter().flatten();
    let mut ours = all.filter(|fields| fields.manager.as_deref() == Some("fluxo-operator"));
    ours.all(|fields| fields.operation.as_deref() == Some("Apply"))
}

#[tokio::test]
async fn what_is_not_declared_any_more_is_removed() {
    let scene = Scene::start().await;
    make_with_ingress(&scene).await;
    scene.until::<NetworkPolicy>("pagamentos-api", "the policies are made", |_| true).await;
    let route = json!({"parentRefs": [{"name": "gateway"}]});
    let other =
        json!({"spec": {"api": {"ingress": null, "httpRoute": route}, "networkPolicy": {"enabled": false}}});
    scene.change::<TransactionPipeline>("pagamentos", other).await;
    scene.until::<HttpRoute>("pagamentos-api", "the route is made", |_| true).await;
    scene.until_gone::<Ingress>("pagamentos-api").await;
    for policy in ["pagamentos-api", "pagamentos-listener", "pagamentos-migrations"] {
        scene.until_gone::<NetworkPolicy>(policy).await;
    }
    let without = json!({"spec": {"api": {"httpRoute": null}}});
    scene.change::<TransactionPipeline>("pagamentos", without).await;
    scene.until_gone::<HttpRoute>("pagamentos-api").await;
    // What is always wanted has stayed.
    scene.until::<PodDisruptionBudget>("pagamentos-api", "the budget is there", |_| true).await;
    scene.until::<Service>("pagamentos-api", "the Service is there", |_| true).await;
}

#[tokio::test]
async fn a_way_in_from_outside_goes_only_once_the_other_one_is_there() {
    let scene = Scene::start().await;
    make_with_ingress(&scene).await;
    scene.operator().middle.rule(|asked| {
        let is_refused = asked.is_write() && asked.is_of("httproutes");
        if is_refused { Fate::Answered(422, "Invalid") } else { Fate::Passes }
    });
    let route = json!({"parentRefs": [{"name": "gateway"}]});
    let other = json!({"spec": {"api": {"ingress": null, "httpRoute": route}}});
    scene.change::<TransactionPipeline>("pagamentos", other).await;
    scene.until_said("pagamentos", "Ready", "False", "ApiServerError").await;
    assert!(scene.api::<Ingress>().get_opt("pagamentos-api").await.unwrap().is_some());
    scene.operator().middle.rule(|_| Fate::Passes);
    scene.until::<HttpRoute>("pagamentos-api", "the route is made", |_| true).await;
    scene.until_gone::<Ingress>("pagamentos-api").await;
}

#[tokio::test]
async fn the_same_name_in_two_namespaces_is_two_pipelines() {
    let other = fluxo_testkit::namespace().await;
    let mut scene = Scene::idle().await;
    scene.start_operator(&[&format!("--operator-namespaces={}", other.name)]).await;
    scene.secret_in(&other.name, "mysql", &[("username", "fluxo"), ("password", "geheim")]).await;
    scene.secret_in(&other.name, "keys", &[("keys.json", "{}")]).await;
    scene.make("pagamentos").await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    let theirs = Api::<TransactionPipeline>::namespaced(scene.client.clone(), &other.name);
    let is_said = async |reason: &str| {
        eventually(reason, crate::PATIENCE, async || {
            let status = theirs.get("pagamentos").await.unwrap().status?;
            let mut conditions = status.conditions.into_iter();
            conditions.find(|condition| condition.type_ == "TopicsReady" && condition.reason == reason)
        })
        .await
    };
    // With the first one's topic it is nobody's but the first one's.
    scene.put_in::<TransactionPipeline>(&other.name, scene.pipeline("pagamentos")).await;
    let claimed = is_said("AlreadyClaimed").await;
    assert!(claimed.message.contains(&format!("{}/pagamentos", scene.namespace.name)), "{}", claimed.message);
    theirs.delete("pagamentos", &DeleteParams::default()).await.unwrap();
    let mut pipeline = scene.pipeline("pagamentos");
    pipeline["spec"]["kafka"]["topic"]["name"] = json!(scene.topic("theirs"));
    scene.put_in::<TransactionPipeline>(&other.name, pipeline).await;
    is_said("AsDeclared").await;
    let group = async |namespace: &str| {
        let deployments = Api::<Deployment>::namespaced(scene.client.clone(), namespace);
        let deployment = eventually("the listeners are made", crate::PATIENCE, async || {
            deployments.get_opt("pagamentos-listener").await.unwrap()
        });
        serde_json::to_string(&deployment.await).unwrap().contains(&format!("fluxo.{namespace}.pagamentos"))
    };
    assert!(group(&scene.namespace.name).await && group(&other.name).await);
}

/// Makes a pipeline with an Ingress, where a route can follow it.
async fn make_with_ingress(scene: &Scene) {
    gateway_api(scene).await;
    let mut pipeline = scene.pipeline("pagamentos");
    pipeline["spec"]["api"]["ingress"] = json!({"host": "pagamentos.local"});
    scene.put::<TransactionPipeline>(pipeline).await;
    scene.until::<Ingress>("pagamentos-api", "the Ingress is made", |_| true).await;
}

/// Installs as much of the Gateway API as a route needs, where nobody has.
pub(crate) async fn gateway_api(scene: &Scene) {
    let definitions = Api::<CustomResourceDefinition>::all(scene.client.clone());
    let name = "httproutes.gateway.networking.k8s.io";
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": open}});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": name, "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"}},
        "spec": {
            "group": "gateway.networking.k8s.io", "scope": "Namespaced", "versions": [version],
            "names": {"kind": "HTTPRoute", "plural": "httproutes", "singular": "httproute"},
        },
    });
    if definitions.get_opt(name).await.unwrap().is_none() {
        let by = PatchParams::apply("fluxo-tests").force();
        definitions.patch(name, &by, &Patch::Apply(definition)).await.unwrap();
    }
    let established = await_condition(definitions, name, is_crd_established());
    tokio::time::timeout(crate::PATIENCE, established).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_foreign_object_is_left_alone_and_named() {
    let scene = Scene::start().await;
    let foreign = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "pagamentos-api"},
        "spec": {"ports": [{"port": 1234}]},
    });
    let foreign = scene.put::<Service>(foreign).await;
    scene.make("pagamentos").await;
    let message = scene.until_said("pagamentos", "Ready", "False", "NameConflict").await;
    assert!(message.contains(&format!("Service {}/pagamentos-api", scene.namespace.name)), "{message}");
    let now = scene.api::<Service>().get("pagamentos-api").await.unwrap();
    assert_eq!(now.resource_version(), foreign.resource_version());
    // Once it is out of the way, all goes on.
    scene.delete::<Service>("pagamentos-api").await;
    scene.until::<Service>("pagamentos-api", "the Service is made", |now| now.uid() != foreign.uid()).await;
}

#[tokio::test]
async fn a_status_with_times_triggers_nothing_and_what_has_converged_is_never_written_again() {
    const RESYNC: &str = "--operator-resync=1s";
    let mut scene = Scene::start_with(&[RESYNC]).await;
    scene.make("pagamentos").await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    scene.until_said("pagamentos", "Scaling", "True", "Steady").await;
    for name in ["pagamentos-api", "pagamentos-listener"] {
        let is_rolled_out = |now: &Deployment| {
            let (spec, status) = (now.spec.clone().unwrap(), now.status.clone().unwrap_or_default());
            status.observed_generation == now.metadata.generation && status.updated_replicas == spec.replicas
        };
        scene.until(name, "Kubernetes has made its pods", is_rolled_out).await;
    }
    let versions = async |scene: &Scene| {
        let mut all =
            vec![scene.api::<TransactionPipeline>().get("pagamentos").await.unwrap().resource_version()];
        for deployment in ["pagamentos-api", "pagamentos-listener"] {
            all.push(scene.api::<Deployment>().get(deployment).await.unwrap().resource_version());
        }
        all.push(scene.api::<Service>().get("pagamentos-api").await.unwrap().resource_version());
        all
    };
    // What is still coming to rest has some passes for it.
    let operator = scene.operator();
    operator.settled().await;
    let (before, written) = (versions(&scene).await, operator.middle.writes().len());
    operator.settled().await;
    let writes = operator.middle.writes();
    assert_eq!(writes.len(), written, "{:?}", &writes[written..]);
    // The next process applies all once, which changes nothing.
    scene.stop().await;
    scene.start_operator(&[RESYNC]).await;
    scene.operator().settled().await;
    assert_eq!(versions(&scene).await, before);
}

#[tokio::test]
async fn a_process_that_works_is_live_and_ready() {
    let scene = Scene::start().await;
    let operator = scene.operator();
    fluxo_testkit::eventually("it is ready", crate::PATIENCE, async || {
        operator.is_well("/readyz").await.then_some(())
    })
    .await;
    assert!(operator.is_well("/livez").await);
}

#[tokio::test]
async fn a_paused_pipeline_is_left_as_it_is() {
    let scene = Scene::start().await;
    scene.make("pagamentos").await;
    scene.until::<Service>("pagamentos-api", "the Service is made", |_| true).await;
    scene.change::<TransactionPipeline>("pagamentos", json!({"spec": {"paused": true}})).await;
    scene.until_said("pagamentos", "Ready", "Unknown", "Paused").await;
    scene.delete::<Service>("pagamentos-api").await;
    settled_or_idle(&scene).await;
    assert!(scene.api::<Service>().get_opt("pagamentos-api").await.unwrap().is_none());
    scene.change::<TransactionPipeline>("pagamentos", json!({"spec": {"paused": false}})).await;
    scene.until::<Service>("pagamentos-api", "the Service is made again", |_| true).await;
}

#[tokio::test]
async fn a_paused_pipeline_is_not_scaled() {
    let mut scene = Scene::start().await;
    let mut pipeline = scene.pipeline("pagamentos");
    pipeline["spec"]["listener"] = json!({"scaling": {"mode": "Fixed"}, "replicas": 2});
    scene.put::<TransactionPipeline>(pipeline).await;
    let replicas = |deployment: &Deployment| deployment.spec.as_ref().unwrap().replicas;
    let has = |wanted: i32| move |deployment: &Deployment| replicas(deployment) == Some(wanted);
    scene.until::<Deployment>("pagamentos-listener", "there are two", has(2)).await;
    // The scaler has seen what it wrote: until then it would take another's number for one from before.
    scene.operator().counted("fluxo_operator_lag_round_seconds_count").await;
    // A number that is declared together with the pause, and a person's own: neither is written, nor undone.
    let paused = json!({"spec": {"paused": true, "listener": {"replicas": 3}}});
    scene.change::<TransactionPipeline>("pagamentos", paused).await;
    scene.until_said("pagamentos", "Ready", "Unknown", "Paused").await;
    scene.change::<Deployment>("pagamentos-listener", json!({"spec": {"replicas": 5}})).await;
    scene.operator().counted("fluxo_operator_lag_round_seconds_count").await;
    settled_or_idle(&scene).await;
    assert_eq!(replicas(&scene.api::<Deployment>().get("pagamentos-listener").await.unwrap()), Some(5));
    // Nor by an operator that has just started.
    scene.stop().await;
    scene.start_operator(&[]).await;
    scene.operator().counted("fluxo_operator_lag_round_seconds_count").await;
    assert_eq!(replicas(&scene.api::<Deployment>().get("pagamentos-listener").await.unwrap()), Some(5));
    scene.change::<TransactionPipeline>("pagamentos", json!({"spec": {"paused": false}})).await;
    scene.until::<Deployment>("pagamentos-listener", "there are three", has(3)).await;
}

/// Waits until another pipeline, made now, was looked at: so was all that came before it.
async fn settled_or_idle(scene: &Scene) {
    let mut other = scene.pipeline("other");
    other["spec"]["kafka"]["topic"]["name"] = json!(scene.topic("other"));
    scene.put::<TransactionPipeline>(other).await;
    scene.until::<Deployment>("other-listener", "the other is made", |_| true).await;
}
