//! The api as a whole: its parts, put together, and run until it is told to end.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use fluxo_core::kit::{
    admin,
    health::{Condition, Readiness},
    shutdown::Shutdown,
};
use fluxo_store::Store;
use prometheus_client::registry::Registry;
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    Admission, ApiSettings, AuthMode, Settings,
    database::Database,
    fates::{Answering, Fates},
    http::{self, App, Limits, RateLimit},
    idempotency::Window,
    kafka::{Producer, source::Source},
    keys::Keys,
    metrics::Metrics,
    publish::Publisher,
    server::Server,
    stream::Streams,
};

/// What is kept of the grace for telling clients how their requests ended.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// An api that has its ports, and does not serve yet.
pub struct Api {
    app: Arc<App>,
    answering: Answering,
    server: Server,
    listener: TcpListener,
    admin: TcpListener,
    registry: Registry,
    readiness: Readiness,
    kafka: Condition,
    auth: Condition,
    grace: Duration,
}

impl Api {
    /// Takes the ports, and starts to connect to Kafka and the database. Either may be away.
    ///
    /// # Errors
    /// When the settings cannot be used, or a port cannot be taken.
    pub async fn bind(settings: Settings) -> anyhow::Result<Self> {
        let api = &settings.api;
        let admission = Admission::new(api.api_max_in_flight_records, api.api_max_in_flight_bytes);
        Self::bind_with(settings, admission).await
    }

    /// As [`Api::bind`], with a bound of what is in flight that somebody else has made.
    ///
    /// # Errors
    /// As for [`Api::bind`].
    pub async fn bind_with(settings: Settings, admission: Admission) -> anyhow::Result<Self> {
        let Settings { run, kafka, database, api } = settings;
        let keys = keys(&api)?;
        let mut registry = Registry::default();
        let metrics = Arc::new(Metrics::register(&mut registry, admission.clone()));
        let store = Store::open(&database).await.context("the settings of the database cannot be used")?;
        let database = Arc::new(Database::new(store, api.api_database_timeout, metrics.clone()));
        let (fates, answering) = Fates::new(database.clone(), api.api_lookup_timeout);
        let (records, bytes) = (api.api_max_in_flight_records, api.api_max_in_flight_bytes);
        let producer = Producer::start(&kafka, api.api_delivery_timeout, records, bytes)
            .context("the settings of Kafka cannot be used")?;
        let readiness = Readiness::default();
        let publisher = Publisher {
            producer,
            admission,
            window: Window::new(api.api_idempotency_keys, api.api_idempotency_time),
            fates: fates.clone(),
            metrics: metrics.clone(),
        };
        let source = Source::new(&kafka).context("the settings of Kafka cannot be used")?;
        let streams = Streams::new(source, api.api_max_streams, api.api_max_catch_ups, metrics.clone());
        let limits = Limits {
            body: api.api_max_body,
            body_timeout: api.api_body_timeout,
            wait: api.api_max_wait,
            keep_alive: api.api_stream_keep_alive,
        };
        let app = App {
            publisher,
            database,
            fates,
            streams: Arc::new(streams),
            keys,
            rate: RateLimit::new(api.api_rate_limit),
            metrics,
            limits,
            concurrency: Semaphore::new(api.api_max_requests as usize),
            has_traces: run.log.otlp_endpoint.is_some(),
        };
        Ok(Self {
            app: Arc::new(app),
            answering,
            server: Server::new(api.api_max_connections, api.api_idle_timeout),
            listener: listen(api.api_listen).await?,
            admin: listen(run.admin_listen).await?,
            registry,
            kafka: readiness.condition("kafka"),
            auth: readiness.condition("auth"),
            readiness,
            grace: run.shutdown_grace,
        })
    }

    /// The address that clients call.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The address of probes and metrics.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn admin_addr(&self) -> std::io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// What must hold before it is ready. Cloned, it goes on telling while the api serves.
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Serves until `shutdown` drains, and then until every request is answered, which is before the end of the
    /// grace: requests that still wait for Kafka are told that their outcome is unknown.
    ///
    /// # Errors
    /// When the database will not serve these settings, or the admin port fails.
    pub async fn serve(self, shutdown: Shutdown) -> anyhow::Result<()> {
        let Self { app, answering, server, listener, admin, registry, readiness, kafka, auth, grace } = self;
        tracing::info!(address = %listener.local_addr()?, admin = %admin.local_addr()?, "serving");
        let router = http::router(app.clone());
        // Requests wait for it: it runs beside them, not on the thread that waits for the end.
        let answering = AbortOnDropHandle::new(tokio::spawn(answering.run()));
        let giving_up = async {
            shutdown.draining().await;
            app.streams.end();
            tokio::time::sleep(grace.saturating_sub(LAST_ANSWERS)).await;
            app.publisher.producer.give_up();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = server.serve(listener, router, &shutdown) => {}
            ended = admin::serve(admin, readiness, Arc::new(registry), shutdown.clone()) => {
                ended.context("the admin port failed")?;
                bail!("ended before everything was done");
            }
            error = app.database.supervise() => {
                return Err(anyhow::Error::new(error).context("the database will not serve these settings"));
            }
            () = app.publisher.producer.supervise(&kafka) => unreachable!("it never ends"),
            () = app.keys.supervise(&auth, &app.metrics) => unreachable!("it never ends"),
            _ = answering => bail!("the task that asks the database has failed"),
            () = giving_up => unreachable!("it never ends"),
        }
        // No request waits any more; what is left are records whose clients have gone.
        app.publisher.producer.clone().end(LAST_ANSWERS).await;
        Ok(())
    }
}

/// Who may call.
///
/// # Errors
/// When the settings say two things, or nothing.
pub(crate) fn keys(settings: &ApiSettings) -> anyhow::Result<Keys> {
    match (settings.api_auth, &settings.api_keys_file) {
        (AuthMode::Keys, Some(file)) => Ok(Keys::of_file(file.clone())),
        (AuthMode::None, None) => Ok(Keys::open()),
        (AuthMode::Keys, None) => {
            bail!("FLUXO_API_KEYS_FILE is needed; to let everybody in, set FLUXO_API_AUTH to none")
        }
        (AuthMode::None, Some(_)) => {
            bail!("FLUXO_API_KEYS_FILE is set and FLUXO_API_AUTH is none: it must be one of them")
        }
    }
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}
