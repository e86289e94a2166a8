//! What is bounded: sizes, times, how much at once. And what is not one of our calls.

use std::{collections::HashSet, time::Duration};

use bytes::Bytes;
use fluxo_api::Admission;
use fluxo_core::message;
use futures::future::join_all;
use http_body::Frame;
use http_body_util::StreamBody;
use rdkafka::{Message, message::OwnedMessage};
use reqwest::Method;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::support::{Fixture, LONG, VALID, cluster, problem};

/// Sends bytes as they are, and reads all that comes back until the server closes.
async fn raw(api: &Fixture, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(api.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A server that closes before it has read all of it resets the connection: that is an end, too.
    let _ = tokio::time::timeout(LONG, stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_413_announced_or_not() {
    let api = Fixture::ready(&["--api-max-body=4096"]).await;
    let large = format!(r#"{{"description":"{}"}}"#, "x".repeat(10 << 20));
    problem(api.post(large.clone()).send().await.unwrap(), 413, "body-too-large").await;
    // Without a length, it is counted as it comes.
    let part = || Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![b'x'; 1_000])));
    let parts = StreamBody::new(futures::stream::iter(std::iter::repeat_with(part).take(10)));
    problem(api.post(reqwest::Body::wrap(parts)).send().await.unwrap(), 413, "body-too-large").await;
    assert_eq!(api.post(VALID).send().await.unwrap().status(), 202);
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_need_not_send_what_is_too_large() {
    let api = Fixture::ready(&["--api-max-body=4096"]).await;
    let head = "POST /v1/transactions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
        content-length: 5000\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n";
    let answer = raw(&api, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_408() {
    let api = Fixture::ready(&["--api-body-timeout=100ms"]).await;
    let head = "POST /v1/transactions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
        content-length: 50\r\nconnection: close\r\n\r\n{";
    let answer = raw(&api, head.as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.1 408") && answer.contains("urn:fluxo:problem:body-timeout"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_connection_that_sends_nothing_or_too_slowly_is_closed() {
    let api = Fixture::ready(&["--api-idle-timeout=200ms"]).await;
    // The second and third could still become HTTP/2; the last has begun a request.
    for begin in ["", "P", "PRI * HTTP/2.0\r\n", "GET /v1"] {
        assert_eq!(raw(&api, begin.as_bytes()).await, "", "{begin:?}");
    }
}

/// Sends bytes one by one, for as long as the server takes them; what it answered.
async fn trickle(api: &Fixture, begin: &[u8], next: &[u8]) -> String {
    let (mut from, mut to) = TcpStream::connect(api.address).await.unwrap().into_split();
    to.write_all(begin).await.unwrap();
    let trickling = async {
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        while to.write_all(next).await.is_ok() {
            pause.tick().await;
        }
        std::future::pending::<()>().await;
    };
    let mut answer = Vec::new();
    tokio::select! {
        () = trickling => unreachable!("it never ends"),
        read = tokio::time::timeout(LONG, from.read_to_end(&mut answer)) => {
            let _ = read.expect("it is cut");
        }
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_client_that_trickles_is_cut_though_it_never_stops() {
    let api = Fixture::ready(&["--api-idle-timeout=300ms", "--api-body-timeout=300ms"]).await;
    assert_eq!(trickle(&api, b"GET /docs HTTP/1.1\r\nhost: x\r\nx: ", b"y").await, "");
    assert_eq!(trickle(&api, b"GET /docs HTTP/1.1\r\n", b"x: y\r\n").await, "");
    let head = b"POST /v1/transactions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
        content-length: 100000\r\nconnection: close\r\n\r\n";
    assert!(trickle(&api, head, b" ").await.starts_with("HTTP/1.1 408"));
    assert_eq!(api.post(VALID).send().await.unwrap().status(), 202);
}

#[tokio::test]
async fn a_head_beyond_the_limit_is_refused() {
    let api = Fixture::ready(&[]).await;
    let large = format!("GET /docs HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    assert!(raw(&api, large.as_bytes()).await.starts_with("HTTP/1.1 431"));
    let many = format!("GET /docs HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(100));
    assert!(raw(&api, many.as_bytes()).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn another_media_type_is_415() {
    let api = Fixture::ready(&[]).await;
    let post = async |name: &'static str, value: &str| {
        let request = api.client.post(format!("{}/v1/transactions", api.url)).body(VALID);
        request.header(name, value).send().await.unwrap()
    };
    for media in
        ["text/plain", "application/x-ndjson", "application/json; charset=latin1", "application/jsonx"]
    {
        problem(post("content-type", media).await, 415, "unsupported-media-type").await;
    }
    problem(post("accept", "application/json").await, 415, "unsupported-media-type").await;
    for media in ["application/json; charset=utf-8", "Application/JSON ;charset=\"UTF-8\""] {
        assert_eq!(post("content-type", media).await.status(), 202, "{media}");
    }
    let packed = api.post(VALID).header("content-encoding", "gzip");
    problem(packed.send().await.unwrap(), 415, "unsupported-media-type").await;
}

#[tokio::test]
async fn a_path_or_a_method_that_is_not_there_is_a_problem() {
    let api = Fixture::ready(&[]).await;
    problem(api.get("/v2").send().await.unwrap(), 404, "no-such-path").await;
    problem(api.get("/docs/nothing.js").send().await.unwrap(), 404, "no-such-path").await;
    let response = api.get("/v1/transactions").send().await.unwrap();
    assert_eq!(response.headers()["allow"], "POST");
    problem(response, 405, "method-not-allowed").await;
    let delete = api.client.request(Method::DELETE, format!("{}/v1/transactions/x", api.url));
    let response = delete.send().await.unwrap();
    assert_eq!(response.headers()["allow"], "GET,HEAD");
    problem(response, 405, "method-not-allowed").await;
}

#[tokio::test]
async fn requests_beyond_what_may_be_at_once_are_429() {
    let api = Fixture::ready(&["--api-max-requests=2"]).await;
    api.cluster.broker_round_trip_time(1, Duration::from_secs(2)).unwrap();
    let answers = join_all((0..5).map(|_| api.post(VALID).send())).await;
    let mut refused = 0;
    for answer in answers.into_iter().map(Result::unwrap) {
        if answer.status() == 429 {
            assert_eq!(answer.headers()["retry-after"], "1");
            problem(answer, 429, "backlog").await;
            refused += 1;
        }
    }
    assert_eq!(refused, 3);
}

#[tokio::test]
async fn records_beyond_what_may_be_in_flight_are_429_and_leave_their_key_free() {
    let api = Fixture::start(cluster(), &[], Some(Admission::new(2, 1 << 20))).await;
    api.until_ready().await;
    api.cluster.broker_round_trip_time(1, Duration::from_secs(2)).unwrap();
    let send =
        async |key: usize| api.post(VALID).header("idempotency-key", format!("k{key}")).send().await.unwrap();
    let answers = join_all((0..5).map(send)).await;
    let refused: Vec<_> = (0..5).filter(|i| answers[*i].status() == 429).collect();
    assert_eq!(refused.len(), 3);
    assert_eq!(api.metric("fluxo_api_in_flight_records").await, Some(0));
    api.cluster.broker_round_trip_time(1, Duration::ZERO).unwrap();
    for key in refused {
        let again = send(key).await;
        assert!(again.status() == 202 && !again.headers().contains_key("idempotency-replayed"));
    }
    assert_eq!(api.records().len(), 5);
}

#[tokio::test]
async fn of_three_times_what_may_be_in_flight_a_part_is_refused_and_the_rest_is_on_kafka() {
    const LIMIT: usize = 100;
    let api = Fixture::start(cluster(), &[], Some(Admission::new(100, 1 << 20))).await;
    api.until_ready().await;
    api.cluster.broker_round_trip_time(1, Duration::from_millis(500)).unwrap();
    // They come faster than Kafka acknowledges them, whatever becomes of those before.
    let mut flood = JoinSet::new();
    let mut pause = tokio::time::interval(Duration::from_millis(10));
    for _ in 0..100 {
        pause.tick().await;
        for _ in 0..3 * LIMIT / 10 {
            flood.spawn(api.post(VALID).send());
        }
        let in_flight = api.metric("fluxo_api_in_flight_records").await.unwrap();
        assert!(in_flight <= i64::try_from(LIMIT).unwrap(), "{in_flight}");
    }
    let (mut accepted, mut refused) = (HashSet::new(), 0);
    for answer in flood.join_all().await {
        let answer = answer.unwrap();
        if answer.status() == 202 {
            let receipt: Value = answer.json().await.unwrap();
            accepted.insert(receipt["id"].as_str().unwrap().to_owned());
        } else {
            assert_eq!(answer.headers()["retry-after"], "1");
            problem(answer, 429, "backlog").await;
            refused += 1;
        }
    }
    assert!(refused > 0, "all of {} were accepted", accepted.len());
    api.cluster.broker_round_trip_time(1, Duration::ZERO).unwrap();
    let id = |record: &OwnedMessage| {
        message::decode(record.key(), record.payload()).unwrap().transaction.id.to_string()
    };
    let records = api.records();
    assert_eq!(records.len(), accepted.len());
    assert_eq!(records.iter().map(id).collect::<HashSet<_>>(), accepted);
}

#[tokio::test]
async fn with_a_backlog_a_flood_waits_for_what_is_recorded() {
    let (admission, backlog) = Admission::until_recorded(2, 1 << 20);
    let api = Fixture::start(cluster(), &[], Some(admission)).await;
    api.until_ready().await;
    let flood = join_all((0..6).map(|_| tokio::spawn(api.post(VALID).send())));
    let recording = async {
        let mut recorded = 0;
        while recorded < 6 {
            let records = fluxo_testkit::eventually("more records", LONG, async || {
                let records = api.records();
                (records.len() > recorded).then_some(records)
            });
            let records = records.await;
            assert!(records.len() <= recorded + 2, "no more than two are ahead of what is recorded");
            for record in &records[recorded..] {
                backlog.recorded(1, record.payload().unwrap().len());
            }
            recorded = records.len();
        }
    };
    let (answers, ()) = futures::future::join(flood, recording).await;
    for answer in answers {
        assert_eq!(answer.unwrap().unwrap().status(), 202);
    }
}

#[tokio::test]
async fn http_2_without_tls_is_served_too() {
    let api = Fixture::ready(&[]).await;
    let mut stream = TcpStream::connect(api.address).await.unwrap();
    // A frame: the length of its payload, its type, flags and stream.
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let get = [0, 0, 6, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x84, 0x41, 1, b'x'];
    stream.write_all(&[&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings, &get].concat()).await.unwrap();
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains("no-such-path") {
        let read = tokio::time::timeout(LONG, stream.read_buf(&mut answer)).await.unwrap().unwrap();
        assert_ne!(read, 0, "{answer:?}");
    }
}
