//! What clients know: what they posted, and what they were told of it.

use std::collections::BTreeMap;

use uuid::Uuid;

/// A transaction that was posted, perhaps several times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Posted {
    /// Its description, which no other has.
    pub(crate) tag: String,
    pub(crate) account: String,
    /// What it adds to its account, in minor units.
    pub(crate) minor: i64,
    /// What its retries have in common; without one it is posted again only when it was certainly not taken.
    pub(crate) key: Option<String>,
    /// When it was first sent, in steps of its account's client.
    pub(crate) sent: u64,
    /// When it was told that it is accepted.
    pub(crate) accepted: Option<u64>,
    pub(crate) told: Told,
    /// The id that it was told.
    pub(crate) id: Option<Uuid>,
}

/// What is known of a transaction after all that was told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Each time that it was not taken, or it could not be sent.
    NotTaken,
    /// At least once that nobody can know, or nothing at all.
    Unknown,
    /// That it is accepted.
    Accepted,
}

/// One answer to one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Accepted(Uuid),
    /// It was certainly not taken, and may be sent again.
    NotTaken,
    /// Nobody can know whether it was taken.
    Unknown(Option<Uuid>),
    /// Its key has another content.
    KeyReused,
    /// One that must not be.
    Wrong(String),
}

/// How often each answer came.
pub(crate) type Answers = BTreeMap<String, u64>;

/// What all clients of a round know.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) posted: Vec<Posted>,
    pub(crate) answers: Answers,
    /// Answers that must not be.
    pub(crate) wrong: Vec<String>,
}

impl Posted {
    /// Takes an answer in, at a step of its client. Whether it should be sent again.
    pub(crate) fn hear(&mut self, answer: &Answer, step: u64) -> bool {
        match answer {
            Answer::Accepted(id) => {
                self.told = Told::Accepted;
                self.accepted = Some(step);
                self.id = Some(*id);
                false
            }
            Answer::NotTaken => self.told == Told::NotTaken || self.key.is_some(),
            Answer::Unknown(id) => {
                self.told = Told::Unknown;
                self.id = self.id.or(*id);
                self.key.is_some()
            }
            Answer::KeyReused | Answer::Wrong(_) => false,
        }
    }
}

impl History {
    pub(crate) fn add(&mut self, other: Self) {
        self.posted.extend(other.posted);
        self.wrong.extend(other.wrong);
        for (answer, count) in other.answers {
            *self.answers.entry(answer).or_default() += count;
        }
    }

    /// How many were told this in the end.
    pub(crate) fn told(&self, told: Told) -> usize {
        self.posted.iter().filter(|posted| posted.told == told).count()
    }
}
