//! Why a Job failed, or does not begin, as its pods tell.

use fluxo_core::kit::process::{ALREADY_CLAIMED, UNREACHABLE};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{Api, ResourceExt as _, api::ListParams};
use serde_json::Value;

use super::{Applier, Error, named};
use crate::crd::Reason;

/// The most characters of what a pod told.
const MOST: usize = 600;

/// Why a Job failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) reason: Reason,
    pub(super) why: String,
}

impl Applier {
    /// The pods of a Job; none when the operator may not list pods.
    pub(super) async fn pods(&self, job: &Job) -> Result<Vec<Pod>, Error> {
        let api = Api::<Pod>::namespaced(self.client.clone(), &job.namespace().unwrap_or_default());
        let of_job = format!("batch.kubernetes.io/controller-uid={}", job.uid().unwrap_or_default());
        match api.list(&ListParams::default().labels(&of_job)).await {
            Ok(pods) => Ok(pods.items),
            Err(kube::Error::Api(status)) if status.code == 403 => Ok(vec![]),
            Err(error) => Err(Error::new("listing the pods of", named(job), error)),
        }
    }
}

/// Why the last pod that ended failed; `None` when none did.
pub(super) fn failure(pods: &[Pod]) -> Option<Failure> {
    let ended = pods.iter().filter_map(|pod| {
        let container = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
        let ended = container.state.as_ref()?.terminated.as_ref()?;
        (ended.exit_code != 0).then_some((pod.creation_timestamp(), ended))
    });
    let (_, last) = ended.max_by_key(|(made, _)| made.clone())?;
    let reason = match u8::try_from(last.exit_code) {
        Ok(ALREADY_CLAIMED) => Reason::AlreadyClaimed,
        Ok(UNREACHABLE) => Reason::DatabaseUnreachable,
        _ => Reason::MigrationFailed,
    };
    let said = last.message.as_deref().map(words).filter(|said| !said.is_empty());
    let why = said.unwrap_or_else(|| format!("it ended with exit code {}", last.exit_code));
    Some(Failure { reason, why })
}

/// Why the newest pod does not start: an image that is not there, a node that has no room.
pub(super) fn waits(pods: &[Pod]) -> Option<String> {
    let newest = pods.iter().max_by_key(|pod| pod.creation_timestamp())?;
    let status = newest.status.as_ref()?;
    let container = status.container_statuses.as_ref().and_then(|statuses| statuses.first()?.state.as_ref());
    let container = container.and_then(|state| state.waiting.as_ref());
    let container = container.map(|waiting| (waiting.reason.clone(), waiting.message.clone()));
    // What each pod passes through is no reason.
    let container = container.filter(|(reason, _)| {
        !reason.as_deref().is_some_and(|reason| ["ContainerCreating", "PodInitializing"].contains(&reason))
    });
    let mut conditions = status.conditions.iter().flatten();
    let node = conditions.find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    let node = node.map(|unscheduled| (unscheduled.reason.clone(), unscheduled.message.clone()));
    let (reason, message) = container.or(node)?;
    let said = [reason, message].into_iter().flatten().collect::<Vec<_>>().join(": ");
    Some(said.chars().take(MOST).collect())
}

/// The error of the last log line; all that was said, where that is none of ours: bad settings end a process before it
/// has logs.
fn words(said: &str) -> String {
    let last = said.lines().last().and_then(|line| serde_json::from_str::<Value>(line).ok());
    let error = last.as_ref().and_then(|line| line["error"].as_str());
    let words = error.unwrap_or(said).split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(made: &str, exit_code: u8, message: &str) -> Pod {
        let terminated = json!({"exitCode": exit_code, "message": message});
        serde_json::from_value(json!({
            "metadata": {"creationTimestamp": made},
            "status": {"containerStatuses": [{
                "name": "migrations", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": terminated},
            }]},
        }))
        .unwrap()
    }

    #[test]
    fn the_exit_code_is_the_reason_and_the_last_log_line_says_why() {
        let log = |error: &str| {
            format!(
                "{{\"level\":\"WARN\"}}\n{}\n",
                json!({"level": "ERROR", "message": "migrations end", "error": error})
            )
        };
        for (code, reason) in [
            (77, Reason::AlreadyClaimed),
            (69, Reason::DatabaseUnreachable),
            (64, Reason::MigrationFailed),
            (1, Reason::MigrationFailed),
            (137, Reason::MigrationFailed),
        ] {
            let told = failure(&[pod("2026-11-21T12:00:00Z", code, &log("so it is"))]).unwrap();
            assert_eq!(told, Failure { reason, why: "so it is".into() }, "{code}");
        }
    }

    #[test]
    fn a_pod_that_does_not_start_says_why() {
        let pod = |status: Value| serde_json::from_value::<Pod>(json!({"status": status})).unwrap();
        let waiting = |reason: &str| {
            pod(json!({"containerStatuses": [{
                "name": "migrations", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": reason, "message": "no such tag"}},
            }]}))
        };
        assert_eq!(waits(&[waiting("ImagePullBackOff")]).unwrap(), "ImagePullBackOff: no such tag");
        assert_eq!(waits(&[waiting("ContainerCreating")]), None);
        let unscheduled = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]);
        assert_eq!(waits(&[pod(json!({"conditions": unscheduled}))]).unwrap(), "Unschedulable");
        assert_eq!(waits(&[]), None);
    }

    #[test]
    fn the_last_pod_that_failed_is_asked() {
        let pods = [
            pod("2026-11-21T12:00:02Z", 77, "second"),
            pod("2026-11-21T12:00:01Z", 1, "first"),
            pod("2026-11-21T12:00:03Z", 0, "none"),
        ];
        assert_eq!(failure(&pods).unwrap().why, "second");
        assert_eq!(failure(&[]), None);
    }

    #[test]
    fn what_is_no_log_line_is_told_as_it_is() {
        let why = |message: &str| failure(&[pod("2026-11-21T12:00:00Z", 64, message)]).unwrap().why;
        assert_eq!(
            why("error: bad\n\n  the value is that of FLUXO_X\n"),
            "error: bad the value is that of FLUXO_X"
        );
        assert_eq!(why(""), "it ended with exit code 64");
        assert_eq!(why(&"x".repeat(5_000)).len(), MOST);
    }
}
