//! A topic that was made anew, records that are gone, servers that are away.

use fluxo_listener::{adopt::adopt, kafka, settings::Adopt};
use fluxo_testkit::{Link, eventually};

use crate::pipeline::{PATIENCE, Pipeline, transaction};

async fn topic_id(pipeline: &Pipeline) -> String {
    let settings = pipeline.settings(&[]);
    let name = pipeline.topic.name.clone();
    tokio::task::spawn_blocking(move || {
        kafka::describe(&kafka::outsider(&settings.kafka).unwrap(), &name).unwrap().topic_id.to_string()
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn a_topic_that_was_made_anew_is_recognised_and_nothing_is_skipped_or_written_twice() {
    let pipeline = Pipeline::new(1).await;
    let listener = pipeline.listen(&[]).await;
    for _ in 0..5 {
        pipeline.send(&transaction("ana", "1"));
    }
    pipeline.flush();
    assert_eq!(pipeline.balance_after("ana", 5).await, "5.00");
    pipeline.topic.make_anew(1).await;
    // More than before, so that the stored offset is inside the new log.
    eventually("a record in the new topic", PATIENCE, async || {
        for _ in 0..20 {
            pipeline.send(&transaction("bia", "1"));
        }
        pipeline.flush();
        listener.readiness().await.contains("the topic was made anew").then_some(())
    })
    .await;
    let bia = fluxo_core::Account::parse("bia").unwrap();
    assert!(pipeline.store.balances(&bia, None).await.unwrap().is_empty());

    // A person looks, and decides. The listener that runs goes on.
    let settings = pipeline.settings(&[]);
    let decision = |topic_id: &str| Adopt { topic_id: topic_id.into(), from: "earliest".into() };
    let refused = adopt(&settings, &decision("AAAAAAAAAAAAAAAAAAAAAA")).await.unwrap_err();
    assert!(refused.to_string().contains("look again"), "{refused}");
    adopt(&settings, &decision(&topic_id(&pipeline).await)).await.unwrap();
    listener.until_ready().await;
    pipeline.send(&transaction("bia", "1"));
    pipeline.flush();
    eventually("the rows of the new topic", PATIENCE, async || {
        let balance = pipeline.store.balances(&bia, None).await.unwrap();
        balance.first().is_some_and(|balance| balance.account_seq >= 21).then_some(())
    })
    .await;
    assert_eq!(pipeline.balance_after("ana", 5).await, "5.00");
    listener.stop().await;
}

#[tokio::test]
async fn a_topic_that_was_made_anew_while_nobody_listened_is_recognised() {
    let pipeline = Pipeline::new(2).await;
    let listener = pipeline.listen(&[]).await;
    pipeline.send(&transaction("ana", "1"));
    pipeline.flush();
    pipeline.balance_after("ana", 1).await;
    listener.stop().await;
    pipeline.topic.make_anew(4).await;
    let listener = pipeline.listen(&[]).await;
    listener.until_readiness_has("the topic was made anew").await;
    listener.stop().await;
}

#[tokio::test]
async fn records_that_were_deleted_unread_stop_their_partition_with_their_number() {
    let pipeline = Pipeline::new(1).await;
    let listener = pipeline.listen(&[]).await;
    pipeline.send(&transaction("ana", "1"));
    pipeline.flush();
    pipeline.balance_after("ana", 1).await;
    listener.stop().await;
    for _ in 0..10 {
        pipeline.send(&transaction("ana", "1"));
    }
    pipeline.flush();
    pipeline.topic.delete_before(0, 8).await;
    let listener = pipeline.listen(&[]).await;
    listener.until_readiness_has("7 records were deleted unread").await;
    let decision = Adopt { topic_id: topic_id(&pipeline).await, from: "stored".into() };
    adopt(&pipeline.settings(&[]), &decision).await.unwrap();
    assert_eq!(pipeline.balance_after("ana", 4).await, "4.00");
    listener.until_ready().await;
    listener.stop().await;
}

#[tokio::test]
async fn a_kafka_that_is_away_is_waited_for_and_said() {
    let pipeline = Pipeline::new(1).await;
    let nowhere = ["--kafka-bootstrap-servers=127.0.0.1:1"];
    let listener = pipeline.listen(&nowhere).await;
    listener.until_readiness_has("kafka: no broker can be reached").await;
    listener.stop().await;
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_waited_for_and_said() {
    let pipeline = Pipeline::new(1).await;
    let listener = pipeline.listen(&["--kafka-topic=fluxo-test-none"]).await;
    listener.until_readiness_has("topic fluxo-test-none does not exist").await;
    listener.stop().await;
}

#[tokio::test]
async fn a_database_that_is_away_is_waited_for_and_said() {
    let pipeline = Pipeline::new(1).await;
    let listener = pipeline.listen(&["--database-url=mysql://root@127.0.0.1:1/test"]).await;
    listener.until_readiness_has("database: the database cannot be reached").await;
    listener.stop().await;
}

#[tokio::test]
async fn an_unknown_database_and_a_wrong_password_end_it_with_a_clear_error() {
    let pipeline = Pipeline::new(1).await;
    let unknown = pipeline.database.url.replace("fluxo_test_", "fluxo_none_");
    let wrong = pipeline.database.url.replace("root@", "nobody:wrong@");
    for (url, said) in [(unknown, "Unknown database"), (wrong, "Access denied")] {
        let listener = pipeline.listen(&[&format!("--database-url={url}")]).await;
        let error = format!("{:#}", listener.ended().await.unwrap_err());
        assert!(error.contains(said), "{error}");
        assert!(!error.contains("wrong@"), "{error}");
    }
}

#[tokio::test]
async fn a_password_that_was_changed_is_read_again_without_a_restart() {
    let pipeline = Pipeline::new(1).await;
    let (_, place) = pipeline.database.url.split_once('@').unwrap();
    let (server, name) = place.split_once('/').unwrap();
    let user = name.trim_start_matches("fluxo_test_");
    let set = async |verb: &str, password: &str| {
        pipeline.database.run(&format!("{verb} USER '{user}'@'%' IDENTIFIED BY '{password}'")).await;
    };
    set("CREATE", "first").await;
    pipeline.database.run(&format!("GRANT ALL ON {name}.* TO '{user}'@'%'")).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "first\n").unwrap();
    let link = Link::to(server);
    let url = format!("--database-url=mysql://{user}@{}/{name}", link.address());
    let listener = pipeline.listen(&[&url, &format!("--database-password-file={}", file.display())]).await;
    pipeline.send(&transaction("ana", "1"));
    pipeline.flush();
    pipeline.balance_after("ana", 1).await;

    // Connections that are open stay open: so they are cut.
    set("ALTER", "second").await;
    link.refuses();
    pipeline.send(&transaction("ana", "1"));
    pipeline.flush();
    listener.until_readiness_has("database:").await;
    link.passes();
    listener.until_readiness_has("the database does not let this user in").await;
    std::fs::write(&file, "second\n").unwrap();
    pipeline.balance_after("ana", 2).await;
    listener.until_ready().await;
    listener.stop().await;
    pipeline.database.run(&format!("DROP USER '{user}'@'%'")).await;
}
