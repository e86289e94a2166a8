//! Secrets are in nothing that a service says. A program of its own, since all logs of it are collected.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clap::Parser;
use fluxo_api::Api;
use fluxo_core::{kit::shutdown::Shutdown, settings::DatabaseSettings};
use fluxo_listener::Listener;
use fluxo_store::Store;
use fluxo_testkit::eventually;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tracing_subscriber::filter::LevelFilter;

const LONG: Duration = Duration::from_mins(1);
const API_KEY: &str = "chave-da-erp-0123456789abcdef";
const UNKNOWN_KEY: &str = "chave-de-outro-0123456789abcdef";
const DATABASE_PASSWORD: &str = "senha-do-banco-4711";
const WRONG_PASSWORD: &str = "senha-errada-0815";

/// Everything that was written into it.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Said {
    fn add(&self, text: &str) {
        self.0.lock().unwrap().extend_from_slice(text.as_bytes());
    }

    async fn add_answer(&self, request: reqwest::RequestBuilder) -> u16 {
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        self.add(&format!("{:?}", answer.headers()));
        self.add(&answer.text().await.unwrap());
        status
    }
}

/// The flags that both services have.
fn shared_flags(topic: &str, database: &str, database_password: &str, kafka_password: &str) -> Vec<String> {
    let kafka = fluxo_testkit::secure_kafka();
    [
        ("admin-listen", "127.0.0.1:0"),
        ("kafka-bootstrap-servers", &*kafka.bootstrap_servers),
        ("kafka-topic", topic),
        ("kafka-security-protocol", "sasl-ssl"),
        ("kafka-ca-file", kafka.authority.to_str().unwrap()),
        ("kafka-username", &*kafka.username),
        ("kafka-password", kafka_password),
        ("database-url", database),
        ("database-password", database_password),
    ]
    .map(|(name, value)| format!("--{name}={value}"))
    .into()
}

fn settings<S: Parser + std::fmt::Debug>(said: &Said, shared: &[String], own: &[&str]) -> S {
    let flags = shared.iter().map(String::as_str).chain(own.iter().copied());
    let settings = S::try_parse_from(std::iter::once("service").chain(flags)).unwrap();
    said.add(&format!("{settings:?} {settings:#?} {}", S::command().render_long_help()));
    settings
}

#[tokio::test]
async fn no_secret_is_in_logs_metrics_answers_errors_or_debug_output() {
    let said = Said::default();
    let logs = said.clone();
    tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(move || logs.clone()).init();
    let topic = fluxo_testkit::secure_topic(1).await;
    let database = fluxo_testkit::database().await;
    let store = Store::open(&DatabaseSettings::of_url(database.url.as_str())).await.unwrap();
    fluxo_migrations::up(store.connection(), LONG).await.unwrap();
    let url = database.secured(DATABASE_PASSWORD).await;
    let kafka_password = fluxo_testkit::secure_kafka().password;

    let mut keys = NamedTempFile::new().unwrap();
    let hash = hex::encode(Sha256::digest(API_KEY));
    let clients = format!(
        r#"{{"clients":[{{"name":"erp","keys":[{{"sha256":"{hash}","scopes":["write","read"]}}]}}]}}"#
    );
    keys.write_all(clients.as_bytes()).unwrap();
    let keys = format!("--api-keys-file={}", keys.path().display());
    let api_flags = ["--api-listen=127.0.0.1:0", &*keys];

    let shared = shared_flags(&topic.name, &url, DATABASE_PASSWORD, &kafka_password);
    let api = Api::bind(settings(&said, &shared, &api_flags)).await.unwrap();
    let (address, admin, readiness) = (api.local_addr().unwrap(), api.admin_addr().unwrap(), api.readiness());
    let group = format!("--listener-group={}", topic.name);
    let listener = Listener::bind(settings(&said, &shared, &[&group])).await.unwrap();
    let listener_admin = listener.admin_addr().unwrap();
    let shutdown = Shutdown::manual();
    let serving = tokio::spawn(api.serve(shutdown.clone()));
    let listening = tokio::spawn(listener.serve(shutdown.clone()));
    eventually("the api is ready", LONG, async || readiness.missing().is_empty().then_some(())).await;

    let http = reqwest::Client::new();
    let post = |key: &str, body: &'static str| {
        let request = http.post(format!("http://{address}/v1/transactions")).bearer_auth(key);
        request.header("content-type", "application/json").header("prefer", "wait=30").body(body)
    };
    let valid = r#"{"account":"ana","kind":"entrada","amount":"10.50","currency":"BRL"}"#;
    assert_eq!(said.add_answer(post(API_KEY, valid)).await, 201);
    assert_eq!(said.add_answer(post(API_KEY, "{")).await, 400);
    assert_eq!(said.add_answer(post(API_KEY, r#"{"account":1}"#)).await, 422);
    assert_eq!(said.add_answer(post(UNKNOWN_KEY, valid)).await, 401);
    let list = http.get(format!("http://{address}/v1/accounts/ana/transactions?x={API_KEY}"));
    assert_eq!(said.add_answer(list.bearer_auth(API_KEY)).await, 400);
    for admin in [admin, listener_admin] {
        for path in ["metrics", "readyz", "livez"] {
            said.add_answer(http.get(format!("http://{admin}/{path}"))).await;
        }
    }
    shutdown.drain();
    serving.await.unwrap().unwrap();
    listening.await.unwrap().unwrap();
    end_badly(&said, &topic.name, &url, &kafka_password).await;

    let said = String::from_utf8_lossy(&said.0.lock().unwrap()).into_owned();
    assert!(said.contains("TRACE") && said.contains("the key file was read"), "the logs are not there");
    for secret in [API_KEY, UNKNOWN_KEY, DATABASE_PASSWORD, &kafka_password, WRONG_PASSWORD] {
        if let Some(at) = said.find(secret) {
            let around = &said.as_bytes()[at.saturating_sub(400)..said.len().min(at + 100)];
            panic!("{secret} was said: {}", String::from_utf8_lossy(around));
        }
    }
}

/// Listeners whose passwords are wrong: one cannot log in to MySQL, one not to Kafka.
async fn end_badly(said: &Said, topic: &str, url: &str, kafka_password: &str) {
    let shared = shared_flags(topic, url, WRONG_PASSWORD, kafka_password);
    let listener = Listener::bind(settings(said, &shared, &[])).await.unwrap();
    said.add(&format!("{:?}", listener.serve(Shutdown::manual()).await.unwrap_err()));

    let shared = shared_flags(topic, url, DATABASE_PASSWORD, WRONG_PASSWORD);
    let listener = Listener::bind(settings(said, &shared, &[])).await.unwrap();
    let (admin, shutdown) = (listener.admin_addr().unwrap(), Shutdown::manual());
    let listening = tokio::spawn(listener.serve(shutdown.clone()));
    eventually("it says why", LONG, async || {
        let readiness = reqwest::get(format!("http://{admin}/readyz")).await.ok()?.text().await.ok()?;
        said.add(&readiness);
        readiness.contains("no broker can be reached").then_some(())
    })
    .await;
    shutdown.drain();
    listening.await.unwrap().unwrap();
}
