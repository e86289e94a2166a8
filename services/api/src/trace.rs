//! W3C trace context: in by HTTP headers, out by the headers of the Kafka record.

use axum::http::HeaderMap;
use opentelemetry::{
    global,
    propagation::{Extractor, Injector},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The names of the headers, over HTTP and on Kafka.
pub(crate) const PARENT: &str = "traceparent";
pub(crate) const STATE: &str = "tracestate";

/// The longest `tracestate` that is passed on: what the standard asks of everybody.
const STATE_MAX: usize = 512;

/// What a record carries of the trace that it belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) parent: Option<String>,
    pub(crate) state: Option<String>,
}

impl Trace {
    /// The trace of a request whose span is not exported: what came in, if it is valid.
    pub(crate) fn passed_through(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let Some(parent) = text(PARENT).filter(|parent| is_parent(parent)) else { return Self::default() };
        let state = text(STATE).filter(|state| !state.is_empty() && state.len() <= STATE_MAX);
        Self { parent: Some(parent.to_owned()), state: state.map(str::to_owned) }
    }

    /// The trace of a span that is exported.
    pub(crate) fn of(span: &Span) -> Self {
        let mut trace = Self::default();
        global::get_text_map_propagator(|propagator| {
            propagator.inject_context(&span.context(), &mut trace);
        });
        trace
    }

    /// Makes a span part of the trace that a request came with.
    pub(crate) fn join(span: &Span, headers: &HeaderMap) {
        let parent = global::get_text_map_propagator(|propagator| propagator.extract(&Incoming(headers)));
        // It fails only for a span that nobody exports.
        let _ = span.set_parent(parent);
    }
}

impl Injector for Trace {
    fn set(&mut self, name: &str, value: String) {
        match name {
            PARENT => self.parent = Some(value),
            STATE if !value.is_empty() => self.state = Some(value),
            _ => {}
        }
    }
}

struct Incoming<'a>(&'a HeaderMap);

impl Extractor for Incoming<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(axum::http::HeaderName::as_str).collect()
    }
}

/// Whether a text is a `traceparent` of version 00: `00-<32 hex>-<16 hex>-<2 hex>`, ids not all zero.
fn is_parent(text: &str) -> bool {
    let hex = |part: &str, length| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let id = |part: &str, length| hex(part, length) && part.bytes().any(|byte| byte != b'0');
    let mut parts = text.split('-');
    let valid = parts.next() == Some("00")
        && parts.next().is_some_and(|part| id(part, 32))
        && parts.next().is_some_and(|part| id(part, 16))
        && parts.next().is_some_and(|part| hex(part, 2));
    valid && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracerProvider};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn passed(parent: &str) -> Trace {
        let headers = [(PARENT, parent), (STATE, "vendor=1")];
        Trace::passed_through(
            &headers
                .into_iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect(),
        )
    }

    #[test]
    fn a_valid_parent_is_passed_through_with_its_state() {
        let expected = Trace { parent: Some(VALID.into()), state: Some("vendor=1".into()) };
        assert_eq!(passed(VALID), expected);
    }

    #[test]
    fn a_parent_that_is_not_valid_is_dropped_with_its_state() {
        for bad in [
            "",
            "00",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(passed(bad), Trace::default(), "{bad}");
        }
    }

    #[test]
    fn a_span_that_is_exported_hands_its_own_trace_on() {
        global::set_text_map_propagator(TraceContextPropagator::new());
        let tracer = SdkTracerProvider::builder().build().tracer("test");
        let subscriber =
            tracing_subscriber::registry().with(tracing_opentelemetry::layer().with_tracer(tracer));
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("request");
            let headers = [(PARENT, VALID), (STATE, "vendor=1")];
            let headers = headers.into_iter().map(|(name, value)| {
                (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
            });
            Trace::join(&span, &headers.collect());
            let trace = Trace::of(&span);
            let parent = trace.parent.unwrap();
            assert!(is_parent(&parent) && parent.starts_with(&VALID[..36]), "{parent}");
            assert_ne!(parent, VALID, "the span is the parent now");
            assert_eq!(trace.state.as_deref(), Some("vendor=1"));
        });
    }
}
