//! How Kafka is reached, and as whom.

use super::{Error, note, secrets, secrets::Secrets, strimzi};
use crate::{
    controller::model::{
        Dereferenced, KafkaAccess, KafkaSasl, KafkaTls, MissingReference, ObjectName, Username,
    },
    crd,
    identity::Identity,
    kafka::SaslMechanism,
};

pub(super) fn access(
    identity: &Identity,
    kafka: &crd::Kafka,
    found: &Dereferenced,
    secrets: &Secrets<'_>,
    wrong: &mut Vec<Error>,
) -> Option<KafkaAccess> {
    let Some(named) = &kafka.strimzi else { return external(kafka, secrets, wrong) };
    let Some(found) = &found.strimzi else {
        let namespace = named.namespace.clone().unwrap_or_else(|| identity.namespace.clone());
        let kafka = ObjectName { kind: "Kafka", namespace, name: named.cluster.clone() };
        return note(Err(MissingReference::NotFound(kafka).into()), wrong);
    };
    note(strimzi::access(identity, named, found), wrong)
}

/// Brokers that Strimzi does not run: the pods read the Secrets that the pipeline names.
fn external(kafka: &crd::Kafka, secrets: &Secrets<'_>, wrong: &mut Vec<Error>) -> Option<KafkaAccess> {
    let tls = kafka.tls.as_ref().map(|tls| note(external_tls(tls, secrets), wrong));
    let sasl = kafka.sasl.as_ref().map(|sasl| note(external_sasl(sasl, secrets), wrong));
    Some(KafkaAccess {
        bootstrap_servers: kafka.bootstrap_servers.clone().unwrap_or_default(),
        tls: tls.map_or(Some(None), |tls| tls.map(Some))?,
        sasl: sasl.map_or(Some(None), |sasl| sasl.map(Some))?,
        is_copied: false,
    })
}

fn external_tls(tls: &crd::KafkaTls, secrets: &Secrets<'_>) -> Result<KafkaTls, Error> {
    let client = |secret: &String| -> Result<_, Error> {
        let certificate = secrets.file(secret, "tls.crt", secrets::certificate)?;
        Ok((certificate, secrets.file(secret, "tls.key", secrets::private_key)?))
    };
    Ok(KafkaTls {
        ca: tls.ca_secret.as_ref().map(|ca| secrets.authority(ca)).transpose()?,
        client: tls.certificate_secret.as_ref().map(client).transpose()?,
    })
}

fn external_sasl(sasl: &crd::Sasl, secrets: &Secrets<'_>) -> Result<KafkaSasl, Error> {
    let (username, password) = secrets.user(&sasl.credentials, secrets::username)?;
    let mechanism = match sasl.mechanism {
        crd::SaslMechanism::Plain => SaslMechanism::Plain,
        crd::SaslMechanism::ScramSha256 => SaslMechanism::ScramSha256,
        crd::SaslMechanism::ScramSha512 => SaslMechanism::ScramSha512,
    };
    Ok(KafkaSasl { mechanism, username: Username::Secret(username), password })
}
