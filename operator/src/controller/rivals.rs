//! Which other pipeline has a topic of one, of all that watches told of.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use super::{Context, topics};
use crate::{crd::TransactionPipeline, identity::Identity};

impl Context {
    /// The older pipeline that has a topic of this one, in the same cluster that Strimzi does not run.
    pub(super) fn rival(&self, pipeline: &TransactionPipeline) -> Option<Identity> {
        let kafka = &pipeline.spec.kafka;
        let brokers = kafka.bootstrap_servers.as_deref()?;
        let topics = [kafka.topic.name.clone(), kafka.dead_letter_name()];
        let is_rival = |other: &TransactionPipeline| {
            let theirs = &other.spec.kafka;
            other.metadata.uid != pipeline.metadata.uid
                && age(other) < age(pipeline)
                && theirs.bootstrap_servers.as_deref().is_some_and(|theirs| share_a_broker(theirs, brokers))
                && [&theirs.topic.name, &theirs.dead_letter_name()]
                    .iter()
                    .any(|theirs| topics.contains(theirs))
        };
        self.oldest(is_rival)
    }

    /// The other pipeline whose status has the id of a topic, by whatever name its Kafka is reached.
    pub(super) fn owner(&self, pipeline: &TransactionPipeline, topic_id: &str) -> Option<Identity> {
        self.oldest(|other| {
            other.metadata.uid != pipeline.metadata.uid
                && topics::claim::ids(other).any(|theirs| theirs == topic_id)
        })
    }

    fn oldest(&self, is: impl Fn(&TransactionPipeline) -> bool) -> Option<Identity> {
        let found = self.pipelines.iter().flat_map(|store| store.state_filter(&is));
        found.min_by_key(|pipeline| age(pipeline)).map(|oldest| Identity::of(&oldest))
    }
}

fn age(pipeline: &TransactionPipeline) -> (Option<Time>, Option<String>, Option<String>) {
    (pipeline.creation_timestamp(), pipeline.namespace(), pipeline.metadata.name.clone())
}

fn share_a_broker(one: &str, other: &str) -> bool {
    one.split(',').any(|broker| other.split(',').any(|other| broker == other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_that_are_named_in_another_order_are_the_same() {
        assert!(share_a_broker("a:9092,b:9092", "b:9092,c:9092"));
        assert!(!share_a_broker("a:9092", "a:9093"));
    }
}
