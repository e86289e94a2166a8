//! The SQLite file.

use std::{
    ffi::OsString,
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use fluxo_core::settings::DatabaseSettings;
use fluxo_store::Store;

/// How long another process that changes the schema is waited for.
const WAIT: Duration = Duration::from_secs(10);

/// The file, for this process alone.
pub(crate) struct Data {
    store: Store,
    _lock: File,
}

impl Data {
    /// How to reach a file. It need not be there.
    pub(crate) fn settings(path: &Path) -> anyhow::Result<DatabaseSettings> {
        Ok(DatabaseSettings::of_url(url(&std::path::absolute(path)?)?))
    }

    /// Opens the file, or makes it, and brings its schema to that of this build.
    pub(crate) async fn open(path: &Path) -> anyhow::Result<Self> {
        let lock = lock(path)?;
        let store = Store::open(&Self::settings(path)?).await?;
        let migrated = fluxo_migrations::up(store.connection(), WAIT).await;
        migrated.with_context(|| format!("{} cannot be used", path.display()))?;
        Ok(Self { store, _lock: lock })
    }

    /// What is in it.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }
}

/// A second demo on the same file would take the offsets away from the first, which would record nothing any more.
fn lock(path: &Path) -> anyhow::Result<File> {
    let mut name = OsString::from(path);
    name.push("-lock");
    let name = PathBuf::from(name);
    let file = File::create(&name).with_context(|| format!("{} cannot be made", name.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another demo uses {}; --data names another file", path.display())
        }
        Err(TryLockError::Error(error)) => Err(error).context("the file cannot be locked"),
    }
}

/// A URL has some characters of its own.
fn url(path: &Path) -> anyhow::Result<String> {
    let path = path.to_str().context("the path of the file is not UTF-8")?;
    Ok(format!("sqlite://{}", path.replace('%', "%25").replace('?', "%3F").replace('#', "%23")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_serves_one_demo_at_a_time_whatever_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a b%20c?d#e.db");
        let first = Data::open(&path).await.unwrap();
        assert!(path.exists());
        let second = Data::open(&path).await.map(drop).unwrap_err().to_string();
        assert!(second.contains("another demo"), "{second}");
        first.store().close().await;
        drop(first);
        assert!(Data::open(&path).await.is_ok());
    }
}
