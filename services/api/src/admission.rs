//! How much may be in flight: accepted from clients, and not yet acknowledged by Kafka.
//!
//! Usually a permit ends with the delivery of its record, and who comes when all are taken is refused. With a
//! [`Backlog`], the permit of a delivered record is held until somebody says that the record was recorded, and who
//! comes when all are taken waits a while first: a flood slows down. That is for a Kafka that keeps little, such as
//! librdkafka's mock cluster, which drops what is beyond 5 MiB of a partition.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::gauge::ConstGauge,
    registry::Unit,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a request waits for permits that a [`Backlog`] gives back.
const PATIENCE: Duration = Duration::from_secs(10);

/// The bound of what is in flight. Cloned, it is the same one.
#[derive(Clone, Debug)]
pub struct Admission {
    records: Bound,
    bytes: Bound,
    /// What is held until it is recorded; `None` when nothing is.
    held: Option<Arc<Held>>,
}

/// Gives permits back once their records are recorded.
#[derive(Clone, Debug)]
pub struct Backlog(Admission);

#[derive(Clone, Debug)]
struct Bound {
    limit: u32,
    free: Arc<Semaphore>,
}

/// Below zero for what was recorded before its delivery was reported: the two come on different threads.
#[derive(Debug, Default)]
struct Held {
    records: AtomicI64,
    bytes: AtomicI64,
}

/// Leave for some records of some bytes to be in flight. Dropped, it is given back.
#[derive(Debug)]
pub(crate) struct Permit {
    records: OwnedSemaphorePermit,
    bytes: OwnedSemaphorePermit,
    held: Option<Arc<Held>>,
}

impl Admission {
    /// Room for so many records and so many bytes of their values.
    pub fn new(records: u32, bytes: u32) -> Self {
        Self { records: Bound::new(records), bytes: Bound::new(bytes), held: None }
    }

    /// Room for so many records and bytes that are not yet recorded; the [`Backlog`] says when they are.
    pub fn until_recorded(records: u32, bytes: u32) -> (Self, Backlog) {
        let admission = Self { held: Some(Arc::default()), ..Self::new(records, bytes) };
        (admission.clone(), Backlog(admission))
    }

    /// Leave for so many records of so many bytes together, or `None`. More than there is room for at all gets all
    /// of it.
    pub(crate) async fn permit(&self, records: usize, bytes: usize) -> Option<Permit> {
        let taken = self.records.try_take(records).zip(self.bytes.try_take(bytes));
        let (records, bytes) = match taken {
            None if self.held.is_some() => {
                let both = async { (self.records.take(records).await, self.bytes.take(bytes).await) };
                tokio::time::timeout(PATIENCE, both).await.ok()?
            }
            taken => taken?,
        };
        Some(Permit { records, bytes, held: self.held.clone() })
    }
}

impl Backlog {
    /// So many records, whose values have so many bytes together, have been read from Kafka and dealt with.
    pub fn recorded(&self, records: usize, bytes: usize) {
        let Some(held) = &self.0.held else { return };
        self.0.records.give_back(&held.records, records);
        self.0.bytes.give_back(&held.bytes, bytes);
    }
}

impl Permit {
    /// The part of it that is one record's.
    pub(crate) fn split(&mut self, bytes: usize) -> Self {
        let part = |permit: &mut OwnedSemaphorePermit, amount: usize| {
            let amount = amount.min(permit.num_permits());
            permit.split(amount).expect("no more than there is")
        };
        Self {
            records: part(&mut self.records, 1),
            bytes: part(&mut self.bytes, bytes),
            held: self.held.clone(),
        }
    }

    /// Its record is on Kafka.
    pub(crate) fn delivered(mut self) {
        if let Some(held) = &self.held {
            hold(&held.records, &mut self.records);
            hold(&held.bytes, &mut self.bytes);
        }
    }
}

/// Holds a permit, but for the part of it that was recorded already.
fn hold(held: &AtomicI64, permit: &mut OwnedSemaphorePermit) {
    let amount = permit.num_permits();
    let before = held.fetch_add(signed(amount), Relaxed);
    let recorded = usize::try_from(-before).unwrap_or_default();
    if let Some(rest) = permit.split(amount.saturating_sub(recorded)) {
        rest.forget();
    }
}

fn signed(amount: usize) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

impl Bound {
    fn new(limit: u32) -> Self {
        Self { limit, free: Arc::new(Semaphore::new(limit as usize)) }
    }

    fn of(&self, amount: usize) -> u32 {
        u32::try_from(amount).unwrap_or(u32::MAX).min(self.limit)
    }

    fn try_take(&self, amount: usize) -> Option<OwnedSemaphorePermit> {
        self.free.clone().try_acquire_many_owned(self.of(amount)).ok()
    }

    async fn take(&self, amount: usize) -> OwnedSemaphorePermit {
        self.free.clone().acquire_many_owned(self.of(amount)).await.expect("it is never closed")
    }

    /// Never more than was held: what is recorded before its delivery is reported is not held then.
    fn give_back(&self, held: &AtomicI64, amount: usize) {
        let before = held.fetch_sub(signed(amount), Relaxed);
        self.free.add_permits(usize::try_from(before).unwrap_or_default().min(amount));
    }

    fn in_flight(&self) -> i64 {
        let taken = (self.limit as usize).saturating_sub(self.free.available_permits());
        i64::try_from(taken).unwrap_or(i64::MAX)
    }
}

/// What is in flight, as metrics: read when they are asked for, so that a request pays nothing.
impl Collector for Admission {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let bytes = Unit::Bytes;
        for (name, help, unit, bound) in [
            ("in_flight_records", "Records that wait for their acknowledgement.", None, &self.records),
            ("in_flight", "Bytes of records that wait for their acknowledgement.", Some(&bytes), &self.bytes),
        ] {
            let gauge = ConstGauge::new(bound.in_flight());
            gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn now(admission: &Admission, records: usize, bytes: usize) -> Option<Permit> {
        admission.permit(records, bytes).now_or_never().flatten()
    }

    #[tokio::test]
    async fn what_is_beyond_the_bound_is_refused_until_a_permit_ends() {
        let admission = Admission::new(2, 100);
        let first = admission.permit(1, 60).await.unwrap();
        assert!(admission.permit(1, 60).await.is_none(), "too many bytes");
        assert!(admission.permit(2, 1).await.is_none(), "too many records");
        first.delivered();
        assert!(admission.permit(2, 100).await.is_some());
    }

    #[tokio::test]
    async fn a_batch_larger_than_all_the_room_gets_all_of_it() {
        let admission = Admission::new(2, 100);
        let mut all = admission.permit(5, 500).await.unwrap();
        assert!(admission.permit(1, 1).await.is_none());
        let part = all.split(500);
        drop(all);
        assert!(admission.permit(1, 0).await.is_some() && admission.permit(1, 1).await.is_none());
        drop(part);
        assert_eq!((admission.records.in_flight(), admission.bytes.in_flight()), (0, 0));
    }

    #[tokio::test]
    async fn what_is_held_until_recorded_makes_others_wait() {
        let (admission, backlog) = Admission::until_recorded(1, 100);
        admission.permit(1, 10).await.unwrap().delivered();
        assert!(now(&admission, 1, 10).is_none());
        let waiting = tokio::spawn({
            let admission = admission.clone();
            async move { admission.permit(1, 10).await.is_some() }
        });
        backlog.recorded(1, 10);
        assert!(waiting.await.unwrap());
    }

    #[tokio::test]
    async fn no_more_is_given_back_than_was_held() {
        let (admission, backlog) = Admission::until_recorded(1, 100);
        backlog.recorded(7, 700);
        let permit = now(&admission, 1, 100).unwrap();
        assert!(now(&admission, 1, 0).is_none());
        drop(permit);
        assert!(now(&admission, 1, 100).is_some(), "what was not delivered is given back at once");
    }

    #[tokio::test]
    async fn what_is_recorded_before_its_delivery_is_reported_is_not_held() {
        let (admission, backlog) = Admission::until_recorded(2, 100);
        let (first, second) = (now(&admission, 1, 40).unwrap(), now(&admission, 1, 40).unwrap());
        backlog.recorded(1, 40);
        first.delivered();
        assert_eq!((admission.records.in_flight(), admission.bytes.in_flight()), (1, 40));
        second.delivered();
        backlog.recorded(1, 40);
        assert_eq!((admission.records.in_flight(), admission.bytes.in_flight()), (0, 0));
    }

    #[tokio::test]
    async fn no_order_of_deliveries_and_recordings_leaks_a_permit() {
        let (admission, backlog) = Admission::until_recorded(1_000, 1_000_000);
        let recorder = std::thread::spawn(move || (0..50_000).for_each(|_| backlog.recorded(1, 7)));
        for _ in 0..50_000 {
            admission.permit(1, 7).await.unwrap().delivered();
        }
        recorder.join().unwrap();
        assert_eq!((admission.records.in_flight(), admission.bytes.in_flight()), (0, 0));
    }
}
