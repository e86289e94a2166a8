//! Every answer that is not a success: one closed set, RFC 9457 on the wire.
//!
//! The `type` of a problem is stable: programs compare it. `retryable` says whether the same request may succeed
//! later without anybody changing it.
#![deny(clippy::wildcard_enum_match_arm)]

use std::{borrow::Cow, time::Duration};

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use fluxo_core::{Invalid, TransactionId, quarantine::Reason};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{database, keys::Scope, publish, stream};

/// The media type of every problem.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The body is not what its media type says.
    Malformed(Cow<'static, str>),
    /// A header cannot be used.
    Header(&'static str, Cow<'static, str>),
    /// Parameters of the path or the query cannot be used.
    Parameters(Vec<BadParameter>),
    /// No key, or one that nobody has.
    Unauthenticated,
    /// The key lacks a scope.
    Forbidden(Scope),
    /// No such path.
    NoSuchPath,
    /// No transaction with this id is a row or in quarantine.
    UnknownTransaction,
    /// The path has other methods.
    MethodNotAllowed,
    /// The body did not arrive in time.
    BodyTimeout,
    /// Too many requests with this idempotency key are in flight.
    InFlight,
    /// The body is larger than the limit, in bytes.
    BodyTooLarge(u32),
    /// The batch has more records than the limit.
    BatchTooLarge(usize),
    /// The body has another media type than these.
    MediaType(&'static str),
    /// The transaction is invalid.
    Invalid(Vec<Invalid>),
    /// The idempotency key was used with other content.
    KeyReused,
    /// The transaction is in quarantine.
    Refused(Reason),
    /// The client has sent too many requests.
    RateLimited(Duration),
    /// Too much is in flight.
    Backlog,
    /// A fault of the api.
    Internal,
    /// Kafka cannot be reached, or does not take it; nothing was written.
    KafkaAway,
    /// The database cannot be reached.
    DatabaseAway,
    /// There are as many streams as there may be, or as many that catch up.
    TooManyStreams,
    /// The request that this one had joined was given up, and nothing was sent.
    Abandoned,
    /// It was sent, and nobody can know whether it was written.
    OutcomeUnknown(TransactionId),
}

/// A parameter of the path or the query that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadParameter {
    pub(crate) parameter: Cow<'static, str>,
    pub(crate) detail: Cow<'static, str>,
}

/// A problem as RFC 9457 writes it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Problem", as = Problem)]
pub(crate) struct Document {
    /// Which kind of problem this is. Stable: compare it
    #[serde(rename = "type")]
    #[schema(example = "urn:fluxo:problem:invalid-transaction")]
    kind: String,
    /// The kind of problem, for people
    #[schema(example = "The transaction is invalid")]
    title: &'static str,
    /// The HTTP status
    #[schema(example = 422)]
    status: u16,
    /// What is wrong in this case
    detail: Cow<'static, str>,
    /// Whether the same request may succeed later without a change
    retryable: bool,
    /// Everything that is wrong, one by one
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Detail>,
    /// `unknown` when nobody can know whether the transaction was written
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "unknown")]
    outcome: Option<&'static str>,
    /// The id of the transaction that this is about
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    id: Option<String>,
    /// Why the transaction is in quarantine
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "overflow")]
    reason: Option<&'static str>,
}

/// One thing that is wrong.
#[derive(Debug, Serialize, ToSchema)]
struct Detail {
    /// Where in the body, as a JSON pointer
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/amount")]
    pointer: Option<String>,
    /// Which parameter of the path or the query
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<Cow<'static, str>>,
    /// Why, for programs. Stable
    #[schema(example = "amount_scale")]
    code: &'static str,
    /// Why, for people
    #[serde(rename = "detail")]
    #[schema(example = "has more than the 2 decimals of its currency")]
    why: Cow<'static, str>,
}

/// What is the same in each problem of a kind: its status, the end of its type, its title, and whether it may be
/// tried again.
struct Kind(StatusCode, &'static str, &'static str, bool);

impl Problem {
    fn kind(&self) -> Kind {
        use StatusCode as S;
        match self {
            Self::Malformed(_) => Kind(S::BAD_REQUEST, "malformed-body", "The body cannot be read", false),
            Self::Header(..) => Kind(S::BAD_REQUEST, "bad-header", "A header cannot be used", false),
            Self::Parameters(_) => Kind(S::BAD_REQUEST, "bad-parameter", "A parameter cannot be used", false),
            Self::Unauthenticated => Kind(S::UNAUTHORIZED, "unauthenticated", "A valid key is needed", false),
            Self::Forbidden(_) => Kind(S::FORBIDDEN, "forbidden", "The key does not allow this", false),
            Self::NoSuchPath => Kind(S::NOT_FOUND, "no-such-path", "There is no such path", false),
            Self::UnknownTransaction => {
                Kind(S::NOT_FOUND, "unknown-transaction", "Unknown or not yet written", true)
            }
            Self::MethodNotAllowed => {
                Kind(S::METHOD_NOT_ALLOWED, "method-not-allowed", "The path does not have this method", false)
            }
            Self::BodyTimeout => {
                Kind(S::REQUEST_TIMEOUT, "body-timeout", "The body did not arrive in time", true)
            }
            Self::InFlight => Kind(S::CONFLICT, "key-in-flight", "The idempotency key is in flight", true),
            Self::BodyTooLarge(_) => {
                Kind(S::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large", false)
            }
            Self::BatchTooLarge(_) => {
                Kind(S::PAYLOAD_TOO_LARGE, "batch-too-large", "The batch is too large", false)
            }
            Self::MediaType(_) => Kind(
                S::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "The body has the wrong media type",
                false,
            ),
            Self::Invalid(_) => {
                Kind(S::UNPROCESSABLE_ENTITY, "invalid-transaction", "The transaction is invalid", false)
            }
            Self::KeyReused => Kind(
                S::UNPROCESSABLE_ENTITY,
                "key-reused",
                "The idempotency key was used with other content",
                false,
            ),
            Self::Refused(_) => {
                Kind(S::UNPROCESSABLE_ENTITY, "refused", "The transaction is in quarantine", false)
            }
            Self::RateLimited(_) => {
                Kind(S::TOO_MANY_REQUESTS, "rate-limited", "The client sends too fast", true)
            }
            Self::Backlog => Kind(S::TOO_MANY_REQUESTS, "backlog", "Too much is in flight", true),
            Self::Internal => Kind(S::INTERNAL_SERVER_ERROR, "internal", "Something went wrong", false),
            Self::KafkaAway => {
                Kind(S::SERVICE_UNAVAILABLE, "kafka-unavailable", "Kafka cannot be reached", true)
            }
            Self::DatabaseAway => {
                Kind(S::SERVICE_UNAVAILABLE, "database-unavailable", "The database cannot be reached", true)
            }
            Self::TooManyStreams => {
                Kind(S::SERVICE_UNAVAILABLE, "too-many-streams", "There are too many streams", true)
            }
            Self::Abandoned => Kind(S::SERVICE_UNAVAILABLE, "abandoned", "The request was given up", true),
            Self::OutcomeUnknown(_) => {
                Kind(S::GATEWAY_TIMEOUT, "outcome-unknown", "The outcome is unknown", true)
            }
        }
    }

    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::Malformed(detail) => detail.clone(),
            Self::Header(name, detail) => format!("{name} {detail}").into(),
            Self::Parameters(_) => "see errors for each parameter".into(),
            Self::Unauthenticated => "send a key as Authorization: Bearer …".into(),
            Self::Forbidden(scope) => format!("the key needs the scope {}", scope.as_str()).into(),
            Self::NoSuchPath => "see /docs for those that there are".into(),
            Self::UnknownTransaction => {
                "no transaction with this id is written; one that was accepted may still be on its way".into()
            }
            Self::MethodNotAllowed => "see Allow for those that it has".into(),
            Self::BodyTimeout => "send the body faster, or less of it".into(),
            Self::InFlight => "too many requests wait for the first one with this key; try again".into(),
            Self::BodyTooLarge(limit) => format!("a body has at most {limit} bytes").into(),
            Self::BatchTooLarge(limit) => format!("a batch has at most {limit} records").into(),
            Self::MediaType(expected) => {
                format!("send Content-Type: {expected}, in UTF-8, without Content-Encoding").into()
            }
            Self::Invalid(_) => "see errors for each field".into(),
            Self::KeyReused => {
                "a key stands for one transaction and its retries; use another one for another transaction"
                    .into()
            }
            Self::Refused(reason) => reason.explanation().into(),
            Self::RateLimited(_) | Self::Backlog => "nothing was sent; see Retry-After".into(),
            Self::Internal => "the reason is in the logs of the api".into(),
            Self::KafkaAway | Self::Abandoned => "nothing was written; it is safe to try again".into(),
            Self::DatabaseAway => "transactions are still accepted; reads and reversals have to wait for it".into(),
            Self::TooManyStreams => "another replica may have room; see Retry-After".into(),
            Self::OutcomeUnknown(_) => {
                "the transaction may or may not be written. With an Idempotency-Key it is safe to send it again; \
                 without one, do not: ask for it at Location"
                    .into()
            }
        }
    }

    fn errors(&self) -> Vec<Detail> {
        if let Self::Invalid(all) = self {
            let detail = |invalid: &Invalid| Detail {
                pointer: Some(invalid.pointer()),
                parameter: None,
                code: invalid.code(),
                why: invalid.to_string().into(),
            };
            all.iter().map(detail).collect()
        } else if let Self::Parameters(all) = self {
            let detail = |bad: &BadParameter| Detail {
                pointer: None,
                parameter: Some(bad.parameter.clone()),
                code: "bad_parameter",
                why: bad.detail.clone(),
            };
            all.iter().map(detail).collect()
        } else {
            Vec::new()
        }
    }

    /// The problem as it is written.
    pub(crate) fn document(&self) -> Document {
        let Kind(status, name, title, retryable) = self.kind();
        let unknown = if let Self::OutcomeUnknown(id) = self { Some(id) } else { None };
        Document {
            kind: format!("urn:fluxo:problem:{name}"),
            title,
            status: status.as_u16(),
            detail: self.detail(),
            retryable,
            errors: self.errors(),
            outcome: unknown.map(|_| "unknown"),
            id: unknown.map(ToString::to_string),
            reason: if let Self::Refused(reason) = self { Some(reason.as_str()) } else { None },
        }
    }

    /// Its status.
    pub(crate) fn status(&self) -> StatusCode {
        self.kind().0
    }

    /// The header that belongs to it, beside those that all have.
    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        let seconds = if let Self::RateLimited(wait) = self {
            wait.as_secs().saturating_add(1)
        } else if matches!(
            self,
            Self::Backlog | Self::KafkaAway | Self::DatabaseAway | Self::InFlight | Self::Abandoned
        ) {
            1
        } else if matches!(self, Self::TooManyStreams) {
            5
        } else if let Self::OutcomeUnknown(id) = self {
            let location = super::location(*id);
            return Some((header::LOCATION, location));
        } else if matches!(self, Self::Unauthenticated) {
            return Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"fluxo\"")));
        } else {
            return None;
        };
        Some((header::RETRY_AFTER, seconds.into()))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.document()).expect("a problem has only strings and numbers");
        let content_type = (header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        let mut response = (self.status(), [content_type], body).into_response();
        if let Some((name, value)) = self.header() {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<publish::Error> for Problem {
    fn from(error: publish::Error) -> Self {
        match error {
            publish::Error::Away => Self::KafkaAway,
            publish::Error::Backlog => Self::Backlog,
            publish::Error::Unknown(id) => Self::OutcomeUnknown(id),
            publish::Error::Reused => Self::KeyReused,
            publish::Error::InFlight => Self::InFlight,
            publish::Error::Refused(reason) => Self::Refused(reason),
            publish::Error::Abandoned => Self::Abandoned,
        }
    }
}

impl From<stream::Refusal> for Problem {
    fn from(refusal: stream::Refusal) -> Self {
        match refusal {
            stream::Refusal::Away => Self::KafkaAway,
            stream::Refusal::Full => Self::TooManyStreams,
        }
    }
}

impl From<database::Error> for Problem {
    fn from(error: database::Error) -> Self {
        match error {
            database::Error::Away => Self::DatabaseAway,
            database::Error::Failed => Self::Internal,
        }
    }
}
