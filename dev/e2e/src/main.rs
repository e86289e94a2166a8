//! A client that posts transactions while the cluster they go to is worked on, as a client should that moves money:
//! each under a key of its own, and again until it is told what became of it. Then it reads all statements, and counts.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

mod check;
mod load;

use std::{collections::BTreeMap, time::Duration};

use clap::Parser as _;
use reqwest::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue};

/// Posts transactions at a rate, whatever happens, then looks whether each is exactly one row.
#[derive(clap::Parser)]
struct Arguments {
    /// Where the Ingress is
    #[arg(long)]
    url: String,
    /// The host that it knows the api by
    #[arg(long)]
    host: String,
    /// The key of the client
    #[arg(long, env = "FLUXO_E2E_KEY", hide_env_values = true)]
    key: String,
    /// How many transactions
    #[arg(long, default_value_t = 10_000)]
    count: u64,
    /// Over how many accounts
    #[arg(long, default_value_t = 100)]
    accounts: u64,
    /// How many a second
    #[arg(long, default_value_t = 150)]
    rate: u64,
    /// How many are under way at once, at most
    #[arg(long, default_value_t = 32)]
    clients: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let api = Api::new(&arguments)?;
    let plan = load::Plan::new(arguments.count, arguments.accounts.max(1));
    let posted = load::post_all(&api, &plan, arguments.rate.max(1), arguments.clients.max(1)).await?;
    println!("{} transactions were accepted; the answers on the way there:", posted.ids.len());
    for (answer, count) in &posted.answers {
        println!("{count:>8}  {answer}");
    }
    let accounts = check::all(&api, &plan, &posted.ids).await?;
    println!("each is exactly one row; the balances of {accounts} accounts are exact");
    Ok(())
}

/// What transactions are posted to and read from.
#[derive(Clone)]
struct Api {
    http: reqwest::Client,
    url: String,
}

impl Api {
    fn new(arguments: &Arguments) -> anyhow::Result<Self> {
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", arguments.key))?;
        bearer.set_sensitive(true);
        let headers =
            HeaderMap::from_iter([(HOST, HeaderValue::try_from(&arguments.host)?), (AUTHORIZATION, bearer)]);
        let http =
            reqwest::Client::builder().default_headers(headers).timeout(Duration::from_secs(30)).build()?;
        Ok(Self { http, url: arguments.url.trim_end_matches('/').to_owned() })
    }
}

/// How often each kind of answer came.
type Answers = BTreeMap<String, u64>;
