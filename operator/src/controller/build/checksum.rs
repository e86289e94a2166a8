//! What makes pods be replaced when a value changes that they read only when they start.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::controller::model::SecretFile;

/// The annotation of pods that has the checksum.
pub(super) const CHECKSUM: &str = "fluxo.dev/checksum";

/// The checksum of the values of Secrets. It follows their content only: a Secret that is labelled, or made again as it
/// was, replaces nothing.
pub(super) fn checksum<'a>(files: impl IntoIterator<Item = &'a SecretFile>) -> String {
    let mut digest = Sha256::new();
    for file in files {
        // Lengths, so that no byte can move from one value to the next.
        let value = file.replaces_pods.as_ref().unwrap_or(&file.value);
        for part in [&file.key, value.reveal()] {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
    }
    hex(&digest.finalize())
}

/// A short name for content: the same content has the same, other content another.
pub(super) fn digest(content: &[u8]) -> String {
    let mut text = hex(&Sha256::digest(content));
    text.truncate(10);
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}
