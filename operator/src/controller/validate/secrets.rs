//! Values of Secrets, and what they must be.

use super::{Error, Fault};
use crate::{
    controller::model::{Dereferenced, Hidden, MissingReference, ObjectName, SecretData, SecretFile},
    crd::{CaSecret, Credentials},
};

/// The Secrets of the pipeline's namespace.
pub(super) struct Secrets<'a> {
    namespace: &'a str,
    found: &'a Dereferenced,
}

/// What a value must be.
pub(super) type Check = fn(&str) -> Result<(), Fault>;

impl<'a> Secrets<'a> {
    pub(super) fn new(namespace: &'a str, found: &'a Dereferenced) -> Self {
        Self { namespace, found }
    }

    /// Whether a Secret has a key.
    pub(super) fn has(&self, secret: &str, key: &str) -> Result<&SecretData, Error> {
        let name = self.name(secret);
        let data = match self.found.secrets.get(secret) {
            Some(Ok(data)) => data,
            Some(Err(missing)) => return Err(missing.clone().into()),
            None => return Err(MissingReference::NotFound(name).into()),
        };
        if data.has(key) { Ok(data) } else { Err(no_key(name, key, data)) }
    }

    /// The value of a key, if it is what it must be.
    pub(super) fn file(&self, secret: &str, key: &str, check: Check) -> Result<SecretFile, Error> {
        let value = value(self.has(secret, key)?, || self.name(secret), key, check)?;
        Ok(SecretFile { secret: secret.into(), key: key.into(), value, replaces_pods: None })
    }

    pub(super) fn authority(&self, ca: &CaSecret) -> Result<SecretFile, Error> {
        self.file(&ca.name, &ca.key, certificate)
    }

    /// The name and the password of a user.
    pub(super) fn user(
        &self,
        credentials: &Credentials,
        username: Check,
    ) -> Result<(SecretFile, SecretFile), Error> {
        let Credentials { secret, username_key, password_key } = credentials;
        Ok((self.file(secret, username_key, username)?, self.file(secret, password_key, password)?))
    }

    fn name(&self, secret: &str) -> ObjectName {
        ObjectName { kind: "Secret", namespace: self.namespace.into(), name: secret.into() }
    }
}

/// The value of a key of a Secret, if it is what it must be.
pub(super) fn value(
    data: &SecretData,
    secret: impl Fn() -> ObjectName,
    key: &str,
    check: Check,
) -> Result<Hidden, Error> {
    if !data.has(key) {
        return Err(no_key(secret(), key, data));
    }
    let text = data.text(key).ok_or(Fault::NotText);
    text.and_then(|text| check(text.reveal()).map(|()| text)).map_err(|fault| Error::BadValue {
        secret: secret(),
        key: key.into(),
        fault,
    })
}

fn no_key(secret: ObjectName, key: &str, data: &SecretData) -> Error {
    let found = data.keys().collect::<Vec<_>>().join(", ");
    let found = if found.is_empty() { "none".into() } else { found };
    Error::NoKey { secret, key: key.into(), found }
}

pub(super) fn password(text: &str) -> Result<(), Fault> {
    if text.trim_end_matches(['\r', '\n']).is_empty() { Err(Fault::Empty) } else { Ok(()) }
}

pub(super) fn certificate(text: &str) -> Result<(), Fault> {
    let is_one = text.contains("-----BEGIN CERTIFICATE-----") && text.contains("-----END CERTIFICATE-----");
    if is_one { Ok(()) } else { Err(Fault::NoCertificate) }
}

pub(super) fn private_key(text: &str) -> Result<(), Fault> {
    // PRIVATE KEY, EC PRIVATE KEY, RSA PRIVATE KEY: OpenSSL reads all of them. For an encrypted one it would ask.
    let is_one = text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----");
    if is_one && !text.contains("ENCRYPTED") { Ok(()) } else { Err(Fault::NoPrivateKey) }
}

/// It becomes a variable as it is, so a line break at its end would be part of it.
pub(super) fn username(text: &str) -> Result<(), Fault> {
    match text {
        "" => Err(Fault::Empty),
        text if text.contains(char::is_control) => Err(Fault::NoUsername),
        _ => Ok(()),
    }
}

/// Kubernetes puts it into the URL of the database as it is.
pub(super) fn url_username(text: &str) -> Result<(), Fault> {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-._~+".contains(char);
    match text {
        "" => Err(Fault::Empty),
        text if !text.chars().all(is_plain) => Err(Fault::NoUrlUsername),
        _ => Ok(()),
    }
}
