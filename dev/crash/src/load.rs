//! Clients: each has an account of its own, posts one transaction or some at once, and hears what became of them
//! before it posts the next.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use fastrand::Rng;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::history::{Answer, History, Posted, Told};

const CLIENTS: u64 = 48;
/// How long a client waits for an answer: longer than the api gives Kafka.
const ANSWER: Duration = Duration::from_secs(8);
/// How long a client tries one transaction: longer than anything that is done here lasts.
const PATIENCE: Duration = Duration::from_mins(2);
/// The most that are posted at once.
const BATCH: usize = 40;

/// A load that goes on until it has posted enough and nothing happens any more.
pub(crate) struct Load {
    http: reqwest::Client,
    urls: Vec<String>,
    pub(crate) seed: u64,
    enough: u64,
    pace: Duration,
    posted: AtomicU64,
    /// Nothing happens any more.
    calm: AtomicBool,
}

/// A client of one account.
struct Client {
    load: Arc<Load>,
    rng: Rng,
    account: String,
    step: u64,
    count: u64,
    history: History,
}

impl Load {
    /// A load of a seed that posts so many as fast as it can, and then at a pace: a client each so long.
    pub(crate) fn new(urls: &[String], seed: u64, enough: u64, pace: Duration) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(ANSWER).build()?;
        let (posted, calm) = (AtomicU64::new(0), AtomicBool::new(false));
        Ok(Self { http, urls: urls.to_vec(), seed, enough, pace, posted, calm })
    }

    /// Tells it that nothing happens any more.
    pub(crate) fn calm(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    /// Posts until it is calm and enough were posted.
    pub(crate) async fn run(self: Arc<Self>) -> anyhow::Result<History> {
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let client = Client {
                rng: Rng::with_seed(self.seed.wrapping_mul(CLIENTS) + number),
                account: format!("round-{}.{number}", self.seed),
                load: Arc::clone(&self),
                step: 0,
                count: 0,
                history: History::default(),
            };
            clients.spawn(client.run());
        }
        let mut history = History::default();
        while let Some(one) = clients.join_next().await {
            history.add(one?);
        }
        Ok(history)
    }

    fn posted_enough(&self) -> bool {
        self.posted.load(Ordering::Relaxed) >= self.enough
    }
}

impl Client {
    async fn run(mut self) -> History {
        while !(self.load.posted_enough() && self.load.calm.load(Ordering::Relaxed)) {
            let size = if self.rng.bool() { 1 } else { self.rng.usize(2..=BATCH) };
            let mut posted: Vec<_> = (0..size).map(|_| self.next()).collect();
            self.post(&mut posted).await;
            let again = posted.iter().find(|one| one.key.is_some() && one.told == Told::Accepted).cloned();
            self.load.posted.fetch_add(posted.len() as u64, Ordering::Relaxed);
            self.history.posted.extend(posted);
            if let Some(one) = again.filter(|_| self.rng.u8(..) < 4) {
                self.post_other_content(one).await;
            }
            if self.load.posted_enough() {
                tokio::time::sleep(self.load.pace).await;
            }
        }
        self.history
    }

    /// A new transaction. Most have a key.
    fn next(&mut self) -> Posted {
        self.count += 1;
        let tag = format!("{}#{}", self.account, self.count);
        let amount = self.rng.i64(1..=100_000);
        Posted {
            key: (self.rng.u8(..) < 230).then(|| tag.clone()),
            tag,
            account: self.account.clone(),
            minor: if self.rng.bool() { amount } else { -amount },
            sent: 0,
            accepted: None,
            told: Told::NotTaken,
            id: None,
        }
    }

    /// The key of one that was accepted, with another content: it may be refused at once or later, and is never a row.
    async fn post_other_content(&mut self, one: Posted) {
        let tag = format!("{}!", one.tag);
        let other =
            Posted { tag, minor: one.minor + 1, accepted: None, told: Told::NotTaken, id: None, ..one };
        // Zero is no amount.
        if other.minor != 0 {
            let mut posted = [other];
            self.post(&mut posted).await;
            self.history.posted.extend(posted);
        }
    }

    /// Posts some at once, and again those that it should, until it is told what it wants to know or gives up.
    async fn post(&mut self, posted: &mut [Posted]) {
        let begun = Instant::now();
        let mut open: Vec<usize> = (0..posted.len()).collect();
        self.step += 1;
        for one in &mut *posted {
            one.sent = self.step;
        }
        loop {
            let sent: Vec<_> = open.iter().map(|index| &posted[*index]).collect();
            let answers = self.send(&sent).await;
            self.step += 1;
            let heard: Vec<_> = open.iter().copied().zip(answers).collect();
            open.clear();
            for (index, answer) in heard {
                let original = !posted[index].tag.ends_with('!');
                let wrong = match &answer {
                    Answer::Wrong(text) => Some(text.clone()),
                    Answer::KeyReused if original => Some("its key is said to have another content".into()),
                    _ => None,
                };
                self.history.wrong.extend(wrong.map(|text| format!("{}: {text}", posted[index].tag)));
                if posted[index].hear(&answer, self.step) {
                    open.push(index);
                }
            }
            if open.is_empty() || self.rng.u8(..) < 20 {
                return;
            }
            if begun.elapsed() > PATIENCE {
                let tag = &posted[open[0]].tag;
                return self.history.wrong.push(format!("{tag} was not accepted within {PATIENCE:?}"));
            }
            tokio::time::sleep(Duration::from_millis(self.rng.u64(50..=400))).await;
        }
    }

    /// Sends some to one of the apis; an answer to each.
    async fn send(&mut self, posted: &[&Posted]) -> Vec<Answer> {
        let url = &self.load.urls[self.rng.usize(..self.load.urls.len())];
        let request = match posted {
            [one] => {
                let request = self.load.http.post(format!("{url}/v1/transactions")).json(&body(one, false));
                one.key.iter().fold(request, |request, key| request.header("Idempotency-Key", key))
            }
            many => {
                let bodies: Vec<_> = many.iter().map(|one| body(one, true)).collect();
                self.load.http.post(format!("{url}/v1/transactions/batch")).json(&bodies)
            }
        };
        let (said, answers) = match request.send().await {
            Err(error) if error.is_connect() => {
                ("no connection".into(), vec![Answer::NotTaken; posted.len()])
            }
            Err(_) => ("no answer".into(), vec![Answer::Unknown(None); posted.len()]),
            Ok(response) => {
                let status = response.status();
                match response.json().await {
                    // The answer broke off.
                    Err(_) => ("half an answer".into(), vec![Answer::Unknown(None); posted.len()]),
                    Ok(answer) => answers(status, &answer, posted.len()),
                }
            }
        };
        *self.history.answers.entry(said).or_default() += 1;
        answers
    }
}

fn body(posted: &Posted, with_key: bool) -> Value {
    let minor = posted.minor.unsigned_abs();
    let mut body = json!({
        "account": posted.account,
        "kind": if posted.minor < 0 { "saida" } else { "entrada" },
        "amount": format!("{}.{:02}", minor / 100, minor % 100),
        "currency": "BRL",
        "description": posted.tag,
    });
    if let Some(key) = posted.key.as_ref().filter(|_| with_key) {
        body["idempotency_key"] = json!(key);
    }
    body
}

#[derive(Deserialize)]
struct One {
    status: u16,
    id: Option<Uuid>,
    problem: Option<Value>,
}

/// What an answer says, for people and of each transaction.
fn answers(status: StatusCode, answer: &Value, count: usize) -> (String, Vec<Answer>) {
    let kind = answer["type"].as_str().and_then(|kind| kind.rsplit(':').next()).unwrap_or_default();
    let said = format!("{} {kind}", status.as_u16()).trim_end().to_owned();
    if status != StatusCode::MULTI_STATUS {
        let id = answer["id"].as_str().and_then(|id| id.parse().ok());
        return (said, vec![one(status.as_u16(), id, answer); count]);
    }
    let results: Vec<One> = serde_json::from_value(answer["results"].clone()).unwrap_or_default();
    if results.len() != count {
        return (said, vec![Answer::Wrong(format!("{} results for {count}", results.len())); count]);
    }
    let each = |result: One| one(result.status, result.id, &result.problem.unwrap_or_default());
    (said, results.into_iter().map(each).collect())
}

/// What an answer says of one transaction. The promise that is tested is in these lines: a 503 or 429 was not taken.
fn one(status: u16, id: Option<Uuid>, problem: &Value) -> Answer {
    let kind = problem["type"].as_str().and_then(|kind| kind.rsplit(':').next()).unwrap_or_default();
    match (status, id, kind) {
        (202, Some(id), _) => Answer::Accepted(id),
        (504, Some(id), "outcome-unknown") if problem["outcome"] == "unknown" => Answer::Unknown(Some(id)),
        (409 | 429 | 503, ..) if problem["retryable"] == true => Answer::NotTaken,
        (422, _, "key-reused") => Answer::KeyReused,
        _ => Answer::Wrong(format!("{status}: {problem}")),
    }
}
