//! How to reach Kafka, and which topic.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use secrecy::{ExposeSecret, SecretString};

/// How to reach Kafka, and which topic.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Kafka")]
pub struct KafkaSettings {
    /// The brokers to ask first, as host:port, separated by commas
    #[arg(long, env = "FLUXO_KAFKA_BOOTSTRAP_SERVERS")]
    pub kafka_bootstrap_servers: String,
    /// The topic of transactions
    #[arg(long, env = "FLUXO_KAFKA_TOPIC", default_value = "transactions")]
    pub kafka_topic: String,
    /// How connections are secured
    #[arg(long, env = "FLUXO_KAFKA_SECURITY_PROTOCOL", default_value = "plaintext")]
    pub kafka_security_protocol: SecurityProtocol,
    /// PEM file of the authority that signed the brokers' certificates. Default: those of the system
    #[arg(long, env = "FLUXO_KAFKA_CA_FILE")]
    pub kafka_ca_file: Option<PathBuf>,
    /// PEM file of the client's certificate, for TLS authentication
    #[arg(long, env = "FLUXO_KAFKA_CERTIFICATE_FILE", requires = "kafka_key_file")]
    pub kafka_certificate_file: Option<PathBuf>,
    /// PEM file of the key of the client's certificate
    #[arg(long, env = "FLUXO_KAFKA_KEY_FILE", requires = "kafka_certificate_file")]
    pub kafka_key_file: Option<PathBuf>,
    /// How a user logs in
    #[arg(long, env = "FLUXO_KAFKA_SASL_MECHANISM", default_value = "scram-sha-512")]
    pub kafka_sasl_mechanism: SaslMechanism,
    /// The user who logs in, with a security protocol of SASL
    #[arg(long, env = "FLUXO_KAFKA_USERNAME")]
    pub kafka_username: Option<String>,
    /// The user's password
    #[arg(
        long,
        env = "FLUXO_KAFKA_PASSWORD",
        hide_env_values = true,
        conflicts_with = "kafka_password_file"
    )]
    pub kafka_password: Option<SecretString>,
    /// File that holds the user's password
    #[arg(long, env = "FLUXO_KAFKA_PASSWORD_FILE")]
    pub kafka_password_file: Option<PathBuf>,
}

/// How connections are secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the names are Kafka's own")]
pub enum SecurityProtocol {
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

/// How a user logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the names are Kafka's own")]
pub enum SaslMechanism {
    Plain,
    #[value(name = "scram-sha-256")]
    ScramSha256,
    #[value(name = "scram-sha-512")]
    ScramSha512,
}

impl KafkaSettings {
    /// Settings for brokers that need neither TLS nor a user.
    pub fn plaintext(bootstrap_servers: impl Into<String>, topic: impl Into<String>) -> Self {
        Self {
            kafka_bootstrap_servers: bootstrap_servers.into(),
            kafka_topic: topic.into(),
            kafka_security_protocol: SecurityProtocol::Plaintext,
            kafka_ca_file: None,
            kafka_certificate_file: None,
            kafka_key_file: None,
            kafka_sasl_mechanism: SaslMechanism::ScramSha512,
            kafka_username: None,
            kafka_password: None,
            kafka_password_file: None,
        }
    }

    /// The properties of librdkafka that reach these brokers. They hold the password: never log them.
    ///
    /// # Errors
    /// When a user is needed and none is set, or a file cannot be read.
    pub fn connection(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let mut properties = vec![
            ("bootstrap.servers", self.kafka_bootstrap_servers.clone()),
            ("security.protocol", self.kafka_security_protocol.as_str().into()),
            // A broker that is away is tried again soon, and never less often than each second.
            ("reconnect.backoff.ms", "50".into()),
            ("reconnect.backoff.max.ms", "1000".into()),
            ("socket.keepalive.enable", "true".into()),
            // A connection that leads nowhere is given up then, not after a minute.
            ("socket.timeout.ms", "10000".into()),
            ("socket.connection.setup.timeout.ms", "5000".into()),
        ];
        let files = [
            ("ssl.ca.location", &self.kafka_ca_file),
            ("ssl.certificate.location", &self.kafka_certificate_file),
            ("ssl.key.location", &self.kafka_key_file),
        ];
        for (property, file) in files {
            if let Some(file) = file {
                ensure!(file.exists(), "{} does not exist ({property})", file.display());
                properties.push((property, file.display().to_string()));
            }
        }
        if self.kafka_security_protocol.has_user() {
            let username = self.kafka_username.clone().context("FLUXO_KAFKA_USERNAME is needed for SASL")?;
            let password = super::secret(self.kafka_password.as_ref(), self.kafka_password_file.as_ref())
                .context("FLUXO_KAFKA_PASSWORD_FILE cannot be read")?
                .context("FLUXO_KAFKA_PASSWORD or FLUXO_KAFKA_PASSWORD_FILE is needed for SASL")?;
            properties.push(("sasl.mechanism", self.kafka_sasl_mechanism.as_str().into()));
            properties.push(("sasl.username", username));
            properties.push(("sasl.password", password.expose_secret().into()));
        }
        Ok(properties)
    }
}

impl SecurityProtocol {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    const fn has_user(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
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
