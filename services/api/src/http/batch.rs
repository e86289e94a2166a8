//! `POST /v1/transactions/batch`: many transactions, each with an answer of its own.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use fluxo_core::id::IdempotencyKey;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    App,
    auth::Writer,
    body::{self, Media},
    preference,
    problem::{Document, Problem},
    submit::{self, ReceiptState, Request},
};
use crate::publish::{Acceptance, Published, Sent};

/// The most records of a batch.
const RECORDS_MAX: usize = 1_000;

/// What became of the records of a batch, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BatchResults {
    results: Vec<BatchResult>,
}

/// What became of one record.
#[derive(Debug, Serialize, ToSchema)]
struct BatchResult {
    /// Its place in the batch, from 0; lines without a value do not count
    index: usize,
    /// The status that it would have had alone
    #[schema(example = 202)]
    status: u16,
    /// The id of its transaction, if it has one
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    id: Option<String>,
    /// Where its transaction is
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<ReceiptState>,
    /// An earlier request was accepted with its key
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
    /// Why it was not accepted
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Document>,
}

/// Submits up to 1,000 transactions
///
/// Each record is accepted or refused for itself, in order; the results have the order of the records. The key of a
/// record is its `idempotency_key`, else that of the header, `#`, and its index. As lines (application/x-ndjson), a
/// line that is no JSON, such as a last one that was cut, is refused alone; a JSON array must be whole.
#[utoipa::path(
    post,
    path = "/v1/transactions/batch",
    tag = "transactions",
    params(("Idempotency-Key" = Option<String>, Header, description = "Stands for this batch and all its retries: 1 to 250 visible ASCII characters")),
    request_body(content(
        (Vec<Request> = "application/json"),
        (Request = "application/x-ndjson"),
    )),
    responses(
        (status = 207, description = "One result for each record, in order", body = BatchResults),
        (status = 400, description = "The body is not JSON, or a header cannot be used", body = Document, content_type = "application/problem+json"),
        (status = 401, description = "No valid key", body = Document, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope write", body = Document, content_type = "application/problem+json"),
        (status = 408, description = "The body did not arrive in time", body = Document, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large, or has more than 1,000 records", body = Document, content_type = "application/problem+json"),
        (status = 415, description = "The body is neither application/json nor application/x-ndjson", body = Document, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests; see Retry-After", body = Document, content_type = "application/problem+json"),
    ),
    security(("key" = ["write"])),
)]
pub(super) async fn submit_batch(
    Writer(client): Writer,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let media = Media::of(&headers).ok_or(Problem::MediaType("application/json or application/x-ndjson"))?;
    let key = preference::idempotency_key(&headers)?;
    let body = body::read(&headers, body, &app.limits).await?;
    let records = records(media, &body)?;

    let mut problems = Vec::new();
    let (mut places, mut sent) = (Vec::with_capacity(records.len()), Vec::with_capacity(records.len()));
    for (index, record) in records.into_iter().enumerate() {
        match read(record, key.as_ref(), index) {
            Ok(record) => {
                places.push(index);
                sent.push(record);
            }
            Err(problem) => problems.push((index, problem)),
        }
    }
    let published = app.publisher.publish(&client, sent, &submit::trace(&app, &headers)).await;

    let mut results: Vec<_> =
        places.into_iter().zip(published).map(|(index, one)| result(index, &one)).collect();
    results.extend(problems.into_iter().map(|(index, problem)| refused(index, &problem)));
    results.sort_unstable_by_key(|result| result.index);
    Ok((StatusCode::MULTI_STATUS, Json(BatchResults { results })).into_response())
}

/// The texts of the records.
fn records(media: Media, body: &[u8]) -> Result<Vec<&[u8]>, Problem> {
    let records: Vec<&[u8]> = match media {
        Media::Json => {
            let values: Vec<&RawValue> = serde_json::from_slice(body).map_err(|error| {
                let (line, column) = (error.line(), error.column());
                Problem::Malformed(format!("not a JSON array at line {line}, column {column}").into())
            })?;
            values.into_iter().map(|value| value.get().as_bytes()).collect()
        }
        Media::Lines => {
            let lines = body.split(|byte| *byte == b'\n');
            lines.filter(|line| !line.trim_ascii().is_empty()).take(RECORDS_MAX + 1).collect()
        }
    };
    if records.len() > RECORDS_MAX { Err(Problem::BatchTooLarge(RECORDS_MAX)) } else { Ok(records) }
}

fn read(text: &[u8], key: Option<&IdempotencyKey>, index: usize) -> Result<Sent, Problem> {
    let mut sent = submit::read(text)?;
    if let (None, Some(key)) = (&sent.key, key) {
        sent.key = Some(key.at(index).map_err(|invalid| Problem::Invalid(vec![invalid]))?);
    }
    Ok(sent)
}

fn result(index: usize, published: &Published) -> BatchResult {
    let location = super::location(published.id).to_str().ok().map(str::to_owned);
    match published.outcome {
        Ok(acceptance) => BatchResult {
            index,
            status: StatusCode::ACCEPTED.as_u16(),
            id: Some(published.id.to_string()),
            location,
            state: Some(ReceiptState::Accepted),
            replayed: acceptance == Acceptance::Before,
            problem: None,
        },
        Err(error) => {
            BatchResult { id: Some(published.id.to_string()), location, ..refused(index, &error.into()) }
        }
    }
}

fn refused(index: usize, problem: &Problem) -> BatchResult {
    BatchResult {
        index,
        status: problem.status().as_u16(),
        id: None,
        location: None,
        state: None,
        replayed: false,
        problem: Some(problem.document()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..300)) {
            for media in [Media::Json, Media::Lines] {
                for (index, record) in records(media, &body).unwrap_or_default().into_iter().enumerate() {
                    let _ = read(record, None, index);
                }
            }
        }

        #[test]
        fn an_array_and_lines_have_the_same_records(
            values in prop::collection::vec(r#"\{"[a-z]{0,9}":("[^\x00-\x1f"\\]{0,20}"|-?[1-9][0-9]{0,9}|null)\}"#, 0..50)
        ) {
            let array = format!("[{}]", values.join(","));
            let lines = values.join("\r\n");
            let expected: Vec<_> = values.iter().map(String::as_str).collect();
            for (media, body) in [(Media::Json, array), (Media::Lines, lines)] {
                let found = records(media, body.as_bytes()).unwrap();
                let found: Vec<_> = found.iter().map(|text| std::str::from_utf8(text).unwrap().trim()).collect();
                prop_assert_eq!(&found, &expected);
            }
        }
    }
}
