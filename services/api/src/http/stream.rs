//! `GET /v1/transactions/stream`: accepted transactions as they come, as Server-Sent Events.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::FutureExt;
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::{
    App,
    auth::Reader,
    parameters::Parameters,
    preference,
    problem::{Document, Problem},
};
use crate::{
    metrics::Refused,
    stream::{Content, Event, Follower, From, Item, Loss, Positions, Refusal},
};

const LAST_EVENT_ID: &str = "Last-Event-ID";
/// A proxy that collects answers before it passes them on would hold events back.
const NO_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// How long a client waits before it comes again.
const RECONNECT: Duration = Duration::from_secs(1);
/// Events that are ready are sent together up to about so many bytes.
const FRAME: usize = 16 * 1024;

/// What the event `gap` tells.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Gap {
    lost: Vec<Loss>,
}

/// Follows the accepted transactions
///
/// Each event is a transaction that Kafka has: it becomes a row later, or is refused, and the same id may come again,
/// since a retry may be on Kafka twice. To know what is kept, ask for the transaction. Transactions of one account come
/// in the order of its rows.
///
/// The id of an event is where the stream is after it, opaque. A client that sends the last one back in
/// `Last-Event-ID`, as every EventSource does, goes on from there without a gap or a repetition, with any replica. An
/// event `gap` tells what Kafka does not have any more, or never had; the stream goes on after it. Comments keep the
/// connection alive. The stream may end at any time, such as when the replica does: come again.
#[utoipa::path(
    get,
    path = "/v1/transactions/stream",
    tag = "transactions",
    params(
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was seen; before `from`"),
        ("from" = Option<String>, Query, description = "Where to begin without one: `now` (default), or `start`, the first that Kafka still has"),
    ),
    responses(
        (status = 200, description = "Events without a type, each with an AcceptedTransaction as its data, and events of the type `gap`, each with a Gap", content_type = "text/event-stream", body = String),
        (status = 400, description = "Last-Event-ID is none that this call gave, or a parameter cannot be used", body = Document, content_type = "application/problem+json"),
        (status = 401, description = "No valid key", body = Document, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope read", body = Document, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests; see Retry-After", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "Kafka cannot be reached, or there are too many streams; see Retry-After", body = Document, content_type = "application/problem+json"),
    ),
    security(("key" = ["read"])),
)]
pub(super) async fn follow(
    reader: Reader,
    State(app): State<Arc<App>>,
    mut parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    // One that cannot be used is told at the end.
    let begin = parameters.query("from", begin).unwrap_or(From::Now);
    let begin = parameters.end(Some(begin))?;
    let begin = last_event(&headers)?.map_or(begin, From::After);
    let follower = app.streams.follow(begin).await.inspect_err(|refusal| {
        if *refusal == Refusal::Full {
            app.metrics.refused(Refused::Streams);
        }
    })?;
    let stream = Stream { app, reader, follower, begun: false, admitted: Instant::now() };
    let frames = futures::stream::unfold(stream, async |mut stream| {
        let frame = stream.frame().await?;
        Some((Ok::<_, std::convert::Infallible>(frame), stream))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (NO_BUFFERING, HeaderValue::from_static("no")),
    ];
    Ok((headers, Body::from_stream(frames)).into_response())
}

fn begin(text: &str) -> Result<From, &'static str> {
    match text {
        "now" => Ok(From::Now),
        "start" => Ok(From::Start),
        _ => Err("must be now or start"),
    }
}

/// Where the client was. An empty id is none, as for every EventSource.
pub(super) fn last_event(headers: &HeaderMap) -> Result<Option<Positions>, Problem> {
    let Some(id) = preference::only(headers, LAST_EVENT_ID)?.filter(|id| !id.is_empty()) else {
        return Ok(None);
    };
    let positions = id.to_str().ok().and_then(Positions::parse);
    let unknown = || Problem::Header(LAST_EVENT_ID, "is none that this call gave".into());
    positions.map(Some).ok_or_else(unknown)
}

/// The body of an answer. It is asked for a frame when the client has room for one.
struct Stream {
    app: Arc<App>,
    reader: Reader,
    follower: Follower,
    begun: bool,
    /// When the key was looked at last.
    admitted: Instant,
}

impl Stream {
    /// What is sent next; `None` when it ends.
    async fn frame(&mut self) -> Option<Bytes> {
        if !std::mem::replace(&mut self.begun, true) {
            // So that a client that is told nothing yet comes again to where it began.
            let begin = format!("retry: {}\nid: {}\n\n", RECONNECT.as_millis(), self.follower.at());
            return Some(begin.into());
        }
        let keep_alive = self.app.limits.keep_alive;
        if self.admitted.elapsed() >= keep_alive {
            if !self.reader.is_still_admitted(&self.app) {
                return None;
            }
            self.admitted = Instant::now();
        }
        let next = tokio::select! {
            biased;
            () = self.app.streams.ended() => return None,
            next = tokio::time::timeout(keep_alive, self.follower.next()) => next,
        };
        let Ok(next) = next else { return Some(Bytes::from_static(b":\n\n")) };
        let mut frame = String::new();
        // One that has no room to catch up ends; the client is refused when it comes again, until there is room.
        self.write(&next.ok()?, &mut frame);
        while frame.len() < FRAME && self.follower.is_fed() {
            let Some(Ok(item)) = self.follower.next().now_or_never() else { break };
            self.write(&item, &mut frame);
        }
        Some(frame.into())
    }

    fn write(&self, item: &Item, frame: &mut String) {
        let at = self.follower.at();
        let written = match item {
            Item::Event(record) => match &record.content {
                Content::Accepted(json) => write!(frame, "id: {at}\ndata: {json}\n\n"),
                Content::Newer | Content::Foreign => Ok(()),
            },
            Item::Gap(lost) => {
                let gap = serde_json::to_string(&Gap { lost: lost.clone() });
                let gap = gap.expect("it has only names and numbers");
                write!(frame, "id: {at}\nevent: gap\ndata: {gap}\n\n")
            }
        };
        written.expect("a string takes everything");
    }
}

/// Schemas that no answer of a call names by itself.
pub(super) fn schemas(document: &mut utoipa::openapi::OpenApi) {
    use utoipa::PartialSchema;
    let components = document.components.get_or_insert_default();
    components.schemas.insert("AcceptedTransaction".into(), Event::schema());
    components.schemas.insert("Gap".into(), Gap::schema());
    components.schemas.insert("Loss".into(), Loss::schema());
}
