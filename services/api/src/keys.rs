//! Who may call: clients and the hashes of their keys, from a file that is read again when it changes.
//!
//! ```json
//! {"clients": [{"name": "erp", "keys": [{"sha256": "<64 hexadecimal digits>", "scopes": ["write", "read"]}]}]}
//! ```
//! A client may have several keys, so that one can replace another without a gap; its name, not its key, is what
//! idempotency belongs to. Keys themselves are nowhere kept.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use anyhow::{Context, ensure};
use fluxo_core::{Client, kit::health::Condition};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::metrics::Metrics;

/// How often the file is looked at.
const RELOAD: Duration = Duration::from_secs(2);
/// The largest key file, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// The keys that are valid now.
#[derive(Debug)]
pub(crate) enum Keys {
    /// Everybody is this client.
    Open(Client),
    /// Those of a file.
    OfFile { path: PathBuf, current: RwLock<Arc<KeySet>> },
}

/// The keys of one version of the file.
#[derive(Debug, Default)]
pub(crate) struct KeySet(Vec<Key>);

/// What is kept of a key.
pub(crate) type KeyHash = [u8; 32];

#[derive(Debug)]
struct Key {
    hash: KeyHash,
    client: Client,
    scopes: Vec<Scope>,
}

/// What a key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// To send transactions.
    Write,
    /// To read them.
    Read,
}

/// Why a call is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// No key, or one that nobody has.
    Unknown,
    /// The key lacks this scope.
    Lacks(Scope),
}

/// SHA-256 of a key.
pub(crate) fn hash(key: &str) -> KeyHash {
    Sha256::digest(key).into()
}

/// Whether a text can be a key: 16 to 256 visible ASCII characters.
pub(crate) fn is_key(text: &str) -> bool {
    (16..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl Scope {
    /// Its name in the file.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
        }
    }
}

impl Keys {
    /// No keys: whoever calls is the client `anonymous`.
    pub(crate) fn open() -> Self {
        Self::Open(Client::parse("anonymous").expect("it is a name"))
    }

    /// The keys of a file, which is not read yet.
    pub(crate) fn of_file(path: PathBuf) -> Self {
        Self::OfFile { path, current: RwLock::default() }
    }

    /// The client that the key with a hash belongs to, if the key allows `scope`.
    pub(crate) fn client(&self, hash: Option<KeyHash>, scope: Scope) -> Result<Client, Denied> {
        match self {
            Self::Open(client) => Ok(client.clone()),
            Self::OfFile { current, .. } => {
                let current = current.read().unwrap_or_else(PoisonError::into_inner).clone();
                current.client(hash.ok_or(Denied::Unknown)?, scope)
            }
        }
    }

    /// Reads the file now and when it has changed. A file that cannot be used leaves the keys before it valid. Never
    /// ends.
    pub(crate) async fn supervise(&self, condition: &Condition, metrics: &Metrics) {
        let mut last = None;
        loop {
            match self.load(&mut last).await {
                Some(Ok(())) => condition.holds(),
                Some(Err(reason)) => {
                    metrics.keys_failures.inc();
                    tracing::error!(reason, "the key file cannot be used");
                    if !condition.is_held() {
                        condition.fails(reason);
                    }
                }
                None => {}
            }
            tokio::time::sleep(RELOAD).await;
        }
    }

    /// Reads the file, unless it is as it was the `last` time.
    async fn load(&self, last: &mut Option<Result<String, String>>) -> Option<Result<(), String>> {
        let Self::OfFile { path, current } = self else { return last.is_none().then_some(Ok(())) };
        let read = read(path).await;
        if last.as_ref() == Some(&read) {
            return None;
        }
        let read = last.insert(read);
        let keys = read
            .as_deref()
            .map_err(Clone::clone)
            .and_then(|text| KeySet::parse(text).map_err(|error| format!("{error:#}")));
        let loaded = keys.map(|keys| {
            tracing::info!(keys = keys.0.len(), "the key file was read");
            *current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        });
        Some(loaded.map_err(|reason| format!("{}: {reason}", path.display())))
    }
}

async fn read(path: &Path) -> Result<String, String> {
    let length = tokio::fs::metadata(path).await.map_err(|error| error.to_string())?.len();
    if length > FILE_MAX {
        return Err(format!("it has more than {FILE_MAX} bytes"));
    }
    tokio::fs::read_to_string(path).await.map_err(|error| error.to_string())
}

impl KeySet {
    fn client(&self, hash: KeyHash, scope: Scope) -> Result<Client, Denied> {
        // All keys are compared, each in constant time: how long it takes says nothing about any of them.
        let mut found = None;
        for key in &self.0 {
            if bool::from(key.hash.ct_eq(&hash)) {
                found = Some(key);
            }
        }
        let key = found.ok_or(Denied::Unknown)?;
        if key.scopes.contains(&scope) { Ok(key.client.clone()) } else { Err(Denied::Lacks(scope)) }
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let file: File = serde_json::from_str(text)?;
        let (mut names, mut hashes, mut keys) = (HashSet::new(), HashSet::new(), Vec::new());
        for client in file.clients {
            let name = Client::parse(&client.name)
                .context("a client's name must be 1 to 64 of the characters A-Z a-z 0-9 . _ : -")?;
            ensure!(names.insert(name.clone()), "the client {name} is there twice");
            for key in client.keys {
                let mut hash = [0; 32];
                hex::decode_to_slice(&key.sha256, &mut hash).with_context(|| {
                    format!("a key of {name} has a sha256 that is not 64 hexadecimal digits")
                })?;
                ensure!(hashes.insert(hash), "a key of {name} is there twice");
                ensure!(!key.scopes.is_empty(), "a key of {name} has no scope");
                keys.push(Key { hash, client: name.clone(), scopes: key.scopes });
            }
        }
        Ok(Self(keys))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    clients: Vec<FileClient>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileClient {
    name: String,
    keys: Vec<FileKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileKey {
    sha256: String,
    scopes: Vec<Scope>,
}

#[cfg(test)]
mod tests;
