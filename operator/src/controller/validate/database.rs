//! How MySQL is reached, and by how many connections.

use super::{Error, note, secrets, secrets::Secrets};
use crate::{
    controller::model::{Database, DatabaseUser},
    crd::{Credentials, Mysql, ScalingMode, TransactionPipelineSpec},
};

/// How many connections a listener reads by: the fewest that its setting allows, since it only asks for offsets.
const LISTENER_READS: u32 = 2;
/// How many writers a listener has, each with a connection of its own, unless the pipeline says otherwise.
const LISTENER_WRITERS: u32 = 2;
/// The fewest and the most connections that the setting of the api allows.
const API_LEAST: u32 = 2;
const API_MOST: u32 = 1000;

/// How the connections to MySQL are shared out. Nothing of it depends on how many listeners run now: the pods would
/// be replaced each time that their number changes.
pub(super) struct Connections {
    /// The most of each replica of the api.
    pub(super) api: u32,
    /// The most of each listener, besides one of each writer.
    pub(super) listener: u32,
    /// For how many listeners there are enough.
    pub(super) listeners: u32,
}

pub(super) fn database(mysql: &Mysql, secrets: &Secrets<'_>, wrong: &mut Vec<Error>) -> Option<Database> {
    let mut user = |own: Option<&Credentials>| {
        let named = own.unwrap_or(&mysql.credentials);
        let (username, password) = note(secrets.user(named, secrets::url_username), wrong)?;
        Some(DatabaseUser { username, password })
    };
    let users = (
        user(mysql.api_credentials.as_ref()),
        user(mysql.listener_credentials.as_ref()),
        user(mysql.migration_credentials.as_ref()),
    );
    let ca = mysql.tls.ca_secret.as_ref().map(|ca| secrets.authority(ca)).transpose();
    let ca = note(ca, wrong);
    // One that three users have is told once.
    wrong.dedup();
    let ((Some(api), Some(listener), Some(migration)), Some(ca)) = (users, ca) else { return None };
    Some(Database {
        host: mysql.host.clone(),
        port: u16::try_from(mysql.port).unwrap_or_default(),
        name: mysql.database.clone(),
        tls: mysql.tls.mode,
        ca,
        api,
        listener,
        migration,
        migrate: mysql.migrate,
    })
}

/// Shares the connections out: the listeners come first, and the api has what they leave. During a rollout there is
/// one pod more of each; a migration has the connections that are left free for it.
pub(super) fn connections(spec: &TransactionPipelineSpec) -> Result<Connections, Error> {
    let (scaling, allowed) = (&spec.listener.scaling, spec.mysql.max_connections.unsigned_abs());
    let of_listener = writers(spec)? + LISTENER_READS;
    let replicas = spec.api.replicas.unsigned_abs();
    let api_pods = if replicas == 0 { 0 } else { replicas + 1 };
    let (fewest, wanted) = match scaling.mode {
        ScalingMode::Auto | ScalingMode::Recommend => (scaling.min_replicas, scaling.max_replicas),
        ScalingMode::External | ScalingMode::Fixed => (1, None),
    };
    let (fewest, partitions) = (fewest.unsigned_abs(), spec.kafka.topic.partitions.unsigned_abs());
    let needed = api_pods * API_LEAST + (fewest + 1) * of_listener;
    if needed > allowed {
        return Err(Error::TooFewConnections { allowed, needed, api: replicas, listeners: fewest });
    }
    let room = (allowed - api_pods * API_LEAST) / of_listener - 1;
    let listeners = wanted.map_or(partitions, i32::unsigned_abs).min(partitions).min(room);
    let left = allowed - (listeners + 1) * of_listener;
    let api = left.checked_div(api_pods).unwrap_or_default().clamp(API_LEAST, API_MOST);
    Ok(Connections { api, listener: LISTENER_READS, listeners })
}

/// How many writers each listener has.
fn writers(spec: &TransactionPipelineSpec) -> Result<u32, Error> {
    let mut said = spec.pod_template.extra_env.iter();
    let Some(said) = said.find(|variable| variable.name == "FLUXO_LISTENER_WRITERS") else {
        return Ok(LISTENER_WRITERS);
    };
    let number = said.value.as_deref().and_then(|value| value.parse().ok());
    number.filter(|number| (1..=16).contains(number)).ok_or(Error::Writers)
}
