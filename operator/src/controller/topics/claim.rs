//! Whose a topic is that Kafka has already.
//!
//! Kafka knows no owner of a topic. One that is there is a pipeline's only if something shows it: the pipeline's status
//! has its id; the pipeline's group has read it, as after one of the same name that retained it; a person says so; or it
//! never had a record, so that nothing of another's can be lost or read.

use kube::ResourceExt as _;

use super::{Found, Request};
use crate::{
    crd::{self, TransactionPipeline},
    identity::Identity,
    kafka::Kafka,
    lag::{TopicOffsets, Unknown},
};

/// The annotation by which a person gives a pipeline topics that are there, by their ids, separated by commas.
pub const ADOPTS: &str = "fluxo.dev/adopt-topics";

/// What a pipeline shows of topics that are its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    known: Vec<String>,
    adopted: Vec<String>,
}

/// What shows that a topic is the pipeline's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Its id is in the status.
    Known,
    /// A person says so.
    Adopted,
    /// The pipeline's group has read it.
    Read,
    /// It never had a record.
    Empty,
}

impl Marks {
    /// Those of a pipeline.
    pub fn of(pipeline: &TransactionPipeline) -> Self {
        let adopted = pipeline.annotations().get(ADOPTS).into_iter().flat_map(|ids| ids.split(','));
        Self {
            known: ids(pipeline).map(Into::into).collect(),
            adopted: adopted.map(|id| id.trim().into()).collect(),
        }
    }

    fn show(&self, id: &str) -> Option<Proof> {
        let has = |ids: &[String]| ids.iter().any(|known| known == id);
        if has(&self.known) {
            return Some(Proof::Known);
        }
        has(&self.adopted).then_some(Proof::Adopted)
    }
}

impl Proof {
    /// Whether it speaks for the dead-letter topic as well, which no group reads.
    pub(super) const fn is_of_both(self) -> bool {
        matches!(self, Self::Adopted | Self::Read)
    }
}

/// The ids of a pipeline's topics, as its status has them.
pub fn ids(pipeline: &TransactionPipeline) -> impl Iterator<Item = &str> {
    let status = pipeline.status.as_ref();
    let ids = status.map(|status| [&status.topic_id, &status.dead_letter_topic_id]);
    ids.into_iter().flatten().flatten().map(String::as_str)
}

/// What shows that a topic which is there is the pipeline's, or why it is not.
pub(super) async fn claim(
    kafka: &Kafka,
    request: Request<'_>,
    (topic, id): (&str, &str),
) -> Result<Proof, Found> {
    let shown = request.marks.show(id);
    if shown == Some(Proof::Known) {
        return Ok(Proof::Known);
    }
    if let Some(Identity { namespace, name, .. }) = (request.owner)(id) {
        return Err(Found::ClaimedBy { namespace, name });
    }
    if let Some(shown) = shown {
        return Ok(shown);
    }
    let offsets = kafka.offsets(&request.pipeline.listener.group, topic).await;
    match offsets.and_then(|offsets| traces(&offsets)) {
        Ok(Some(Proof::Empty)) => new(request).map(|()| Proof::Empty),
        Ok(Some(proof)) => Ok(proof),
        Ok(None) => Err(Found::Unclaimed { id: id.into() }),
        Err(unknown) => Err(not_known(&unknown)),
    }
}

/// Whether the pipeline may have a topic that nobody has: of several that name it, the oldest may.
pub(super) fn new(request: Request<'_>) -> Result<(), Found> {
    match request.rival.cloned() {
        Some(Identity { namespace, name, .. }) => Err(Found::ClaimedBy { namespace, name }),
        None => Ok(()),
    }
}

/// What its records and the group's commits show.
fn traces(offsets: &TopicOffsets) -> Result<Option<Proof>, Unknown> {
    let (mut is_read, mut is_empty) = (false, true);
    for offsets in offsets.partitions.values() {
        let offsets = offsets.as_ref().map_err(Clone::clone)?;
        is_read |= offsets.committed.is_some();
        is_empty &= offsets.last_stable == 0;
    }
    Ok(if is_read { Some(Proof::Read) } else { is_empty.then_some(Proof::Empty) })
}

fn not_known(unknown: &Unknown) -> Found {
    let reason = match unknown {
        Unknown::Away(_) => crd::Reason::KafkaUnreachable,
        Unknown::Refused(_) => crd::Reason::KafkaError,
        Unknown::NotAsked | Unknown::NoTopic | Unknown::BeyondEnd { .. } => crd::Reason::TopicPending,
    };
    Found::Not(reason, format!("it is not known whose the topic is: {unknown}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lag::Offsets;

    fn of(partitions: &[(Option<i64>, i64)]) -> Result<Option<Proof>, Unknown> {
        let offsets = |(committed, last_stable): &(Option<i64>, i64)| {
            Ok(Offsets { committed: *committed, log_start: 0, last_stable: *last_stable })
        };
        let partitions = (0..).zip(partitions.iter().map(offsets)).collect();
        traces(&TopicOffsets { topic_id: "id".into(), partitions })
    }

    #[test]
    fn a_topic_with_records_that_the_group_never_read_is_nobodys_to_take() {
        assert_eq!(of(&[(None, 0), (None, 7)]), Ok(None));
        assert_eq!(of(&[(None, 0), (None, 0)]), Ok(Some(Proof::Empty)));
        assert_eq!(of(&[(None, 7), (Some(3), 7)]), Ok(Some(Proof::Read)));
    }

    #[test]
    fn a_partition_that_is_not_known_shows_nothing() {
        let away = Unknown::Away("no broker".into());
        let partitions = [(0, Err(away.clone()))].into();
        assert_eq!(traces(&TopicOffsets { topic_id: "id".into(), partitions }), Err(away));
    }

    #[test]
    fn ids_of_the_status_and_of_the_annotation_are_told_apart() {
        let mut pipeline = crate::controller::fixtures::Scene::example("minimal").pipeline;
        assert_eq!(Marks::of(&pipeline), Marks::default());
        let status = crd::PipelineStatus {
            topic_id: Some("first".into()),
            dead_letter_topic_id: Some("second".into()),
            ..crd::PipelineStatus::default()
        };
        pipeline.status = Some(status);
        pipeline.annotations_mut().insert(ADOPTS.into(), "third, fourth".into());
        let marks = Marks::of(&pipeline);
        let shown = ["first", "second", "third", "fourth", "fifth"].map(|id| marks.show(id));
        let (known, adopted) = (Some(Proof::Known), Some(Proof::Adopted));
        assert_eq!(shown, [known, known, adopted, adopted, None]);
    }
}
