//! `listener quarantine`, as a person uses it.

use clap::Parser;
use fluxo_core::{message, quarantine::Reason};
use fluxo_listener::{
    quarantine,
    settings::{Command, Settings},
};
use fluxo_store::quarantine::Filter;
use fluxo_testkit::eventually;
use serde_json::Value;

use crate::pipeline::{PATIENCE, Pipeline, records_of, transaction};

/// What `listener quarantine …` says, and how it ends.
async fn run(pipeline: &Pipeline, flags: &[&str], arguments: &[&str]) -> (String, anyhow::Result<()>) {
    let own = pipeline.flags();
    let words = ["listener"].into_iter().chain(own.iter().map(String::as_str)).chain(flags.iter().copied());
    let words = words.chain(["quarantine"]).chain(arguments.iter().copied());
    let settings = Settings::try_parse_from(words).unwrap();
    let Some(Command::Quarantine(command)) = &settings.command else { panic!("it is the command") };
    let mut out = Vec::new();
    let ended = quarantine::run(&settings, command, &mut out).await;
    (String::from_utf8(out).unwrap(), ended)
}

async fn until_refused(pipeline: &Pipeline, count: usize) {
    eventually("records in quarantine", PATIENCE, async || {
        let entries = pipeline.store.quarantine(&Filter::default(), 100).await.unwrap();
        (entries.len() == count).then_some(())
    })
    .await;
}

/// How a record of the topic's only partition is named.
fn named(pipeline: &Pipeline, offset: i64) -> String {
    format!("{}/0/{offset}", pipeline.topic.name)
}

#[tokio::test]
async fn what_is_in_quarantine_is_listed_and_shown_with_all_its_bytes() {
    let pipeline = Pipeline::new(1).await;
    let stray = transaction("ana", "1");
    pipeline.send_raw(b"ana", b"\xff\x00 not json");
    pipeline.send_raw(b"bia", &message::encode(&stray));
    pipeline.flush();
    let listener = pipeline.listen(&[]).await;
    until_refused(&pipeline, 2).await;
    listener.stop().await;

    let (list, ended) = run(&pipeline, &[], &["list", "--output=json", "--reason=not_ours"]).await;
    ended.unwrap();
    let entry: Value = serde_json::from_str(list.trim()).expect("one line");
    assert_eq!((&entry["reason"], &entry["offset"]), (&"not_ours".into(), &0.into()));
    let (table, _) = run(&pipeline, &[], &["list", "--waiting"]).await;
    assert_eq!(table.lines().count(), 3, "{table}");
    assert_eq!(run(&pipeline, &[], &["list", "--to=2026-01-01T00:00:00Z"]).await.0.lines().count(), 1);

    let by_id = format!("{}/0/0", entry["topic_id"].as_str().unwrap());
    for name in [named(&pipeline, 0), by_id] {
        let (shown, ended) = run(&pipeline, &[], &["show", &name, "--output=json"]).await;
        ended.unwrap();
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["key"]["text"], "ana");
        assert_eq!(shown["value"]["base64"], "/wAgbm90IGpzb24=");
    }
    let (shown, _) = run(&pipeline, &[], &["show", &named(&pipeline, 1)]).await;
    assert!(shown.contains("key_mismatch: the key of the record is not its account"), "{shown}");
    assert!(shown.contains(&stray.transaction.id.to_string()), "{shown}");
    let (_, missing) = run(&pipeline, &[], &["show", &named(&pipeline, 7)]).await;
    assert!(missing.unwrap_err().to_string().contains("no record in quarantine is at"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_tried_again_becomes_one_row_once_its_cause_is_gone_and_what_cannot_is_said() {
    // So many of the largest amounts fit the balance of an account.
    const FIT: i64 = 9_223;
    let largest = "10000000000000.00";
    let pipeline = Pipeline::new(1).await;
    let first = transaction("bia", "1");
    let mut conflict = transaction("bia", "2");
    conflict.transaction.id = first.transaction.id;
    conflict.content_hash = [7; 32].into();
    pipeline.send(&first);
    pipeline.send(&conflict);
    pipeline.send_raw(b"ana", b"not json");
    for _ in 0..=FIT {
        pipeline.send(&transaction("ana", largest));
    }
    pipeline.flush();
    let listener = pipeline.listen(&[]).await;
    until_refused(&pipeline, 3).await;
    let retry = async |offset| run(&pipeline, &[], &["retry", &named(&pipeline, offset)]).await;
    let overflow = 3 + FIT;
    for (offset, said) in [
        (1, Reason::Conflict.explanation()),
        (2, Reason::NotOurs.explanation()),
        (overflow, "a transaction the other way makes room"),
    ] {
        let (told, ended) = retry(offset).await;
        assert!(told.contains("trying again cannot help") && told.contains(said), "{told}");
        assert!(ended.is_err());
    }
    pipeline.send(&transaction("ana", &format!("-{largest}")));
    pipeline.flush();
    pipeline.balance_after("ana", FIT + 1).await;
    let (told, ended) = retry(overflow).await;
    ended.unwrap();
    assert!(told.contains(&format!("tried again as {}", named(&pipeline, overflow + 2))), "{told}");
    pipeline.balance_after("ana", FIT + 2).await;
    let (told, ended) = retry(overflow).await;
    assert!(told.contains("it is a row already"), "{told}");
    assert!(ended.is_err());
    listener.stop().await;
}

#[tokio::test]
async fn records_are_forwarded_by_hand_once_and_again_if_that_is_said() {
    let pipeline = Pipeline::new(1).await;
    let dead_letters = fluxo_testkit::topic(3).await;
    for value in [&b"one"[..], b"two", b"three"] {
        pipeline.send_raw(b"ana", value);
    }
    pipeline.flush();
    let listener = pipeline.listen(&[]).await;
    until_refused(&pipeline, 3).await;
    listener.stop().await;
    let to = format!("--listener-dead-letter-topic={}", dead_letters.name);
    let (_, ended) = run(&pipeline, &[], &["forward"]).await;
    assert!(ended.unwrap_err().to_string().contains("FLUXO_LISTENER_DEAD_LETTER_TOPIC is needed"));
    let forward = async |arguments: &[&str]| {
        let arguments = [&["forward"], arguments].concat();
        let (told, ended) = run(&pipeline, &[&to], &arguments).await;
        ended.map(|()| (told, records_of(&dead_letters).len()))
    };
    let second = named(&pipeline, 1);
    assert_eq!(forward(&[&second]).await.unwrap().1, 1);
    let (told, count) = forward(&[]).await.unwrap();
    assert!(told.starts_with("2 forwarded to"), "{told}");
    assert_eq!(count, 3);
    assert_eq!(forward(&[]).await.unwrap().1, 3);
    assert!(forward(&[&second]).await.unwrap_err().to_string().contains("say --again"));
    assert_eq!(forward(&[&second, "--again"]).await.unwrap().1, 4);
}
