//! What this replica remembers of idempotency keys: the ids that they stand for, with the content of each.
//!
//! Of all requests with one id, one at a time is the first: it holds the [`Ticket`]. Others with the same content
//! join it, others with other content are refused. So within one replica no two contents are accepted for one id, as
//! long as the id is remembered. After an unknown outcome the content stays known, and the same content may be sent
//! again; after an outcome that is certainly nothing, so may any.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use fluxo_core::{ContentHash, TransactionId};
use moka::{policy::EvictionPolicy, sync::Cache};
use tokio::sync::oneshot;

use crate::publish::{Acceptance, Error, Outcome};

/// The most requests that wait for one that is in flight.
const JOINED_MAX: usize = 64;

/// The latest ids.
#[derive(Debug)]
pub(crate) struct Window(Cache<TransactionId, Arc<Entry>>);

#[derive(Debug, Default)]
struct Entry(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    /// Nothing was sent.
    #[default]
    Free,
    /// Somebody is sending this content, and these wait for it.
    InFlight(ContentHash, Vec<oneshot::Sender<Outcome>>),
    /// This content was accepted.
    Accepted(ContentHash),
    /// This content was sent, and may have been accepted.
    Unknown(ContentHash),
}

/// What a request with a key is to do.
#[derive(Debug)]
pub(crate) enum Claim {
    /// Send it, and tell the ticket how it ended.
    First(Ticket),
    /// Wait for the one that sends it. The end of the channel means that it was given up.
    Joined(oneshot::Receiver<Outcome>),
    /// It is known how it ends.
    Ended(Outcome),
}

/// The right to send the content of an id. Dropped before its end, nothing was sent.
#[derive(Debug)]
pub(crate) struct Ticket {
    entry: Option<Arc<Entry>>,
    hash: ContentHash,
    /// It was sent before, and nobody knows how that ended.
    was_unknown: bool,
}

impl Window {
    /// Remembers the latest ids, so many and for so long.
    pub(crate) fn new(ids: u32, time: Duration) -> Self {
        // The oldest goes, not the one that was asked for least: a new key has never been asked for.
        let policy = EvictionPolicy::lru();
        Self(Cache::builder().max_capacity(ids.into()).time_to_live(time).eviction_policy(policy).build())
    }

    /// Claims an id for a content.
    pub(crate) fn claim(&self, id: TransactionId, hash: ContentHash) -> Claim {
        let entry = self.0.get_with(id, Arc::default);
        let mut state = entry.lock();
        let was_unknown = match &mut *state {
            State::Free => false,
            State::Unknown(known) if *known == hash => true,
            State::Accepted(known) if *known == hash => return Claim::Ended(Ok(Acceptance::Before)),
            State::InFlight(known, joined) if *known == hash => {
                joined.retain(|waiting| !waiting.is_closed());
                if joined.len() == JOINED_MAX {
                    return Claim::Ended(Err(Error::InFlight));
                }
                let (sender, receiver) = oneshot::channel();
                joined.push(sender);
                return Claim::Joined(receiver);
            }
            State::Unknown(_) | State::Accepted(_) | State::InFlight(..) => {
                return Claim::Ended(Err(Error::Reused));
            }
        };
        *state = State::InFlight(hash, Vec::new());
        drop(state);
        Claim::First(Ticket { entry: Some(entry), hash, was_unknown })
    }
}

impl Ticket {
    /// How it ended.
    pub(crate) fn end(mut self, outcome: Outcome) {
        let next = match outcome {
            Ok(_) => State::Accepted(self.hash),
            Err(Error::Unknown(_)) => State::Unknown(self.hash),
            Err(
                Error::Away
                | Error::Backlog
                | Error::Reused
                | Error::InFlight
                | Error::Refused(_)
                | Error::Abandoned,
            ) => self.not_sent(),
        };
        // To those who joined, it was accepted before.
        let told = outcome.map(|_| Acceptance::Before);
        for waiting in self.leave(next) {
            let _ = waiting.send(told);
        }
    }

    /// What is known when this request sent nothing.
    fn not_sent(&self) -> State {
        if self.was_unknown { State::Unknown(self.hash) } else { State::Free }
    }

    /// Leaves the id in another state, and those who joined to the caller.
    fn leave(&mut self, next: State) -> Vec<oneshot::Sender<Outcome>> {
        let Some(entry) = self.entry.take() else { return Vec::new() };
        match std::mem::replace(&mut *entry.lock(), next) {
            State::InFlight(_, joined) => joined,
            State::Free | State::Accepted(_) | State::Unknown(_) => Vec::new(),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let next = self.not_sent();
        self.leave(next);
    }
}

impl Entry {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use fluxo_core::quarantine::Reason;

    use super::*;

    const A: [u8; 32] = [1; 32];
    const B: [u8; 32] = [2; 32];

    struct Fixture(Window, TransactionId);

    impl Fixture {
        fn new() -> Self {
            Self(Window::new(1_000, Duration::from_mins(1)), TransactionId::generate())
        }

        fn claim(&self, hash: [u8; 32]) -> Claim {
            self.0.claim(self.1, hash.into())
        }

        fn first(&self, hash: [u8; 32]) -> Ticket {
            match self.claim(hash) {
                Claim::First(ticket) => ticket,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn an_equal_request_joins_the_first_and_shares_its_outcome() {
        for (outcome, told) in [
            (Ok(Acceptance::Now), Ok(Acceptance::Before)),
            (Err(Error::Away), Err(Error::Away)),
            (Err(Error::Refused(Reason::Overflow)), Err(Error::Refused(Reason::Overflow))),
        ] {
            let ids = Fixture::new();
            let ticket = ids.first(A);
            let Claim::Joined(mut joined) = ids.claim(A) else { panic!("not joined") };
            assert!(joined.try_recv().is_err());
            ticket.end(outcome);
            assert_eq!(joined.try_recv().unwrap(), told);
        }
    }

    #[test]
    fn other_content_is_refused_in_flight_when_accepted_and_when_nobody_knows() {
        let ids = Fixture::new();
        let ticket = ids.first(A);
        assert!(matches!(ids.claim(B), Claim::Ended(Err(Error::Reused))));
        ticket.end(Err(Error::Unknown(ids.1)));
        assert!(matches!(ids.claim(B), Claim::Ended(Err(Error::Reused))));
        ids.first(A).end(Ok(Acceptance::Now));
        assert!(matches!(ids.claim(B), Claim::Ended(Err(Error::Reused))));
        assert!(matches!(ids.claim(A), Claim::Ended(Ok(Acceptance::Before))));
    }

    #[test]
    fn what_was_certainly_not_sent_leaves_the_id_to_any_content() {
        let ids = Fixture::new();
        ids.first(A).end(Err(Error::Away));
        drop(ids.first(B));
        ids.first(A).end(Ok(Acceptance::Now));
    }

    #[test]
    fn an_unknown_outcome_is_not_forgotten_by_a_retry_that_was_not_sent() {
        let ids = Fixture::new();
        ids.first(A).end(Err(Error::Unknown(ids.1)));
        ids.first(A).end(Err(Error::Away));
        drop(ids.first(A));
        assert!(matches!(ids.claim(B), Claim::Ended(Err(Error::Reused))));
    }

    #[test]
    fn who_joined_one_that_is_given_up_is_told() {
        let ids = Fixture::new();
        let ticket = ids.first(A);
        let Claim::Joined(mut joined) = ids.claim(A) else { panic!("not joined") };
        drop(ticket);
        assert_eq!(joined.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }

    #[test]
    fn no_more_than_a_limit_join() {
        let ids = Fixture::new();
        let _ticket = ids.first(A);
        let mut joined: Vec<_> = (0..JOINED_MAX).map(|_| ids.claim(A)).collect();
        assert!(matches!(ids.claim(A), Claim::Ended(Err(Error::InFlight))));
        joined.pop();
        assert!(matches!(ids.claim(A), Claim::Joined(_)), "one has gone");
    }

    #[test]
    fn of_many_threads_with_two_contents_one_content_is_sent_once() {
        let ids = Fixture::new();
        let firsts: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16)
                .map(|i| {
                    scope.spawn({
                        let ids = &ids;
                        move || ids.claim(if i % 2 == 0 { A } else { B })
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(firsts.iter().filter(|claim| matches!(claim, Claim::First(_))).count(), 1);
    }
}
