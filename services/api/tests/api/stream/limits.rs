//! What bounds streams, and what does not.

use std::time::Duration;

use fluxo_testkit::eventually;
use reqwest::Response;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Following, PATH, Sender, Serving};
use crate::{
    auth::{READER, WRITER, write_keys},
    support::{LONG, VALID, problem},
};

/// Asks for the stream.
async fn get(api: &Serving, query: &str) -> Response {
    reqwest::get(format!("http://{}{PATH}{query}", api.address)).await.unwrap()
}

/// An answer that has begun.
async fn open(api: &Serving) -> Response {
    let response = get(api, "").await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    response
}

/// Reads until the stream has sent something.
async fn until(response: &mut Response, text: &str) {
    let mut seen = String::new();
    let reading = async {
        while !seen.contains(text) {
            let part = response.chunk().await.unwrap().unwrap_or_else(|| panic!("it ended: {seen}"));
            seen.push_str(std::str::from_utf8(&part).unwrap());
        }
    };
    tokio::time::timeout(LONG, reading).await.unwrap();
}

async fn until_end(mut response: Response) {
    let end = async { while response.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(LONG, end).await.expect("it ends in time");
}

#[tokio::test]
async fn a_stream_outlives_the_bounds_of_requests() {
    let topic = fluxo_testkit::topic(1).await;
    let flags = ["--api-idle-timeout=200ms", "--api-max-requests=1", "--api-stream-keep-alive=100ms"];
    let api = Serving::start(&topic, &flags).await;
    let mut stream = open(&api).await;
    for _ in 0..10 {
        until(&mut stream, ":\n\n").await;
    }
    let request = reqwest::Client::new().post(format!("http://{}/v1/transactions", api.address));
    let answer = request.header("content-type", "application/json").body(VALID).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    until(&mut stream, r#""amount":"10.50""#).await;
    drop(stream);
    api.stop().await;
}

#[tokio::test]
async fn streams_end_at_once_when_the_api_does() {
    let topic = fluxo_testkit::topic(1).await;
    let api = Serving::start(&topic, &["--shutdown-grace=1h"]).await;
    let mut stream = open(&api).await;
    until(&mut stream, "id: ").await;
    api.shutdown.drain();
    until_end(stream).await;
    api.stop().await;
}

#[tokio::test]
async fn streams_beyond_what_may_be_are_503_until_one_ends() {
    let topic = fluxo_testkit::topic(1).await;
    let api = Serving::start(&topic, &["--api-max-streams=1"]).await;
    let first = open(&api).await;
    let refused = get(&api, "").await;
    assert_eq!(refused.headers()["retry-after"], "5");
    problem(refused, 503, "too-many-streams").await;
    assert_eq!(api.metric(r#"fluxo_api_refusals_total{reason="streams"}"#).await, 1);
    drop(first);
    eventually("room", LONG, async || (get(&api, "").await.status() == 200).then_some(())).await;
    api.stop().await;
}

#[tokio::test]
async fn a_stream_needs_an_id_that_it_gave_and_a_key_as_long_as_it_goes_on() {
    let topic = fluxo_testkit::topic(1).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    write_keys(file.path(), &[("erp", WRITER, "write"), ("bi", READER, "read")]);
    let keys = format!("--api-keys-file={}", file.path().display());
    let api = Serving::start(&topic, &["--api-stream-keep-alive=100ms", &keys]).await;
    let get = |query: &str| reqwest::Client::new().get(format!("http://{}{PATH}{query}", api.address));
    problem(get("").send().await.unwrap(), 401, "unauthenticated").await;
    problem(get("").bearer_auth(WRITER).send().await.unwrap(), 403, "forbidden").await;
    problem(get("?from=yesterday").bearer_auth(READER).send().await.unwrap(), 400, "bad-parameter").await;
    for bad in ["x", "AQ", "42"] {
        let request = get("").bearer_auth(READER).header("last-event-id", bad);
        problem(request.send().await.unwrap(), 400, "bad-header").await;
    }
    let mut stream = get("").bearer_auth(READER).header("last-event-id", "").send().await.unwrap();
    until(&mut stream, ":\n\n").await;
    write_keys(file.path(), &[("erp", WRITER, "write")]);
    until_end(stream).await;
    api.stop().await;
}

/// A client that has asked for the stream, and takes nothing of it yet.
async fn asleep(api: &Serving, query: &str) -> TcpStream {
    let mut stream = TcpStream::connect(api.address).await.unwrap();
    let request = format!("GET {PATH}{query} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// So long that a few thousand of them fit into no buffer of a connection.
fn long() -> String {
    "ç".repeat(500)
}

#[tokio::test]
async fn a_slow_client_is_told_everything_and_holds_little_meanwhile() {
    let topic = fluxo_testkit::topic(1).await;
    let api = Serving::start(&topic, &[]).await;
    let mut slow = asleep(&api, "").await;
    api.until_metric("fluxo_api_stream_followers", 1).await;
    let sender = Sender::new(&topic);
    let sent = sender.send_with("ana", 12_000, Some(&long()));
    // When this one is told the last, the ring has gone on over everything that the slow one has not taken.
    let mut quick = Following::new(api.address, "?from=start", None);
    assert_eq!(quick.ids(sent.len()).await, sent);
    let (mut bytes, mut tail) = (Vec::new(), String::new());
    while !tail.contains(sent.last().unwrap()) {
        let before = bytes.len();
        let read = tokio::time::timeout(LONG, slow.read_buf(&mut bytes)).await.unwrap().unwrap();
        assert_ne!(read, 0, "it ended");
        tail = String::from_utf8_lossy(&bytes[before.saturating_sub(36)..]).into_owned();
    }
    let text = String::from_utf8_lossy(&bytes);
    let told: Vec<_> = text.split("data: {\"id\":\"").skip(1).map(|data| data[..36].to_owned()).collect();
    assert_eq!(told, sent);
    api.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_and_few_catch_up_at_once() {
    let topic = fluxo_testkit::topic(1).await;
    let api = Serving::start(&topic, &["--api-max-catch-ups=1", "--api-idle-timeout=2s"]).await;
    Sender::new(&topic).send_with("ana", 12_000, Some(&long()));
    let _asleep = asleep(&api, "?from=start").await;
    api.until_metric("fluxo_api_stream_catch_ups", 1).await;
    problem(get(&api, "?from=start").await, 503, "too-many-streams").await;
    assert_eq!(get(&api, "").await.status(), 200, "whoever is not behind needs no reader");
    api.until_metric("fluxo_api_stream_catch_ups", 0).await;
    tokio::time::timeout(Duration::from_secs(20), api.stop()).await.unwrap();
}
