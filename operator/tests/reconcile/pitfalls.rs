//! Where operators are known to fail, as far as no other test is about it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use fluxo_operator::crd::TransactionPipeline;
use fluxo_testkit::eventually;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Secret, Service},
};
use kube::ResourceExt as _;
use serde_json::json;

use crate::{
    PATIENCE,
    middle::{Fate, Middle},
    scene::{NO_RESYNC, Scene},
};

#[tokio::test]
async fn the_filter_of_events_hides_neither_a_deleted_child_nor_a_changed_finalizer() {
    let scene = Scene::start_with(&[NO_RESYNC]).await;
    let mut pipeline = scene.pipeline("pagamentos");
    pipeline["spec"]["kafka"]["deletionPolicy"] = json!("Delete");
    scene.put::<TransactionPipeline>(pipeline).await;
    // That the finalizer was added, which changes no generation, is not waited for.
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    let service = scene.until::<Service>("pagamentos-api", "the Service is made", |_| true).await;
    scene.delete::<Service>("pagamentos-api").await;
    scene
        .until::<Service>("pagamentos-api", "the Service is made again", |now| now.uid() != service.uid())
        .await;
    scene.change::<TransactionPipeline>("pagamentos", json!({"metadata": {"finalizers": null}})).await;
    let is_held = |pipeline: &TransactionPipeline| pipeline.finalizers() == ["fluxo.dev/topics"];
    scene.until::<TransactionPipeline>("pagamentos", "it is held again", is_held).await;
    scene.delete::<TransactionPipeline>("pagamentos").await;
    scene.until_gone::<TransactionPipeline>("pagamentos").await;
}

#[tokio::test]
async fn without_an_operator_nothing_holds_a_pipeline_that_retains_its_topics() {
    let mut scene = Scene::start().await;
    scene.make("pagamentos").await;
    scene.until::<Deployment>("pagamentos-listener", "the listeners are made", |_| true).await;
    scene.stop().await;
    scene.delete::<TransactionPipeline>("pagamentos").await;
    scene.until_gone::<TransactionPipeline>("pagamentos").await;
    scene.until_gone::<Deployment>("pagamentos-listener").await;
}

#[tokio::test]
async fn no_more_pipelines_are_worked_on_at_once_than_are_set() {
    let scene = Scene::idle().await;
    for name in ["one", "two", "three", "four"] {
        let mut pipeline = scene.pipeline(name);
        pipeline["spec"]["kafka"]["topic"]["name"] = json!(scene.topic(name));
        scene.put::<TransactionPipeline>(pipeline).await;
    }
    let (middle, begun) = (Middle::new(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&begun);
    // Each pass stops at the first thing that it writes.
    middle.rule(move |asked| {
        let is_first = asked.is_write();
        counted.fetch_add(usize::from(is_first), Ordering::SeqCst);
        if is_first { Fate::Lost } else { Fate::Passes }
    });
    let operator = scene.operate_over(None, middle.clone(), &["--operator-concurrency=2"]).await;
    eventually("two passes are under way", PATIENCE, async || {
        (begun.load(Ordering::SeqCst) == 2).then_some(())
    })
    .await;
    // All watches ask anew meanwhile, so whatever else would begin has begun.
    let asked = middle.seen().len();
    let asked_again = |kind: &str| {
        middle.seen()[asked..].iter().filter(|asked| asked.is_watch() && asked.is_of(kind)).count() > 0
    };
    eventually("watches ask anew", PATIENCE, async || asked_again("services").then_some(())).await;
    assert_eq!(begun.load(Ordering::SeqCst), 2);
    operator.kill().await;
}

#[tokio::test]
async fn a_secret_that_may_not_be_read_is_named_and_nothing_is_torn_down() {
    let scene = Scene::start().await;
    scene.make("pagamentos").await;
    let made = scene.until::<Deployment>("pagamentos-listener", "the listeners are made", |_| true).await;
    scene.operator().middle.rule(|asked| {
        let is_the_one = asked.path.ends_with("/secrets/mysql");
        if is_the_one { Fate::Answered(403, "Forbidden") } else { Fate::Passes }
    });
    let message = scene.until_said("pagamentos", "Ready", "False", "ReferenceNotPermitted").await;
    assert!(message.contains(&format!("Secret {}/mysql", scene.namespace.name)), "{message}");
    assert!(scene.api::<Secret>().get_opt("mysql").await.unwrap().is_some());
    let still = scene.api::<Deployment>().get("pagamentos-listener").await.unwrap();
    assert_eq!((still.uid(), still.metadata.generation), (made.uid(), made.metadata.generation));
}

#[tokio::test]
async fn what_the_api_server_goes_on_to_fail_at_is_said_in_the_status_until_it_does_not() {
    let scene = Scene::start().await;
    // As of an admission webhook that is away.
    scene.operator().middle.rule(|asked| {
        let fails = asked.is_write() && asked.is_of("services");
        if fails { Fate::Answered(500, "InternalError") } else { Fate::Passes }
    });
    scene.make("pagamentos").await;
    let message = scene.until_said("pagamentos", "Ready", "False", "ApiServerError").await;
    assert!(message.contains(&format!("Service {}/pagamentos-api", scene.namespace.name)), "{message}");
    assert!(message.contains("the test says InternalError"), "{message}");
    scene.operator().middle.rule(|_| Fate::Passes);
    scene.until::<Service>("pagamentos-api", "the Service is made", |_| true).await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
}
