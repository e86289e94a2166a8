//! The program as it is run: by several processes at once, and with settings that cannot work.

use std::{
    process::Output,
    time::{Duration, Instant},
};

use fluxo_migrations::{Migrator, MigratorTrait, State};
use tokio::process::Command;

use crate::{empty::Empty, on_both};

on_both! {
    it_does_what_it_is_asked,
    rows_are_deleted_only_by_who_says_so,
    a_database_is_one_pipelines_until_it_is_handed_over,
}

async fn run(url: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_migrations"));
    command.args(arguments).env("FLUXO_DATABASE_URL", url).env("FLUXO_LOG_FORMAT", "pretty");
    command.kill_on_drop(true).output().await.unwrap()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn it_does_what_it_is_asked(database: &Empty) {
    let before = run(&database.url, &["status"]).await;
    assert!(String::from_utf8_lossy(&before.stdout).contains("_transactions\tpending"));
    assert_eq!(database.states().await.len(), Migrator::migrations().len());
    let up = run(&database.url, &["up"]).await;
    assert_eq!(code(&up), Some(0), "{}", errors(&up));
    let after = run(&database.url, &["status"]).await;
    assert!(!String::from_utf8_lossy(&after.stdout).contains("pending"));
    assert!(database.states().await.iter().all(|state| *state == State::Applied));
}

async fn rows_are_deleted_only_by_who_says_so(database: &Empty) {
    database.up().await;
    let refused = run(&database.url, &["down"]).await;
    assert_eq!(code(&refused), Some(64));
    assert!(errors(&refused).contains("--delete-data"), "{}", errors(&refused));
    assert!(!database.things().await.is_empty());
    let down = run(&database.url, &["down", "--delete-data", "--steps=100"]).await;
    assert_eq!(code(&down), Some(0), "{}", errors(&down));
    assert_eq!(database.things().await, Vec::<String>::new());
}

async fn a_database_is_one_pipelines_until_it_is_handed_over(database: &Empty) {
    let up = async |owner: &str| run(&database.url, &["up", &format!("--database-owner={owner}")]).await;
    // Whoever says nothing claims nothing.
    assert_eq!(code(&run(&database.url, &["up"]).await), Some(0));
    for _ in 0..2 {
        let ours = up("bank/payments").await;
        assert_eq!(code(&ours), Some(0), "{}", errors(&ours));
    }
    // What is another's is not brought up to date either.
    database.run("DELETE FROM seaql_migrations WHERE version LIKE '%ledger'").await;
    let refused = up("bank/other").await;
    assert_eq!(code(&refused), Some(77), "{}", errors(&refused));
    assert!(database.states().await.contains(&State::Pending));
    let said = errors(&refused);
    assert!(said.contains("is that of the pipeline bank/payments"), "{said}");
    let hand_over = "UPDATE owner SET pipeline = 'bank/other'";
    assert!(said.contains(hand_over), "{said}");
    database.run(hand_over).await;
    assert_eq!(code(&up("bank/other").await), Some(0));
    assert_eq!(code(&up("bank/payments").await), Some(77));
    assert!(database.states().await.iter().all(|state| *state == State::Applied));
    assert_eq!(code(&up("no-namespace").await), Some(64));
}

#[tokio::test]
async fn pipelines_that_claim_one_database_at_once_are_one_owner_and_one_refused() {
    let database = Empty::mysql().await;
    let up = async |owner: &str| run(&database.url, &["up", &format!("--database-owner={owner}")]).await;
    let (a, b) = tokio::join!(up("bank/a"), up("bank/b"));
    let mut codes = [code(&a), code(&b)];
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(77)], "{}{}", errors(&a), errors(&b));
}

#[tokio::test]
async fn a_server_is_verified_by_public_authorities_where_no_other_is_named() {
    let database = Empty::mysql().await;
    // The server's certificate is of an authority of its own.
    let output = run(&database.url, &["up", "--database-tls=verify-identity", "--wait=1s"]).await;
    assert_eq!(code(&output), Some(69), "{}", errors(&output));
    assert!(errors(&output).contains("UnknownIssuer"), "{}", errors(&output));
    let output = run(&database.url, &["up", "--database-tls=verify-ca"]).await;
    assert_eq!(code(&output), Some(64), "{}", errors(&output));
    assert!(errors(&output).contains("FLUXO_DATABASE_CA_FILE"), "{}", errors(&output));
}

#[tokio::test]
async fn processes_that_go_up_at_once_are_one_after_another() {
    let database = Empty::mysql().await;
    let up = || run(&database.url, &["up"]);
    let (a, b, c, d) = tokio::join!(up(), up(), up(), up());
    for output in [a, b, c, d] {
        assert_eq!(code(&output), Some(0), "{}", errors(&output));
    }
    assert!(database.states().await.iter().all(|state| *state == State::Applied));
}

#[tokio::test]
async fn a_database_that_is_away_is_waited_for_and_the_reason_told() {
    // A port that is bound and not listened on refuses connections.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let (began, url) = (Instant::now(), format!("mysql://root@{address}/fluxo"));
    let output = run(&url, &["up", "--wait=1s"]).await;
    assert_eq!(code(&output), Some(69));
    assert!(began.elapsed() >= Duration::from_secs(1));
    let reason = format!("no connection to {address}: Connection refused");
    assert!(errors(&output).contains(&reason), "{}", errors(&output));
}

#[tokio::test]
async fn what_will_not_pass_by_itself_is_not_waited_for() {
    let database = Empty::mysql().await;
    let (_, server) = database.url.split_once('@').unwrap();
    for (url, reason) in [
        (format!("{}_unknown", database.url), "Unknown database"),
        (format!("mysql://nobody:wrong@{server}"), "Access denied"),
    ] {
        let output = run(&url, &["up", "--wait=1h"]).await;
        assert_eq!(code(&output), Some(69));
        assert!(errors(&output).contains(reason), "{}", errors(&output));
    }
    for (url, flag) in [("postgres://h/d", "--wait=1s"), (database.url.as_str(), "--wait=soon")] {
        let output = run(url, &["up", flag]).await;
        assert_eq!(code(&output), Some(64), "{}", errors(&output));
    }
}
