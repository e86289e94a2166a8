//! Topics without Strimzi: what is wanted of one, what Kafka has, and the steps between them.
//!
//! [`plan`] is pure. It touches declared keys of the configuration only, and never does what would lose or reorder
//! records: that is refused, with what a person can do. The words are those that Strimzi's Topic Operator has for a
//! `KafkaTopic`, so that conditions are the same either way.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt, thread,
    time::{Duration, Instant},
};

use fluxo_kafka::admin;

use super::{Error, Kafka};

/// How long brokers are asked whether they still tell of a topic that is deleted.
const SETTLING: Duration = Duration::from_secs(2);
/// How often they are asked.
const INTERVAL: Duration = Duration::from_millis(50);

/// What is wanted of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: u32,
    /// On how many brokers each partition is.
    pub replicas: u32,
    /// Its configuration, as Kafka names it; what is not here is left as it is.
    pub config: BTreeMap<String, String>,
    /// Whether somebody knows that more partitions send accounts to other partitions, which ends their order.
    pub growth_acknowledged: bool,
}

/// What Kafka has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The topic's id: another one is another topic, though under the same name.
    pub topic_id: String,
    /// On how many brokers each partition is, by its number.
    pub replicas: BTreeMap<i32, usize>,
    /// Its configuration, with the broker's defaults.
    pub config: BTreeMap<String, FoundValue>,
}

/// A value of a topic's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundValue {
    /// The value.
    pub value: String,
    /// Whether the topic has it, and not the broker's default, which may change.
    pub is_own: bool,
}

/// What is to do, and what will not be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order.
    pub steps: Vec<Step>,
    /// What a person must decide first. The steps can be taken nevertheless.
    pub refusals: Vec<Refusal>,
}

/// One change of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make it as it is wanted.
    Create,
    /// Give it more partitions.
    Grow {
        /// How many it has then.
        to: u32,
    },
    /// Set these keys of its configuration, and no others.
    Configure(BTreeMap<String, Drift>),
}

/// A declared value that the topic does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// What it has; `None` for a key that Kafka does not tell.
    pub found: Option<String>,
    /// What is declared.
    pub declared: String,
}

/// A wish that is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Fewer partitions.
    Shrink {
        /// How many there are.
        from: u32,
        /// How many are wanted.
        to: u32,
    },
    /// More partitions, which nobody acknowledged.
    Growth {
        /// How many there are.
        from: u32,
        /// How many are wanted.
        to: u32,
    },
    /// Another number of replicas.
    Replicas {
        /// The partitions that have another number.
        partitions: Vec<i32>,
        /// How many are wanted.
        wanted: u32,
    },
}

impl Refusal {
    /// The reason of a condition.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Shrink { .. } | Self::Replicas { .. } => "NotSupported",
            Self::Growth { .. } => "GrowthNotAcknowledged",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shrink { from, to } => write!(
                f,
                "Decreasing partitions not supported: the topic has {from}, and {to} are declared; declare {from}"
            ),
            Self::Growth { from, to } => write!(
                f,
                "Going from {from} to {to} partitions sends accounts to other partitions and ends the order of \
                 their records: acknowledge it, or declare {from}"
            ),
            Self::Replicas { partitions, wanted } => write!(
                f,
                "Replication factor change not supported, but required for partitions {partitions:?}: {wanted} are \
                 declared; move them with kafka-reassign-partitions, or declare what they have"
            ),
        }
    }
}

impl Found {
    /// How many partitions the topic has.
    pub fn partitions(&self) -> u32 {
        u32::try_from(self.replicas.len()).unwrap_or(u32::MAX)
    }
}

/// What leads from what Kafka has, `None` for nothing, to what is wanted.
pub fn plan(wanted: &Wanted, found: Option<&Found>) -> Plan {
    let Some(found) = found else {
        return Plan { steps: vec![Step::Create], refusals: vec![] };
    };
    let mut plan = Plan::default();
    let drift = drift(&wanted.config, &found.config);
    if !drift.is_empty() {
        plan.steps.push(Step::Configure(drift));
    }
    let (from, to) = (found.partitions(), wanted.partitions);
    if to > from && wanted.growth_acknowledged {
        plan.steps.push(Step::Grow { to });
    } else if to > from {
        plan.refusals.push(Refusal::Growth { from, to });
    } else if to < from {
        plan.refusals.push(Refusal::Shrink { from, to });
    }
    let others =
        found.replicas.iter().filter(|(_, replicas)| u32::try_from(**replicas) != Ok(wanted.replicas));
    let partitions: Vec<_> = others.map(|(partition, _)| *partition).collect();
    if !partitions.is_empty() {
        plan.refusals.push(Refusal::Replicas { partitions, wanted: wanted.replicas });
    }
    plan
}

/// The declared values that the topic itself does not have.
fn drift(
    declared: &BTreeMap<String, String>,
    found: &BTreeMap<String, FoundValue>,
) -> BTreeMap<String, Drift> {
    let differs = |(key, declared): (&String, &String)| {
        let found = found.get(key);
        let has_it = found.is_some_and(|found| found.is_own && normal(&found.value) == normal(declared));
        let found = found.map(|found| found.value.clone());
        (!has_it).then(|| (key.clone(), Drift { found, declared: declared.clone() }))
    };
    declared.iter().filter_map(differs).collect()
}

/// A value as Kafka tells it after it has read it. Else a value that is written in another way would be set again and
/// again.
fn normal(value: &str) -> String {
    let item = |item: &str| {
        let item = item.trim();
        if item.eq_ignore_ascii_case("true") || item.eq_ignore_ascii_case("false") {
            return item.to_ascii_lowercase();
        }
        let is_digits = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        match item.split_once('.') {
            Some((whole, fraction)) if is_digits(whole.trim_start_matches('-')) && is_digits(fraction) => {
                let fraction = fraction.trim_end_matches('0');
                if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
            }
            _ => item.to_owned(),
        }
    };
    value.split(',').map(item).collect::<Vec<_>>().join(",")
}

impl Kafka {
    /// Tells what Kafka has under a name; `None` for no topic.
    ///
    /// # Errors
    /// When Kafka does not tell.
    pub async fn topic(&self, name: &str) -> Result<Option<Found>, Error> {
        self.ask(name, |admin, name| {
            let Some((admin::Topic { id, replicas }, config)) = admin.find_topic(name)? else {
                return Ok(None);
            };
            let config = config.into_iter().map(|(key, entry)| {
                // The value of a secret is told to nobody.
                (key, FoundValue { value: entry.value.unwrap_or_default(), is_own: entry.is_own })
            });
            Ok(Some(Found { topic_id: id, replicas, config: config.collect() }))
        })
        .await
    }

    /// Takes one step of a [`plan`].
    ///
    /// # Errors
    /// When Kafka does not do it; [`Error::Away`] leaves open whether it did.
    pub async fn take(&self, step: &Step, wanted: &Wanted) -> Result<(), Error> {
        let (step, Wanted { partitions, replicas, config, .. }) = (step.clone(), wanted.clone());
        self.ask(&wanted.name, move |admin, name| match step {
            Step::Create => admin.create_topic(name, Some(partitions), Some(replicas), &config),
            Step::Grow { to } => admin.grow_topic(name, to),
            Step::Configure(drift) => {
                let values = drift.into_iter().map(|(key, drift)| (key, Some(drift.declared)));
                admin.alter_topic(name, &values.collect())
            }
        })
        .await
    }

    /// Deletes a topic with all its records, if it still has this id, and tells whether it is gone: brokers may tell of
    /// it for a moment longer, which is waited for. One that was made anew under its name is left alone.
    ///
    /// # Errors
    /// When Kafka does not do it; [`Error::Away`] leaves open whether it did.
    pub async fn delete_topic(&self, name: &str, topic_id: &str) -> Result<bool, Error> {
        let topic_id = topic_id.to_owned();
        self.ask(name, move |admin, name| {
            if !admin.has_topic(name, &topic_id)? {
                return Ok(true);
            }
            admin.delete_topic(name)?;
            let deleted = Instant::now();
            while admin.has_topic(name, &topic_id)? {
                if deleted.elapsed() > SETTLING {
                    return Ok(false);
                }
                thread::sleep(INTERVAL);
            }
            Ok(true)
        })
        .await
    }
}
