//! From valid transactions to outcomes: idempotency, admission, Kafka.
//!
//! A batch and a single transaction take the same way. Each step is done for all of them before the next one, and
//! nothing is waited for until all are handed over: so two batches with keys in common cannot wait for each other.

use std::sync::Arc;

use fluxo_core::{
    Account, Client, ContentHash, Submission, Timestamp, TransactionId, id::IdempotencyKey, message,
    quarantine::Reason,
};
use fluxo_store::read::Fate;
use tokio::sync::oneshot;

use crate::{
    admission::{Admission, Permit},
    fates::Fates,
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

/// What a client wants to have recorded, and what it calls it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) submission: Submission,
    pub(crate) key: Option<IdempotencyKey>,
    /// The transaction that it reverses. It stands for the reversal as a key does, whoever sends it.
    pub(crate) reverses: Option<TransactionId>,
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
    /// Kafka cannot be reached, or does not take it; nothing was written.
    #[error("kafka does not take it")]
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
struct Step {
    id: TransactionId,
    hash: ContentHash,
    next: Next,
}

/// What is next for a transaction.
enum Next {
    /// To be sent, by the holder of its ticket, should it be able to come again.
    Send { account: Account, value: Vec<u8>, ticket: Option<Ticket> },
    /// To wait for Kafka, or for the request that it joined.
    Wait(oneshot::Receiver<Outcome>),
    /// Nothing.
    Ended(Outcome),
}

impl Publisher {
    /// Publishes transactions of a client, in order. Returns how each ended, in the same order.
    pub(crate) async fn publish(&self, client: &Client, sent: Vec<Sent>, trace: &Trace) -> Vec<Published> {
        let now = Timestamp::now();
        let mut steps: Vec<_> = sent.into_iter().map(|sent| self.claim(client, sent, now)).collect();
        self.look_up(&mut steps).await;
        self.send_all(&mut steps, trace).await;
        let mut published = Vec::with_capacity(steps.len());
        for Step { id, hash, next } in steps {
            let outcome = match next {
                Next::Wait(outcome) => outcome.await.unwrap_or(Err(Error::Abandoned)),
                Next::Ended(outcome) => outcome,
                Next::Send { .. } => unreachable!("all were sent or ended"),
            };
            if outcome == Ok(Acceptance::Before) {
                self.metrics.replays.inc();
            }
            published.push(Published { id, hash, outcome });
        }
        published
    }

    /// Gives a transaction its id, and claims the id when it can come again.
    fn claim(&self, client: &Client, sent: Sent, now: Timestamp) -> Step {
        let Sent { submission, key, reverses } = sent;
        let can_come_again = key.is_some() || reverses.is_some();
        let accepted = match (reverses, key) {
            (Some(first), _) => submission.accept_as_reversal(first, client.clone(), now),
            (None, Some(key)) => submission.accept(TransactionId::of_key(client, &key), client.clone(), now),
            (None, None) => submission.accept(TransactionId::generate(), client.clone(), now),
        };
        let (id, hash) = (accepted.transaction.id, accepted.content_hash);
        let to_send = |ticket| {
            let value = message::encode(&accepted);
            Next::Send { account: accepted.transaction.account, value, ticket }
        };
        let next = match can_come_again.then(|| self.window.claim(id, hash)) {
            None => to_send(None),
            Some(Claim::First(ticket)) => to_send(Some(ticket)),
            Some(Claim::Joined(outcome)) => Next::Wait(outcome),
            Some(Claim::Ended(outcome)) => Next::Ended(outcome),
        };
        Step { id, hash, next }
    }

    /// Ends those whose id the database knows already.
    async fn look_up(&self, steps: &mut [Step]) {
        let can_come_again = |step: &&Step| matches!(step.next, Next::Send { ticket: Some(_), .. });
        let ids = steps.iter().filter(can_come_again).map(|step| step.id).collect();
        let fates = self.fates.look_up(ids).await;
        for Step { id, hash, next } in steps {
            let (Some(fate), Next::Send { ticket, .. }) = (fates.get(id), &mut *next) else { continue };
            let outcome = match fate {
                Fate::Recorded(known) if known == hash => Ok(Acceptance::Before),
                Fate::Recorded(_) => Err(Error::Reused),
                Fate::Refused(reason) => Err(Error::Refused(*reason)),
            };
            end(ticket.take(), outcome);
            *next = Next::Ended(outcome);
        }
    }

    /// Hands over what is to be sent: all of it, or nothing when there is no room for all.
    async fn send_all(&self, steps: &mut [Step], trace: &Trace) {
        let values = steps.iter().filter_map(|step| match &step.next {
            Next::Send { value, .. } => Some(value.len()),
            Next::Wait(_) | Next::Ended(_) => None,
        });
        let (records, bytes) = values.fold((0, 0), |(records, bytes), length| (records + 1, bytes + length));
        if records == 0 {
            return;
        }
        let mut room = self.room(records, bytes).await;
        for Step { id, next, .. } in steps {
            let Next::Send { account, value, ticket } = next else { continue };
            let ticket = ticket.take();
            *next = match &mut room {
                Ok(room) => {
                    let sending = Sending { id: *id, ticket, permit: room.split(value.len()) };
                    Next::Wait(self.send(account, value, trace, sending))
                }
                Err(error) => {
                    end(ticket, Err(*error));
                    Next::Ended(Err(*error))
                }
            };
        }
    }

    /// Leave to send so much.
    async fn room(&self, records: usize, bytes: usize) -> Result<Permit, Error> {
        if !self.producer.is_ready() {
            return Err(Error::Away);
        }
        self.admission.permit(records, bytes).await.ok_or_else(|| {
            self.metrics.refused(Refused::Backlog);
            Error::Backlog
        })
    }

    fn send(
        &self,
        account: &Account,
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
        self.producer.send(account.as_str(), value, trace, report);
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
        end(self.ticket, outcome);
        outcome
    }
}

/// Tells the ticket of a transaction, should it have one, how it ended.
fn end(ticket: Option<Ticket>, outcome: Outcome) {
    if let Some(ticket) = ticket {
        ticket.end(outcome);
    }
}
