//! What the tests send, and what they know of it.

use std::{collections::BTreeMap, time::Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::TIMEOUT;

/// Calls a demo.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
}

/// A balance in minor units and the number of transactions that it counts.
pub(crate) type Balance = (i64, u64);

/// The account of the transaction with a number, and what it adds to its balance.
pub(crate) fn transaction(number: usize) -> (String, i64) {
    let minor = i64::try_from(number % 997 + 1).unwrap();
    (format!("account-{}", number % 20), if number.is_multiple_of(3) { -minor } else { minor })
}

/// The balances that so many transactions make.
pub(crate) fn balances(count: usize) -> BTreeMap<String, Balance> {
    let mut balances = BTreeMap::new();
    for (account, minor) in (0..count).map(transaction) {
        let balance: &mut Balance = balances.entry(account).or_default();
        *balance = (balance.0 + minor, balance.1 + 1);
    }
    balances
}

impl Client {
    pub(crate) fn new(address: impl std::fmt::Display) -> Self {
        Self { http: reqwest::Client::new(), url: format!("http://{address}") }
    }

    /// Sends transactions in one call; the ids of those that were accepted.
    pub(crate) async fn send(&self, numbers: impl Iterator<Item = usize>) -> reqwest::Result<Vec<String>> {
        let records: Vec<Value> = numbers.map(body).collect();
        let answer =
            self.http.post(format!("{}/v1/transactions/batch", self.url)).json(&records).send().await?;
        assert_eq!(answer.status(), StatusCode::MULTI_STATUS);
        let answer: Value = answer.json().await?;
        let accepted = |result: &Value| {
            assert_eq!(result["status"], 202, "{result}");
            result["id"].as_str().unwrap().to_owned()
        };
        Ok(answer["results"].as_array().unwrap().iter().map(accepted).collect())
    }

    /// Sends one transaction and waits until it is a row.
    pub(crate) async fn send_and_wait(&self, number: usize) {
        let request = self.http.post(format!("{}/v1/transactions", self.url)).header("prefer", "wait=30");
        let answer = request.json(&body(number)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
    }

    /// Follows what is accepted from the start until so many transactions were told; their ids.
    pub(crate) async fn follow(&self, count: usize) -> Vec<String> {
        let url = format!("{}/v1/transactions/stream?from=start", self.url);
        let mut stream = self.http.get(url).send().await.unwrap();
        let mut told = String::new();
        loop {
            let data =
                told.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok());
            let ids: Vec<_> = data.map(|event: Value| event["id"].as_str().unwrap().to_owned()).collect();
            if ids.len() >= count {
                return ids;
            }
            let part = tokio::time::timeout(TIMEOUT, stream.chunk()).await.expect("more in time");
            told.push_str(std::str::from_utf8(&part.unwrap().expect("it goes on")).unwrap());
        }
    }

    /// Takes a transaction back and waits until that is a row; its id.
    pub(crate) async fn reverse(&self, id: &str) -> String {
        let request = self.http.post(format!("{}/v1/transactions/{id}/reversal", self.url));
        let answer = request.header("prefer", "wait=30").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
        answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
    }

    /// The balance of an account.
    pub(crate) async fn balance(&self, account: &str) -> Option<Balance> {
        let answer = self.get(&format!("accounts/{account}/balance")).await;
        let balance = answer["balances"].as_array().unwrap().first()?;
        Some((minor(&balance["balance"]), balance["account_seq"].as_u64().unwrap()))
    }

    /// Waits until accounts have as many transactions as they should; their balances then.
    pub(crate) async fn balances_of(&self, wanted: &BTreeMap<String, Balance>) -> BTreeMap<String, Balance> {
        let mut found = BTreeMap::new();
        for (account, (_, count)) in wanted {
            let balance = self.eventually(account, async || {
                self.balance(account).await.filter(|(_, found)| found >= count)
            });
            found.insert(account.clone(), balance.await);
        }
        found
    }

    /// All rows of an account: the id of each, what it adds, and the balance after it.
    pub(crate) async fn rows(&self, account: &str) -> Vec<(String, i64, i64)> {
        let (mut rows, mut cursor) = (Vec::new(), String::new());
        loop {
            let page =
                self.get(&format!("accounts/{account}/statement?currency=BRL&limit=1000{cursor}")).await;
            for row in page["transactions"].as_array().unwrap() {
                let sign = if row["kind"] == "entrada" { 1 } else { -1 };
                let id = row["id"].as_str().unwrap().to_owned();
                rows.push((id, sign * minor(&row["amount"]), minor(&row["balance_after"])));
            }
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return rows,
            }
        }
    }

    /// Waits until a path is answered 200.
    pub(crate) async fn answers(&self, path: &str) {
        let url = format!("{}{path}", self.url);
        let answered =
            async || self.http.get(&url).send().await.is_ok_and(|answer| answer.status() == StatusCode::OK);
        self.eventually(path, async || answered().await.then_some(())).await;
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.http.get(format!("{}/v1/{path}", self.url)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json().await.unwrap()
    }

    /// The value of a metric, of a client of the admin port.
    pub(crate) async fn metric(&self, name: &str) -> i64 {
        let text = self.http.get(format!("{}/metrics", self.url)).send().await.unwrap().text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// Waits until something has an answer.
    pub(crate) async fn eventually<T>(&self, what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(answer) = condition().await {
                return answer;
            }
            assert!(began.elapsed() < TIMEOUT, "{what}: not in time");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

fn body(number: usize) -> Value {
    let (account, minor) = transaction(number);
    let kind = if minor < 0 { "saida" } else { "entrada" };
    let amount = format!("{}.{:02}", minor.abs() / 100, minor.abs() % 100);
    json!({
        "account": account, "kind": kind, "amount": amount, "currency": "BRL",
        "description": format!("transaction number {number} of a test that sends them as fast as it can"),
    })
}

/// The minor units of a decimal with two decimals.
fn minor(decimal: &Value) -> i64 {
    decimal.as_str().unwrap().replace('.', "").parse().unwrap()
}
