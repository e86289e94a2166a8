//! The last step: says what there is, computed from what was applied and never from what was wished, and writes it if it
//! is not what was said before.
//!
//! `Ready` is all of the conditions but `Scaling`: a pipeline whose listeners are at their maximum, or whose lag cannot
//! be read for a moment, serves all the same.

mod workload;
mod write;

#[cfg(test)]
mod tests;

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt;

use super::{
    apply::{Migration, Outcome},
    topics::{Found, TopicState, TopicsState},
    validate,
};
use crate::{
    autoscaler::Report,
    crd::{ConditionType, Migrate, PipelineStatus, Reason, TransactionPipeline},
};
use workload::Role;

pub use write::{Error, Writer};

/// All that a status is made of.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The pipeline, with the status from before.
    pub pipeline: &'a TransactionPipeline,
    /// What keeps it from being looked after as usual.
    pub phase: &'a Phase,
    /// What is there.
    pub outcome: &'a Outcome,
    /// What the scaler tells.
    pub report: Option<&'a Report>,
    /// The id of the cluster of Kafka, if Strimzi tells it.
    pub cluster_id: Option<&'a str>,
}

/// What keeps a pipeline from being looked after as usual.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing does.
    Kept,
    /// Something that it says, or refers to, is wrong: what stood is left as it is.
    Wrong(Vec<validate::Error>),
    /// It is paused.
    Paused,
    /// It is being deleted; what is waited for.
    Deleting(String),
    /// Pass after pass over it fails, and why.
    Failing(Reason, String),
}

/// What a condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    holds: Option<bool>,
    reason: Reason,
    message: String,
}

/// What is said of a pipeline. Pure.
pub fn status(facts: Facts<'_>, now: &Time) -> PipelineStatus {
    let before = facts.pipeline.status.clone().unwrap_or_default();
    if facts.phase == &Phase::Paused {
        // All else is as it was when it was last looked at.
        let paused = Verdict::unknown(Reason::Paused, "left as it is until spec.paused is false");
        return facts.with_conditions(before, &[(ConditionType::Ready, Some(paused))], now);
    }
    let resources = &facts.outcome.resources;
    let listener = resources.listener.as_ref();
    let id = |topic: &Option<TopicState>| topic.as_ref().and_then(|topic| topic.id.clone());
    let TopicsState { transactions, dead_letter } = &facts.outcome.topics;
    let parts = [
        (ConditionType::TopicsReady, facts.topics()),
        (ConditionType::Migrated, facts.migrated()),
        (ConditionType::ApiAvailable, Some(facts.workload(Role::Api))),
        (ConditionType::ListenerAvailable, Some(facts.workload(Role::Listener))),
        (ConditionType::Scaling, facts.scaling()),
    ];
    let known: Vec<_> = parts
        .iter()
        .map(|(type_, verdict)| (*type_, verdict.clone().unwrap_or_else(|| Verdict::before(&before, *type_))))
        .collect();
    let ready = facts.ready(&known);
    let conditions: Vec<_> = [(ConditionType::Ready, Some(ready))].into_iter().chain(parts).collect();
    let is_migrated = facts.outcome.migration == Migration::Done;
    let status = PipelineStatus {
        observed_generation: facts.pipeline.metadata.generation,
        conditions: vec![],
        replicas: Some(listener.and_then(|listener| listener.status.as_ref()?.replicas).unwrap_or(0)),
        selector: listener.and_then(workload::selector).or(before.selector),
        lag: facts.seen(before.lag, |report| report.lag),
        oldest_age: facts.seen(before.oldest_age, |report| report.oldest_age.map(Into::into)),
        topic_id: id(transactions).or(before.topic_id),
        dead_letter_topic_id: id(dead_letter).or(before.dead_letter_topic_id),
        partitions: facts
            .report
            .and_then(|report| report.partitions)
            .and_then(|count| i32::try_from(count).ok())
            .or(before.partitions),
        dead_letter_topic: Some(facts.pipeline.spec.kafka.dead_letter_name()),
        cluster_id: facts.cluster_id.map(Into::into).or(before.cluster_id),
        migrated_by: resources
            .migration
            .as_ref()
            .filter(|_| is_migrated)
            .and_then(workload::image_of_job)
            .or(before.migrated_by),
        api: resources.api.as_ref().map(workload::workload),
        listener: listener.map(workload::workload),
        decisions: facts.report.map_or(before.decisions, |report| report.decisions.clone()),
    };
    let status = PipelineStatus { conditions: before.conditions, ..status };
    facts.with_conditions(status, &conditions, now)
}

impl Facts<'_> {
    /// What the scaler has seen. Before it has looked, what it said before is the newest that is known; but of a pipeline
    /// that it cannot look at, nothing is.
    fn seen<T>(self, before: Option<T>, of: impl Fn(&Report) -> Option<T>) -> Option<T> {
        let goes_stale = matches!(self.phase, Phase::Wrong(_));
        self.report.map_or_else(|| before.filter(|_| !goes_stale), of)
    }

    /// The status with these conditions in place of those of their types. The time of one changes only when it turns.
    /// One that nobody has looked at stays as it was, and goes on being about the generation that it was about: who
    /// waits for a condition must not be told of the generation before.
    fn with_conditions(
        self,
        mut status: PipelineStatus,
        verdicts: &[(ConditionType, Option<Verdict>)],
        now: &Time,
    ) -> PipelineStatus {
        let generation = self.pipeline.metadata.generation;
        let mut conditions = Vec::with_capacity(ConditionType::ALL.len());
        for type_ in ConditionType::ALL {
            let before = status.conditions.iter().find(|before| before.type_ == type_.as_str());
            let verdict = verdicts.iter().find(|(of, _)| of == type_);
            conditions.extend(match (verdict, before) {
                (Some((_, Some(verdict))), before) => {
                    Some(verdict.condition(*type_, generation, before, now))
                }
                (_, Some(before)) => Some(before.clone()),
                (Some((_, None)), None) => Some(Verdict::unseen().condition(*type_, generation, None, now)),
                (None, None) => None,
            });
        }
        status.conditions = conditions;
        status.observed_generation = generation;
        status
    }

    /// `None` when nobody has looked.
    fn topics(self) -> Option<Verdict> {
        if let Phase::Wrong(wrong) = self.phase {
            let of_topics = wrong.iter().find(|error| error.condition() == Some(ConditionType::TopicsReady));
            return of_topics.map(Verdict::wrong);
        }
        let kafka = &self.pipeline.spec.kafka;
        let topics = &self.outcome.topics;
        let named = [
            (&topics.transactions, kafka.topic.name.clone()),
            (&topics.dead_letter, kafka.dead_letter_name()),
        ];
        for (topic, name) in named {
            match topic {
                Some(TopicState { found: Found::AsDeclared, .. }) => {}
                Some(TopicState { found, .. }) => {
                    return Some(Verdict::no(found.reason(), format!("topic {name}: {found}")));
                }
                None => return None,
            }
        }
        Some(self.retention().unwrap_or_else(|| Verdict::yes("both topics are as declared")))
    }

    /// Whether records may soon be deleted unread.
    fn retention(self) -> Option<Verdict> {
        let configuration = self.pipeline.spec.kafka.topic.configuration();
        let retention: u64 = configuration.get("retention.ms")?.parse().ok()?;
        let age = self.report?.oldest_age?;
        let message = format!(
            "the oldest unread record is {} s old, and Kafka deletes records after {} s: let listeners catch up, or raise retention.ms",
            age.as_secs(),
            retention / 1_000
        );
        let at_risk = age > Duration::from_millis(retention) / 2;
        at_risk.then(|| Verdict::no(Reason::RetentionAtRisk, message))
    }

    fn migrated(self) -> Option<Verdict> {
        let database = &self.pipeline.spec.mysql.database;
        Some(match &self.outcome.migration {
            Migration::None if self.pipeline.spec.mysql.migrate == Migrate::Manual => {
                Verdict::yes("you bring the schema up to date: mysql.migrate is Manual")
            }
            Migration::None => return None,
            Migration::Waits => {
                Verdict::no(Reason::Waiting, "waits for the Secret and the topics of the pipeline")
            }
            Migration::Runs { waits } => {
                let job = self.job();
                let waits = waits.as_ref().map(|why| format!("; its pod does not start: {why}"));
                let message = format!("Job {job} brings the schema of {database} up to date");
                Verdict::no(Reason::Migrating, message + waits.as_deref().unwrap_or_default())
            }
            Migration::Failed { reason, why, retry_in } => {
                let job = self.job();
                let again = if retry_in.is_some() { "; it is run again after a while" } else { "" };
                let message = format!("Job {job} failed, see its logs; pods from before go on{again}: {why}");
                Verdict::no(*reason, message)
            }
            Migration::Done => Verdict::yes(format!("the schema of {database} is what the images need")),
        })
    }

    fn job(self) -> String {
        self.outcome.resources.migration.as_ref().map(ResourceExt::name_any).unwrap_or_default()
    }

    fn workload(self, role: Role) -> Verdict {
        let resources = &self.outcome.resources;
        match role {
            Role::Listener => workload::verdict(resources.listener.as_ref(), role),
            Role::Api if self.outcome.api_waits => {
                Verdict::no(Reason::Waiting, "the new image of the api waits until the listeners have it")
            }
            Role::Api => workload::verdict(resources.api.as_ref(), role),
        }
    }

    fn scaling(self) -> Option<Verdict> {
        let Some(report) = self.report else {
            // Else what was last said would stand for as long as nobody looks.
            let blind =
                || Verdict::unknown(Reason::Waiting, "nothing is scaled before what is wrong is mended");
            return matches!(self.phase, Phase::Wrong(_)).then(blind);
        };
        let (holds, reason) = (Some(report.is_well), report.reason);
        Some(Verdict { holds, reason, message: report.message.clone() })
    }

    /// All of it: the first that is wrong, in the order in which one thing waits for another.
    fn ready(self, parts: &[(ConditionType, Verdict)]) -> Verdict {
        match self.phase {
            Phase::Deleting(waits) => return Verdict::no(Reason::Deleting, waits.clone()),
            Phase::Failing(reason, why) => return Verdict::no(*reason, why.clone()),
            Phase::Wrong(wrong) => {
                if let Some(first) = wrong.first() {
                    let all: Vec<_> = wrong.iter().map(ToString::to_string).collect();
                    return Verdict::no(first.reason(), all.join("; "));
                }
            }
            Phase::Kept | Phase::Paused => {}
        }
        if let Some(problem) = self.outcome.problems.first() {
            return Verdict::no(problem.reason(), problem.to_string());
        }
        let not = parts
            .iter()
            .find(|(type_, verdict)| *type_ != ConditionType::Scaling && verdict.holds != Some(true));
        match not {
            Some((type_, verdict)) => Verdict::no(verdict.reason, format!("{type_}: {}", verdict.message)),
            None => Verdict::yes("all of the pipeline serves"),
        }
    }
}

impl Verdict {
    fn yes(message: impl Into<String>) -> Self {
        Self { holds: Some(true), reason: Reason::AsDeclared, message: message.into() }
    }

    fn no(reason: Reason, message: impl Into<String>) -> Self {
        Self { holds: Some(false), reason, message: message.into() }
    }

    fn unknown(reason: Reason, message: impl Into<String>) -> Self {
        Self { holds: None, reason, message: message.into() }
    }

    fn wrong(error: &validate::Error) -> Self {
        Self::no(error.reason(), error.to_string())
    }

    /// What was said before, where nobody has looked since.
    fn before(status: &PipelineStatus, type_: ConditionType) -> Self {
        let before = status.conditions.iter().find(|before| before.type_ == type_.as_str());
        let reason =
            before.and_then(|before| Reason::ALL.iter().find(|reason| reason.as_str() == before.reason));
        match (before, reason) {
            (Some(before), Some(reason)) => {
                let holds = match before.status.as_str() {
                    "True" => Some(true),
                    "False" => Some(false),
                    _ => None,
                };
                Self { holds, reason: *reason, message: before.message.clone() }
            }
            _ => Self::unseen(),
        }
    }

    fn unseen() -> Self {
        Self::unknown(Reason::Waiting, "not looked at yet")
    }

    fn condition(
        &self,
        type_: ConditionType,
        generation: Option<i64>,
        before: Option<&Condition>,
        now: &Time,
    ) -> Condition {
        let status = match self.holds {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        };
        let since =
            before.filter(|before| before.status == status).map(|before| before.last_transition_time.clone());
        Condition {
            type_: type_.as_str().into(),
            status: status.into(),
            reason: self.reason.as_str().into(),
            // The schema takes no more.
            message: self.message.chars().take(32_000).collect(),
            observed_generation: generation,
            last_transition_time: since.unwrap_or_else(|| now.clone()),
        }
    }
}

impl super::apply::Problem {
    const fn reason(&self) -> Reason {
        match self {
            Self::Foreign(_) => Reason::NameConflict,
            Self::Refused { .. } => Reason::ApiServerError,
        }
    }
}
