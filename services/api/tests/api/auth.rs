//! Keys, scopes and rates.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::support::{Fixture, LONG, VALID, problem};

pub(crate) const WRITER: &str = "writer-0123456789abcdef";
pub(crate) const READER: &str = "reader-0123456789abcdef";
const ACCOUNT: &str = "/v1/accounts/ana/balance";

pub(crate) fn write_keys(file: &Path, clients: &[(&str, &str, &str)]) {
    let client = |(name, key, scope): &(&str, &str, &str)| {
        let hash = hex::encode(Sha256::digest(key));
        format!(r#"{{"name":"{name}","keys":[{{"sha256":"{hash}","scopes":["{scope}"]}}]}}"#)
    };
    let clients: Vec<_> = clients.iter().map(client).collect();
    std::fs::write(file, format!(r#"{{"clients":[{}]}}"#, clients.join(","))).unwrap();
}

async fn guarded(flags: &[&str]) -> (Fixture, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    write_keys(file.path(), &[("erp", WRITER, "write"), ("bi", READER, "read")]);
    let keys = format!("--api-keys-file={}", file.path().display());
    let flags: Vec<_> = flags.iter().copied().chain([keys.as_str()]).collect();
    (Fixture::ready(&flags).await, file)
}

#[tokio::test]
async fn without_a_key_nothing_of_the_call_is_done() {
    let (api, _file) = guarded(&[]).await;
    for authorization in [None, Some("Bearer"), Some("Bearer nobody-0123456789"), Some("Basic d3JpdGVy")] {
        let mut request = api.post("not json");
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"fluxo\"");
        problem(response, 401, "unauthenticated").await;
    }
    let twice = api.post(VALID).header("authorization", format!("Bearer {WRITER}"));
    let twice = twice.header("authorization", format!("Bearer {READER}"));
    problem(twice.send().await.unwrap(), 401, "unauthenticated").await;
}

#[tokio::test]
async fn a_key_allows_its_scopes_only() {
    let (api, _file) = guarded(&[]).await;
    assert_eq!(api.post(VALID).bearer_auth(WRITER).send().await.unwrap().status(), 202);
    assert_eq!(api.get(ACCOUNT).bearer_auth(READER).send().await.unwrap().status(), 200);
    problem(api.post(VALID).bearer_auth(READER).send().await.unwrap(), 403, "forbidden").await;
    problem(api.get(ACCOUNT).bearer_auth(WRITER).send().await.unwrap(), 403, "forbidden").await;
    let lower = api.get(ACCOUNT).header("authorization", format!("bearer {READER}"));
    assert_eq!(lower.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn the_same_idempotency_key_of_two_clients_is_two_keys_and_a_new_key_is_the_same_client() {
    let (api, file) = guarded(&[]).await;
    let new = "writer-fedcba9876543210";
    let post = async |key: &str| {
        api.post(VALID).bearer_auth(key).header("idempotency-key", "1").send().await.unwrap()
    };
    let first = post(WRITER).await.text().await.unwrap();
    write_keys(file.path(), &[("erp", new, "write"), ("other", READER, "write")]);
    let rotated = fluxo_testkit::eventually("the new key", LONG, async || {
        let response = post(new).await;
        (response.status() == 202).then_some(response)
    });
    assert_eq!(rotated.await.text().await.unwrap(), first);
    assert_ne!(post(READER).await.text().await.unwrap(), first);
    problem(post(WRITER).await, 401, "unauthenticated").await;
}

#[tokio::test]
async fn a_key_file_that_is_missing_keeps_the_api_unready_and_is_named() {
    let api = Fixture::start(crate::support::cluster(), &["--api-keys-file=/nowhere/keys.json"], None).await;
    let unready = async || {
        let missing = api.readiness.missing();
        missing.into_iter().find(|(name, reason)| *name == "auth" && reason.contains("/nowhere/keys.json"))
    };
    fluxo_testkit::eventually("the reason", LONG, unready).await;
    problem(api.post(VALID).bearer_auth(WRITER).send().await.unwrap(), 401, "unauthenticated").await;
}

#[tokio::test]
async fn nobody_is_open_by_accident() {
    let start = async |auth: &str, flags: &[&str]| {
        let mut settings = crate::support::settings("localhost:1", "t", "sqlite://x", flags);
        settings.api.api_auth = clap::ValueEnum::from_str(auth, true).unwrap();
        fluxo_api::run(settings, fluxo_core::kit::shutdown::Shutdown::manual()).await.unwrap_err().to_string()
    };
    assert!(start("keys", &[]).await.contains("FLUXO_API_KEYS_FILE is needed"));
    assert!(start("none", &["--api-keys-file=keys.json"]).await.contains("FLUXO_API_AUTH is none"));
}

#[test]
fn settings_that_do_not_fit_together_end_the_program_with_code_64() {
    let needed = ["--kafka-bootstrap-servers=b:1", "--database-url=mysql://h/d"];
    let ended = std::process::Command::new(env!("CARGO_BIN_EXE_api")).args(needed).output().unwrap();
    assert_eq!(ended.status.code(), Some(64));
    assert!(String::from_utf8(ended.stderr).unwrap().contains("FLUXO_API_KEYS_FILE is needed"));
}

#[tokio::test]
async fn a_client_that_sends_too_fast_is_429_and_others_are_not() {
    let (api, _file) = guarded(&["--api-rate-limit=1"]).await;
    let post = async || api.post(VALID).bearer_auth(WRITER).send().await.unwrap();
    let refused = fluxo_testkit::eventually("it is too fast", LONG, async || {
        let response = post().await;
        (response.status() == 429).then_some(response)
    });
    let refused = refused.await;
    assert!(refused.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap() >= 1);
    problem(refused, 429, "rate-limited").await;
    assert_eq!(api.get(ACCOUNT).bearer_auth(READER).send().await.unwrap().status(), 200);
}
