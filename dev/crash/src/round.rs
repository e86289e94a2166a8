//! One round after another: load, faults, calm, and the comparison.

use std::{
    collections::HashSet,
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use fastrand::Rng;
use reqwest::StatusCode;
use serde_json::json;
use uuid::Uuid;

use crate::{
    cluster::{Cluster, DEAD_LETTERS, TOPIC},
    fault::Fault,
    history::{Answers, Posted, Told},
    load::Load,
    tables,
    topic::{Foreign, Position, Topic},
    verdict::{Findings, Model, Round, Wrong},
};

const ASK_AGAIN: Duration = Duration::from_millis(100);
/// How many records of a round no api wrote.
const FOREIGN: usize = 3;
/// How many transactions of a round are asked for at the api.
const ASKED: usize = 40;
/// How many findings of a round are told.
const TOLD: usize = 10;

/// The rounds of a campaign, and what counts from one to the next.
pub(crate) struct Rounds<'a> {
    pub(crate) cluster: &'a Cluster<'a>,
    /// How long it may take until everything is a row again.
    recovery: Duration,
    topic: Topic,
    dead_letters: Topic,
    foreign: Arc<Foreign>,
    model: Model,
    last_row: i64,
    http: reqwest::Client,
}

/// A round that was played.
pub(crate) struct Played {
    pub(crate) seed: u64,
    pub(crate) faults: Vec<Fault>,
    pub(crate) posted: usize,
    pub(crate) accepted: usize,
    pub(crate) not_taken: usize,
    pub(crate) unknown: usize,
    pub(crate) unknown_and_there: usize,
    pub(crate) records: usize,
    pub(crate) duplicates: usize,
    pub(crate) rows: usize,
    pub(crate) quarantined: usize,
    pub(crate) dead_letters: usize,
    pub(crate) answers: Answers,
    /// From the end of all faults and of the load until everything was a row.
    pub(crate) recovery: Duration,
    pub(crate) findings: Findings,
    lasted: Duration,
}

impl<'a> Rounds<'a> {
    pub(crate) async fn new(cluster: &'a Cluster<'a>, recovery: Duration) -> anyhow::Result<Self> {
        let rounds = Self {
            cluster,
            recovery,
            topic: Topic::new(TOPIC, &cluster.servers.kafka())?,
            dead_letters: Topic::new(DEAD_LETTERS, &cluster.servers.kafka())?,
            foreign: Arc::new(Foreign::new(&cluster.servers.kafka())?),
            model: Model::default(),
            last_row: 0,
            http: reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?,
        };
        // The first round begins with a cluster that works.
        rounds.settle().await?;
        Ok(rounds)
    }

    /// Plays a round under a load, whose seed is its own: the load goes on until what happens has happened.
    pub(crate) async fn play(
        &mut self,
        load: Load,
        faults: Vec<Fault>,
        happening: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<Played> {
        let (began, seed, load) = (Instant::now(), load.seed, Arc::new(load));
        let posting = tokio::spawn(Arc::clone(&load).run());
        let putting = tokio::task::spawn_blocking({
            let foreign = Arc::clone(&self.foreign);
            move || put_foreign(&foreign, seed)
        });
        let happened = happening.await;
        load.calm();
        let history = posting.await??;
        happened?;
        let foreign = putting.await??;
        self.cluster.all_run().await?;

        let calm = Instant::now();
        let (ends, ends_of_dead_letters) = self.settle().await?;
        let recovery = calm.elapsed();
        self.cluster.all_run().await?;
        let (topic, dead_letters) = tokio::task::block_in_place(|| {
            anyhow::Ok((self.topic.read_to(&ends)?, self.dead_letters.read_to(&ends_of_dead_letters)?))
        })?;
        let foreign: HashSet<Position> = topic
            .iter()
            .filter(|record| foreign.contains(&record.value))
            .map(|record| record.position)
            .collect();
        let (rows, last_row) = tables::rows(&self.cluster.store, self.last_row).await?;
        self.last_row = last_row;
        let quarantine = tables::quarantine(&self.cluster.store).await?;

        let mut played = Played {
            seed,
            faults,
            posted: history.posted.len(),
            accepted: history.told(Told::Accepted),
            not_taken: history.told(Told::NotTaken),
            unknown: history.told(Told::Unknown),
            unknown_and_there: 0,
            records: topic.len(),
            duplicates: 0,
            rows: rows.len(),
            quarantined: 0,
            dead_letters: 0,
            answers: history.answers,
            recovery,
            findings: history.wrong.into_iter().map(|text| (Wrong::ToldWrongly, text)).collect(),
            lasted: Duration::ZERO,
        };
        played.findings.extend(self.ask(seed, &history.posted).await);
        let verdict = self.model.judge(Round {
            history: history.posted,
            topic: &topic,
            dead_letters: &dead_letters,
            foreign: &foreign,
            rows: &rows,
            quarantine: &quarantine,
        });
        played.findings.extend(verdict.findings);
        played.duplicates = verdict.duplicates;
        played.dead_letters = dead_letters.len();
        played.quarantined = verdict.quarantined;
        played.unknown_and_there = verdict.unknown_and_there;
        played.lasted = began.elapsed();
        Ok(played)
    }

    /// Waits until the database is where the topic ends, and the quarantine is forwarded; these
    /// ends, and those of the dead-letter topic.
    async fn settle(&self) -> anyhow::Result<(Vec<i64>, Vec<i64>)> {
        let began = Instant::now();
        loop {
            let ends = tokio::task::block_in_place(|| self.topic.ends());
            let stored = tables::offsets(&self.cluster.store).await;
            let not_forwarded = tables::not_forwarded(&self.cluster.store).await;
            let dead_letters = tokio::task::block_in_place(|| self.dead_letters.ends());
            match (ends, stored, not_forwarded, dead_letters) {
                (Ok(ends), Ok(stored), Ok(0), Ok(dead_letters)) if ends == stored => {
                    return Ok((ends, dead_letters));
                }
                (ends, stored, not_forwarded, _) if began.elapsed() > self.recovery => anyhow::bail!(
                    "not everything is a row after {:?}: the topic ends at {ends:?}, the database is at \
                     {stored:?}, and {not_forwarded:?} of the quarantine are not forwarded",
                    self.recovery
                ),
                _ => tokio::time::sleep(ASK_AGAIN).await,
            }
        }
    }

    /// Asks an api for some transactions: what was accepted is known, and what was never taken is not.
    async fn ask(&self, seed: u64, posted: &[Posted]) -> Findings {
        let mut rng = Rng::with_seed(seed);
        let mut findings = Findings::new();
        let known: Vec<_> = posted.iter().filter(|posted| posted.id.is_some()).collect();
        for _ in 0..ASKED.min(known.len()) {
            let one = known[rng.usize(..known.len())];
            let url = format!("{}/v1/transactions/{}", self.cluster.urls[0], one.id.unwrap_or_default());
            let asked = self.ask_for(&url).await;
            let right = match one.told {
                Told::Accepted => asked == Some(StatusCode::OK),
                Told::Unknown | Told::NotTaken => {
                    matches!(asked, Some(StatusCode::OK | StatusCode::NOT_FOUND))
                }
            };
            if !right {
                let what = format!("{} was told {:?}, and asking for it is {asked:?}", one.tag, one.told);
                findings.push((Wrong::ToldWrongly, what));
                // Where the answer is that the database is away, each of the others would be waited for as long.
                break;
            }
        }
        findings
    }

    /// What is answered, as soon as the database is there again for this api too.
    async fn ask_for(&self, url: &str) -> Option<StatusCode> {
        let began = Instant::now();
        loop {
            let asked = self.http.get(url).send().await.ok().map(|answer| answer.status());
            let away = asked.is_none_or(|status| status == StatusCode::SERVICE_UNAVAILABLE);
            if !away || began.elapsed() > self.recovery {
                return asked;
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    /// Ends the services well.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        for service in self.cluster.apis.iter().chain(&self.cluster.listeners) {
            service.lock().await.end().await?;
        }
        Ok(())
    }
}

/// Puts records on the topic that no api wrote, one after another: no messages, and one under another's key.
fn put_foreign(topic: &Foreign, seed: u64) -> anyhow::Result<HashSet<Vec<u8>>> {
    let mut rng = Rng::with_seed(seed);
    let mut values = HashSet::new();
    for number in 0..FOREIGN {
        let mut value = format!("no message {seed}/{number}");
        if number == 0 {
            value = json!({
                "v": 1, "id": Uuid::from_u128(rng.u128(..)), "account": "another", "kind": "entrada",
                "amount": "1.00", "currency": "BRL", "occurred_at": "2026-01-01T00:00:00Z",
                "accepted_at": "2026-01-01T00:00:00Z", "client": "anonymous", "content_hash": "0".repeat(64),
            })
            .to_string();
        }
        std::thread::sleep(Duration::from_millis(rng.u64(..1_000)));
        topic.put(&format!("no account {}", rng.u8(..)), &value)?;
        values.insert(value.into_bytes());
    }
    Ok(values)
}

impl Played {
    pub(crate) fn failed(&self) -> bool {
        !self.findings.is_empty()
    }

    /// What is said of it while the campaign goes on.
    pub(crate) fn line(&self) -> String {
        let faults: Vec<_> = self.faults.iter().map(|fault| fault.name()).collect();
        let mut line = format!(
            "round {:>4}: {:>6} posted, {:>6} accepted, {:>4} not taken, {:>4} unknown, {:>4} of the topic's records \
             twice, a row each after {:.1?}; {:.0?}: {}",
            self.seed,
            self.posted,
            self.accepted,
            self.not_taken,
            self.unknown,
            self.duplicates,
            self.recovery,
            self.lasted,
            faults.join("; "),
        );
        for (wrong, text) in self.findings.iter().take(TOLD) {
            let _ = write!(line, "\n  {wrong:?}: {text}");
        }
        if self.findings.len() > TOLD {
            let _ = write!(line, "\n  and {} more", self.findings.len() - TOLD);
        }
        line
    }
}
