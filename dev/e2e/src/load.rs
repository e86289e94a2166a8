//! Posting, and what a client does about each answer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use reqwest::{StatusCode, header::RETRY_AFTER};
use serde::Deserialize;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{Answers, Api};

/// How long a transaction is tried: longer than anything that is done to the cluster takes.
const PATIENCE: Duration = Duration::from_mins(3);
const AGAIN: Duration = Duration::from_millis(200);
const AGAIN_MOST: Duration = Duration::from_secs(5);

/// Which transactions are posted. All of it follows from their number, so nothing has to be remembered.
pub(crate) struct Plan {
    run: Uuid,
    count: u64,
    accounts: u64,
}

/// What became of all of them.
pub(crate) struct Posted {
    /// The id of each, by its number.
    pub(crate) ids: Vec<(u64, Uuid)>,
    pub(crate) answers: Answers,
}

#[derive(Deserialize)]
struct Accepted {
    id: Uuid,
}

impl Plan {
    pub(crate) fn new(count: u64, accounts: u64) -> Self {
        Self { run: Uuid::now_v7(), count, accounts }
    }

    pub(crate) fn account(&self, number: u64) -> String {
        format!("{}-{}", self.run, number % self.accounts)
    }

    /// What a transaction adds to its account, in centavos.
    pub(crate) fn centavos(number: u64) -> i64 {
        let amount = i64::try_from(number % 1_000).unwrap_or(0) + 1;
        if number.is_multiple_of(3) { -amount } else { amount }
    }

    fn key(&self, number: u64) -> String {
        format!("{}#{number}", self.run)
    }

    fn body(&self, number: u64) -> serde_json::Value {
        let centavos = Self::centavos(number);
        let kind = if centavos < 0 { "saida" } else { "entrada" };
        let amount = centavos.unsigned_abs();
        serde_json::json!({
            "account": self.account(number),
            "kind": kind,
            "amount": format!("{}.{:02}", amount / 100, amount % 100),
            "currency": "BRL",
        })
    }
}

/// Posts all of a plan, so many a second: one that has to be tried again does not hold up the next.
pub(crate) async fn post_all(api: &Api, plan: &Plan, rate: u64, clients: u64) -> anyhow::Result<Posted> {
    let begun = Instant::now();
    let plan = Arc::new(Plan { ..*plan });
    let mut tasks = JoinSet::new();
    for first in 0..clients {
        let (api, plan) = (api.clone(), Arc::clone(&plan));
        let step = usize::try_from(clients)?;
        tasks.spawn(async move {
            let (mut ids, mut answers) = (Vec::new(), Answers::new());
            for number in (first..plan.count).step_by(step) {
                let due = begun + Duration::from_nanos(number * 1_000_000_000 / rate);
                tokio::time::sleep_until(due.into()).await;
                let id = post(&api, &plan, number, &mut answers).await;
                ids.push((number, id.with_context(|| format!("transaction {number}"))?));
            }
            anyhow::Ok((ids, answers))
        });
    }
    let mut posted = Posted { ids: Vec::new(), answers: Answers::new() };
    while let Some(done) = tasks.join_next().await {
        let (ids, answers) = done??;
        posted.ids.extend(ids);
        for (answer, count) in answers {
            *posted.answers.entry(answer).or_default() += count;
        }
    }
    Ok(posted)
}

/// Posts one until it is accepted.
///
/// Whatever the answer was, the same key is safe to send again; an answer that says that it will never be accepted is
/// an error, as is one that came from neither the api nor the proxy in front of it.
async fn post(api: &Api, plan: &Plan, number: u64, answers: &mut Answers) -> anyhow::Result<Uuid> {
    let (key, body) = (plan.key(number), plan.body(number));
    let begun = Instant::now();
    let mut wait = AGAIN;
    while begun.elapsed() < PATIENCE {
        let request = api.http.post(format!("{}/v1/transactions", api.url));
        let answer = request.header("Idempotency-Key", &key).json(&body).send().await;
        let (said, after) = match answer {
            Ok(answer) if answer.status() == StatusCode::ACCEPTED => {
                let id = answer.json::<Accepted>().await?.id;
                *answers.entry("202".into()).or_default() += 1;
                return Ok(id);
            }
            Ok(answer) => retryable(answer).await?,
            Err(error) if error.is_timeout() => ("no answer in time".to_owned(), None),
            Err(error) if error.is_connect() => ("no connection".to_owned(), None),
            Err(error) if error.is_request() => ("a connection that broke".to_owned(), None),
            Err(error) => return Err(error.into()),
        };
        *answers.entry(said).or_default() += 1;
        tokio::time::sleep(after.unwrap_or(wait)).await;
        wait = (wait * 2).min(AGAIN_MOST);
    }
    bail!("was not accepted within {PATIENCE:?}")
}

/// What an answer says, and after how long it asks to come again.
async fn retryable(answer: reqwest::Response) -> anyhow::Result<(String, Option<Duration>)> {
    let status = answer.status();
    let after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let text = answer.text().await.unwrap_or_default();
    let said = match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(problem) => {
            ensure!(problem["retryable"] == true, "{status} that is not retryable: {text}");
            format!("{} {}", status.as_u16(), problem["type"].as_str().unwrap_or("?"))
        }
        // Said by the proxy, which has no pod to send it to, or lost the one it had.
        Err(_) if matches!(status.as_u16(), 502..=504) => format!("{} of the Ingress", status.as_u16()),
        Err(_) => bail!("{status} that nobody explains: {text}"),
    };
    Ok((said, after.map(Duration::from_secs)))
}
