//! A kill under load, of the program itself, and a new start.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use tokio::task::JoinSet;

use crate::client::Client;

/// The program. It is killed with this value, without a word.
struct Program {
    child: Child,
    client: Client,
}

impl Program {
    /// Starts it and waits until it says that it serves.
    fn start(data: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_demo"))
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let greeting = lines.find(|line| line.starts_with("Fluxo serves ")).expect("it serves");
        let address = greeting.split("http://").nth(1).unwrap().split(' ').next().unwrap();
        Self { client: Client::new(address), child }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

const ACCOUNTS: usize = 20;

async fn all_rows(client: &Client) -> BTreeMap<String, Vec<(String, i64, i64)>> {
    let mut rows = BTreeMap::new();
    for account in (0..ACCOUNTS).map(|number| format!("account-{number}")) {
        let of_account = client.rows(&account).await;
        rows.insert(account, of_account);
    }
    rows
}

#[tokio::test]
async fn a_kill_under_load_takes_no_row_that_could_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("demo.db");
    let demo = Program::start(&data);
    let mut load = JoinSet::new();
    for sender in 0..4 {
        let client = demo.client.clone();
        // Until the kill ends it.
        load.spawn(async move {
            let mut from = sender * 1_000_000;
            while client.send(from..from + 50).await.is_ok() {
                from += 50;
            }
        });
    }
    let many = async || (demo.client.balance("account-7").await?.1 > 200).then_some(());
    demo.client.eventually("rows under load", many).await;
    let before = all_rows(&demo.client).await;
    drop(demo);
    load.join_all().await;

    let demo = Program::start(&data);
    let after = all_rows(&demo.client).await;
    for (account, rows) in &after {
        assert!(rows.starts_with(&before[account]), "{account} lacks rows that were read before the kill");
        let mut sum = 0;
        for (id, adds, balance) in rows {
            sum += adds;
            assert_eq!(sum, *balance, "the balance after {id}");
        }
        assert_eq!(demo.client.balance(account).await.unwrap(), (sum, rows.len() as u64));
    }
    demo.client.send_and_wait(7).await;
    assert_eq!(demo.client.rows("account-7").await.len(), after["account-7"].len() + 1);
}
