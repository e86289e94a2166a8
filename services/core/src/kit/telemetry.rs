//! Logs, and traces when an OTLP endpoint is set.

use anyhow::Context;
use opentelemetry::{global, trace::TracerProvider as _};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use crate::settings::{LogFormat, LogSettings};

/// Keeps the exporter of traces until it is flushed.
#[must_use = "traces that are not flushed are lost"]
#[derive(Debug)]
pub struct Telemetry(Option<SdkTracerProvider>);

/// Starts logs on standard error and, when an endpoint is set, traces by OTLP over gRPC.
///
/// # Errors
/// When the filter or the endpoint cannot be used, or something else has started logs already.
pub fn init(service: &'static str, settings: &LogSettings) -> anyhow::Result<Telemetry> {
    // One for all layers: with a filter of its own on each, a question whether something would be logged, which
    // librdkafka's wrapper asks, makes the next line of its thread go lost.
    let filter = EnvFilter::builder().parse(&settings.log).with_context(|| {
        format!("FLUXO_LOG is not a filter such as info,fluxo_api=debug: {}", settings.log)
    })?;
    let logs = match settings.log_format {
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_writer(std::io::stderr)
            .boxed(),
        LogFormat::Pretty => {
            tracing_subscriber::fmt::layer().with_target(false).with_writer(std::io::stderr).boxed()
        }
    };
    let provider =
        settings.otlp_endpoint.as_deref().map(|endpoint| exporter(service, endpoint)).transpose()?;
    let traces = match &provider {
        Some(provider) => {
            global::set_text_map_propagator(TraceContextPropagator::new());
            Some(tracing_opentelemetry::layer().with_tracer(provider.tracer(service)))
        }
        None => None,
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(logs)
        .with(traces)
        .try_init()
        .context("logs were started twice")?;
    Ok(Telemetry(provider))
}

fn exporter(service: &'static str, endpoint: &str) -> anyhow::Result<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .with_context(|| format!("OTEL_EXPORTER_OTLP_ENDPOINT cannot be used: {endpoint}"))?;
    let resource = Resource::builder().with_service_name(service).build();
    Ok(SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build())
}

impl Telemetry {
    /// Sends what is left of the traces.
    pub async fn flush(self) {
        if let Some(provider) = self.0 {
            // It blocks until the exporter, which needs this runtime, has answered.
            let flushed = tokio::task::spawn_blocking(move || provider.shutdown()).await;
            if let Ok(Err(error)) = flushed {
                tracing::warn!(error = %error, "the last traces were not sent");
            }
        }
    }
}
