//! One trace, from the request to the commit of its row. A program of its own: whether a span is made is decided once in a
//! process, and where only one subscriber is known, by whichever thread comes to the span first, which may have none.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[expect(dead_code, reason = "other tests need the rest of it")]
#[path = "it/pipeline.rs"]
mod pipeline;

use opentelemetry::{
    global,
    trace::{SpanId, SpanKind, TraceId, TracerProvider as _},
};
use opentelemetry_sdk::{
    propagation::TraceContextPropagator,
    trace::{InMemorySpanExporter, SdkTracerProvider, SpanData},
};
use pipeline::Pipeline;
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};

#[tokio::test]
async fn a_request_and_the_commit_of_its_row_are_in_one_trace() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    global::set_text_map_propagator(TraceContextPropagator::new());
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    tracing_subscriber::registry().with(layer).init();

    let pipeline = Pipeline::new(1).await;
    let listening = pipeline.listen(&[]).await;
    // Where nobody listens: what is exported is kept here.
    let api = pipeline.serve_api(&["--otlp-endpoint=http://127.0.0.1:9"]).await;
    let client = reqwest::Client::new();
    for (account, trace) in [("ana", 1), ("beto", 2)] {
        let body = format!(r#"{{"account":"{account}","kind":"entrada","amount":"1.00","currency":"BRL"}}"#);
        let request = client.post(format!("{}/v1/transactions", api.url)).body(body);
        let request = request.header("content-type", "application/json");
        let parent = format!("00-{trace:032x}-00000000000000ff-01");
        assert_eq!(request.header("traceparent", parent).send().await.unwrap().status(), 202);
        pipeline.balance_after(account, 1).await;
    }
    api.stop().await;
    listening.stop().await;

    let spans = exporter.get_finished_spans().unwrap();
    for trace in [1_u128, 2] {
        let of_trace = |span: &&SpanData| span.span_context.trace_id() == TraceId::from(trace);
        let request = spans.iter().find(of_trace).expect("the span of the request");
        assert_eq!((&request.span_kind, request.parent_span_id), (&SpanKind::Server, SpanId::from(255)));
        let batch = spans.iter().find(|span| {
            span.links.iter().any(|link| link.span_context.span_id() == request.span_context.span_id())
        });
        let batch = batch.expect("the span of the batch that has the record");
        assert_eq!(batch.span_kind, SpanKind::Consumer);
        assert!(batch.end_time > request.start_time);
    }
}
