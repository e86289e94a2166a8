//! The Job that brings the schema up to date: run before pods of a new image, and again, later and later, if it failed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use k8s_openapi::api::batch::v1::{Job, JobCondition};
use kube::ResourceExt as _;

use super::{
    Applier, Error, Pass,
    pods::{self, Failure},
};
use crate::crd::Reason;

/// How long after its first failure the Job is run again; twice as long after each further one.
const RETRY_LEAST: Duration = Duration::from_secs(20);
const RETRY_MOST: Duration = Duration::from_mins(10);

/// How far the schema is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Migration {
    /// No Job brings it up to date: a person does.
    #[default]
    None,
    /// It waits for something else.
    Waits,
    /// The Job runs.
    Runs {
        /// Why its pod does not start, if it does not.
        waits: Option<String>,
    },
    /// The Job failed, and why.
    Failed {
        /// The reason of a condition.
        reason: Reason,
        /// What its last pod says about it, or else Kubernetes.
        why: String,
        /// When it is run again; `None` when it is not.
        retry_in: Option<Duration>,
    },
    /// It is up to date.
    Done,
}

/// How often the Job of each pipeline failed, and when it was seen to. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(in crate::controller) struct Retries(Arc<Mutex<HashMap<(String, String), Failures>>>);

#[derive(Clone, Debug)]
struct Failures {
    /// The Job that failed last.
    uid: String,
    since: Instant,
    count: u32,
}

impl Migration {
    /// What a Job tells.
    pub(super) fn of(job: &Job) -> Self {
        if condition(job, "Complete").is_some() {
            return Self::Done;
        }
        match condition(job, "Failed") {
            Some(failed) => {
                let (reason, message) = (failed.reason.as_deref(), failed.message.as_deref());
                let why = format!(
                    "{}: {}",
                    reason.unwrap_or("Failed"),
                    message.unwrap_or("see the logs of its pods")
                );
                Self::Failed { reason: Reason::MigrationFailed, why, retry_in: None }
            }
            None => Self::Runs { waits: None },
        }
    }

    /// Whether pods of the new images may meet the schema.
    pub const fn lets_pods_run(&self) -> bool {
        matches!(self, Self::None | Self::Done)
    }
}

impl Applier {
    /// What a Job tells, and its pods, as long as it did not succeed.
    pub(super) async fn state_of(&self, job: &Job) -> Result<Migration, Error> {
        let mut state = Migration::of(job);
        match &mut state {
            Migration::Failed { reason, why, .. } => {
                if let Some(failure) = pods::failure(&self.pods(job).await?) {
                    Failure { reason: *reason, why: *why } = failure;
                }
            }
            Migration::Runs { waits } => *waits = pods::waits(&self.pods(job).await?),
            Migration::None | Migration::Waits | Migration::Done => {}
        }
        Ok(state)
    }
}

impl Pass<'_> {
    /// Runs the Job, unless it ran; runs it again, if it failed a while ago.
    pub(super) async fn migrate(
        &mut self,
        wanted: &Job,
        state: &mut Migration,
    ) -> Result<Option<Job>, Error> {
        *state = Migration::Waits;
        let Some(job) = self.one(&self.applier.children.jobs, Some(wanted)).await? else { return Ok(None) };
        *state = self.applier.state_of(&job).await?;
        let retries = &self.applier.retries;
        if let Migration::Failed { retry_in, .. } = state {
            let left = retries.left(
                self.identity.namespace.as_str(),
                &self.identity.name,
                &job.uid().unwrap_or_default(),
            );
            *retry_in = Some(left);
            if left.is_zero() {
                // The next pass makes it anew, once it is gone.
                self.applier.delete(&job).await?;
            }
        }
        if *state == Migration::Done {
            retries.forget(&self.identity.namespace, &self.identity.name);
        }
        Ok(Some(job))
    }

    /// Removes Jobs of earlier images, and all when a person changes the schema. One whose pod runs is let finish: half a
    /// change of a schema helps nobody. One whose pod has not started, as for an image that is not there, would change
    /// it whenever it can.
    pub(super) async fn jobs_but(&self, wanted: &[String]) -> Result<(), Error> {
        for job in self.applier.children.jobs.owned_by(self.identity) {
            let has_pods = job.status.as_ref().and_then(|status| status.ready).unwrap_or(0) > 0;
            let works = has_pods && matches!(Migration::of(&job), Migration::Runs { .. });
            if !works && !wanted.contains(&job.name_any()) {
                self.applier.delete(&*job).await?;
            }
        }
        Ok(())
    }
}

impl Retries {
    /// How long until this failed Job may be run again.
    fn left(&self, namespace: &str, name: &str, uid: &str) -> Duration {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = all.entry((namespace.into(), name.into())).or_insert_with(|| Failures {
            uid: uid.into(),
            since: Instant::now(),
            count: 1,
        });
        if failures.uid != uid {
            let count = failures.count.saturating_add(1);
            *failures = Failures { uid: uid.into(), since: Instant::now(), count };
        }
        wait(failures.count).saturating_sub(failures.since.elapsed())
    }

    pub(super) fn forget(&self, namespace: &str, name: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&(namespace.into(), name.into()));
    }
}

fn wait(failures: u32) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    RETRY_LEAST.saturating_mul(doubled).min(RETRY_MOST)
}

fn condition<'a>(job: &'a Job, type_: &str) -> Option<&'a JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == type_ && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::batch::v1::JobStatus;

    use super::*;

    fn job(type_: &str, reason: &str) -> Job {
        let condition = JobCondition {
            type_: type_.into(),
            status: "True".into(),
            reason: Some(reason.into()),
            message: Some("Job has reached the specified backoff limit".into()),
            ..JobCondition::default()
        };
        let status = JobStatus { conditions: Some(vec![condition]), ..JobStatus::default() };
        Job { status: Some(status), ..Job::default() }
    }

    #[test]
    fn pods_wait_until_the_job_is_complete() {
        assert!(!Migration::of(&Job::default()).lets_pods_run());
        assert!(!Migration::of(&job("Failed", "BackoffLimitExceeded")).lets_pods_run());
        // It only says that it will be complete: pods of it may still run.
        assert!(!Migration::of(&job("SuccessCriteriaMet", "")).lets_pods_run());
        assert!(Migration::of(&job("Complete", "")).lets_pods_run());
    }

    #[test]
    fn a_failed_job_says_why() {
        let why = "BackoffLimitExceeded: Job has reached the specified backoff limit".into();
        assert_eq!(
            Migration::of(&job("Failed", "BackoffLimitExceeded")),
            Migration::Failed { reason: Reason::MigrationFailed, why, retry_in: None }
        );
    }

    #[test]
    fn each_failure_doubles_the_time_until_the_next_try_up_to_a_most() {
        assert_eq!([1, 2, 3].map(wait), [20, 40, 80].map(Duration::from_secs));
        assert_eq!(wait(40), RETRY_MOST);
        let retries = Retries::default();
        assert!(retries.left("a", "b", "first") <= wait(1));
        assert!(retries.left("a", "b", "first") <= wait(1));
        assert!(retries.left("a", "b", "second") > wait(1));
    }
}
