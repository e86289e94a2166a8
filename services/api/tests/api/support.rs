//! An api of its own for each test.

use std::{collections::BTreeMap, net::SocketAddr, num::NonZeroUsize, time::Duration};

use clap::Parser;
use fluxo_api::{Admission, Api, Settings};
use fluxo_core::{
    Accepted, Client, Position, Timestamp, TopicId, TransactionId,
    kit::{health::Readiness, shutdown::Shutdown},
    message,
    money::MAX_MINOR,
    settings::DatabaseSettings,
    transaction::Draft,
};
use fluxo_store::{
    Store,
    offsets::{StoredOffset, StoredOffsets},
    record::{Batch, Content, Entry, Move, RawRecord, Topic, Writer},
};
use fluxo_testkit::eventually;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::OwnedMessage,
    mocking::MockCluster,
    producer::DefaultProducerContext,
};
use reqwest::{RequestBuilder, Response};
use serde_json::Value;
use tokio::task::JoinHandle;

pub(crate) const TOPIC: &str = "transactions";
pub(crate) const PARTITIONS: i32 = 4;
/// Longer than anything takes that a test waits for.
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) const VALID: &str = r#"{"account":"ana","kind":"entrada","amount":"10.50","currency":"BRL"}"#;
/// The largest amount that there is.
pub(crate) const LARGEST: &str =
    r#"{"account":"ana","kind":"entrada","amount":"10000000000000.00","currency":"BRL"}"#;

/// A database that answers is waited for, however busy the machine is.
pub(crate) const PATIENT: &str = "--api-lookup-timeout=30s";

pub(crate) type Cluster = MockCluster<'static, DefaultProducerContext>;

/// An api that serves, and what it stands on. All of a test runs on one thread, as the cluster must.
pub(crate) struct Fixture {
    pub(crate) cluster: Cluster,
    pub(crate) url: String,
    pub(crate) address: SocketAddr,
    pub(crate) admin: String,
    pub(crate) client: reqwest::Client,
    pub(crate) shutdown: Shutdown,
    pub(crate) serving: JoinHandle<anyhow::Result<()>>,
    pub(crate) readiness: Readiness,
    pub(crate) database: DatabaseSettings,
    _directory: tempfile::TempDir,
}

/// The settings of an api that everybody may call, on ports of its own.
pub(crate) fn settings(brokers: &str, topic: &str, database: &str, flags: &[&str]) -> Settings {
    let brokers = format!("--kafka-bootstrap-servers={brokers}");
    let (topic, database) = (format!("--kafka-topic={topic}"), format!("--database-url={database}"));
    let own = ["api", &brokers, &topic, &database, "--api-listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"];
    let auth = if flags.iter().any(|flag| flag.contains("keys-file")) { "keys" } else { "none" };
    let auth = format!("--api-auth={auth}");
    Settings::parse_from(own.iter().copied().chain([auth.as_str()]).chain(flags.iter().copied()))
}

pub(crate) fn cluster() -> Cluster {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, PARTITIONS, 1).unwrap();
    cluster
}

impl Fixture {
    /// An api that is ready.
    pub(crate) async fn ready(flags: &[&str]) -> Self {
        let fixture = Self::start(cluster(), flags, None).await;
        fixture.until_ready().await;
        fixture
    }

    pub(crate) async fn start(cluster: Cluster, flags: &[&str], admission: Option<Admission>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/rows.db?mode=rwc", directory.path().display());
        let database = DatabaseSettings::of_url(url.as_str());
        let store = Store::open(&database).await.unwrap();
        fluxo_migrations::up(store.connection(), LONG).await.unwrap();
        let flags: Vec<_> = flags.iter().copied().chain([PATIENT]).collect();
        let settings = settings(&cluster.bootstrap_servers(), TOPIC, &url, &flags);
        let api = match admission {
            Some(admission) => Api::bind_with(settings, admission).await,
            None => Api::bind(settings).await,
        };
        let api = api.unwrap();
        let (address, admin) = (api.local_addr().unwrap(), api.admin_addr().unwrap());
        let (readiness, shutdown) = (api.readiness(), Shutdown::manual());
        Self {
            cluster,
            url: format!("http://{address}"),
            address,
            admin: format!("http://{admin}"),
            client: reqwest::Client::new(),
            serving: tokio::spawn(api.serve(shutdown.clone())),
            shutdown,
            readiness,
            database,
            _directory: directory,
        }
    }

    /// Until the api is ready, and has seen its database.
    pub(crate) async fn until_ready(&self) {
        eventually("the api is ready", LONG, async || {
            assert!(!self.serving.is_finished(), "the api has ended");
            let seen = self.metric("fluxo_api_database_up").await == Some(1);
            (self.readiness.missing().is_empty() && seen).then_some(())
        })
        .await;
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }

    pub(crate) fn post(&self, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.post_to("/v1/transactions", body)
    }

    pub(crate) fn post_to(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        let request = self.client.post(format!("{}{path}", self.url));
        request.header("content-type", "application/json").body(body)
    }

    /// The value of a metric without labels, or with these.
    pub(crate) async fn metric(&self, name: &str) -> Option<i64> {
        let text = self.client.get(format!("{}/metrics", self.admin)).send().await.ok()?.text().await.ok()?;
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    /// The records of the topic, in the order of each partition.
    pub(crate) fn records(&self) -> Vec<OwnedMessage> {
        read_topic(&self.cluster.bootstrap_servers(), TOPIC, PARTITIONS)
    }

    /// Records all that is on the topic and not yet recorded, as the listener does.
    pub(crate) async fn record(&self) {
        let stored = self.offsets().await;
        let (mut moves, mut entries) = (BTreeMap::new(), Vec::new());
        for record in self.records() {
            let (partition, offset) = (record.partition(), record.offset());
            let from = stored[&partition].next_offset;
            if offset >= from {
                moves.insert(partition, Move { partition, from, to: offset + 1 });
                let accepted = message::decode(record.key(), record.payload()).unwrap();
                entries.push(entry(Position { partition, offset }, accepted));
            }
        }
        self.write(moves.into_values().collect(), entries).await;
    }

    /// Makes the balance of an account so large that [`LARGEST`] does not fit any more. What does that is not on the
    /// topic: it is written as if it came from a partition that the topic does not have.
    pub(crate) async fn fill(&self, account: &str) {
        let draft = Draft {
            account: Some(account),
            kind: Some("entrada"),
            amount: Some("10000000000000.00"),
            currency: Some("BRL"),
            ..Draft::default()
        };
        let submission = draft.parse().unwrap();
        let client = Client::parse("filler").unwrap();
        self.offsets().await;
        let last = i64::MAX / MAX_MINOR;
        let entries = (0..last).map(|offset| {
            let accepted =
                submission.clone().accept(TransactionId::generate(), client.clone(), Timestamp::now());
            entry(Position { partition: PARTITIONS, offset }, accepted)
        });
        self.write(vec![Move { partition: PARTITIONS, from: 0, to: last }], entries.collect()).await;
    }

    /// The offsets that are stored, from 0.
    async fn offsets(&self) -> StoredOffsets {
        let store = Store::open(&self.database).await.unwrap();
        let begin = StoredOffset { cluster_id: "mock".into(), topic_id: topic().id, next_offset: 0 };
        let begins = (0..=PARTITIONS).map(|partition| (partition, begin.clone())).collect();
        store.begin_offsets(TOPIC, &begins).await.unwrap();
        store.offsets(TOPIC).await.unwrap()
    }

    async fn write(&self, moves: Vec<Move>, entries: Vec<Entry>) {
        let mut writer = Writer::new(self.database.clone(), NonZeroUsize::new(1_000).unwrap());
        let batch = Batch { topic: topic(), moves, entries };
        writer.record(&batch, Timestamp::now(), async { true }).await.unwrap();
    }

    /// Ends the api, which must succeed.
    pub(crate) async fn end(self) {
        self.shutdown.drain();
        self.serving.await.unwrap().unwrap();
    }
}

fn topic() -> Topic {
    Topic { name: TOPIC.into(), id: TopicId::parse("mock").unwrap() }
}

fn entry(position: Position, accepted: Accepted) -> Entry {
    Entry { position, content: Content::Accepted(Box::new(accepted)), raw: RawRecord::default() }
}

/// All records of a topic.
pub(crate) fn read_topic(brokers: &str, topic: &str, partitions: i32) -> Vec<OwnedMessage> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "test")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut positions = TopicPartitionList::new();
    let mut missing = 0;
    for partition in 0..partitions {
        let (low, high) = consumer.fetch_watermarks(topic, partition, LONG).unwrap();
        missing += high - low;
        positions.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&positions).unwrap();
    let mut records = Vec::new();
    while missing > 0 {
        let record = consumer.poll(LONG).expect("a record that the watermarks promise").unwrap();
        records.push(record.detach());
        missing -= 1;
    }
    records
}

/// A problem, with its status and type.
pub(crate) async fn problem(response: Response, status: u16, kind: &str) -> Value {
    assert_eq!(response.headers()["content-type"], "application/problem+json", "{response:?}");
    assert_eq!(response.status(), status, "{response:?}");
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["type"], format!("urn:fluxo:problem:{kind}"), "{problem}");
    assert_eq!(problem["status"], status, "{problem}");
    problem
}

/// The pointer and code of each error of a problem.
pub(crate) fn errors(problem: &Value) -> Vec<(String, String)> {
    let all = problem["errors"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    all.map(|error| (text(&error["pointer"]), text(&error["code"]))).collect()
}
