//! `listener replay` beside a listener that runs.

use clap::Parser;
use fluxo_core::kit::process::{DIFFERING, Ended};
use fluxo_listener::{
    replay::replay,
    settings::{Command, Settings},
};
use fluxo_store::quarantine::Filter;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};

use crate::pipeline::{Pipeline, transaction};

/// What `listener replay …` says, and how it ends.
async fn run(pipeline: &Pipeline, arguments: &[&str]) -> (String, anyhow::Result<()>) {
    let own = pipeline.flags();
    let words = ["listener"].into_iter().chain(own.iter().map(String::as_str)).chain(["replay"]);
    let settings = Settings::try_parse_from(words.chain(arguments.iter().copied())).unwrap();
    let Some(Command::Replay(wanted)) = &settings.command else { panic!("it is the command") };
    let mut out = Vec::new();
    let ended = replay(&settings, wanted, &mut out).await;
    (String::from_utf8(out).unwrap(), ended)
}

/// The last line: what was found in all partitions.
fn all(told: &str) -> Vec<usize> {
    told.lines().last().unwrap().split_whitespace().skip(1).map(|count| count.parse().unwrap()).collect()
}

#[tokio::test]
async fn a_range_is_read_again_and_only_what_is_missing_is_written() {
    let pipeline = Pipeline::new(2).await;
    for number in 0..300 {
        pipeline.send(&transaction(["ana", "bia", "cid"][number % 3], "1"));
    }
    // Of one account, so of one partition: the second overtakes nobody.
    pipeline.send_raw(b"ana", b"poison");
    pipeline.send_raw(b"ana", b"poison too");
    pipeline.send(&transaction("ana", "1"));
    pipeline.flush();
    let listener = pipeline.listen(&[]).await;
    for (account, rows) in [("ana", 101), ("bia", 100), ("cid", 100)] {
        pipeline.balance_after(account, rows).await;
    }
    let stored = pipeline.store.offsets(&pipeline.topic.name).await.unwrap();
    let since = ["--from", "2020-01-01T00:00:00Z"];
    let (told, ended) = run(&pipeline, &since).await;
    ended.unwrap();
    // READ, PRESENT, QUARANTINED, MISSING, WRITTEN, REFUSED, DIFFERING, NEWER
    assert_eq!(all(&told), [303, 301, 2, 0, 0, 0, 0, 0], "{told}");

    for sql in [
        "DELETE FROM transactions WHERE account = 'ana' AND account_seq = 101",
        "DELETE FROM quarantine ORDER BY `offset` DESC LIMIT 1",
        "UPDATE transactions SET amount = 5000 WHERE account = 'bia' AND account_seq = 7",
    ] {
        pipeline.database.run(sql).await;
    }
    let differs =
        |ended: anyhow::Result<()>| ended.unwrap_err().downcast::<Ended>().unwrap().code == DIFFERING;
    let (told, ended) = run(&pipeline, &["--dry-run", since[0], since[1]]).await;
    assert_eq!(all(&told), [303, 299, 1, 2, 0, 0, 1, 0], "{told}");
    assert!(differs(ended));
    let (told, ended) = run(&pipeline, &since).await;
    assert_eq!(all(&told), [303, 299, 1, 2, 1, 1, 1, 0], "{told}");
    assert!(told.contains("amount"), "{told}");
    assert!(differs(ended));
    let (told, _) = run(&pipeline, &since).await;
    assert_eq!(all(&told), [303, 300, 2, 0, 0, 0, 1, 0], "{told}");

    assert_eq!(pipeline.store.offsets(&pipeline.topic.name).await.unwrap(), stored);
    assert_eq!(pipeline.store.quarantine(&Filter::default(), 10).await.unwrap().len(), 2);
    // The listener goes on after the row that it did not write itself.
    pipeline.send(&transaction("ana", "1"));
    pipeline.flush();
    assert_eq!(pipeline.balance_after("ana", 102).await, "102.00");
    listener.stop().await;
}

#[tokio::test]
async fn what_the_listeners_have_not_come_to_is_not_read_and_what_kafka_no_longer_has_is_said() {
    let pipeline = Pipeline::new(1).await;
    for _ in 0..10 {
        pipeline.send(&transaction("ana", "1"));
    }
    pipeline.flush();
    let listener = pipeline.listen(&[]).await;
    pipeline.balance_after("ana", 10).await;
    listener.stop().await;
    for _ in 0..5 {
        pipeline.send(&transaction("ana", "1"));
    }
    pipeline.flush();
    let (told, ended) = run(&pipeline, &["--from=4"]).await;
    ended.unwrap();
    assert_eq!(all(&told)[..2], [6, 6], "{told}");
    pipeline.balance_after("ana", 10).await;

    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&pipeline.topic.name, 0, Offset::Offset(8)).unwrap();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &pipeline.topic.bootstrap_servers);
    let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
    admin.delete_records(&before, &AdminOptions::new()).await.unwrap();
    for from in ["--from=4", "--from=2020-01-01T00:00:00Z"] {
        let (_, ended) = run(&pipeline, &[from]).await;
        let error = ended.unwrap_err().to_string();
        assert!(error.contains("the first record of partition 0 is at offset 8"), "{error}");
    }
    assert_eq!(all(&run(&pipeline, &["--from=8", "--to=9"]).await.0)[..2], [1, 1]);
}
