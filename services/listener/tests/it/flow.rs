//! Records become rows.

use std::time::Duration;

use fluxo_core::{message, quarantine::Reason};

use crate::pipeline::{Pipeline, transaction};

#[tokio::test]
async fn accepted_transactions_become_rows_in_the_order_of_their_account() {
    let pipeline = Pipeline::new(3).await;
    let sent: Vec<_> =
        (1..=300).map(|n| transaction(["ana", "bia", "cid"][n % 3], &format!("{n}.25"))).collect();
    for accepted in &sent {
        pipeline.send(accepted);
    }
    pipeline.flush();
    let listener = pipeline.listen(&[]).await;
    assert_eq!(pipeline.balance_after("bia", 100).await, "14975.00");
    assert_eq!(pipeline.balance_after("ana", 100).await, "15175.00");
    let of_bia = sent.iter().filter(|accepted| accepted.transaction.account.as_str() == "bia");
    let of_bia: Vec<_> = of_bia.map(|accepted| accepted.transaction.id).collect();
    assert_eq!(pipeline.statement("bia").await, of_bia);
    listener.until_ready().await;
    listener.stop().await;
}

#[tokio::test]
async fn what_comes_while_it_listens_becomes_rows_too() {
    let pipeline = Pipeline::new(2).await;
    let listener = pipeline.listen(&[]).await;
    listener.until_ready().await;
    for (rows, total) in [(1, "10.00"), (2, "20.00"), (3, "30.00")] {
        pipeline.send(&transaction("ana", "10"));
        pipeline.flush();
        assert_eq!(pipeline.balance_after("ana", rows).await, total);
    }
    listener.stop().await;
}

#[tokio::test]
async fn a_record_that_is_not_ours_goes_to_quarantine_and_the_next_one_flows() {
    let pipeline = Pipeline::new(1).await;
    pipeline.send(&transaction("ana", "10"));
    pipeline.send_raw(b"ana", b"\xff\x00 not json");
    let astray = transaction("ana", "99");
    pipeline.send_raw(b"bia", &message::encode(&astray));
    pipeline.send(&transaction("ana", "5"));
    pipeline.flush();
    let listener = pipeline.listen(&[]).await;
    assert_eq!(pipeline.balance_after("ana", 2).await, "15.00");
    let refused = pipeline.store.refused(astray.transaction.id).await.unwrap();
    assert_eq!(refused, None, "what is refused before it is decoded is not found by an id");
    assert_eq!(pipeline.store.offsets(&pipeline.topic.name).await.unwrap()[&0].next_offset, 4);
    listener.stop().await;
}

#[tokio::test]
async fn the_same_id_is_one_row_and_other_content_is_refused() {
    let pipeline = Pipeline::new(2).await;
    let first = transaction("ana", "10");
    let mut other = transaction("bia", "7");
    other.transaction.id = first.transaction.id;
    let listener = pipeline.listen(&[]).await;
    pipeline.send(&first);
    pipeline.send(&first);
    pipeline.flush();
    assert_eq!(pipeline.balance_after("ana", 1).await, "10.00");
    pipeline.send(&other);
    pipeline.send(&transaction("bia", "1"));
    pipeline.flush();
    assert_eq!(pipeline.balance_after("bia", 1).await, "1.00");
    let refused = pipeline.store.refused(first.transaction.id).await.unwrap().unwrap();
    assert_eq!(refused.reason, Reason::Conflict);
    listener.stop().await;
}

#[tokio::test]
async fn a_message_of_a_newer_version_stops_its_partition_and_is_not_refused() {
    let pipeline = Pipeline::new(1).await;
    pipeline.send(&transaction("ana", "10"));
    pipeline.send_raw(b"ana", br#"{"v":2,"id":"x"}"#);
    pipeline.send(&transaction("ana", "10"));
    pipeline.flush();
    let listener = pipeline.listen(&[]).await;
    listener.until_readiness_has("the message at offset 1 has version 2: run a newer listener").await;
    assert_eq!(pipeline.balance_after("ana", 1).await, "10.00");
    assert_eq!(pipeline.store.offsets(&pipeline.topic.name).await.unwrap()[&0].next_offset, 1);
    listener.stop().await;
}

#[tokio::test]
async fn two_listeners_share_the_work_and_one_goes_on_alone() {
    for protocol in ["classic", "consumer"] {
        let pipeline = Pipeline::new(6).await;
        let flag = format!("--listener-group-protocol={protocol}");
        let accounts: Vec<_> = (0..40).map(|number| format!("conta-{number}")).collect();
        let send = |rounds: usize| {
            for _ in 0..rounds {
                for account in &accounts {
                    pipeline.send(&transaction(account, "1"));
                }
            }
            pipeline.flush();
        };
        let first = pipeline.listen(&[&flag]).await;
        send(20);
        let second = pipeline.listen(&[&flag]).await;
        second.until_ready().await;
        send(20);
        for account in &accounts {
            assert_eq!(pipeline.balance_after(account, 40).await, "40.00");
        }
        first.stop().await;
        send(10);
        for account in &accounts {
            assert_eq!(pipeline.balance_after(account, 50).await, "50.00");
        }
        second.stop().await;
    }
}

#[tokio::test]
async fn a_listener_goes_on_where_another_has_stopped() {
    let pipeline = Pipeline::new(2).await;
    for round in 1..=3 {
        let listener = pipeline.listen(&[]).await;
        for _ in 0..100 {
            pipeline.send(&transaction("ana", "1"));
        }
        pipeline.flush();
        assert_eq!(pipeline.balance_after("ana", 100 * round).await, format!("{}.00", 100 * round));
        listener.stop().await;
    }
}

#[tokio::test]
async fn the_end_does_not_wait_long_for_a_database_that_gives_no_sign() {
    let pipeline = Pipeline::new(1).await;
    let (link, through) = pipeline.database.linked();
    let flags = [&*format!("--database-url={through}"), "--shutdown-grace=3s"];
    let listener = pipeline.listen(&flags).await;
    pipeline.send(&transaction("ana", "1"));
    pipeline.flush();
    pipeline.balance_after("ana", 1).await;
    link.falls_silent();
    pipeline.send(&transaction("ana", "1"));
    pipeline.flush();
    tokio::time::timeout(Duration::from_secs(10), listener.stop()).await.unwrap();
    let next = pipeline.listen(&[]).await;
    assert_eq!(pipeline.balance_after("ana", 2).await, "2.00");
    next.stop().await;
}
