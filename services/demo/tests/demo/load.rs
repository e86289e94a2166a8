//! Load, a stop, and a new start.

use std::{net::SocketAddr, path::Path};

use clap::Parser;
use fluxo_core::kit::shutdown::Shutdown;
use fluxo_demo::{Demo, Settings};
use tokio::task::{JoinHandle, JoinSet};

use crate::client::{Balance, Client, balances};

const COUNT: usize = 20_000;
const CALLS: usize = 50;
const SENDERS: usize = 8;

/// A demo in this process.
struct Running {
    client: Client,
    admin: Client,
    shutdown: Shutdown,
    served: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    async fn start(data: &Path) -> Self {
        let mut settings = Settings::parse_from(["demo", "--listen", "127.0.0.1:0"]);
        settings.data = data.into();
        let demo = Demo::bind(settings).await.unwrap();
        let (address, [admin, _]): (SocketAddr, _) =
            (demo.local_addr().unwrap(), demo.admin_addrs().unwrap());
        let shutdown = Shutdown::manual();
        let served = tokio::spawn(demo.serve(shutdown.clone()));
        let client = Client::new(address);
        let admin = Client::new(admin);
        admin.answers("/readyz").await;
        client.answers("/v1/accounts/ana/balance").await;
        Self { client, admin, shutdown, served }
    }

    async fn stop(self) {
        self.shutdown.drain();
        self.served.await.unwrap().unwrap();
    }
}

/// Sends transactions as fast as they are taken, from several connections at once.
async fn flood(client: &Client, count: usize) {
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let client = client.clone();
        senders.spawn(async move {
            for call in (sender..count / CALLS).step_by(SENDERS) {
                let ids = client.send(call * CALLS..(call + 1) * CALLS).await.unwrap();
                assert_eq!(ids.len(), CALLS);
            }
        });
    }
    while let Some(sent) = senders.join_next().await {
        sent.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_becomes_rows_that_a_new_start_finds_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("demo.db");
    let wanted = balances(COUNT);

    let demo = Running::start(&data).await;
    flood(&demo.client, COUNT).await;
    assert_eq!(demo.client.balances_of(&wanted).await, wanted);
    // All permits are back: none leaks, so that it can go on like this for ever.
    for gauge in ["fluxo_api_in_flight_records", "fluxo_api_in_flight_bytes"] {
        let none = async || (demo.admin.metric(gauge).await == 0).then_some(());
        demo.client.eventually(gauge, none).await;
    }
    demo.stop().await;

    let demo = Running::start(&data).await;
    assert_eq!(demo.client.balances_of(&wanted).await, wanted);
    demo.client.send_and_wait(COUNT).await;
    let account = "account-0";
    let expected: Balance = balances(COUNT + 1)[account];
    assert_eq!(demo.client.balance(account).await, Some(expected));
    demo.stop().await;
}

#[tokio::test]
async fn what_was_accepted_before_a_stop_is_recorded_before_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("demo.db");
    let wanted = balances(3_000);

    let demo = Running::start(&data).await;
    flood(&demo.client, 3_000).await;
    demo.stop().await;

    let demo = Running::start(&data).await;
    for (account, balance) in wanted {
        assert_eq!(demo.client.balance(&account).await, Some(balance));
    }
    demo.stop().await;
}

#[tokio::test]
async fn what_is_accepted_is_told_and_can_be_taken_back() {
    let directory = tempfile::tempdir().unwrap();
    let demo = Running::start(&directory.path().join("demo.db")).await;
    demo.client.send_and_wait(1).await;
    let first = demo.client.follow(1).await.remove(0);
    let reversal = demo.client.reverse(&first).await;
    let mut told = demo.client.follow(2).await;
    told.sort_unstable();
    let mut expected = [first, reversal];
    expected.sort_unstable();
    assert_eq!(told, expected);
    assert_eq!(demo.client.balance("account-1").await, Some((0, 2)));
    demo.stop().await;
}
