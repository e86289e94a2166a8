//! `GET`: transactions, lists, balances and statements.

use serde_json::{Value, json};

use crate::support::{Fixture, LARGEST, problem};

const PATH: &str = "/v1/accounts/ana/transactions";

async fn read(api: &Fixture, path: &str) -> Value {
    let response = api.get(path).send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    response.json().await.unwrap()
}

async fn post(api: &Fixture, body: Value) -> String {
    let response = api.post(body.to_string()).send().await.unwrap();
    assert_eq!(response.status(), 202);
    response.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
}

fn transaction(kind: &str, amount: &str, currency: &str, occurred_at: &str) -> Value {
    json!({"account": "ana", "kind": kind, "amount": amount, "currency": currency, "occurred_at": occurred_at})
}

/// Four transactions of ana: BRL +10.00, -2.50, +1.00; JPY +700. One a day, from 2026-11-01.
async fn with_rows() -> (Fixture, Vec<String>) {
    let api = Fixture::ready(&[]).await;
    let mut ids = Vec::new();
    for (day, (kind, amount, currency)) in [
        ("entrada", "10", "BRL"),
        ("saida", "2.50", "BRL"),
        ("entrada", "1.00", "BRL"),
        ("entrada", "700", "JPY"),
    ]
    .into_iter()
    .enumerate()
    {
        let occurred_at = format!("2026-11-0{}T12:00:00Z", day + 1);
        ids.push(post(&api, transaction(kind, amount, currency, &occurred_at)).await);
        api.record().await;
    }
    (api, ids)
}

fn ids(page: &Value) -> Vec<String> {
    let rows = page["transactions"].as_array().unwrap();
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_recorded_transaction_is_shown_with_its_balance() {
    let (api, ids) = with_rows().await;
    let shown = read(&api, &format!("/v1/transactions/{}", ids[1])).await;
    for (field, value) in [
        ("state", json!("recorded")),
        ("id", json!(ids[1])),
        ("account", json!("ana")),
        ("kind", json!("saida")),
        ("amount", json!("2.50")),
        ("currency", json!("BRL")),
        ("account_seq", json!(2)),
        ("balance_after", json!("7.50")),
        ("occurred_at", json!("2026-11-02T12:00:00.000000Z")),
        ("client", json!("anonymous")),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
}

#[tokio::test]
async fn a_refused_transaction_is_shown_with_its_reason() {
    let api = Fixture::ready(&[]).await;
    api.fill("ana").await;
    let id = post(&api, serde_json::from_str(LARGEST).unwrap()).await;
    api.record().await;
    let shown = read(&api, &format!("/v1/transactions/{id}")).await;
    assert_eq!((&shown["state"], &shown["reason"]), (&json!("refused"), &json!("overflow")));
}

#[tokio::test]
async fn an_unknown_transaction_is_404_and_what_is_no_id_is_400() {
    let api = Fixture::ready(&[]).await;
    let id = post(&api, transaction("entrada", "10", "BRL", "2026-11-01T12:00:00Z")).await;
    let problem_of = async |id: &str| api.get(&format!("/v1/transactions/{id}")).send().await.unwrap();
    let unwritten = problem(problem_of(&id).await, 404, "unknown-transaction").await;
    assert_eq!(unwritten["title"], "Unknown or not yet written");
    for bad in ["4711", "%ff", "%00", "{x}"] {
        problem(problem_of(bad).await, 400, "bad-parameter").await;
    }
}

#[tokio::test]
async fn a_list_is_newest_first_and_goes_on_where_its_cursor_says() {
    let (api, all) = with_rows().await;
    let newest: Vec<_> = all.iter().rev().cloned().collect();
    let whole = read(&api, PATH).await;
    assert_eq!((ids(&whole), &whole["next"]), (newest.clone(), &Value::Null));
    let (mut found, mut path) = (Vec::new(), format!("{PATH}?limit=1"));
    loop {
        let page = read(&api, &path).await;
        found.extend(ids(&page));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("{PATH}?limit=1&cursor={next}");
    }
    assert_eq!(found, newest);
}

#[tokio::test]
async fn a_list_is_filtered_by_kind_and_by_when_it_happened() {
    let (api, all) = with_rows().await;
    let found = async |query: &str| ids(&read(&api, &format!("{PATH}?{query}")).await);
    assert_eq!(found("type=saida").await, [all[1].clone()]);
    let within = "from=2026-11-02T12:00:00Z&to=2026-11-03T13:00:00%2B01:00";
    assert_eq!(found(within).await, [all[1].clone()], "`from` is in, `to` is not");
    assert_eq!(found("type=inflow&from=2026-11-02T00:00:00Z").await, [all[3].clone(), all[2].clone()]);
}

#[tokio::test]
async fn balances_are_decimals_one_a_currency() {
    let (api, _) = with_rows().await;
    let shown = read(&api, "/v1/accounts/ana/balance").await;
    let pair = |balance: &Value| (balance["currency"].clone(), balance["balance"].clone());
    let pairs: Vec<_> = shown["balances"].as_array().unwrap().iter().map(pair).collect();
    assert_eq!(pairs, [(json!("BRL"), json!("8.50")), (json!("JPY"), json!("700"))]);
    let before = read(&api, "/v1/accounts/ana/balance?at=2000-01-01T00:00:00Z").await;
    assert_eq!(before["balances"], json!([]));
    assert_eq!(read(&api, "/v1/accounts/nobody/balance").await["balances"], json!([]));
}

#[tokio::test]
async fn a_statement_has_the_balance_after_each_row() {
    let (api, all) = with_rows().await;
    let path = "/v1/accounts/ana/statement?currency=BRL&limit=2";
    let first = read(&api, path).await;
    assert_eq!(ids(&first), all[..2]);
    let rest = read(&api, &format!("{path}&cursor={}", first["next"].as_str().unwrap())).await;
    assert_eq!(ids(&rest), all[2..3]);
    let balances = |page: &Value| -> Vec<Value> {
        page["transactions"].as_array().unwrap().iter().map(|row| row["balance_after"].clone()).collect()
    };
    assert_eq!([balances(&first), balances(&rest)].concat(), [json!("10.00"), json!("7.50"), json!("8.50")]);
    assert_eq!(rest["next"], Value::Null);
}

#[tokio::test]
async fn parameters_that_cannot_be_used_are_all_named() {
    let api = Fixture::ready(&[]).await;
    let query = "type=x&from=now&limit=0&cursor=!&frmo=1&frmo=2";
    let problem_of =
        async |path: String| problem(api.get(&path).send().await.unwrap(), 400, "bad-parameter").await;
    let told = problem_of(format!("{PATH}?{query}")).await;
    let named: Vec<_> =
        told["errors"].as_array().unwrap().iter().map(|error| error["parameter"].clone()).collect();
    assert_eq!(named, ["type", "from", "limit", "cursor", "frmo", "frmo"]);
    let told = problem_of(format!("{PATH}?limit=1&limit=2")).await;
    assert_eq!(told["errors"][0]["parameter"], "limit");
    let told = problem_of("/v1/accounts/a%20b/statement".to_owned()).await;
    let named: Vec<_> =
        told["errors"].as_array().unwrap().iter().map(|error| error["parameter"].clone()).collect();
    assert_eq!(named, ["account", "currency"]);
    problem_of("/v1/accounts/ana/balance?at=2026-11-01".to_owned()).await;
}
