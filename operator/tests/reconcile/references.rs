//! What a pipeline refers to, and what becomes of it when that is missing.

use fluxo_operator::crd::TransactionPipeline;
use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::Job,
    core::v1::{Pod, Secret},
};
use kube::{ResourceExt as _, api::ListParams};
use serde_json::{Value, json};

use crate::scene::{NO_RESYNC, Scene};

#[tokio::test]
async fn a_missing_secret_is_named_and_nothing_is_torn_down() {
    let scene = Scene::start().await;
    scene.make("pagamentos").await;
    let made = scene.until::<Deployment>("pagamentos-listener", "the listeners are made", |_| true).await;
    scene.delete::<Secret>("mysql").await;
    let message = scene.until_said("pagamentos", "Ready", "False", "ReferenceNotFound").await;
    assert!(message.contains(&format!("Secret {}/mysql", scene.namespace.name)), "{message}");
    let still = scene.api::<Deployment>().get("pagamentos-listener").await.unwrap();
    assert_eq!(still.metadata.generation, made.metadata.generation);
    assert!(still.metadata.deletion_timestamp.is_none());
    scene.secret("mysql", &[("username", "fluxo"), ("password", "other")]).await;
    // Back again, with another password: pods are replaced, since they read it when they start.
    let is_new = |now: &Deployment| now.metadata.generation > made.metadata.generation;
    scene.until::<Deployment>("pagamentos-listener", "the new password rolls the pods", is_new).await;
}

#[tokio::test]
async fn a_value_that_pods_read_replaces_them_once_and_any_other_does_not() {
    let scene = Scene::start().await;
    scene.secret("mysql", &[("username", "fluxo"), ("password", "first"), ("note", "first")]).await;
    scene.make("pagamentos").await;
    // Of the api: the number of listeners is a generation of its own.
    let made = scene.until::<Deployment>("pagamentos-api", "the api is made", |_| true).await;
    let generation = |deployment: &Deployment| deployment.metadata.generation.unwrap();
    let now = async || generation(&scene.api::<Deployment>().get("pagamentos-api").await.unwrap());
    scene.operator().settled().await;
    let before = now().await;
    let template = |deployment: &Deployment| deployment.spec.as_ref().unwrap().template.clone();
    scene.secret("mysql", &[("username", "fluxo"), ("password", "first"), ("note", "second")]).await;
    scene.secret("keys", &[("keys.json", "[]")]).await;
    scene.operator().settled().await;
    assert_eq!(now().await, before);
    scene.secret("mysql", &[("username", "fluxo"), ("password", "second"), ("note", "second")]).await;
    let is_new = |now: &Deployment| template(now) != template(&made);
    scene.until::<Deployment>("pagamentos-api", "the new password rolls the pods", is_new).await;
    scene.operator().settled().await;
    assert_eq!(now().await, before + 1);
}

#[tokio::test]
async fn a_secret_without_what_is_needed_is_read_anew_until_it_is_there() {
    let scene = Scene::start_with(&[NO_RESYNC]).await;
    scene.secret("user", &[("username", "fluxo")]).await;
    let mut pipeline = scene.pipeline("pagamentos");
    pipeline["spec"]["mysql"]["credentials"]["secret"] = json!("user");
    scene.put::<TransactionPipeline>(pipeline).await;
    let message = scene.until_said("pagamentos", "Ready", "False", "ReferenceInvalid").await;
    assert!(message.contains(&format!("Secret {}/user", scene.namespace.name)), "{message}");
    scene.secret("user", &[("username", "fluxo"), ("password", "geheim")]).await;
    scene.until::<Deployment>("pagamentos-listener", "the listeners are made", |_| true).await;
}

#[tokio::test]
async fn pods_wait_for_the_migration_and_come_when_it_is_done() {
    let scene = Scene::start().await;
    migrates(&scene).await;
    assert!(scene.api::<Deployment>().get_opt("pagamentos-listener").await.unwrap().is_none());
    let jobs = scene.api::<Job>().list(&ListParams::default()).await.unwrap();
    assert_eq!(jobs.items.len(), 1);
    finish(&scene, json!({"phase": "Succeeded"})).await;
    scene.until_said("pagamentos", "Migrated", "True", "AsDeclared").await;
    scene.until::<Deployment>("pagamentos-listener", "the listeners are made", |_| true).await;
}

#[tokio::test]
async fn a_failed_migration_keeps_the_pods_from_before() {
    let scene = Scene::start().await;
    migrates(&scene).await;
    finish(&scene, json!({"phase": "Succeeded"})).await;
    let made = scene.until::<Deployment>("pagamentos-api", "the api is made", |_| true).await;
    scene.change::<TransactionPipeline>("pagamentos", json!({"spec": {"image": {"tag": "2.0.0"}}})).await;
    scene.until_said("pagamentos", "Migrated", "False", "Migrating").await;
    finish(&scene, failed(64, "error: there is no such setting")).await;
    let message = scene.until_said("pagamentos", "Migrated", "False", "MigrationFailed").await;
    assert!(message.contains("no such setting") && message.contains("pagamentos-migrations-"), "{message}");
    let still = scene.api::<Deployment>().get("pagamentos-api").await.unwrap();
    assert_eq!(still.metadata.generation, made.metadata.generation);
}

#[tokio::test]
async fn a_migration_that_does_not_start_says_why_and_goes_with_its_image() {
    let scene = Scene::start().await;
    migrates(&scene).await;
    let waiting = json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}});
    finish(&scene, json!({"containerStatuses": [container(&waiting)]})).await;
    let is_said = |pipeline: &TransactionPipeline| {
        let conditions = pipeline.status.iter().flat_map(|status| &status.conditions);
        let mut messages = conditions.map(|condition| &condition.message);
        messages.any(|message| message.contains("ImagePullBackOff: no such tag"))
    };
    scene.until::<TransactionPipeline>("pagamentos", "it says why", is_said).await;
    let jobs = async || scene.api::<Job>().list(&ListParams::default()).await.unwrap().items;
    let before = jobs().await[0].name_any();
    scene.change::<TransactionPipeline>("pagamentos", json!({"spec": {"image": {"tag": "2.0.0"}}})).await;
    fluxo_testkit::eventually("only the other image's is left", crate::PATIENCE, async || {
        let jobs = jobs().await;
        (jobs.len() == 1 && jobs[0].name_any() != before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_database_that_is_anothers_is_told_with_its_owner_and_the_pods_from_before_go_on() {
    let scene = Scene::start().await;
    migrates(&scene).await;
    finish(&scene, json!({"phase": "Succeeded"})).await;
    let made = scene.until::<Deployment>("pagamentos-api", "the api is made", |_| true).await;
    scene.change::<TransactionPipeline>("pagamentos", json!({"spec": {"mysql": {"host": "moved"}}})).await;
    scene.until_said("pagamentos", "Migrated", "False", "Migrating").await;
    let line =
        json!({"level": "ERROR", "error": "the database is that of the pipeline bank/other: hand it over"});
    finish(&scene, failed(77, &format!("{{\"level\":\"WARN\"}}\n{line}\n"))).await;
    let message = scene.until_said("pagamentos", "Migrated", "False", "AlreadyClaimed").await;
    assert!(message.contains("bank/other: hand it over"), "{message}");
    scene.until_said("pagamentos", "Ready", "False", "AlreadyClaimed").await;
    let still = scene.api::<Deployment>().get("pagamentos-api").await.unwrap();
    assert_eq!(still.metadata.generation, made.metadata.generation);
    // Where a person changes the schema there is no Job any more that could fail.
    let manual = json!({"spec": {"mysql": {"migrate": "Manual"}}});
    scene.change::<TransactionPipeline>("pagamentos", manual).await;
    scene.until_said("pagamentos", "Migrated", "True", "AsDeclared").await;
    fluxo_testkit::eventually("its Jobs are gone", crate::PATIENCE, async || {
        scene.api::<Job>().list(&ListParams::default()).await.unwrap().items.is_empty().then_some(())
    })
    .await;
}

/// Makes a pipeline whose schema a Job brings up to date, and waits for the Job.
async fn migrates(scene: &Scene) {
    let mut pipeline = scene.pipeline("pagamentos");
    pipeline["spec"]["mysql"]["migrate"] = json!("Auto");
    scene.put::<TransactionPipeline>(pipeline).await;
    scene.until_said("pagamentos", "Migrated", "False", "Migrating").await;
}

/// How a pod is that ended with an exit code, and with these last lines of its log.
fn failed(exit_code: u8, message: &str) -> Value {
    let terminated = json!({"terminated": {"exitCode": exit_code, "message": message}});
    json!({"phase": "Failed", "containerStatuses": [container(&terminated)]})
}

/// How the container of a Job's pod is.
fn container(state: &Value) -> Value {
    json!({
        "name": "migrations", "image": "image", "imageID": "", "ready": false, "restartCount": 0, "state": state,
    })
}

/// Ends the pods of Jobs that wait for a node, as a node does.
async fn finish(scene: &Scene, status: Value) {
    let pods = scene.api::<Pod>();
    let of_jobs = ListParams::default().labels("batch.kubernetes.io/job-name").fields("status.phase=Pending");
    fluxo_testkit::eventually("the Job's pod is there", crate::PATIENCE, async || {
        let waiting = pods.list(&of_jobs).await.unwrap().items;
        for pod in &waiting {
            scene.say::<Pod>(&pod.name_any(), status.clone()).await;
        }
        (!waiting.is_empty()).then_some(())
    })
    .await;
}
