//! The measurements, one file each, and what they have in common.

pub(crate) mod api;
pub(crate) mod end_to_end;
pub(crate) mod operator;
pub(crate) mod overload;
pub(crate) mod sink;
pub(crate) mod soak;

use std::io::Write as _;

use tempfile::NamedTempFile;

use crate::{
    child::Child,
    load::Requests,
    measure::{Cpu, Process},
    server::{self, Database},
    table::number,
};

/// The accounts of all measurements.
pub(crate) const ACCOUNTS: u64 = 1_000;
/// How many requests a connection has, which it sends in turn.
const REQUESTS: u64 = 50;
/// The partitions of all topics.
const PARTITIONS: i32 = 12;

/// What the load calls with, and the file by which the api knows it: the hash is that of `KEY`.
const KEY: &str = "correct-horse-battery-staple";
const KEY_FILE: &str = r#"{"clients": [{"name": "bench", "keys": [{
    "sha256": "87cbebfeebc05f7c54ac9336c4b4bbec831227a641951a4bde7edd56020f8590", "scopes": ["write", "read"]}]}]}"#;

/// What the load of a measurement is made of.
#[derive(Clone, Copy)]
enum Kind {
    /// Each POST is a new transaction.
    New,
    /// As new ones, answered when the row can be read.
    AwaitRow,
    /// Each is a retry of one that was accepted: everything is done for it but what needs Kafka.
    Retry,
    /// Each is for a path that is not there: nothing is done for it but routing.
    Nowhere,
}

/// Starts an api on a topic and a database, with everything on that it can have.
async fn start_api(topic: &str, database: &Database, keys: &NamedTempFile) -> anyhow::Result<Child> {
    start_api_with(topic, database, keys, &[]).await
}

/// As [`start_api`], with flags besides.
async fn start_api_with(
    topic: &str,
    database: &Database,
    keys: &NamedTempFile,
    more: &[String],
) -> anyhow::Result<Child> {
    let own = [
        "--api-listen=127.0.0.1:0".into(),
        format!("--api-keys-file={}", keys.path().display()),
        format!("--kafka-bootstrap-servers={}", fluxo_testkit::kafka()),
        format!("--kafka-topic={topic}"),
        format!("--database-url={}", database.url),
    ];
    Child::start("api", &[&own, more].concat()).await
}

/// Starts a listener on a topic and a database.
async fn start_listener(topic: &str, database: &Database, writers: u8) -> anyhow::Result<Child> {
    let flags = [
        format!("--listener-group={topic}"),
        format!("--listener-writers={writers}"),
        format!("--kafka-bootstrap-servers={}", fluxo_testkit::kafka()),
        format!("--kafka-topic={topic}"),
        format!("--database-url={}", database.url),
    ];
    Child::start("listener", &flags).await
}

fn keys() -> anyhow::Result<NamedTempFile> {
    let mut file = NamedTempFile::new()?;
    file.write_all(KEY_FILE.as_bytes())?;
    Ok(file)
}

/// The requests of so many connections: about 250 bytes of body each.
fn requests(connections: u64, kind: Kind) -> Vec<Requests> {
    (0..connections)
        .map(|connection| (0..REQUESTS).map(|turn| request(connection, turn, kind)).collect())
        .collect()
}

fn request(connection: u64, turn: u64, kind: Kind) -> Vec<u8> {
    let number = connection * REQUESTS + turn;
    let header = match kind {
        Kind::Nowhere => return b"GET /nowhere HTTP/1.1\r\nHost: bench\r\n\r\n".to_vec(),
        Kind::New => String::new(),
        Kind::AwaitRow => "Prefer: wait=30\r\n".into(),
        Kind::Retry => format!("Idempotency-Key: {number}\r\n"),
    };
    let body = format!(
        r#"{{"account":"account-{:04}","kind":"entrada","amount":"{}.25","currency":"BRL","description":"fatura {number:06} do contrato 4711-2026","occurred_at":"2026-11-21T14:32:00-03:00","metadata":{{"pedido":"4711-{number:06}","loja":"centro-7","canal":"aplicativo"}}}}"#,
        number * 7919 % ACCOUNTS,
        number % 900 + 1,
    );
    let head = format!(
        "POST /v1/transactions HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n\
         {header}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head, body].concat().into_bytes()
}

/// The processes of the servers, if they are on this machine: Kafka and MySQL.
fn servers() -> [Option<Process>; 2] {
    [server::port_of_kafka(), server::port_of_mysql()].map(|port| port.and_then(Process::listening))
}

/// The CPU of children, Kafka and MySQL until now.
fn cpu(children: &[&Child]) -> Cpu {
    let children = children.iter().map(|child| Some(child.usage()));
    Cpu::of(&children.chain(servers()).collect::<Vec<_>>())
}

/// The memory of a child, now and at most.
fn memory(child: &Child) -> anyhow::Result<String> {
    let (now, most) = child.usage().memory()?;
    Ok(format!("{} ({})", number(now), number(most)))
}
