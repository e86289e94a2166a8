//! Which topic and cluster are behind a name.

use std::{sync::mpsc, thread, time::Duration};

use anyhow::Context as _;
use fluxo_core::{TopicId, settings::KafkaSettings};
use fluxo_kafka::describe_topic;
use rdkafka::{ClientContext, client::Client, consumer::Consumer as _};
use tokio::sync::oneshot;

/// What is behind the name of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster_id: String,
    /// The topic.
    pub topic_id: TopicId,
    /// How many partitions it has.
    pub partitions: usize,
}

/// Asks what is behind the name of a topic. Blocks.
pub(super) fn describe<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> anyhow::Result<Identity> {
    let (topic_id, partitions) = describe_topic(client, topic, timeout)?;
    let cluster_id = client.fetch_cluster_id(timeout).context("the cluster does not tell its id")?;
    Ok(Identity { cluster_id, topic_id, partitions })
}

/// Confirms that a topic is still the one that it was: an answer is given to a question only by asking Kafka after
/// the question came. So what was fetched before a question was fetched from the topic that the answer names, since
/// the id of a topic never comes back. Questions that come while Kafka is asked are answered together by the next.
#[derive(Clone, Debug)]
pub struct Oracle(mpsc::Sender<oneshot::Sender<Option<TopicId>>>);

impl Oracle {
    /// Starts it, on a thread and a connection of its own. It ends with its last clone.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn start(kafka: &KafkaSettings) -> anyhow::Result<Self> {
        let client = super::outsider(kafka)?;
        let topic = kafka.kafka_topic.clone();
        let (sender, questions) = mpsc::channel::<oneshot::Sender<Option<TopicId>>>();
        let ask = move || {
            while let Ok(first) = questions.recv() {
                let together: Vec<_> = std::iter::once(first).chain(questions.try_iter()).collect();
                let described = describe_topic(client.client(), &topic, super::TIMEOUT);
                if let Err(error) = &described {
                    tracing::warn!(error = format!("{error:#}"), "the topic cannot be confirmed");
                }
                let id = described.ok().map(|(id, _)| id);
                for question in together {
                    // Whoever asked may be gone.
                    let _ = question.send(id.clone());
                }
            }
        };
        thread::Builder::new().name("kafka-oracle".into()).spawn(ask).context("cannot start a thread")?;
        Ok(Self(sender))
    }

    /// Whether the topic has this id, now or later than now. What cannot be told counts as no.
    pub fn confirm(&self, id: TopicId) -> impl Future<Output = bool> + use<> {
        let (question, answer) = oneshot::channel();
        // Asked at once, not when it is awaited: so that the answer comes while the rows are written.
        let asked = self.0.send(question);
        async move { asked.is_ok() && answer.await.is_ok_and(|found| found.as_ref() == Some(&id)) }
    }
}
