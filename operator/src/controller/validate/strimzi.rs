//! How a Kafka that Strimzi runs is reached: which of its listeners, by whose certificates, and as which user.

use super::{Error, secrets};
use crate::{
    controller::model::{
        Hidden, KafkaAccess, KafkaSasl, KafkaTls, ObjectName, SecretData, SecretFile, Strimzi, User,
        Username,
        strimzi::{Kafka, Listener},
    },
    crd,
    identity::Identity,
    kafka::SaslMechanism,
};

/// Whom listeners let in who do not ask.
const NOBODY: &str = "clients without a user";

/// How the pipeline shows who it is.
enum Shown<'a> {
    Nothing,
    Password(&'a User),
    Certificate(&'a User),
}

pub(super) fn access(
    identity: &Identity,
    named: &crd::Strimzi,
    found: &Strimzi,
) -> Result<KafkaAccess, Error> {
    let beside = Beside { identity, named };
    let kafka = found.kafka.as_ref().map_err(Clone::clone)?;
    let user = found.user.as_ref().map(|user| user.as_ref().map_err(Clone::clone)).transpose()?;
    let shown = shown(&beside, user)?;
    let listener = listener(&beside, kafka, shown.kind())?;
    let status = kafka.status.as_ref().map(|status| status.listeners.as_slice()).unwrap_or_default();
    let status = status.iter().find(|status| status.name == listener.name);
    let not_ready = || Error::KafkaNotReady { kafka: beside.kafka(), listener: listener.name.clone() };
    let status = status.ok_or_else(not_ready)?;
    let servers = status.bootstrap_servers.clone().filter(|servers| !servers.is_empty());
    let bootstrap_servers = servers.ok_or_else(not_ready)?;
    let client = match &shown {
        Shown::Certificate(user) => {
            let certificate = beside.of_user(user, "user.crt", secrets::certificate)?;
            Some((certificate, beside.of_user(user, "user.key", secrets::private_key)?))
        }
        Shown::Nothing | Shown::Password(_) => None,
    };
    let sasl = match &shown {
        Shown::Password(user) => Some(KafkaSasl {
            mechanism: SaslMechanism::ScramSha512,
            username: Username::Plain(user.resource.username().into()),
            password: beside.of_user(user, "password", secrets::password)?,
        }),
        Shown::Nothing | Shown::Certificate(_) => None,
    };
    let tls = if listener.tls {
        let ca = authorities(found.ca.as_ref().ok(), &status.certificates);
        let no_authority = || match &found.ca {
            Ok(_) => Error::NoAuthority { kafka: beside.kafka(), listener: listener.name.clone() },
            Err(missing) => missing.clone().into(),
        };
        let Authorities { all, in_use } = ca.ok_or_else(no_authority)?;
        let ca = SecretFile { replaces_pods: Some(in_use), ..beside.copy("ca.crt", all) };
        Some(KafkaTls { ca: Some(ca), client })
    } else {
        None
    };
    Ok(KafkaAccess { bootstrap_servers, tls, sasl, is_copied: true })
}

/// Which pipeline asks, and what it names.
struct Beside<'a> {
    identity: &'a Identity,
    named: &'a crd::Strimzi,
}

impl Beside<'_> {
    fn object(&self, kind: &'static str, name: &str) -> ObjectName {
        let namespace = self.named.namespace.as_ref().unwrap_or(&self.identity.namespace).clone();
        ObjectName { kind, namespace, name: name.into() }
    }

    fn kafka(&self) -> ObjectName {
        self.object("Kafka", &self.named.cluster)
    }

    /// A value as the pods find it: in the operator's copy.
    fn copy(&self, key: &str, value: Hidden) -> SecretFile {
        SecretFile { secret: self.identity.kafka_secret(), key: key.into(), value, replaces_pods: None }
    }

    fn of_user(&self, user: &User, key: &str, check: secrets::Check) -> Result<SecretFile, Error> {
        let data = user.secret.as_ref().map_err(Clone::clone)?;
        let secret = || self.object("Secret", user.resource.secret_name());
        Ok(self.copy(key, secrets::value(data, secret, key, check)?))
    }
}

impl Shown<'_> {
    const fn kind(&self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Password(_) => Some("scram-sha-512"),
            Self::Certificate(_) => Some("tls"),
        }
    }
}

fn shown<'a>(beside: &Beside<'_>, user: Option<&'a User>) -> Result<Shown<'a>, Error> {
    let Some(user) = user else { return Ok(Shown::Nothing) };
    let kind = user.resource.spec.authentication.as_ref().map(|way| way.kind.as_str());
    match kind.unwrap_or("nothing") {
        "scram-sha-512" => Ok(Shown::Password(user)),
        "tls" => Ok(Shown::Certificate(user)),
        kind => Err(Error::UnknownAuthentication {
            user: beside.object("KafkaUser", beside.named.user.as_deref().unwrap_or_default()),
            kind: kind.into(),
        }),
    }
}

/// The listener that is named; else the only one; else the one for the user, internal before external, the first by
/// name.
fn listener<'a>(beside: &Beside<'_>, kafka: &'a Kafka, shown: Option<&str>) -> Result<&'a Listener, Error> {
    let listeners = &kafka.spec.kafka.listeners;
    let described = |listener: &Listener| format!("{} ({})", listener.name, let_in(way(listener)));
    let there = || listeners.iter().map(described).collect::<Vec<_>>().join(", ");
    let no_listener =
        |named: &str| Error::NoListener { kafka: beside.kafka(), named: named.into(), there: there() };
    let chosen = match (&beside.named.listener, listeners.as_slice()) {
        (Some(named), _) => {
            let listener = listeners.iter().find(|listener| listener.name == *named);
            listener.ok_or_else(|| no_listener(named))?
        }
        (None, []) => return Err(no_listener("at all")),
        (None, [only]) => only,
        (None, _) => {
            let fitting = listeners.iter().filter(|listener| way(listener) == shown);
            let preference = |listener: &&Listener| (!is_internal(listener), listener.name.clone());
            return fitting.min_by_key(preference).ok_or_else(|| Error::NoFittingListener {
                kafka: beside.kafka(),
                shown: let_in(shown),
                there: there(),
            });
        }
    };
    if way(chosen) == shown {
        return Ok(chosen);
    }
    Err(Error::OtherAuthentication {
        kafka: beside.kafka(),
        listener: described(chosen),
        shown: let_in(shown),
    })
}

fn way(listener: &Listener) -> Option<&str> {
    listener.authentication.as_ref().map(|way| way.kind.as_str())
}

fn let_in(way: Option<&str>) -> String {
    way.map_or_else(|| NOBODY.into(), |way| format!("users by {way}"))
}

fn is_internal(listener: &Listener) -> bool {
    matches!(listener.kind.as_str(), "internal" | "cluster-ip")
}

/// The certificates by which a broker may be verified, in PEM.
struct Authorities {
    /// All of them: while an authority is replaced there are an old and a new one, and a listener can have a certificate
    /// of its own.
    all: Hidden,
    /// Without those that Strimzi keeps of old authorities until it removes them: pods that trust a new one need not be
    /// replaced once more for that.
    in_use: Hidden,
}

fn authorities(ca: Option<&SecretData>, of_listener: &[String]) -> Option<Authorities> {
    let keys = ca.into_iter().flat_map(|ca| ca.keys().filter(|key| key.strip_suffix(".crt").is_some()));
    let kept = keys.filter_map(|key| Some((ca?.text(key)?, key != "ca.crt")));
    let of_listener = of_listener.iter().map(|certificate| (Hidden::new(certificate), false));
    let mut bundle: Vec<(String, bool)> = Vec::new();
    for (certificate, is_old) in kept.chain(of_listener) {
        let certificate = certificate.reveal().trim().to_owned();
        if secrets::certificate(&certificate).is_ok() && bundle.iter().all(|(there, _)| *there != certificate)
        {
            bundle.push((certificate, is_old));
        }
    }
    let joined = |old_too: bool| {
        let certificates = bundle.iter().filter(|(_, is_old)| old_too || !is_old);
        Hidden::new(certificates.flat_map(|(certificate, _)| [certificate, "\n"]).collect::<String>())
    };
    (!bundle.is_empty()).then(|| Authorities { all: joined(true), in_use: joined(false) })
}
