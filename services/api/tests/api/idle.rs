//! Connections that do nothing, as many as the system lets one process have.

use std::time::Duration;

use fluxo_testkit::eventually;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};

use crate::{
    killed::start,
    support::{LONG, VALID},
};

/// Where a process may have fewer open files, it is as many as it may, but for some for everything else.
const CONNECTIONS: usize = 10_000;

fn connections() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let files = line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX);
    CONNECTIONS.min(files.saturating_sub(200))
}

/// The memory of a process, in MiB.
fn memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[tokio::test]
async fn ten_thousand_connections_that_do_nothing_harm_nobody_and_are_closed() {
    let topic = fluxo_testkit::topic(1).await;
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let flags = ["--api-max-connections=20000", "--api-idle-timeout=20s"];
    let api = start(&topic, address, &flags);
    let http = reqwest::Client::new();
    let post = async || {
        let request = http.post(format!("http://{address}/v1/transactions")).body(VALID);
        let answer = request.header("content-type", "application/json").send().await.ok()?;
        (answer.status() == 202).then_some(())
    };
    eventually("a first transaction", LONG, post).await;
    let before = memory(api.id().unwrap());
    let mut idle = Vec::new();
    for _ in 0..connections() {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    eventually("a transaction beside them", LONG, post).await;
    // 16 KiB each would be as much as a request may take before it has begun.
    let grown = memory(api.id().unwrap()).saturating_sub(before);
    assert!(grown < 160, "{} connections took {grown} MiB", idle.len());
    for mut connection in idle {
        let closed = tokio::time::timeout(Duration::from_mins(1), connection.read_u8()).await;
        assert!(closed.expect("it is closed in time").is_err());
    }
    // The client's own connection was closed with them.
    eventually("a transaction after them", LONG, post).await;
}
