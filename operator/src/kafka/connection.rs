//! How a cluster is reached: the one place from which every client of it is made.

use std::fmt;

use rdkafka::ClientConfig;

/// How a cluster is reached, and as whom. Equal ones can share a [`Kafka`](super::Kafka).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Connection {
    /// The brokers to ask first, as `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// `None` for connections in plain text.
    pub tls: Option<Tls>,
    /// `None` when nobody logs in.
    pub sasl: Option<Sasl>,
}

/// How connections are encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tls {
    /// The authorities that sign the brokers' certificates, in PEM; `None` for those of the system.
    pub ca: Option<String>,
    /// The certificate that this client shows, if it logs in with one.
    pub client: Option<KeyPair>,
}

/// A certificate and its key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeyPair {
    /// The certificate and those between it and its authority, in PEM.
    pub certificate: String,
    /// Its key, in PEM.
    pub key: String,
}

/// A user who logs in with a password.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sasl {
    /// How.
    pub mechanism: SaslMechanism,
    /// Who.
    pub username: String,
    /// The password.
    pub password: String,
}

/// How a user logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are Kafka's own")]
pub enum SaslMechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

impl Connection {
    /// Brokers that need neither TLS nor a user.
    pub fn plaintext(bootstrap_servers: impl Into<String>) -> Self {
        Self { bootstrap_servers: bootstrap_servers.into(), tls: None, sasl: None }
    }

    /// The properties of a client that only asks. They hold the password: never log them.
    pub(super) fn client(&self, group: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("client.id", "fluxo-operator")
            // It never subscribes, so it never joins. But librdkafka (2.12) follows a null pointer when a client without a
            // group asks for the offsets of one whose coordinator has just moved: with every restart of a broker.
            .set("group.id", group)
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("security.protocol", self.security_protocol())
            // A broker that is away is tried again soon, and never less often than each second.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("socket.keepalive.enable", "true")
            // A connection that leads nowhere is given up then, not after a minute.
            .set("socket.timeout.ms", "10000")
            .set("socket.connection.setup.timeout.ms", "5000")
            .set("allow.auto.create.topics", "false")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // It asks for topics when it asks about them; nothing is kept of others.
            .set("topic.metadata.refresh.interval.ms", "-1")
            .set("statistics.interval.ms", "0")
            .set("enable.metrics.push", "false");
        if let Some(tls) = &self.tls {
            config.set("enable.ssl.certificate.verification", "true");
            config.set("ssl.endpoint.identification.algorithm", "https");
            if let Some(ca) = &tls.ca {
                config.set("ssl.ca.pem", ca);
            }
            if let Some(KeyPair { certificate, key }) = &tls.client {
                config.set("ssl.certificate.pem", certificate).set("ssl.key.pem", key);
            }
        }
        if let Some(Sasl { mechanism, username, password }) = &self.sasl {
            config
                .set("sasl.mechanism", mechanism.as_str())
                .set("sasl.username", username)
                .set("sasl.password", password);
        }
        config
    }

    /// The properties of a client that reads one record of each of some partitions.
    pub(super) fn reader(&self, group: &str) -> ClientConfig {
        let mut config = self.client(group);
        config
            // It is assigned by hand, so it never joins either: the name of the group is what it may read as.
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("check.crcs", "true")
            // One batch of a partition at a time is enough: the broker sends at least one.
            .set("fetch.message.max.bytes", "1024")
            .set("fetch.max.bytes", "1048576")
            .set("receive.message.max.bytes", "100000000")
            .set("queued.min.messages", "1")
            .set("queued.max.messages.kbytes", "1024")
            .set("fetch.wait.max.ms", "100");
        config
    }

    const fn security_protocol(&self) -> &'static str {
        match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        }
    }
}

impl SaslMechanism {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").finish_non_exhaustive()
    }
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mechanism, username, password: _ } = self;
        f.debug_struct("Sasl")
            .field("mechanism", mechanism)
            .field("username", username)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sasl() -> Sasl {
        let (username, password) = ("fluxo".into(), "geheim".into());
        Sasl { mechanism: SaslMechanism::ScramSha512, username, password }
    }

    #[test]
    fn secrets_are_not_shown() {
        let client = KeyPair { certificate: "geheim".into(), key: "geheim".into() };
        let tls = Some(Tls { ca: None, client: Some(client) });
        let connection = Connection { tls, sasl: Some(sasl()), ..Connection::plaintext("kafka:9093") };
        let shown = format!("{connection:?}");
        assert!(shown.contains("kafka:9093") && shown.contains("fluxo"), "{shown}");
        assert!(!shown.contains("geheim"), "{shown}");
    }

    #[test]
    fn no_client_is_without_a_group_since_a_coordinator_that_moves_would_end_the_process() {
        let connection = Connection::plaintext("kafka:9092");
        assert_eq!(connection.client("group").get("group.id"), Some("group"));
        assert_eq!(connection.reader("group").get("group.id"), Some("group"));
    }

    #[test]
    fn the_protocol_follows_from_what_is_given() {
        let protocol = |tls, sasl| {
            let config = Connection { tls, sasl, ..Connection::plaintext("kafka:9092") }.client("group");
            config.get("security.protocol").unwrap().to_owned()
        };
        assert_eq!(protocol(None, None), "plaintext");
        assert_eq!(protocol(Some(Tls::default()), None), "ssl");
        assert_eq!(protocol(None, Some(sasl())), "sasl_plaintext");
        assert_eq!(protocol(Some(Tls::default()), Some(sasl())), "sasl_ssl");
    }

    #[test]
    fn a_certificate_that_is_none_is_refused_before_anything_is_sent() {
        let tls = Some(Tls { ca: Some("no certificate".into()), client: None });
        let connection = Connection { tls, ..Connection::plaintext("127.0.0.1:1") };
        assert!(matches!(
            super::super::Kafka::new(connection, "group"),
            Err(super::super::Error::Settings(_))
        ));
    }
}
