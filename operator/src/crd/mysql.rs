//! Where MySQL is.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CaSecret, Credentials};

/// The MySQL that keeps the transactions.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Mysql {
    /// Name or address of the server, without a port. It may change, when the database moves: what was read from Kafka
    /// is written down in the database itself, so that a copy goes on where it is. Never point it at an empty one.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?$') || isIP(self)")
        .message("must be the name or address of a server, without port: the port goes into mysql.port"))]
    pub host: String,
    /// Port of the server. Default: 3306
    #[serde(default = "port")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: i32,
    /// Name of the database. It must be there, and cannot change: another one begins without transactions, so every
    /// balance would begin at 0. One pipeline has it, by its table owner; a second one is not Ready, with the reason
    /// AlreadyClaimed. Where migrate is Manual, it is nobody's until you claim it, by migrations up with
    /// FLUXO_DATABASE_OWNER=namespace/name.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-zA-Z0-9_$-]+$') && !(self.lowerAscii() in ['mysql', 'sys', 'information_schema', 'performance_schema'])")
            .message("must be the name of a database of your own: letters, digits, _, $ and -"),
        validation = Rule::new("self == oldSelf")
            .message("the database cannot change, since in another one every balance begins at 0: set the name back, or make another pipeline"),
    )]
    pub database: String,
    /// The user of everything that has no user of its own below.
    pub credentials: Credentials,
    /// The user of the api, who needs to read the tables only. Default: that of credentials
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_credentials: Option<Credentials>,
    /// The user of the listeners, who needs to read and insert. Default: that of credentials
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener_credentials: Option<Credentials>,
    /// The user who changes the schema, and who writes down to which pipeline the database belongs.
    /// Default: that of credentials
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration_credentials: Option<Credentials>,
    /// How connections are secured.
    #[serde(default)]
    pub tls: MysqlTls,
    /// Who brings the schema to what the images need. Auto: a Job, before a rollout; if it fails, the pods from before
    /// go on serving. Manual: you, with the program migrations, and before you change the image: nothing waits for it.
    /// Default: Auto
    #[serde(default)]
    pub migrate: Migrate,
    /// The most connections that all pods of the pipeline have together: the replicas of the api share what the
    /// listeners leave, and scaling stops where it would be exceeded. Keep it below max_connections of the server.
    /// Default: 60
    #[serde(default = "max_connections")]
    #[schemars(range(min = 8, max = 100_000))]
    pub max_connections: i32,
}

/// How connections to MySQL are secured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.mode != 'VerifyCa' || has(self.caSecret)")
        .message("VerifyCa needs the authority to verify by: set caSecret, or use Required"),
    validation = Rule::new("!has(self.caSecret) || self.mode in ['VerifyCa', 'VerifyIdentity']")
        .message("caSecret is read by VerifyCa and VerifyIdentity only: set mode to one of them, or remove caSecret"),
)]
pub struct MysqlTls {
    /// Disabled: never TLS. Preferred: TLS if the server has it, verified by nobody. Required: TLS, verified by nobody.
    /// VerifyCa: TLS, with a certificate of the authority in caSecret. VerifyIdentity: that, and for the name in host;
    /// without caSecret, of an authority that the image knows. Default: Preferred
    #[serde(default)]
    pub mode: TlsMode,
    /// The authority that signed the server's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret: Option<CaSecret>,
}

/// How connections to MySQL are secured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum TlsMode {
    /// Never TLS.
    Disabled,
    /// TLS if the server has it, verified by nobody.
    #[default]
    Preferred,
    /// TLS, verified by nobody.
    Required,
    /// TLS, with a certificate of the authority.
    VerifyCa,
    /// TLS, with a certificate of the authority for the name of the host.
    VerifyIdentity,
}

/// Who brings the schema to what the images need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Migrate {
    /// A Job, before a rollout.
    #[default]
    Auto,
    /// A person.
    Manual,
}

const fn port() -> i32 {
    3306
}

const fn max_connections() -> i32 {
    60
}
