use fluxo_core::Description;
use proptest::prelude::*;

use super::*;

fn invalid(text: &str) -> Vec<Invalid> {
    match transaction(text) {
        Err(Rejected::Invalid(all)) => all,
        other => panic!("{text}: {other:?}"),
    }
}

/// A valid transaction with a part of it replaced.
fn with(part: &str, other: &str) -> String {
    const VALID: &str =
        r#"{"account":"ana","kind":"entrada","amount":"10.50","currency":"BRL","description":null}"#;
    assert!(VALID.contains(part));
    VALID.replace(part, other)
}

const fn wrong(field: Field) -> Invalid {
    wrong_type(field)
}

#[test]
fn a_transaction_is_read_whatever_the_order_and_the_escapes() {
    let plain = transaction(&with("null", r#""açúcar""#)).unwrap();
    let other = r#" {"description":"a\u00e7\u00facar","currency":"BRL",
        "amount":"10.5","kind":"inflow","\u0061ccount":"ana"} "#;
    assert_eq!(transaction(other).unwrap(), plain);
}

#[test]
fn null_stands_for_an_optional_field_that_is_absent() {
    let bare = transaction(&with(r#","description":null"#, "")).unwrap();
    let nulls = r#""description":null,"occurred_at":null,"metadata":null,"idempotency_key":null"#;
    assert_eq!(transaction(&with(r#""description":null"#, nulls)).unwrap(), bare);
    assert_eq!(invalid(&with(r#""ana""#, "null")), [wrong(Field::Account)]);
}

#[test]
fn an_amount_is_never_a_number() {
    for number in
        ["10", "10.5", "1e2", "-1", "0", "1e30", "1e400", "-1e999", "123456789012345678901234567890"]
    {
        assert_eq!(invalid(&with(r#""10.50""#, number)), [wrong(Field::Amount)], "{number}");
    }
}

#[test]
fn an_amount_that_is_no_plain_decimal_is_invalid() {
    let thirty = format!("1{}", "0".repeat(30));
    for (amount, reason) in [
        ("", Invalid::AmountFormat),
        ("1e3", Invalid::AmountFormat),
        ("-1", Invalid::AmountFormat),
        ("+1", Invalid::AmountFormat),
        ("NaN", Invalid::AmountFormat),
        ("Infinity", Invalid::AmountFormat),
        ("1,00", Invalid::AmountFormat),
        ("0x10", Invalid::AmountFormat),
        (r"1\u0000", Invalid::AmountFormat),
        ("1.234", Invalid::AmountScale { scale: 2 }),
        ("0.00", Invalid::AmountRange),
        (&thirty, Invalid::AmountRange),
    ] {
        assert_eq!(invalid(&with("10.50", amount)), [reason], "{amount}");
    }
}

#[test]
fn what_is_json_and_no_transaction_is_told_field_by_field() {
    let repeated = |name: &str| Invalid::Repeated(name.into());
    let unknown = |name: &str| Invalid::Unknown(name.into());
    for (text, expected) in [
        ("[]".to_owned(), vec![Invalid::NotAnObject]),
        ("null".into(), vec![Invalid::NotAnObject]),
        ("1e999".into(), vec![Invalid::NotAnObject]),
        (
            "{}".into(),
            vec![
                Invalid::Missing(Field::Account),
                Invalid::Missing(Field::Kind),
                Invalid::Missing(Field::Currency),
                Invalid::Missing(Field::Amount),
            ],
        ),
        (with("ana", r"a\u0000"), vec![Invalid::Account]),
        (with("ana", ""), vec![Invalid::Account]),
        (with("entrada", "deposit"), vec![Invalid::Kind]),
        (with("BRL", "brl"), vec![Invalid::Currency]),
        (with("null", "[1]"), vec![wrong(Field::Description)]),
        (with("null", r#"{"a":{"b":[]}}"#), vec![wrong(Field::Description)]),
        (with("null", r#""\u0000""#), vec![Invalid::DescriptionCharacter]),
        (with("null", r#""x","kind":"saida""#), vec![repeated("kind")]),
        (with("null", r#""x","kind":7"#), vec![repeated("kind")]),
        (with("null", r#""x","amout":"1""#), vec![unknown("amout")]),
        (with("null", r#""x","amout":1e999"#), vec![unknown("amout")]),
        (with("null", r#""x","Account":"ana""#), vec![unknown("Account")]),
        (with("null", r#""x","":[[[]]]"#), vec![unknown("")]),
        (with("null", r#""x","metadata":[]"#), vec![wrong(Field::Metadata)]),
        (with("null", r#""x","metadata":{"a":1}"#), vec![Invalid::MetadataType("a".into())]),
        (with("null", r#""x","metadata":{"a":"1","a":"1"}"#), vec![Invalid::MetadataRepeated("a".into())]),
        (with("null", r#""x","occurred_at":"2026-11-21""#), vec![Invalid::OccurredAtFormat]),
        (with("null", r#""x","occurred_at":"0000-01-01T00:00:00Z""#), vec![Invalid::OccurredAtRange]),
        (with("null", r#""x","idempotency_key":"a b""#), vec![Invalid::IdempotencyKey]),
    ] {
        assert_eq!(invalid(&text), expected, "{text}");
    }
}

#[test]
fn what_is_no_json_is_malformed_with_its_place() {
    for text in [
        "",
        " ",
        "{",
        r#"{"account":"ana""#,
        r#"{"account":"ana",}"#,
        "{'account':'ana'}",
        r#"{"account":"a\ud800"}"#,
        r#"{"account":"a\udc00\ud800"}"#,
        r#"{"\ud800":"a"}"#,
        "{\"account\":\"a\0\"}",
        r#"{"amount":NaN}"#,
        r#"{"amount":01}"#,
        r#"{"amount":1e}"#,
        "{} {}",
        "\u{feff}{}",
    ] {
        assert!(matches!(transaction(text), Err(Rejected::Malformed { .. })), "{text:?}");
    }
    assert_eq!(transaction("{\n  x"), Err(Rejected::Malformed { line: 2, column: 3 }));
}

#[test]
fn depth_and_number_of_members_are_bounded() {
    let deep = format!("{}1{}", r#"{"x":"#.repeat(100_000), "}".repeat(100_000));
    assert_eq!(invalid(&deep)[0], Invalid::Unknown("x".into()));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(invalid(&deep), [Invalid::NotAnObject]);
    let members: Vec<_> = (0..100_000).map(|i| format!(r#""f{i}":1"#)).collect();
    assert_eq!(invalid(&format!("{{{}}}", members.join(","))).len(), MEMBERS_MAX + 4);
    let pairs: Vec<_> = (0..100_000).map(|i| format!(r#""f{i}":"1""#)).collect();
    let many = with("null", &format!(r#""x","metadata":{{{}}}"#, pairs.join(",")));
    assert_eq!(invalid(&many), [Invalid::MetadataCount]);
}

proptest! {
    #[test]
    fn no_text_panics(text in ".*") {
        let _ = transaction(&text);
    }

    #[test]
    fn no_value_of_a_field_panics(
        field in prop::sample::select(Field::ALL.to_vec()),
        value in r#"[\[\]{}",:0-9a-z\\u.eE+-]{0,40}"#,
    ) {
        let _ = transaction(&format!(r#"{{"{}":{value}}}"#, field.name()));
    }

    #[test]
    fn whatever_is_accepted_is_a_submission_that_its_parts_make(
        account in "[A-Za-z0-9._:-]{1,64}", amount in "[1-9][0-9]{0,8}\\.[0-9]{2}", description in "\\PC{1,50}",
    ) {
        let text = serde_json::json!({
            "account": account, "kind": "saida", "amount": amount, "currency": "BRL", "description": description,
        });
        let submission = transaction(&text.to_string()).unwrap().submission;
        prop_assert_eq!(submission.account.as_str(), account);
        prop_assert_eq!(submission.money.to_string(), amount);
        prop_assert_eq!(submission.description.as_ref().map(Description::as_str), Some(description.as_str()));
    }
}
