//! What an operator does when the API server, the way to it, or another operator is away.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use fluxo_operator::crd::TransactionPipeline;
use fluxo_testkit::{Link, eventually};
use k8s_openapi::api::{apps::v1::Deployment, coordination::v1::Lease, core::v1::Service};
use kube::ResourceExt as _;
use serde_json::json;

use crate::{
    PATIENCE,
    middle::{Fate, Middle},
    scene::{NO_RESYNC, Running, Scene},
};

async fn link() -> Link {
    let config = fluxo_testkit::kubernetes_config(None).await;
    Link::to(config.cluster_url.authority().unwrap().as_str())
}

/// Deletes a child, and waits until it is made again.
async fn mends(scene: &Scene) {
    let before = scene.until::<Service>("pagamentos-api", "the Service is made", |_| true).await;
    scene.delete::<Service>("pagamentos-api").await;
    scene
        .until::<Service>("pagamentos-api", "the Service is made again", |now| now.uid() != before.uid())
        .await;
}

async fn candidate(scene: &Scene, link: Option<&Link>, identity: &str) -> Running {
    let identity = format!("--operator-identity={identity}");
    let operator = scene.operate_over(link, Middle::new(), &[NO_RESYNC, &identity]).await;
    eventually("it is ready", PATIENCE, async || operator.is_well("/readyz").await.then_some(())).await;
    operator
}

#[tokio::test]
async fn a_holder_that_ends_gives_the_lease_back_and_the_next_one_works() {
    let scene = Scene::idle().await;
    let first = candidate(&scene, None, "first").await;
    first.until_it_leads().await;
    let second = candidate(&scene, None, "second").await;
    assert!(!second.leads().await);
    first.stop().await;
    let lease = scene.api::<Lease>().get("fluxo-operator").await.unwrap();
    assert_ne!(lease.spec.unwrap().holder_identity.as_deref(), Some("first"), "it is given back");
    second.until_it_leads().await;
    scene.make("pagamentos").await;
    mends(&scene).await;
}

#[tokio::test]
async fn a_holder_that_is_cut_off_does_nothing_any_more_when_the_next_one_works() {
    let (scene, link) = (Scene::idle().await, link().await);
    let first = candidate(&scene, Some(&link), "first").await;
    first.until_it_leads().await;
    scene.make("pagamentos").await;
    mends(&scene).await;
    let second = candidate(&scene, None, "second").await;
    link.falls_silent();
    second.until_it_leads().await;
    assert!(!first.leads().await, "two work");
    let written = first.middle.writes().len();
    link.passes();
    mends(&scene).await;
    assert!(!first.leads().await);
    assert_eq!(first.middle.writes().len(), written);
    // It is still good for the next turn.
    second.stop().await;
    first.until_it_leads().await;
    mends(&scene).await;
}

#[tokio::test]
async fn a_change_is_acted_on_though_every_connection_went_silent() {
    let (scene, link) = (Scene::idle().await, link().await);
    let operator = scene.operate_over(Some(&link), Middle::new(), &[NO_RESYNC]).await;
    scene.make("pagamentos").await;
    mends(&scene).await;
    link.forgets_connections();
    mends(&scene).await;
    assert!(operator.is_well("/livez").await);
}

#[tokio::test]
async fn an_api_server_that_was_away_for_longer_than_the_lease_finds_all_as_it_was_and_kept() {
    let (scene, link) = (Scene::idle().await, link().await);
    let operator = scene.operate_over(Some(&link), Middle::new(), &[NO_RESYNC]).await;
    scene.make("pagamentos").await;
    let made = scene.until::<Deployment>("pagamentos-listener", "the listeners are made", |_| true).await;
    mends(&scene).await;
    link.refuses();
    eventually("it gives up the Lease", PATIENCE, async || {
        assert!(operator.is_well("/livez").await, "a restart would help nobody");
        (!operator.leads().await).then_some(())
    })
    .await;
    scene.delete::<Service>("pagamentos-api").await;
    scene
        .change::<TransactionPipeline>("pagamentos", json!({"spec": {"podTemplate": {"labels": {"a": "b"}}}}))
        .await;
    link.passes();
    scene.until::<Service>("pagamentos-api", "the Service is made again", |_| true).await;
    let is_changed = |now: &Deployment| now.metadata.generation > made.metadata.generation;
    let now = scene.until::<Deployment>("pagamentos-listener", "the change is made", is_changed).await;
    assert_eq!(now.uid(), made.uid());
}

#[tokio::test]
async fn one_watch_that_fails_or_hangs_keeps_no_other_from_being_polled() {
    let scene = Scene::start_with(&[NO_RESYNC]).await;
    scene.make("pagamentos").await;
    mends(&scene).await;
    for fate in [Fate::Answered(500, "InternalError"), Fate::Lost] {
        let middle = &scene.operator().middle;
        let before = middle.seen().len();
        let is_the_one = |asked: &crate::middle::Asked| {
            asked.is_of("poddisruptionbudgets") && asked.method == http::Method::GET
        };
        middle.rule(move |asked| if is_the_one(asked) { fate } else { Fate::Passes });
        eventually("the watch fails", PATIENCE, async || {
            middle.seen()[before..].iter().any(is_the_one).then_some(())
        })
        .await;
        for _ in 0..3 {
            mends(&scene).await;
        }
    }
    assert!(scene.operator().is_well("/livez").await);
}

#[tokio::test]
async fn watches_that_have_expired_begin_anew() {
    let scene = Scene::idle().await;
    let middle = Middle::new();
    let left = AtomicUsize::new(30);
    middle.rule(move |asked| {
        let expires = asked.is_watch()
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if expires { Fate::Expired } else { Fate::Passes }
    });
    let _operator = scene.operate_over(None, middle, &[NO_RESYNC]).await;
    scene.make("pagamentos").await;
    mends(&scene).await;
}

#[tokio::test]
async fn what_the_api_server_does_not_take_at_first_is_sent_again() {
    let scene = Scene::idle().await;
    let middle = Middle::new();
    let answers =
        [(409, "Conflict"), (500, "InternalError"), (429, "TooManyRequests"), (503, "ServiceUnavailable")];
    let answered = AtomicUsize::new(0);
    middle.rule(move |asked| {
        if !asked.is_write() {
            return Fate::Passes;
        }
        match answers.get(answered.fetch_add(1, Ordering::SeqCst)) {
            Some((code, reason)) => Fate::Answered(*code, reason),
            None => Fate::Passes,
        }
    });
    let _operator = scene.operate_over(None, middle, &[NO_RESYNC]).await;
    scene.make("pagamentos").await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    mends(&scene).await;
}

#[tokio::test]
async fn a_storm_of_conflicts_is_outlasted_and_gets_ever_fewer_requests() {
    let scene = Scene::start_with(&[NO_RESYNC]).await;
    let middle = &scene.operator().middle;
    middle.rule(|asked| if asked.is_write() { Fate::Answered(409, "Conflict") } else { Fate::Passes });
    let began = Instant::now();
    scene.make("pagamentos").await;
    let tries = || middle.writes().iter().filter(|asked| asked.is_of("networkpolicies")).count();
    eventually("four passes stop there", PATIENCE, async || (tries() >= 4).then_some(())).await;
    // They were 0.5, 1 and 2 s apart.
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
    middle.rule(|_| Fate::Passes);
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    mends(&scene).await;
}
