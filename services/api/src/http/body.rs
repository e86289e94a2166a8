//! The body of a request: its media type, its size, its time.

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::{Limits, problem::Problem};

/// What a body can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    Json,
    /// One JSON value a line.
    Lines,
}

impl Media {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Lines => "application/x-ndjson",
        }
    }

    /// The media type of a body, if it is one that can be read.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            return None;
        }
        let (essence, parameters) = match headers.get(header::CONTENT_TYPE)?.to_str().ok()?.split_once(';') {
            Some((essence, parameters)) => (essence.trim(), parameters.trim()),
            None => (headers.get(header::CONTENT_TYPE)?.to_str().ok()?.trim(), ""),
        };
        let is_utf8 = match parameters.to_ascii_lowercase().strip_prefix("charset=") {
            Some(charset) => matches!(charset.trim_matches('"'), "utf-8" | "utf8" | "us-ascii"),
            None => true,
        };
        let known = [Self::Json, Self::Lines].into_iter();
        known.filter(|_| is_utf8).find(|media| essence.eq_ignore_ascii_case(media.as_str()))
    }
}

/// Reads a body, within the limits of its size and time.
pub(super) async fn read(headers: &HeaderMap, body: Body, limits: &Limits) -> Result<Bytes, Problem> {
    let too_large = Problem::BodyTooLarge(limits.body);
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    // Before the first byte is asked for: a client that waits for 100 Continue need not send it.
    if announced.is_some_and(|length| length > u64::from(limits.body)) {
        return Err(too_large);
    }
    let whole = Limited::new(body, limits.body as usize).collect();
    match tokio::time::timeout(limits.body_timeout, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large),
        Ok(Err(_)) => Err(Problem::Malformed("the body ended too early".into())),
        Err(_) => Err(Problem::BodyTimeout),
    }
}
