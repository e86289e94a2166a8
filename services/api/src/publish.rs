//! From valid transactions to outcomes: idempotency, admission, Kafka.
//!
//! A batch and a single transaction take the same way. Each step is done for all of them before the next one, and
//! nothing is waited for until all are handed over: so two batches with keys in common cannot wait for each other.

use std::sync::Arc;

use fluxo_core::{Accepted, Client, ContentHash, Timestamp, TransactionId, message, quarantine::Reason};
use fluxo_store::read::Fate;
use tokio::sync::oneshot;

use crate::{
    admission::{Admission, Permit},
    fates::Fates,
    http::json::Sent,
    idempotency::{Claim, Ticket, Window},
    kafka::{Delivery, Producer},
    metrics::{Metrics, Refused},
    trace::Trace,
};

/// Publishes transactions.
pub(crate) struct Publisher {
    pub(crate) producer: Producer,
    pub(crate) admission: Admission,
    pub(crate) window: Window,
    pub(crate) fates: Fates,
    pub(crate) metrics: Arc<Metrics>,
}

/// A transaction that was to be published, and how that ended.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) id: TransactionId,
    pub(crate) hash: ContentHash,
    pub(crate) outcome: Outcome,
}

/// How the publishing of one transaction ended.
pub(crate) type Outcome = Result<Acceptance, Error>;

/// It is accepted: it becomes exactly one row, or exactly one record in quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acceptance {
    /// By this request.
    Now,
    /// By an earlier one with the same content.
    Before,
}

/// Why a transaction is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// Kafka cannot be reached, and nothing was sent.
    #[error("kafka cannot be reached")]
    Away,
    /// Too much is in flight, and nothing was sent.
    #[error("too much is in flight")]
    Backlog,
    /// It was sent, and nobody knows whether it was written.
    #[error("the outcome is unknown")]
    Unknown(TransactionId),
    /// The id has other content.
    #[error("the key was used with other content")]
    Reused,
    /// Too many wait for the first request with this id.
    #[error("the key is in flight")]
    InFlight,
    /// It is in quarantine.
    #[error("the transaction is in quarantine")]
    Refused(Reason),
    /// The request that sent it was given up before it did.
    #[error("the request was given up")]
    Abandoned,
}

/// A transaction on its way.
enum Step {
    /// To be sent, by the holder of its ticket, should it have a key.
    Send(Box<Accepted>, Option<Ticket>),
    /// Waits for Kafka, or for the request that it joined.
    Wait(oneshot::Receiver<Outcome>),
    /// Ended.
    Ended(Outcome),
}

impl Publisher {
    /// Publishes transactions of a client, in order. Returns how each ended, in the same order.
    pub(crate) async fn publish(&self, client: &Client, sent: Vec<Sent>, trace: &Trace) -> Vec<Published> {
        let now = Timestamp::now();
        let mut steps: Vec<(TransactionId, ContentHash, Step)> =
            sent.into_iter().map(|sent| self.claim(client, sent, now)).collect();
        self.look_up(&mut steps).await;
        self.send_all(&mut steps, trace).await;
        let mut published = Vec::with_capacity(steps.len());
        for (id, hash, step) in steps {
            let outcome = match step {
                Step::Wait(outcome) => outcome.await.unwrap_or(Err(Error::Abandoned)),
                Step::Ended(outcome) => outcome,
                Step::Send(..) => unreachable!("all were sent or ended"),
            };
            if outcome == Ok(Acceptance::Before) {
                self.metrics.replays.inc();
            }
            published.push(Published { id, hash, outcome });
        }
        published
    }

    /// Gives a transaction its id, and claims the id when a key stands for it.
    fn claim(&self, client: &Client, sent: Sent, now: Timestamp) -> (TransactionId, ContentHash, Step) {
        let id = match &sent.key {
            Some(key) => TransactionId::of_key(client, key),
            None => TransactionId::generate(),
        };
        let accepted = Box::new(sent.submission.accept(id, client.clone(), now));
        let hash = accepted.content_hash;
        let step = if sent.key.is_none() {
            Step::Send(accepted, None)
        } else {
            match self.window.claim(id, hash) {
                Claim::First(ticket) => Step::Send(accepted, Some(ticket)),
                Claim::Joined(outcome) => Step::Wait(outcome),
                Claim::Ended(outcome) => Step::Ended(outcome),
            }
        };
        (id, hash, step)
    }

    /// Ends those whose id the database knows already.
    async fn look_up(&self, steps: &mut [(TransactionId, ContentHash, Step)]) {
        let has_key = |step: &Step| matches!(step, Step::Send(_, Some(_)));
        let ids = steps.iter().filter(|(.., step)| has_key(step)).map(|(id, ..)| *id).collect();
        let fates = self.fates.look_up(ids).await;
        for (id, hash, step) in steps {
            let Some(fate) = fates.get(id) else { continue };
            let outcome = match fate {
                Fate::Recorded(known) if known == hash => Ok(Acceptance::Before),
                Fate::Recorded(_) => Err(Error::Reused),
                Fate::Refused(reason) => Err(Error::Refused(*reason)),
            };
            if let Step::Send(_, ticket @ Some(_)) = step {
                if let Some(ticket) = ticket.take() {
                    ticket.end(outcome);
                }
                *step = Step::Ended(outcome);
            }
        }
    }

    /// Hands over what is to be sent: all of it, or nothing when there is no room for all.
    async fn send_all(&self, steps: &mut [(TransactionId, ContentHash, Step)], trace: &Trace) {
        let values: Vec<_> = steps
            .iter()
            .map(
                |(.., step)| {
                    if let Step::Send(accepted, _) = step { message::encode(accepted) } else { Vec::new() }
                },
            )
            .collect();
        let records = steps.iter().filter(|(.., step)| matches!(step, Step::Send(..))).count();
        if records == 0 {
            return;
        }
        let mut room = if self.producer.is_ready() {
            let permit = self.admission.permit(records, values.iter().map(Vec::len).sum()).await;
            permit.ok_or(Error::Backlog).inspect_err(|_| self.metrics.refused(Refused::Backlog))
        } else {
            Err(Error::Away)
        };
        for ((id, _, step), value) in steps.iter_mut().zip(values) {
            if !matches!(step, Step::Send(..)) {
                continue;
            }
            let Step::Send(accepted, ticket) = std::mem::replace(step, Step::Ended(Err(Error::Away))) else {
                unreachable!("it was just seen");
            };
            *step = match &mut room {
                Ok(room) => {
                    let permit = room.split(value.len());
                    Step::Wait(self.send(&accepted, &value, trace, Sending { id: *id, ticket, permit }))
                }
                Err(error) => {
                    if let Some(ticket) = ticket {
                        ticket.end(Err(*error));
                    }
                    Step::Ended(Err(*error))
                }
            };
        }
    }

    fn send(
        &self,
        accepted: &Accepted,
        value: &[u8],
        trace: &Trace,
        sending: Sending,
    ) -> oneshot::Receiver<Outcome> {
        let (reply, receiver) = oneshot::channel();
        let metrics = self.metrics.clone();
        // The report does what must be done, whether or not the client has waited for it.
        let report = Box::new(move |delivery| {
            metrics.record(delivery);
            let _ = reply.send(sending.end(delivery));
        });
        self.producer.send(accepted.transaction.account.as_str(), value, trace, report);
        receiver
    }
}

/// What ends with the delivery of a record.
struct Sending {
    id: TransactionId,
    ticket: Option<Ticket>,
    permit: Permit,
}

impl Sending {
    fn end(self, delivery: Delivery) -> Outcome {
        let outcome = match delivery {
            Delivery::Persisted => {
                self.permit.delivered();
                Ok(Acceptance::Now)
            }
            Delivery::NotPersisted => Err(Error::Away),
            Delivery::Unknown => Err(Error::Unknown(self.id)),
        };
        if let Some(ticket) = self.ticket {
            ticket.end(outcome);
        }
        outcome
    }
}
