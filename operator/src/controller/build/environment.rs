//! The settings of the services, as variables and files. Their names are those of `fluxo_core::settings`, and of the
//! `settings.rs` of each service.

use k8s_openapi::api::core::v1::{
    EnvVar, EnvVarSource, KeyToPath, ProjectedVolumeSource, SecretKeySelector, SecretProjection, Volume,
    VolumeMount, VolumeProjection,
};

use super::{ADMIN_PORT, HTTP_PORT};
use crate::{
    controller::model::{DatabaseUser, KafkaAccess, SecretFile, Username, ValidatedPipeline},
    crd::TlsMode,
    identity::Identity,
    kafka::SaslMechanism,
};

/// Where the volumes are mounted.
const ROOT: &str = "/etc/fluxo";
/// Who may read the files: the user and the group of the pods.
const MODE: i32 = 0o440;
/// The user's name, for the URL of the database. Not `FLUXO_DATABASE_…`: the services refuse settings that they do not
/// know.
const MYSQL_USERNAME: &str = "FLUXO_MYSQL_USERNAME";

/// What a container is given: variables, and files in volumes.
#[derive(Default)]
pub(super) struct Environment<'a> {
    pub(super) variables: Vec<EnvVar>,
    pub(super) volumes: Vec<Volume>,
    pub(super) mounts: Vec<VolumeMount>,
    /// The values that the process reads only when it starts.
    pub(super) read_once: Vec<&'a SecretFile>,
}

impl<'a> Environment<'a> {
    /// Sets a variable to a value.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        // Kubernetes would take $$ for $, and $(…) for another variable.
        self.variable(name, value.replace('$', "$$"));
    }

    fn variable(&mut self, name: &str, value: String) {
        self.variables.push(EnvVar { name: name.into(), value: Some(value), value_from: None });
    }

    /// Sets a variable to a value of a Secret.
    fn set_from(&mut self, name: &str, file: &'a SecretFile) {
        let (name_of, key) = (file.secret.clone(), file.key.clone());
        let selector = SecretKeySelector { name: name_of, key, optional: None };
        let source = EnvVarSource { secret_key_ref: Some(selector), ..EnvVarSource::default() };
        self.variables.push(EnvVar { name: name.into(), value: None, value_from: Some(source) });
        self.read_once.push(file);
    }

    /// Mounts values of Secrets as files of a folder, and sets a variable to the path of each.
    fn mount(&mut self, folder: &str, files: &[(&str, &str, &'a SecretFile)]) {
        for (variable, path, _) in files {
            self.set(variable, &format!("{ROOT}/{folder}/{path}"));
        }
        self.read_once.extend(files.iter().map(|(_, _, file)| *file));
        let items = files.iter().map(|(_, path, file)| (*path, file.secret.as_str(), file.key.as_str()));
        self.volume(folder, items);
    }

    /// A folder with values of Secrets. A whole volume, so that files follow their Secret: one that is mounted by
    /// itself would not.
    fn volume<'f>(&mut self, folder: &str, files: impl Iterator<Item = (&'f str, &'f str, &'f str)>) {
        let mut sources: Vec<SecretProjection> = Vec::new();
        for (path, secret, key) in files {
            let item = KeyToPath { key: key.into(), path: path.into(), mode: None };
            match sources.iter_mut().find(|source| source.name == secret) {
                Some(source) => source.items.get_or_insert_default().push(item),
                None => sources.push(SecretProjection {
                    name: secret.into(),
                    items: Some(vec![item]),
                    optional: None,
                }),
            }
        }
        if sources.is_empty() {
            return;
        }
        let sources = sources
            .into_iter()
            .map(|secret| VolumeProjection { secret: Some(secret), ..VolumeProjection::default() });
        let projected = ProjectedVolumeSource { default_mode: Some(MODE), sources: Some(sources.collect()) };
        self.volumes.push(Volume { name: folder.into(), projected: Some(projected), ..Volume::default() });
        self.mounts.push(VolumeMount {
            name: folder.into(),
            mount_path: format!("{ROOT}/{folder}"),
            read_only: Some(true),
            ..VolumeMount::default()
        });
    }

    /// What every service runs in. `grace` is in seconds.
    pub(super) fn run(&mut self, grace: i64) {
        self.set("FLUXO_ADMIN_LISTEN", &format!("0.0.0.0:{ADMIN_PORT}"));
        self.set("FLUXO_SHUTDOWN_GRACE", &format!("{grace}s"));
    }

    /// How Kafka is reached, and which topic.
    pub(super) fn kafka(&mut self, pipeline: &'a ValidatedPipeline) {
        let KafkaAccess { bootstrap_servers, tls, sasl, .. } = &pipeline.kafka;
        self.set("FLUXO_KAFKA_BOOTSTRAP_SERVERS", bootstrap_servers);
        self.set("FLUXO_KAFKA_TOPIC", &pipeline.topics.transactions.name);
        self.set(
            "FLUXO_KAFKA_SECURITY_PROTOCOL",
            match (tls, sasl) {
                (None, None) => "plaintext",
                (Some(_), None) => "ssl",
                (None, Some(_)) => "sasl-plaintext",
                (Some(_), Some(_)) => "sasl-ssl",
            },
        );
        let mut files = Vec::new();
        if let Some(tls) = tls {
            files.extend(tls.ca.iter().map(|ca| ("FLUXO_KAFKA_CA_FILE", "ca.crt", ca)));
            if let Some((certificate, key)) = &tls.client {
                files.push(("FLUXO_KAFKA_CERTIFICATE_FILE", "tls.crt", certificate));
                files.push(("FLUXO_KAFKA_KEY_FILE", "tls.key", key));
            }
        }
        if let Some(sasl) = sasl {
            self.set(
                "FLUXO_KAFKA_SASL_MECHANISM",
                match sasl.mechanism {
                    SaslMechanism::Plain => "plain",
                    SaslMechanism::ScramSha256 => "scram-sha-256",
                    SaslMechanism::ScramSha512 => "scram-sha-512",
                },
            );
            match &sasl.username {
                Username::Plain(name) => self.set("FLUXO_KAFKA_USERNAME", name),
                Username::Secret(file) => self.set_from("FLUXO_KAFKA_USERNAME", file),
            }
            files.push(("FLUXO_KAFKA_PASSWORD_FILE", "password", &sasl.password));
        }
        self.mount("kafka", &files);
    }

    /// How MySQL is reached, as whom, and by how many connections, and whose the database must be.
    pub(super) fn database(
        &mut self,
        pipeline: &'a ValidatedPipeline,
        user: &'a DatabaseUser,
        connections: u32,
    ) {
        let ValidatedPipeline { identity: Identity { namespace, name, .. }, database, .. } = pipeline;
        self.set_from(MYSQL_USERNAME, &user.username);
        let host = match &database.host {
            host if host.contains(':') => format!("[{host}]"),
            host => host.clone(),
        };
        let place = format!("{host}:{}/{}", database.port, database.name).replace('$', "$$");
        self.variable("FLUXO_DATABASE_URL", format!("mysql://$({MYSQL_USERNAME})@{place}"));
        self.set(
            "FLUXO_DATABASE_TLS",
            match database.tls {
                TlsMode::Disabled => "disabled",
                TlsMode::Preferred => "preferred",
                TlsMode::Required => "required",
                TlsMode::VerifyCa => "verify-ca",
                TlsMode::VerifyIdentity => "verify-identity",
            },
        );
        self.set("FLUXO_DATABASE_MAX_CONNECTIONS", &connections.to_string());
        self.set("FLUXO_DATABASE_OWNER", &format!("{namespace}/{name}"));
        let mut files = vec![("FLUXO_DATABASE_PASSWORD_FILE", "password", &user.password)];
        files.extend(database.ca.iter().map(|ca| ("FLUXO_DATABASE_CA_FILE", "ca.crt", ca)));
        self.mount("database", &files);
    }

    /// What only the api has. It reads the keys again when they change, so they are not among what is read once.
    pub(super) fn api(&mut self, pipeline: &ValidatedPipeline) {
        self.set("FLUXO_API_LISTEN", &format!("0.0.0.0:{HTTP_PORT}"));
        let Some((secret, key)) = &pipeline.api.keys else {
            self.set("FLUXO_API_AUTH", "none");
            return;
        };
        self.set("FLUXO_API_AUTH", "keys");
        self.set("FLUXO_API_KEYS_FILE", &format!("{ROOT}/api/keys.json"));
        self.volume("api", [("keys.json", secret.as_str(), key.as_str())].into_iter());
    }

    /// The variables that the pipeline adds. What is set here already stays as it is.
    pub(super) fn extra(&mut self, extra: &[EnvVar]) {
        for variable in extra {
            if !self.variables.iter().any(|own| own.name == variable.name) {
                self.variables.push(variable.clone());
            }
        }
    }
}
