//! TLS and users: to Kafka by SASL/SCRAM, to MySQL by a password, each server verified by its authority.

use std::{io::Write as _, path::Path};

use fluxo_testkit::{
    Login, On,
    Right::{Describe, Read, Write},
    TestTopic, secure_kafka, secure_topic, secure_user,
};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use tempfile::NamedTempFile;

use crate::{
    dead_letters::until_forwarded,
    pipeline::{PATIENCE, Pipeline, Running, Serving},
};

const PASSWORD: &str = "senha-do-banco-4711";
const TRANSACTION: &str = r#"{"account":"ana","kind":"entrada","amount":"10.50","currency":"BRL"}"#;

/// A pipeline whose Kafka and MySQL want TLS and a login.
struct Secure {
    pipeline: Pipeline,
    topic: TestTopic,
    kafka: Login,
    /// As its user names it, without the password.
    database: String,
    kafka_password: NamedTempFile,
    database_password: NamedTempFile,
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

impl Secure {
    async fn new() -> Self {
        let pipeline = Pipeline::new(1).await;
        let kafka = secure_kafka();
        Self {
            topic: secure_topic(2).await,
            database: pipeline.database.secured(PASSWORD).await,
            kafka_password: file(&kafka.password),
            database_password: file(PASSWORD),
            pipeline,
            kafka,
        }
    }

    /// The flags of both services, with others in place of some.
    async fn flags(&self, others: &[(&str, &Path)]) -> Vec<String> {
        let authority = self.pipeline.database.authority().await;
        let own: [(&str, &Path); 11] = [
            ("kafka-bootstrap-servers", self.kafka.bootstrap_servers.as_ref()),
            ("kafka-topic", self.topic.name.as_ref()),
            ("kafka-security-protocol", "sasl-ssl".as_ref()),
            ("kafka-ca-file", &self.kafka.authority),
            ("kafka-sasl-mechanism", "scram-sha-512".as_ref()),
            ("kafka-username", self.kafka.username.as_ref()),
            ("kafka-password-file", self.kafka_password.path()),
            ("database-url", self.database.as_ref()),
            ("database-password-file", self.database_password.path()),
            ("database-tls", "verify-ca".as_ref()),
            ("database-ca-file", &authority),
        ];
        let value = |name: &str, value: &Path| {
            let other = others.iter().find(|(other, _)| *other == name).map(|(_, value)| *value);
            format!("--{name}={}", other.unwrap_or(value).display())
        };
        let is_own = |name: &str| own.iter().any(|(own, _)| *own == name);
        let further = others.iter().filter(|(name, _)| !is_own(name));
        own.iter().chain(further).map(|(name, own)| value(name, own)).collect()
    }

    async fn listen(&self, others: &[(&str, &Path)]) -> Running {
        let flags = self.flags(others).await;
        self.pipeline.listen(&flags.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    async fn serve_api(&self, others: &[(&str, &Path)]) -> Serving {
        let flags = self.flags(others).await;
        self.pipeline.serve_api(&flags.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    /// Puts a record on the topic that is none of a transaction.
    fn send_poison(&self) {
        let producer: BaseProducer = self.kafka.client().create().unwrap();
        producer.send(BaseRecord::to(&self.topic.name).key("ana").payload("poison")).unwrap();
        producer.flush(PATIENCE).unwrap();
    }
}

/// Posts a transaction, and sees its row and what the stream tells of it.
async fn takes_a_transaction(secure: &Secure, api: &Serving) {
    let request = reqwest::Client::new().post(format!("{}/v1/transactions", api.url));
    let request = request.header("content-type", "application/json").header("prefer", "wait=30");
    assert_eq!(request.body(TRANSACTION).send().await.unwrap().status(), 201);
    assert_eq!(secure.pipeline.balance_after("ana", 1).await, "10.50");
    // The stream has connections of its own.
    let stream = format!("{}/v1/transactions/stream?from=start", api.url);
    let mut stream = reqwest::get(stream).await.unwrap();
    let mut told = String::new();
    while !told.contains("data: ") {
        told.push_str(std::str::from_utf8(&stream.chunk().await.unwrap().unwrap()).unwrap());
    }
}

#[tokio::test]
async fn a_transaction_becomes_a_row_over_tls_and_logins() {
    let secure = Secure::new().await;
    let (listener, api) = (secure.listen(&[]).await, secure.serve_api(&[]).await);
    takes_a_transaction(&secure, &api).await;
    api.stop().await;
    listener.stop().await;
}

#[tokio::test]
async fn the_rights_that_the_readme_names_are_enough() {
    let (secure, dead_letters) = (Secure::new().await, secure_topic(2).await);
    let (of_api, of_listener) = (secure_user().await, secure_user().await);
    let topic = On::Topic(&secure.topic.name);
    of_api.grant(topic, &[Write, Describe, Read]).await;
    of_listener.grant(topic, &[Read, Describe]).await;
    of_listener.grant(On::Topic(&dead_letters.name), &[Write, Describe]).await;
    let password = file(&of_listener.login.password);
    let flags: [(&str, &Path); 3] = [
        ("kafka-username", of_listener.login.username.as_ref()),
        ("kafka-password-file", password.path()),
        ("listener-dead-letter-topic", dead_letters.name.as_ref()),
    ];
    let listener = secure.listen(&flags).await;
    // What is missing is told as what it is, until it is granted.
    listener.until_readiness_has("kafka: this user may not read topic").await;
    of_listener.grant(On::Group(&secure.pipeline.topic.name), &[Read]).await;
    listener.until_ready().await;

    let password = file(&of_api.login.password);
    let flags =
        [("kafka-username", of_api.login.username.as_ref()), ("kafka-password-file", password.path())];
    let api = secure.serve_api(&flags).await;
    takes_a_transaction(&secure, &api).await;
    secure.send_poison();
    until_forwarded(&secure.pipeline, 1).await;
    api.stop().await;
    listener.stop().await;
}

#[tokio::test]
async fn a_server_that_another_authority_vouches_for_is_not_talked_to() {
    let secure = Secure::new().await;
    // The authority of each is none of the other's.
    let database = secure.pipeline.database.authority().await;
    let listener = secure.listen(&[("kafka-ca-file", &database)]).await;
    listener.until_readiness_has("kafka: no broker can be reached").await;
    listener.stop().await;
    for others in [
        vec![("database-ca-file", secure.kafka.authority.as_path())],
        // MySQL's own certificate is for no name.
        vec![("database-tls", "verify-identity".as_ref())],
    ] {
        let listener = secure.listen(&others).await;
        listener.until_readiness_has("database: the database cannot be reached").await;
        listener.stop().await;
    }
}

#[tokio::test]
async fn a_wrong_password_and_a_connection_without_tls_are_told_as_what_they_are() {
    let secure = Secure::new().await;
    let wrong = file("senha-errada-0815");
    let listener = secure.listen(&[("kafka-password-file", wrong.path())]).await;
    listener.until_readiness_has("kafka: no broker can be reached").await;
    assert!(!listener.readiness().await.contains("senha-errada"));
    listener.stop().await;
    for others in [("database-password-file", wrong.path()), ("database-tls", "disabled".as_ref())] {
        let error = format!("{:#}", secure.listen(&[others]).await.ended().await.unwrap_err());
        assert!(!error.contains("senha"), "{error}");
    }
}
