use proptest::prelude::*;

use super::*;

const KEY: &str = "correct-horse-battery-staple";

fn file(name: &str, key: &str, scopes: &str) -> String {
    let hash = hex::encode(hash(key));
    format!(r#"{{"clients":[{{"name":"{name}","keys":[{{"sha256":"{hash}","scopes":{scopes}}}]}}]}}"#)
}

#[test]
fn a_key_is_known_by_its_hash_and_allows_its_scopes_only() {
    let keys = KeySet::parse(&file("erp", KEY, r#"["read"]"#)).unwrap();
    assert_eq!(keys.client(hash(KEY), Scope::Read).unwrap().as_str(), "erp");
    assert_eq!(keys.client(hash(KEY), Scope::Write), Err(Denied::Lacks(Scope::Write)));
    assert_eq!(keys.client(hash("correct-horse-battery-stapl"), Scope::Read), Err(Denied::Unknown));
    assert_eq!(keys.client(hash(""), Scope::Read), Err(Denied::Unknown));
}

#[test]
fn a_file_that_may_mean_something_else_is_refused_with_its_reason() {
    let twice = |part: &str, text: &str| text.replace(part, &format!("{part},{part}"));
    let good = file("erp", KEY, r#"["read"]"#);
    let client = good.strip_prefix(r#"{"clients":["#).unwrap().strip_suffix("]}").unwrap().to_owned();
    for (bad, reason) in [
        (twice(&client, &good), "the client erp is there twice"),
        (good.replace("read", "admin"), "unknown variant"),
        (good.replace(r#"["read"]"#, "[]"), "no scope"),
        (good.replace("sha256", "key"), "unknown field"),
        (good.replace("erp", "e r p"), "name must be"),
        (good.replace(&hex::encode(hash(KEY)), "00"), "64 hexadecimal digits"),
        (String::new(), "EOF"),
    ] {
        let error = format!("{:#}", KeySet::parse(&bad).unwrap_err());
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn a_file_without_clients_lets_nobody_in() {
    let keys = KeySet::parse(r#"{"clients":[]}"#).unwrap();
    assert_eq!(keys.client(hash(KEY), Scope::Read), Err(Denied::Unknown));
}

#[tokio::test]
async fn a_changed_file_counts_and_a_bad_one_leaves_the_keys_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.json");
    let (keys, mut last) = (Keys::of_file(path.clone()), None);
    let may = |key| keys.client(Some(hash(key)), Scope::Write).is_ok();
    assert!(keys.load(&mut last).await.unwrap().unwrap_err().contains("keys.json"));
    assert!(!may(KEY));

    std::fs::write(&path, file("erp", KEY, r#"["write"]"#)).unwrap();
    assert_eq!(keys.load(&mut last).await, Some(Ok(())));
    assert!(may(KEY));
    assert_eq!(keys.load(&mut last).await, None, "it is as it was");

    std::fs::write(&path, "{").unwrap();
    assert!(keys.load(&mut last).await.unwrap().is_err());
    assert!(may(KEY));

    std::fs::write(&path, file("erp", "another-key-0123456789", r#"["write"]"#)).unwrap();
    assert_eq!(keys.load(&mut last).await, Some(Ok(())));
    assert!(!may(KEY) && may("another-key-0123456789"));
}

proptest! {
    #[test]
    fn no_file_panics(text in r#"[\[\]{}",:a-z0-9 ]{0,200}|.*"#) {
        let _ = KeySet::parse(&text);
    }

    #[test]
    fn a_damaged_file_is_refused_or_lets_nobody_else_in(at in 0..200_usize, byte in 0x20..0x7f_u8) {
        let mut text = file("erp", KEY, r#"["read"]"#).into_bytes();
        let at = at % text.len();
        text[at] = byte;
        if let Ok(keys) = KeySet::parse(std::str::from_utf8(&text).unwrap()) {
            prop_assert_eq!(keys.client(hash("another-key-0123456789"), Scope::Read), Err(Denied::Unknown));
        }
    }
}
