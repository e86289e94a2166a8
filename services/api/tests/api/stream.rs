//! `GET /v1/transactions/stream`, as an EventSource library sees it, from a real Kafka; in [`limits`], what bounds it.

mod limits;

use std::{collections::BTreeMap, net::SocketAddr, pin::Pin, time::Duration};

use eventsource_client::{Client as _, ClientBuilder, Event, ReconnectOptions, SSE};
use fluxo_api::Api;
use fluxo_core::{
    Accepted, Client, Timestamp, TransactionId, kit::shutdown::Shutdown, message, transaction::Draft,
};
use fluxo_testkit::{Link, TestTopic, eventually};
use futures::{Stream, StreamExt};
use launchdarkly_sdk_transport::HyperTransport;
use rdkafka::{
    ClientConfig,
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::{LONG, settings};

const PATH: &str = "/v1/transactions/stream";

/// An api on a topic of a real Kafka. Its database is away: streams do not need it.
struct Serving {
    address: SocketAddr,
    admin: SocketAddr,
    shutdown: Shutdown,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Serving {
    async fn start(topic: &TestTopic, flags: &[&str]) -> Self {
        let nowhere = "mysql://nobody@127.0.0.1:1/none";
        let api = Api::bind(settings(&topic.bootstrap_servers, &topic.name, nowhere, flags)).await.unwrap();
        let (address, admin) = (api.local_addr().unwrap(), api.admin_addr().unwrap());
        let (readiness, shutdown) = (api.readiness(), Shutdown::manual());
        let task = tokio::spawn(api.serve(shutdown.clone()));
        let ready = async || readiness.missing().is_empty().then_some(());
        eventually("the api is ready", LONG, ready).await;
        Self { address, admin, shutdown, task }
    }

    async fn metric(&self, name: &str) -> i64 {
        let text =
            reqwest::get(format!("http://{}/metrics", self.admin)).await.unwrap().text().await.unwrap();
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap()
    }

    async fn until_metric(&self, name: &str, value: i64) {
        eventually(name, LONG, async || (self.metric(name).await == value).then_some(())).await;
    }

    async fn stop(self) {
        self.shutdown.drain();
        tokio::time::timeout(LONG, self.task).await.expect("it ends in time").unwrap().unwrap();
    }
}

/// What an EventSource is told. It comes again by itself when its connection is cut.
struct Following(Pin<Box<dyn Stream<Item = eventsource_client::Result<SSE>> + Send + Sync>>);

impl Following {
    fn new(address: SocketAddr, query: &str, last: Option<&str>) -> Self {
        let again = ReconnectOptions::reconnect(true).delay(Duration::from_millis(20)).retry_initial(true);
        let mut client = ClientBuilder::for_url(&format!("http://{address}{PATH}{query}")).unwrap();
        if let Some(last) = last {
            client = client.last_event_id(last.to_owned());
        }
        let transport = HyperTransport::builder().build_http().unwrap();
        Self(client.reconnect(again.build()).build_with_transport(transport).stream())
    }

    /// The next event. How connections end and begin again is left out.
    async fn event(&mut self) -> Event {
        let next = async {
            loop {
                if let Ok(SSE::Event(event)) = self.0.next().await.expect("it comes again for ever") {
                    return event;
                }
            }
        };
        tokio::time::timeout(LONG, next).await.expect("an event in time")
    }

    async fn connected(&mut self) {
        let connected = async { while !matches!(self.0.next().await.unwrap(), Ok(SSE::Connected(_))) {} };
        tokio::time::timeout(LONG, connected).await.expect("a connection in time");
    }

    /// The ids of the next transactions.
    async fn ids(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::with_capacity(count);
        while ids.len() < count {
            ids.push(id(&self.event().await));
        }
        ids
    }
}

fn id(event: &Event) -> String {
    assert_eq!(event.event_type, "message", "{event:?}");
    let data: Value = serde_json::from_str(&event.data).unwrap();
    data["id"].as_str().unwrap().to_owned()
}

/// What a gap has lost.
fn lost(event: &Event) -> Value {
    assert_eq!(event.event_type, "gap", "{event:?}");
    serde_json::from_str::<Value>(&event.data).unwrap()["lost"].take()
}

/// Puts transactions on the topic as the api does.
struct Sender<'a>(ThreadedProducer<DefaultProducerContext>, &'a TestTopic);

impl<'a> Sender<'a> {
    fn new(topic: &'a TestTopic) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &topic.bootstrap_servers).set("enable.idempotence", "true");
        Self(config.set("partitioner", "murmur2_random").create().unwrap(), topic)
    }

    /// The ids, in their order.
    fn send(&self, account: &str, count: usize) -> Vec<String> {
        self.send_with(account, count, None)
    }

    fn send_with(&self, account: &str, count: usize, description: Option<&str>) -> Vec<String> {
        let accepted: Vec<_> = (0..count).map(|_| transaction(account, description)).collect();
        for accepted in &accepted {
            self.send_raw(account.as_bytes(), &message::encode(accepted));
        }
        self.0.flush(LONG).unwrap();
        accepted.iter().map(|accepted| accepted.transaction.id.to_string()).collect()
    }

    fn send_raw(&self, key: &[u8], value: &[u8]) {
        let mut record = BaseRecord::to(&self.1.name).key(key).payload(value);
        while let Err((_, full)) = self.0.send(record) {
            self.0.flush(LONG).unwrap();
            record = full;
        }
    }
}

fn transaction(account: &str, description: Option<&str>) -> Accepted {
    let draft = Draft {
        account: Some(account),
        kind: Some("entrada"),
        amount: Some("10.50"),
        currency: Some("BRL"),
        description,
        ..Draft::default()
    };
    draft.parse().unwrap().accept(TransactionId::generate(), Client::parse("erp").unwrap(), Timestamp::now())
}

#[tokio::test]
async fn what_is_accepted_is_told_as_reads_tell_it() {
    let topic = fluxo_testkit::topic(3).await;
    let api = Serving::start(&topic, &[]).await;
    let mut following = Following::new(api.address, "", None);
    following.connected().await;
    let posted = reqwest::Client::new().post(format!("http://{}/v1/transactions", api.address));
    let body = r#"{"account":"ana","kind":"saída","amount":"1.5","currency":"BRL","metadata":{"a":"\"ç"}}"#;
    let posted = posted.header("content-type", "application/json").body(body).send().await.unwrap();
    assert_eq!(posted.status(), 202);
    let posted: Value = posted.json().await.unwrap();
    let event: Value = serde_json::from_str(&following.event().await.data).unwrap();
    for (field, value) in [
        ("id", &posted["id"]),
        ("account", &json!("ana")),
        ("kind", &json!("saida")),
        ("amount", &json!("1.50")),
        ("client", &json!("anonymous")),
        ("occurred_at", &event["accepted_at"]),
        ("metadata", &json!({"a": "\"ç"})),
    ] {
        assert_eq!(&event[field], value, "{field}");
    }
    api.stop().await;
}

#[tokio::test]
async fn an_event_source_that_is_cut_again_and_again_is_told_everything_once_and_in_order() {
    let topic = fluxo_testkit::topic(3).await;
    let api = Serving::start(&topic, &[]).await;
    let link = Link::to(&api.address.to_string());
    let mut following = Following::new(link.address(), "?from=start", None);
    let sender = Sender::new(&topic);
    let (mut sent, mut told) =
        (BTreeMap::<String, Vec<String>>::new(), BTreeMap::<String, Vec<String>>::new());
    for round in 0..5 {
        for account in ["ana", "beto", "x", "loja-1"] {
            sent.entry(account.into()).or_default().extend(sender.send(account, 100));
        }
        let tell = async |following: &mut Following, told: &mut BTreeMap<String, Vec<String>>| {
            let event = following.event().await;
            let account = serde_json::from_str::<Value>(&event.data).unwrap()["account"].take();
            told.entry(account.as_str().unwrap().into()).or_default().push(id(&event));
        };
        for _ in 0..250 {
            tell(&mut following, &mut told).await;
        }
        link.refuses();
        api.until_metric("fluxo_api_stream_followers", 0).await;
        link.passes();
        for _ in 250..400 {
            tell(&mut following, &mut told).await;
        }
        assert_eq!(told, sent, "round {round}");
    }
    drop(following);
    api.stop().await;
}

#[tokio::test]
async fn a_follower_goes_on_with_another_replica() {
    let topic = fluxo_testkit::topic(3).await;
    let (one, other) = (Serving::start(&topic, &[]).await, Serving::start(&topic, &[]).await);
    let sender = Sender::new(&topic);
    let sent = sender.send("ana", 20);
    let mut following = Following::new(one.address, "?from=start", None);
    assert_eq!(following.ids(11).await, sent[..11]);
    let last = following.event().await;
    drop(following);
    one.stop().await;
    let mut following = Following::new(other.address, "", last.id.as_deref());
    assert_eq!(following.ids(8).await, sent[12..]);
    // From its own reader to the shared one, in the middle of a partition that others are told of as well.
    let mut late = Following::new(other.address, "", None);
    late.connected().await;
    let sent = sender.send("ana", 5);
    assert_eq!((following.ids(5).await, late.ids(5).await), (sent.clone(), sent));
    assert_eq!(other.metric("fluxo_api_stream_catch_ups").await, 0);
    other.stop().await;
}

#[tokio::test]
async fn a_position_that_retention_has_deleted_is_told_as_a_gap() {
    let topic = fluxo_testkit::topic(1).await;
    let api = Serving::start(&topic, &[]).await;
    let sent = Sender::new(&topic).send("ana", 10);
    let mut following = Following::new(api.address, "?from=start", None);
    let first = following.event().await;
    topic.delete_before(0, 8).await;
    let mut again = Following::new(api.address, "", first.id.as_deref());
    let gap = again.event().await;
    assert_eq!(lost(&gap), json!([{"reason": "deleted", "partition": 0, "from": 1, "to": 8}]));
    assert_eq!(again.ids(2).await, sent[8..]);
    // Whoever has seen the gap is not told of it again.
    let mut after = Following::new(api.address, "", gap.id.as_deref());
    assert_eq!(after.ids(2).await, sent[8..]);
    assert_eq!(api.metric("fluxo_api_stream_gaps_total").await, 1);
    api.stop().await;
}

#[tokio::test]
async fn a_topic_that_was_made_anew_is_a_gap_and_is_told_from_its_start() {
    let topic = fluxo_testkit::topic(1).await;
    let api = Serving::start(&topic, &[]).await;
    Sender::new(&topic).send("ana", 3);
    let mut following = Following::new(api.address, "?from=start", None);
    following.ids(2).await;
    let last = following.event().await;
    topic.make_anew(2).await;
    let sent = Sender::new(&topic).send("ana", 2);
    let replaced = json!([{"reason": "topic_replaced"}]);
    assert_eq!(lost(&following.event().await), replaced);
    assert_eq!(following.ids(2).await, sent);
    let mut again = Following::new(api.address, "", last.id.as_deref());
    assert_eq!(lost(&again.event().await), replaced);
    assert_eq!(again.ids(2).await, sent);
    api.stop().await;
}

#[tokio::test]
async fn what_is_no_message_is_passed_over_and_a_newer_one_is_a_gap() {
    let topic = fluxo_testkit::topic(1).await;
    let api = Serving::start(&topic, &[]).await;
    let sender = Sender::new(&topic);
    let mut sent = sender.send("ana", 1);
    sender.send_raw(b"ana", b"\xff not ours");
    sender.send_raw(b"ana", br#"{"v":2}"#);
    sent.extend(sender.send("ana", 1));
    let mut following = Following::new(api.address, "?from=start", None);
    assert_eq!(following.ids(1).await, sent[..1]);
    let newer = json!([{"reason": "newer_version", "partition": 0, "from": 2, "to": 3}]);
    assert_eq!(lost(&following.event().await), newer);
    assert_eq!(following.ids(1).await, sent[1..]);
    api.stop().await;
}
