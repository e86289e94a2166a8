//! Events: one when a condition turns, one when the number of listeners is changed, and one for what was done to a topic
//! without Strimzi. Never one for what stays.

use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{
    Resource as _,
    runtime::events::{Event, EventType, Recorder},
};

use super::topics::Taken;
use crate::crd::{PipelineStatus, Reason, TransactionPipeline};

/// What an event may say at most.
const NOTE_MOST: usize = 1_000;

/// Tells what turned.
pub(super) async fn publish(
    recorder: &Recorder,
    pipeline: &TransactionPipeline,
    before: Option<&PipelineStatus>,
    after: &PipelineStatus,
) {
    write(recorder, pipeline, turned(before, after)).await;
}

/// Tells what was done to topics: who has changed one by hand sees that it was changed back.
pub(super) async fn publish_taken(recorder: &Recorder, pipeline: &TransactionPipeline, taken: &[Taken]) {
    let event = |taken: &Taken| Event {
        type_: EventType::Normal,
        reason: taken.reason().into(),
        note: Some(note(&taken.to_string())),
        action: "TopicsReady".into(),
        secondary: None,
    };
    write(recorder, pipeline, taken.iter().map(event).collect()).await;
}

/// Events are for people: one that cannot be written stops nothing.
async fn write(recorder: &Recorder, pipeline: &TransactionPipeline, events: Vec<Event>) {
    let reference: ObjectReference = pipeline.object_ref(&());
    for event in events {
        if let Err(error) = recorder.publish(&event, &reference).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "an event was not written");
        }
    }
}

/// What turned between two statuses.
fn turned(before: Option<&PipelineStatus>, after: &PipelineStatus) -> Vec<Event> {
    let none = PipelineStatus::default();
    let before = before.unwrap_or(&none);
    let was = |type_: &str| before.conditions.iter().find(|condition| condition.type_ == type_);
    let turned: Vec<_> =
        after.conditions.iter().filter(|condition| is_news(was(&condition.type_), condition)).collect();
    // That all is not ready for the reason that one part is not would be said twice.
    let is_said_by_a_part = |condition: &Condition| {
        condition.type_ == "Ready"
            && turned.iter().any(|part| part.type_ != "Ready" && part.reason == condition.reason)
    };
    let told = turned.iter().filter(|condition| !is_said_by_a_part(condition));
    let mut events: Vec<_> = told.map(|condition| of_condition(condition)).collect();
    let decision = after.decisions.first().filter(|decision| before.decisions.first() != Some(decision));
    // At the start of a process, those of the status are none that were made now.
    if let Some(decision) = decision.filter(|_| !before.conditions.is_empty()) {
        events.push(Event {
            type_: EventType::Normal,
            reason: decision.reason.clone(),
            note: Some(format!("from {} to {} listeners", decision.from, decision.to)),
            action: "Scale".into(),
            secondary: None,
        });
    }
    events
}

/// Whether it turned, or is bad for another reason. That something waits for something else is none.
fn is_news(before: Option<&Condition>, now: &Condition) -> bool {
    let waits = now.reason == Reason::Waiting.as_str();
    // How the number of listeners is decided has an event of its own.
    let is_scaling = now.type_ == "Scaling" && now.status == "True";
    match before {
        _ if waits || is_scaling => false,
        None => true,
        Some(before) => (&before.status, &before.reason) != (&now.status, &now.reason),
    }
}

fn of_condition(condition: &Condition) -> Event {
    let calm = [Reason::RollingOut, Reason::Migrating, Reason::TopicPending, Reason::Deleting];
    let is_calm =
        condition.status != "False" || calm.iter().any(|reason| reason.as_str() == condition.reason);
    Event {
        type_: if is_calm { EventType::Normal } else { EventType::Warning },
        reason: condition.reason.clone(),
        note: Some(note(&condition.message)),
        action: condition.type_.clone(),
        secondary: None,
    }
}

fn note(text: &str) -> String {
    text.chars().take(NOTE_MOST).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn status(status: &str, reason: Reason, message: &str) -> PipelineStatus {
        let condition = Condition {
            type_: "Ready".into(),
            status: status.into(),
            reason: reason.as_str().into(),
            message: message.into(),
            observed_generation: Some(1),
            last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
        };
        PipelineStatus { conditions: vec![condition], ..PipelineStatus::default() }
    }

    #[test]
    fn what_stays_is_no_event_even_if_it_is_said_in_other_words() {
        let before = status("False", Reason::KafkaError, "once");
        assert!(turned(Some(&before), &status("False", Reason::KafkaError, "again")).is_empty());
        assert_eq!(turned(Some(&before), &status("True", Reason::AsDeclared, "")).len(), 1);
        assert_eq!(turned(Some(&before), &status("False", Reason::AlreadyClaimed, "")).len(), 1);
    }

    #[test]
    fn what_a_person_must_mend_is_a_warning() {
        let events = turned(None, &status("False", Reason::AlreadyClaimed, ""));
        assert_eq!(events[0].type_, EventType::Warning);
        let events = turned(None, &status("False", Reason::Migrating, ""));
        assert_eq!(events[0].type_, EventType::Normal);
    }
}
