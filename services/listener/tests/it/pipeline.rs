//! A topic and a database of a test's own, and listeners between them.

use std::{net::SocketAddr, time::Duration};

use clap::Parser;
use fluxo_api::Api;
use fluxo_core::{
    Accepted, Account, Client, Currency, Timestamp, TransactionId, kit::shutdown::Shutdown, message,
    settings::DatabaseSettings, transaction::Draft,
};
use fluxo_listener::{Listener, settings::Settings};
use fluxo_migrations::{Migrator, MigratorTrait};
use fluxo_store::{
    Store,
    record::{RawHeader, RawRecord},
};
use fluxo_testkit::{TestDatabase, TestTopic, eventually};
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    message::{Header, Headers as _, OwnedHeaders},
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};
use tokio::task::JoinHandle;

/// How long anything may take: generous, for a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Pipeline {
    pub(crate) topic: TestTopic,
    pub(crate) database: TestDatabase,
    pub(crate) store: Store,
    producer: ThreadedProducer<DefaultProducerContext>,
}

/// A listener of a pipeline.
pub(crate) struct Running {
    pub(crate) admin: SocketAddr,
    shutdown: Shutdown,
    task: JoinHandle<anyhow::Result<()>>,
}

/// An api of a pipeline.
pub(crate) struct Serving {
    pub(crate) url: String,
    shutdown: Shutdown,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Pipeline {
    pub(crate) async fn new(partitions: i32) -> Self {
        let (topic, database) = tokio::join!(fluxo_testkit::topic(partitions), fluxo_testkit::database());
        let store = Store::open(&DatabaseSettings::of_url(database.url.as_str())).await.unwrap();
        Migrator::up(store.connection(), None).await.unwrap();
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &topic.bootstrap_servers)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .create()
            .unwrap();
        Self { topic, database, store, producer }
    }

    /// The flags of a listener of this pipeline.
    pub(crate) fn flags(&self) -> Vec<String> {
        [
            "--admin-listen=127.0.0.1:0",
            &format!("--kafka-bootstrap-servers={}", self.topic.bootstrap_servers),
            &format!("--kafka-topic={}", self.topic.name),
            &format!("--database-url={}", self.database.url),
            &format!("--listener-group={}", self.topic.name),
            "--listener-session-timeout=6s",
        ]
        .map(str::to_owned)
        .into()
    }

    /// Its settings, with other flags in place of some.
    pub(crate) fn settings(&self, other: &[&str]) -> Settings {
        let flags = self.flags();
        Settings::try_parse_from(["listener"].into_iter().chain(with(&flags, other))).unwrap()
    }

    pub(crate) async fn listen(&self, other: &[&str]) -> Running {
        let listener = Listener::bind(self.settings(other)).await.unwrap();
        let admin = listener.admin_addr().unwrap();
        let shutdown = Shutdown::manual();
        let task = tokio::spawn(listener.serve(shutdown.clone()));
        Running { admin, shutdown, task }
    }

    /// An api in this process, with these flags besides, that everybody may call. It is ready.
    pub(crate) async fn serve_api(&self, flags: &[&str]) -> Serving {
        let own = [
            "api",
            "--api-listen=127.0.0.1:0",
            "--admin-listen=127.0.0.1:0",
            "--api-auth=none",
            &format!("--kafka-bootstrap-servers={}", self.topic.bootstrap_servers),
            &format!("--kafka-topic={}", self.topic.name),
            &format!("--database-url={}", self.database.url),
        ];
        let own = own.map(str::to_owned);
        let settings = fluxo_api::Settings::try_parse_from(with(&own, flags)).unwrap();
        let api = Api::bind(settings).await.unwrap();
        let (url, readiness) = (format!("http://{}", api.local_addr().unwrap()), api.readiness());
        let shutdown = Shutdown::manual();
        let task = tokio::spawn(api.serve(shutdown.clone()));
        let ready = async || readiness.missing().is_empty().then_some(());
        eventually("an api that is ready", PATIENCE, ready).await;
        Serving { url, shutdown, task }
    }

    /// Puts a transaction on the topic as the api does.
    pub(crate) fn send(&self, accepted: &Accepted) {
        self.send_raw(accepted.transaction.account.as_str().as_bytes(), &message::encode(accepted));
    }

    pub(crate) fn send_raw(&self, key: &[u8], value: &[u8]) {
        let mut record = BaseRecord::to(&self.topic.name).key(key).payload(value);
        while let Err((_, full)) = self.producer.send(record) {
            self.producer.flush(PATIENCE).unwrap();
            record = full;
        }
    }

    /// Puts a record on the topic, into the partition of its key, whatever it has.
    pub(crate) fn send_record(&self, record: &RawRecord) {
        let mut sent = BaseRecord::to(&self.topic.name);
        (sent.key, sent.payload) = (record.key.as_deref(), record.value.as_deref());
        sent.headers = Some(record.headers.iter().fold(OwnedHeaders::new(), |all, header| {
            all.insert(Header { key: &header.name, value: header.value.as_deref() })
        }));
        self.producer.send::<[u8], [u8]>(sent).map_err(|(error, _)| error).unwrap();
    }

    /// Waits until everything that was sent is acknowledged.
    pub(crate) fn flush(&self) {
        self.producer.flush(PATIENCE).unwrap();
    }

    /// Waits until an account has so many rows, and tells its balance.
    pub(crate) async fn balance_after(&self, account: &str, rows: i64) -> String {
        let account = Account::parse(account).unwrap();
        eventually("the rows of the account", PATIENCE, async || {
            let balances = self.store.balances(&account, None).await.unwrap();
            let balance = balances.first().filter(|balance| balance.account_seq >= rows)?;
            assert_eq!(balance.account_seq, rows, "there are more rows than transactions");
            Some(balance.balance.to_string())
        })
        .await
    }

    /// The ids of an account's rows, in their order.
    pub(crate) async fn statement(&self, account: &str) -> Vec<TransactionId> {
        let (account, currency) = (Account::parse(account).unwrap(), Currency::parse("BRL").unwrap());
        let rows = self.store.statement(&account, currency, 0, 1_000).await.unwrap();
        rows.iter().map(|row| row.accepted.transaction.id).collect()
    }
}

impl Serving {
    /// Tells it to drain, and waits until it has ended.
    pub(crate) async fn stop(self) {
        self.shutdown.drain();
        tokio::time::timeout(PATIENCE, self.task).await.expect("it ends in time").unwrap().unwrap();
    }
}

impl Running {
    /// The value of a metric; 0 for one that was never counted.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let text =
            reqwest::get(format!("http://{}/metrics", self.admin)).await.unwrap().text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }

    /// What `/readyz` answers.
    pub(crate) async fn readiness(&self) -> String {
        let answer = reqwest::get(format!("http://{}/readyz", self.admin)).await.unwrap();
        answer.text().await.unwrap()
    }

    pub(crate) async fn until_ready(&self) {
        self.until_readiness_has("ready\n").await;
    }

    pub(crate) async fn until_readiness_has(&self, text: &str) {
        eventually(text, PATIENCE, async || {
            let readiness = self.readiness().await;
            (readiness == text || (text != "ready\n" && readiness.contains(text))).then_some(())
        })
        .await;
    }

    /// Tells it to drain, and waits until it has ended.
    pub(crate) async fn stop(self) {
        self.shutdown.drain();
        self.ended().await.unwrap();
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(self) -> anyhow::Result<()> {
        tokio::time::timeout(PATIENCE, self.task).await.expect("it ends in time").unwrap()
    }
}

/// Everything that is on a topic now: partition, offset and record.
pub(crate) fn records_of(topic: &TestTopic) -> Vec<(i32, i64, RawRecord)> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &topic.bootstrap_servers)
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(&topic.name), PATIENCE).unwrap();
    let (mut from_start, mut left) = (TopicPartitionList::new(), 0);
    for partition in metadata.topics()[0].partitions() {
        from_start.add_partition_offset(&topic.name, partition.id(), Offset::Beginning).unwrap();
        let (start, end) = consumer.fetch_watermarks(&topic.name, partition.id(), PATIENCE).unwrap();
        left += end - start;
    }
    consumer.assign(&from_start).unwrap();
    let next = |_| {
        let message = consumer.poll(PATIENCE).expect("a record in time").unwrap();
        let headers = message.headers().map(|headers| {
            let header = |header: Header<'_, &[u8]>| RawHeader {
                name: header.key.to_owned(),
                value: header.value.map(<[u8]>::to_vec),
            };
            headers.iter().map(header).collect()
        });
        let record = RawRecord {
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.unwrap_or_default(),
            timestamp_ms: message.timestamp().to_millis(),
        };
        (message.partition(), message.offset(), record)
    };
    (0..left).map(next).collect()
}

/// Flags, with others in place of some.
fn with<'a>(flags: &'a [String], others: &[&'a str]) -> Vec<&'a str> {
    let name = |flag: &'a str| flag.split('=').next().unwrap_or_default();
    let replaced: Vec<_> = others.iter().map(|flag| name(flag)).collect();
    let kept = flags.iter().map(String::as_str).filter(|flag| !replaced.contains(&name(flag)));
    kept.chain(others.iter().copied()).collect()
}

/// A transaction in BRL: money out when the amount begins with `-`.
pub(crate) fn transaction(account: &str, amount: &str) -> Accepted {
    let (kind, amount) = amount.strip_prefix('-').map_or(("entrada", amount), |amount| ("saida", amount));
    let draft = Draft {
        account: Some(account),
        kind: Some(kind),
        amount: Some(amount),
        currency: Some("BRL"),
        ..Draft::default()
    };
    draft.parse().unwrap().accept(TransactionId::generate(), Client::parse("test").unwrap(), Timestamp::now())
}
