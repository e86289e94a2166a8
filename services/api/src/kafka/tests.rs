use std::ffi::CString;

use fluxo_core::kit::health::Readiness;
use fluxo_testkit::eventually;
use rdkafka::{
    bindings::{rd_kafka_resp_err_t as Response, rd_kafka_test_fatal_error},
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::RDKafkaApiKey,
};
use tokio::sync::oneshot;

use super::*;

const TOPIC: &str = "transactions";
const LONG: Duration = Duration::from_secs(30);

/// A producer of a mock cluster, looked after by a task. All of a test runs on one thread, as the cluster must.
struct Fixture {
    cluster: MockCluster<'static, DefaultProducerContext>,
    producer: Producer,
    readiness: Readiness,
}

impl Fixture {
    async fn ready(delivery_timeout: Duration) -> Self {
        let fixture = Self::start(delivery_timeout, true);
        fixture.until_ready().await;
        fixture
    }

    fn start(delivery_timeout: Duration, has_topic: bool) -> Self {
        let cluster = MockCluster::new(1).unwrap();
        if has_topic {
            cluster.create_topic(TOPIC, 4, 1).unwrap();
        }
        let settings = KafkaSettings::plaintext(cluster.bootstrap_servers(), TOPIC);
        let producer = Producer::start(&settings, delivery_timeout, 1_000, 1 << 20).unwrap();
        let readiness = Readiness::default();
        tokio::spawn({
            let (producer, condition) = (producer.clone(), readiness.condition("kafka"));
            async move { producer.supervise(&condition).await }
        });
        Self { cluster, producer, readiness }
    }

    async fn until_ready(&self) {
        eventually("the producer is ready", LONG, async || self.producer.is_ready().then_some(())).await;
    }

    /// The reason why it is not ready, once it has `part`.
    async fn until_unready(&self, part: &str) {
        let reason = async || {
            let missing = self.readiness.missing();
            missing.into_iter().find_map(|(_, reason)| reason.contains(part).then_some(reason))
        };
        eventually(part, LONG, reason).await;
        assert!(!self.producer.is_ready());
    }

    fn send(&self, value: &[u8]) -> oneshot::Receiver<Delivery> {
        let (report, delivery) = oneshot::channel();
        let report = Box::new(move |delivery| {
            let _ = report.send(delivery);
        });
        self.producer.send("ana", value, &Trace::default(), report);
        delivery
    }
}

#[tokio::test]
async fn what_the_broker_acknowledges_is_persisted() {
    let fixture = Fixture::ready(LONG).await;
    assert_eq!(fixture.send(b"{}").await, Ok(Delivery::Persisted));
}

#[tokio::test]
async fn to_become_ready_nothing_is_written() {
    let fixture = Fixture::ready(LONG).await;
    let current = fixture.producer.current();
    for partition in 0..4 {
        let marks = current.native.client().fetch_watermarks(TOPIC, partition, LONG).unwrap();
        assert_eq!(marks, (0, 0), "{partition}");
    }
}

#[tokio::test]
async fn a_topic_that_is_missing_is_named_and_not_made() {
    let fixture = Fixture::start(LONG, false);
    fixture.until_unready("the topic transactions does not exist").await;
    fixture.until_unready("the topic transactions does not exist").await;
    fixture.cluster.create_topic(TOPIC, 1, 1).unwrap();
    fixture.until_ready().await;
}

#[tokio::test]
async fn a_record_that_never_left_is_not_persisted() {
    let fixture = Fixture::ready(Duration::from_secs(1)).await;
    fixture.cluster.broker_down(1).unwrap();
    fixture.until_unready("no broker").await;
    assert_eq!(fixture.send(b"{}").await, Ok(Delivery::NotPersisted));
    fixture.cluster.broker_up(1).unwrap();
    fixture.until_ready().await;
    assert_eq!(fixture.send(b"{}").await, Ok(Delivery::Persisted));
}

#[tokio::test]
async fn a_record_that_the_broker_refuses_is_not_persisted() {
    let fixture = Fixture::ready(LONG).await;
    let refusal = Response::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    fixture.cluster.request_errors(RDKafkaApiKey::Produce, &[refusal]);
    assert_eq!(fixture.send(b"{}").await, Ok(Delivery::NotPersisted));
}

#[tokio::test]
async fn a_record_whose_acknowledgement_does_not_come_in_time_is_unknown() {
    let fixture = Fixture::ready(Duration::from_secs(1)).await;
    fixture.cluster.broker_round_trip_time(1, Duration::from_secs(20)).unwrap();
    assert_eq!(fixture.send(b"{}").await, Ok(Delivery::Unknown));
}

#[tokio::test]
async fn what_is_given_up_is_reported_at_once() {
    let fixture = Fixture::ready(LONG).await;
    fixture.cluster.broker_round_trip_time(1, LONG).unwrap();
    let delivery = fixture.send(b"{}");
    let outstanding = async || (fixture.producer.current().native.in_flight_count() == 1).then_some(());
    eventually("the record is taken", LONG, outstanding).await;
    fixture.producer.give_up();
    assert_ne!(delivery.await, Ok(Delivery::Persisted));
}

#[tokio::test]
async fn a_producer_with_a_fatal_error_is_replaced() {
    let fixture = Fixture::ready(LONG).await;
    let reason = CString::new("made by a test").unwrap();
    let before = {
        let current = fixture.producer.current();
        let client = current.native.client().native_ptr();
        let code = Response::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
        #[allow(unsafe_code, reason = "the Rust wrapper does not offer this call")]
        // SAFETY: the client and the reason live until the end of this block; the call copies the reason.
        unsafe {
            rd_kafka_test_fatal_error(client, code, reason.as_ptr());
        }
        current.state.clone()
    };
    let replaced = async || (!Arc::ptr_eq(&before, &fixture.producer.current().state)).then_some(());
    eventually("another producer", LONG, replaced).await;
    fixture.until_ready().await;
    assert_eq!(fixture.send(b"{}").await, Ok(Delivery::Persisted));
}
