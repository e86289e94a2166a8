//! An operator that is killed at each step of its work, and the next one that goes on where it was.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use fluxo_operator::{controller::model::strimzi::KafkaTopic, crd::TransactionPipeline};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment, core::v1::Service, networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
};
use kube::{Resource, ResourceExt as _, api::ListParams};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    middle::{Asked, Fate, Middle},
    scene::Scene,
    strimzi::{Strimzi, beside_strimzi},
};

/// More steps than there are.
const STEPS_MOST: usize = 60;

/// Runs operators, of which each is killed at its next step, as long as `work` is not done: the server has done the
/// last that it asked for, and it never heard of it. How many there were.
async fn kill_at_each_step(scene: &Scene, work: impl AsyncFn()) -> usize {
    for steps in 1..STEPS_MOST {
        let (middle, killed) = (Middle::new(), Arc::new(Notify::new()));
        let (kill, taken) = (Arc::clone(&killed), AtomicUsize::new(0));
        middle.rule(move |asked: &Asked| {
            if !asked.is_write() {
                return Fate::Passes;
            }
            match (taken.fetch_add(1, Ordering::SeqCst) + 1).cmp(&steps) {
                std::cmp::Ordering::Less => Fate::Passes,
                std::cmp::Ordering::Equal => {
                    kill.notify_one();
                    Fate::Unheard
                }
                std::cmp::Ordering::Greater => Fate::Lost,
            }
        });
        // Each has a Lease of its own: none waits until that of the one before has run out.
        let lease = format!("--operator-lease=operator-{steps}");
        let operator = scene.operate_over(None, middle, &[&lease]).await;
        let is_done = tokio::select! {
            () = killed.notified() => false,
            () = work() => true,
        };
        operator.kill().await;
        if is_done {
            return steps;
        }
    }
    panic!("{STEPS_MOST} operators did not do it");
}

/// What there is of a kind, without what differs between two pipelines that are alike.
async fn objects<K>(scene: &Scene) -> Vec<Value>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
{
    let pipeline = scene.api::<TransactionPipeline>().get("pagamentos").await.unwrap();
    let objects = scene.api::<K>().list(&ListParams::default()).await.unwrap();
    let comparable = |object: &K| {
        let mut value = serde_json::to_value(object).unwrap();
        let fields = value.as_object_mut().unwrap();
        fields.remove("status");
        let metadata = fields["metadata"].as_object_mut().unwrap();
        metadata
            .retain(|field, _| ["name", "labels", "ownerReferences", "generation"].contains(&field.as_str()));
        let spec = fields["spec"].as_object_mut().unwrap();
        spec.retain(|field, _| !["clusterIP", "clusterIPs"].contains(&field.as_str()));
        let text = value.to_string().replace(&scene.namespace.name, "NAMESPACE");
        serde_json::from_str(&text.replace(&pipeline.uid().unwrap(), "UID")).unwrap()
    };
    objects.items.iter().map(comparable).collect()
}

async fn all_objects(scene: &Scene) -> Vec<Value> {
    [
        objects::<Deployment>(scene).await,
        objects::<Service>(scene).await,
        objects::<NetworkPolicy>(scene).await,
        objects::<PodDisruptionBudget>(scene).await,
        objects::<KafkaTopic>(scene).await,
    ]
    .concat()
}

fn pipeline(scene: &Scene) -> Value {
    let mut pipeline = beside_strimzi(scene, "pagamentos");
    pipeline["spec"]["kafka"]["deletionPolicy"] = json!("Delete");
    pipeline
}

async fn converged(scene: &Scene) {
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    scene.until_said("pagamentos", "ListenerAvailable", "False", "PodsNotReady").await;
    scene.until_said("pagamentos", "Scaling", "True", "Steady").await;
}

#[tokio::test]
async fn an_operator_that_is_killed_at_each_step_makes_the_same_and_leaves_nothing_of_it() {
    let (scene, undisturbed) = (Scene::idle().await, Scene::start().await);
    let (_strimzi, _undisturbed) = (Strimzi::start(&scene).await, Strimzi::start(&undisturbed).await);
    undisturbed.put::<TransactionPipeline>(pipeline(&undisturbed)).await;
    scene.put::<TransactionPipeline>(pipeline(&scene)).await;
    let steps = kill_at_each_step(&scene, async || converged(&scene).await).await;
    assert!(steps > 10, "{steps}");
    converged(&undisturbed).await;
    assert_eq!(all_objects(&scene).await, all_objects(&undisturbed).await);

    scene.delete::<TransactionPipeline>("pagamentos").await;
    kill_at_each_step(&scene, async || scene.until_gone::<TransactionPipeline>("pagamentos").await).await;
    let left = scene.api::<KafkaTopic>().list(&ListParams::default()).await.unwrap().items;
    assert!(left.is_empty(), "{left:?}");
}
