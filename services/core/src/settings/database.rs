//! How to reach the database.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use secrecy::SecretString;

/// How to reach the database.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Database")]
pub struct DatabaseSettings {
    /// The database, as mysql://user@host:3306/name, or sqlite:///path for the demo
    #[arg(long, env = "FLUXO_DATABASE_URL", hide_env_values = true)]
    pub database_url: SecretString,
    /// The user's password, in place of one in the URL
    #[arg(
        long,
        env = "FLUXO_DATABASE_PASSWORD",
        hide_env_values = true,
        conflicts_with = "database_password_file"
    )]
    pub database_password: Option<SecretString>,
    /// File that holds the user's password
    #[arg(long, env = "FLUXO_DATABASE_PASSWORD_FILE")]
    pub database_password_file: Option<PathBuf>,
    /// How connections are secured. With MySQL's default login (caching_sha2_password), disabled and preferred work
    /// only where the server has TLS, or the password is empty
    #[arg(long, env = "FLUXO_DATABASE_TLS", default_value = "preferred")]
    pub database_tls: DatabaseTls,
    /// PEM file of the authority that signed the server's certificate. verify-ca needs it; without it, verify-identity
    /// takes a certificate of any public authority
    #[arg(long, env = "FLUXO_DATABASE_CA_FILE")]
    pub database_ca_file: Option<PathBuf>,
    /// The most connections for reads. Each writer of a listener has one more
    #[arg(long, env = "FLUXO_DATABASE_MAX_CONNECTIONS", default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub database_max_connections: u32,
    /// Whose the database must be, as namespace/name of a pipeline: one that is another's is not touched. One that is
    /// nobody's serves everybody, until migrations up with this setting notes the owner
    #[arg(long, env = "FLUXO_DATABASE_OWNER", value_parser = owner)]
    pub database_owner: Option<String>,
}

/// What an owner can be: what Kubernetes lets a namespace and a name be.
fn owner(text: &str) -> Result<String, String> {
    let is_name = |text: &str, most| {
        let fits = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || "-.".contains(char);
        (1..=most).contains(&text.len()) && text.chars().all(fits)
    };
    match text.split_once('/') {
        Some((namespace, name)) if is_name(namespace, 63) && is_name(name, 253) => Ok(text.into()),
        _ => Err("must be the namespace and the name of a pipeline, such as fluxo/payments".into()),
    }
}

/// How connections to the database are secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DatabaseTls {
    /// Never TLS.
    Disabled,
    /// TLS if the server has it, verified by nobody.
    Preferred,
    /// TLS, verified by nobody.
    Required,
    /// TLS, with a certificate of the authority.
    VerifyCa,
    /// TLS, with a certificate of the authority for the name of the host.
    VerifyIdentity,
}

impl DatabaseSettings {
    /// Settings for a database that its URL describes completely.
    pub fn of_url(url: impl Into<SecretString>) -> Self {
        Self {
            database_url: url.into(),
            database_password: None,
            database_password_file: None,
            database_tls: DatabaseTls::Preferred,
            database_ca_file: None,
            database_max_connections: 8,
            database_owner: None,
        }
    }

    /// The password that is set beside the URL, if one is.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn password(&self) -> std::io::Result<Option<SecretString>> {
        super::secret(self.database_password.as_ref(), self.database_password_file.as_ref())
    }
}
