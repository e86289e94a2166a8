//! The trace of a batch: a span of its own that links to the trace of each record, which its headers carry.

use fluxo_store::record::{Batch, RawHeader};
use opentelemetry::{global, propagation::Extractor, trace::TraceContextExt};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The most links of one span: collectors cut off more.
const LINKS_MAX: usize = 128;

/// The span of a batch, named as the conventions for messaging say.
pub(crate) fn span(batch: &Batch) -> Span {
    let span = tracing::info_span!(
        "process",
        otel.name = format!("process {}", batch.topic.name),
        otel.kind = "consumer",
        messaging.system = "kafka",
        messaging.operation.name = "process",
        messaging.operation.type = "process",
        messaging.destination.name = batch.topic.name,
        messaging.batch.message_count = batch.entries.len(),
    );
    let with_headers = batch.entries.iter().filter(|entry| !entry.raw.headers.is_empty());
    for entry in with_headers.take(LINKS_MAX) {
        let sent =
            global::get_text_map_propagator(|propagator| propagator.extract(&Headers(&entry.raw.headers)));
        let sent = sent.span().span_context().clone();
        if sent.is_valid() {
            span.add_link(sent);
        }
    }
    span
}

/// The headers of a record, read by the propagator.
struct Headers<'a>(&'a [RawHeader]);

impl Extractor for Headers<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let header = self.0.iter().find(|header| header.name == name)?;
        std::str::from_utf8(header.value.as_ref()?).ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|header| header.name.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::propagation::TraceContextPropagator;

    use super::*;

    #[test]
    fn the_trace_of_a_record_is_read_from_its_headers() {
        use opentelemetry::propagation::TextMapPropagator;
        let value = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let headers = [RawHeader { name: "traceparent".into(), value: Some(value.to_vec()) }];
        let context = TraceContextPropagator::new().extract(&Headers(&headers));
        let sent = context.span().span_context().clone();
        assert_eq!(sent.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        let broken = [RawHeader { name: "traceparent".into(), value: Some(vec![0xff]) }];
        assert!(!TraceContextPropagator::new().extract(&Headers(&broken)).span().span_context().is_valid());
    }
}
