//! The Job that brings the schema to what the images need.

use fluxo_core::kit::process::{ALREADY_CLAIMED, BAD_SETTINGS};
use k8s_openapi::{
    api::{
        batch::v1::{
            Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
            PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
        },
        core::v1::ResourceRequirements,
    },
    apimachinery::pkg::api::resource::Quantity,
};

use super::{
    checksum::digest,
    environment::Environment,
    metadata::{Component, metadata},
    pod::template,
};
use crate::{controller::model::ValidatedPipeline, crd::Migrate};

/// How often it is tried again, each time after a longer pause. Each try itself waits a minute for MySQL.
const BACKOFF_LIMIT: i32 = 4;
/// The fewest that the setting allows.
const CONNECTIONS: u32 = 2;

/// The Job, unless a person changes the schema.
///
/// What a Job runs cannot be changed, so its name says what it runs: another image, and with it another schema, other
/// settings or another password make another Job. It has no time to live: that it has succeeded is what lets the
/// Deployments be applied.
pub(super) fn migration(pipeline: &ValidatedPipeline) -> Option<Job> {
    if pipeline.database.migrate == Migrate::Manual {
        return None;
    }
    let mut environment = Environment::default();
    environment.database(pipeline, &pipeline.database.migration, CONNECTIONS);
    let mut template = template(pipeline, Component::Migrations, environment, resources());
    if let Some(spec) = &mut template.spec {
        // A pod that has failed stays, with its log.
        spec.restart_policy = Some("Never".into());
        for container in &mut spec.containers {
            container.args = Some(vec!["up".into()]);
        }
    }
    let content = serde_json::to_vec(&template).expect("a pod template is JSON");
    let name = pipeline.identity.child(&format!("migrations-{}", digest(&content)));
    Some(Job {
        metadata: metadata(pipeline, name, Some(Component::Migrations)),
        spec: Some(JobSpec {
            template,
            backoff_limit: Some(BACKOFF_LIMIT),
            pod_failure_policy: Some(failure_policy()),
            ..JobSpec::default()
        }),
        status: None,
    })
}

/// What no further try can mend ends the Job at once: bad settings, or a database that is another's. A pod that a node
/// took with it does not count.
fn failure_policy() -> PodFailurePolicy {
    let hopeless = PodFailurePolicyRule {
        action: "FailJob".into(),
        on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
            container_name: Some(Component::Migrations.as_str().into()),
            operator: "In".into(),
            values: vec![BAD_SETTINGS.into(), ALREADY_CLAIMED.into()],
        }),
        on_pod_conditions: None,
    };
    let disrupted = PodFailurePolicyRule {
        action: "Ignore".into(),
        on_exit_codes: None,
        on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
            type_: "DisruptionTarget".into(),
            status: "True".into(),
        }]),
    };
    PodFailurePolicy { rules: vec![hopeless, disrupted] }
}

fn resources() -> ResourceRequirements {
    let quantities = |quantities: &[(&str, &str)]| {
        let quantity = |(name, quantity): &(&str, &str)| ((*name).into(), Quantity((*quantity).into()));
        Some(quantities.iter().map(quantity).collect())
    };
    ResourceRequirements {
        requests: quantities(&[("cpu", "50m"), ("memory", "64Mi")]),
        limits: quantities(&[("memory", "256Mi")]),
        claims: None,
    }
}
