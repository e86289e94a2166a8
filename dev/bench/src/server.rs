//! Kafka and MySQL, as they are set up for a measurement.

use std::{fs::File, process::Stdio, time::Duration};

use anyhow::{Context as _, ensure};
use fluxo_core::{
    Accepted, Client, Timestamp, TransactionId, message, settings::DatabaseSettings, transaction::Draft,
};
use fluxo_store::Store;
use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer},
};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use tempfile::TempDir;
use tokio::process::Command;
use uuid::Uuid;

use crate::part::ACCOUNTS;

/// How long Kafka and MySQL are waited for.
const TIMEOUT: Duration = Duration::from_mins(1);
/// The columns of a dump: all but the one that MySQL counts itself, and the one that is null in each row.
const COLUMNS: &str = "id, account, currency, account_seq, kind, amount, scale, balance_after, description, metadata, \
                       occurred_at, accepted_at, recorded_at, client, content_hash, topic_id, `partition`, `offset`";

/// A database with the schema, and nothing in it.
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) store: Store,
    name: String,
}

impl Database {
    pub(crate) async fn create() -> anyhow::Result<Self> {
        let (server, name) = (mysql()?, format!("fluxo_bench_{}", Uuid::new_v4().simple()));
        let store = Store::open(&DatabaseSettings::of_url(server.clone())).await?;
        store.connection().execute_unprepared(&format!("CREATE DATABASE {name}")).await?;
        store.close().await;
        let (authority, _) =
            server.rsplit_once('/').context("FLUXO_TEST_MYSQL is mysql://user@host:port/name")?;
        let url = format!("{authority}/{name}");
        let store = Store::open(&DatabaseSettings::of_url(url.clone())).await?;
        fluxo_migrations::up(store.connection(), TIMEOUT).await?;
        Ok(Self { url, store, name })
    }

    pub(crate) async fn delete(self) -> anyhow::Result<()> {
        self.store.connection().execute_unprepared(&format!("DROP DATABASE {}", self.name)).await?;
        self.store.close().await;
        Ok(())
    }

    /// How many rows a table has.
    pub(crate) async fn count(&self, table: &str) -> anyhow::Result<u64> {
        let count: i64 = self.value(&format!("SELECT COUNT(*) FROM {table}")).await?;
        Ok(count.try_into()?)
    }

    async fn value<T: sea_orm::TryGetable>(&self, sql: &str) -> anyhow::Result<T> {
        value(&self.store, sql).await
    }
}

async fn value<T: sea_orm::TryGetable>(store: &Store, sql: &str) -> anyhow::Result<T> {
    let statement = Statement::from_string(DbBackend::MySql, sql);
    let row = store.connection().query_one_raw(statement).await?.context("no row")?;
    Ok(row.try_get_by_index(0)?)
}

/// What the servers are, and how safe a commit is.
pub(crate) async fn versions() -> anyhow::Result<String> {
    let store = Store::open(&DatabaseSettings::of_url(mysql()?)).await?;
    let sql = "SELECT CONCAT('MySQL ', VERSION(), ', innodb_flush_log_at_trx_commit=', @@innodb_flush_log_at_trx_commit, \
               ', log_bin=', @@log_bin, ', sync_binlog=', @@sync_binlog)";
    let text: String = value(&store, sql).await?;
    store.close().await;
    Ok(text)
}

/// Puts so many transactions into a topic.
pub(crate) async fn fill(topic: &str, count: u64) -> anyhow::Result<()> {
    let topic = topic.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", fluxo_testkit::kafka())
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("compression.codec", "lz4")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "20");
        let producer: ThreadedProducer<DefaultProducerContext> = config.create()?;
        for number in 0..count {
            let accepted = accepted(number)?;
            let (key, value) = (accepted.transaction.account.as_str(), message::encode(&accepted));
            let mut record = BaseRecord::to(&topic).key(key).payload(&value);
            while let Err((error, same)) = producer.send(record) {
                ensure!(error == KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), "{error}");
                std::thread::sleep(Duration::from_millis(1));
                record = same;
            }
        }
        producer.flush(TIMEOUT)?;
        Ok(())
    })
    .await?
}

fn accepted(number: u64) -> anyhow::Result<Accepted> {
    let (account, pedido) = (format!("account-{:04}", number % ACCOUNTS), format!("4711-{number:06}"));
    let (amount, description) =
        (format!("{}.25", number % 900 + 1), format!("fatura {number:06} do contrato 4711-2026"));
    let draft = Draft {
        account: Some(&account),
        kind: Some(if number.is_multiple_of(3) { "saida" } else { "entrada" }),
        amount: Some(&amount),
        currency: Some("BRL"),
        description: Some(&description),
        occurred_at: Some("2026-11-21T14:32:00-03:00"),
        metadata: vec![("pedido", &pedido), ("loja", "centro-7"), ("canal", "aplicativo")],
    };
    let submission = draft.parse().ok().context("a valid transaction")?;
    let client = Client::parse("bench").context("a valid name")?;
    Ok(submission.accept(TransactionId::generate(), client, Timestamp::now()))
}

/// Writes the rows of a database into two files, one for each of two connections.
pub(crate) fn dump(database: &Database, into: &TempDir) -> anyhow::Result<()> {
    for part in 0..2 {
        let sql = format!("SELECT {COLUMNS} FROM transactions WHERE `partition` % 2 = {part} ORDER BY seq");
        let file = File::create(into.path().join(part.to_string()))?;
        let arguments =
            ["--batch", "--skip-column-names", "--quick", "--skip-binary-as-hex", "-e", &sql, &database.name];
        let status =
            std::process::Command::new(CLIENT).args(client()?).args(arguments).stdout(file).status()?;
        ensure!(status.success(), "the rows were not dumped");
    }
    Ok(())
}

/// Loads a dump, over one connection or two.
pub(crate) async fn load(database: &Database, dump: &TempDir, connections: u8) -> anyhow::Result<()> {
    let allowed: i64 = database.value("SELECT @@GLOBAL.local_infile").await?;
    let allow = |value: i64| format!("SET GLOBAL local_infile = {value}");
    database.store.connection().execute_unprepared(&allow(1)).await?;
    let sql = |file: u8| {
        // The file has bytes that are no text in any character set; JSON is taken from text only.
        let (path, columns) = (dump.path().join(file.to_string()), COLUMNS.replace("metadata", "@metadata"));
        format!(
            "LOAD DATA LOCAL INFILE '{}' INTO TABLE transactions CHARACTER SET binary ({columns}) \
             SET metadata = CONVERT(@metadata USING utf8mb4)",
            path.display()
        )
    };
    let statements: Vec<_> = match connections {
        1 => vec![format!("{}; {}", sql(0), sql(1))],
        _ => vec![sql(0), sql(1)],
    };
    let loads: anyhow::Result<Vec<_>> = statements.iter().map(|sql| start_load(database, sql)).collect();
    let mut loaded = Ok(());
    for mut load in loads? {
        let status = load.wait().await?;
        if !status.success() {
            loaded = Err(anyhow::anyhow!("LOAD DATA failed"));
        }
    }
    database.store.connection().execute_unprepared(&allow(allowed)).await?;
    loaded
}

fn start_load(database: &Database, sql: &str) -> anyhow::Result<tokio::process::Child> {
    let mut command = Command::new(CLIENT);
    command.args(client()?).args(["--local-infile=1", "-e", sql, &database.name]);
    Ok(command.stdout(Stdio::null()).kill_on_drop(true).spawn()?)
}

/// The program that is MySQL's client: the driver of the store cannot send files.
const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/mysql");

/// The arguments by which the client finds the server.
fn client() -> anyhow::Result<Vec<String>> {
    let url = mysql()?;
    let (_, rest) = url.split_once("://").context("FLUXO_TEST_MYSQL is a URL")?;
    let (user, host) =
        rest.split('/').next().and_then(|part| part.rsplit_once('@')).context("it names a user")?;
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let (host, port) = host.split_once(':').unwrap_or((host, "3306"));
    let mut arguments = vec![
        "--protocol=tcp".into(),
        format!("--host={host}"),
        format!("--port={port}"),
        format!("--user={user}"),
    ];
    if !password.is_empty() {
        arguments.push(format!("--password={password}"));
    }
    Ok(arguments)
}

/// The port of Kafka, and that of MySQL, if they are on this machine.
pub(crate) fn port_of_kafka() -> Option<u16> {
    local_port(fluxo_testkit::kafka().split(',').next()?)
}

pub(crate) fn port_of_mysql() -> Option<u16> {
    let url = mysql().ok()?;
    local_port(url.split("://").nth(1)?.split('/').next()?.rsplit('@').next()?)
}

fn local_port(address: &str) -> Option<u16> {
    let (host, port) = address.rsplit_once(':')?;
    matches!(host, "127.0.0.1" | "localhost" | "[::1]").then(|| port.parse().ok()).flatten()
}

#[allow(clippy::disallowed_methods, reason = "where the servers are is no setting of a service")]
fn mysql() -> anyhow::Result<String> {
    std::env::var("FLUXO_TEST_MYSQL")
        .context("FLUXO_TEST_MYSQL is not set: `make bench` starts the servers and sets it")
}
