//! The operator's process: of several, one holds the Lease and works; the others wait.

mod lease;
mod watches;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use fluxo_core::kit::{
    admin,
    health::{Condition, Readiness},
    shutdown::Shutdown,
};
use futures::{StreamExt as _, channel::mpsc, stream};
use kube::{
    Client, Config,
    runtime::{
        Controller, controller,
        events::{Recorder, Reporter},
        reflector::Store,
    },
};
use prometheus_client::registry::Registry;
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    autoscaler::{Autoscaler, Board, Clusters},
    controller::{
        Context, Parts,
        apply::{FIELD_MANAGER, Ledger},
        error_policy,
        model::Installation,
        reconcile,
    },
    crd::TransactionPipeline,
    metrics::Metrics,
    settings::{OperatorSettings, Settings},
    watch::{Heartbeat, Watcher},
};
use watches::Watches;

/// How long a connection to the API server may take to come about. kube's own 30 s would keep a watch from being tried
/// again for as long.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the API server may be silent on a connection, watches included: these ask anew sooner. It is how long it
/// takes to find out that a connection leads nowhere, so that with the time until the next try it stays below 10 s.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(6);
/// What comes within this is one reason to look at a pipeline.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// How often it is looked which pipelines are gone.
const SWEEP: Duration = Duration::from_secs(10);

/// An operator whose admin port is bound.
pub struct Operator {
    settings: Settings,
    admin: TcpListener,
    client: Client,
}

/// Runs the operator until it is told to end.
///
/// # Errors
/// Everything that a person must mend before another start can help.
pub async fn run(settings: Settings, shutdown: Shutdown) -> anyhow::Result<()> {
    let config = Config::infer().await.context("there is neither a service account nor a kubeconfig")?;
    let client = client(config).context("the API server cannot be reached with these settings")?;
    Operator::bind(settings, client).await?.serve(shutdown).await
}

/// A client that does not wait for an answer for ever.
///
/// # Errors
/// When the settings cannot be used.
pub fn client(mut config: Config) -> kube::Result<Client> {
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(ANSWER_TIMEOUT);
    config.reset_reader_on_write = true;
    // Watches, passes and the Lease have back-offs of their own: kube's would let a request sleep for minutes while the
    // API server has long been back.
    config.default_retry = false;
    Client::try_from(config)
}

/// What the parts of the process share.
#[derive(Clone)]
struct Process {
    client: Client,
    settings: OperatorSettings,
    watcher: Watcher,
    readiness: Condition,
    /// What was applied: also true after another process worked for a while.
    ledger: Ledger,
}

impl Operator {
    /// Binds the admin port.
    ///
    /// # Errors
    /// When it cannot be bound.
    pub async fn bind(settings: Settings, client: Client) -> anyhow::Result<Self> {
        let address = settings.run.admin_listen;
        let admin =
            TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        Ok(Self { settings, admin, client })
    }

    /// The address of the admin port.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn admin_addr(&self) -> std::io::Result<std::net::SocketAddr> {
        self.admin.local_addr()
    }

    /// Works, or waits for its turn, until it is told to end.
    ///
    /// # Errors
    /// Everything that a person must mend before another start can help.
    pub async fn serve(self, shutdown: Shutdown) -> anyhow::Result<()> {
        let Self { settings, admin, client } = self;
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let (readiness, heartbeat) = (Readiness::default(), Heartbeat::default());
        let process = Process {
            client,
            settings: settings.operator,
            watcher: Watcher { heartbeat: heartbeat.clone(), metrics },
            readiness: readiness.condition("kubernetes"),
            ledger: Ledger::default(),
        };
        let alive = move || match &*heartbeat.stopped() {
            [] => Ok(()),
            stopped => Err(format!("nobody polls {}", stopped.join(", "))),
        };
        let probes = admin::serve_with(admin, alive, readiness, Arc::new(registry), shutdown.clone());
        tokio::select! {
            ended = probes => ended.context("the admin port failed"),
            ended = process.run(shutdown) => ended,
        }
    }
}

impl Process {
    /// Waits for the Lease, works while it is held, and gives it back.
    async fn run(self, shutdown: Shutdown) -> anyhow::Result<()> {
        let identity = lease::identity(&self.settings);
        while !shutdown.is_draining() {
            let lease = tokio::select! {
                lease = lease::hold(&self, &identity) => lease,
                () = shutdown.draining() => break,
            };
            tracing::info!(identity, "this process works now");
            self.watcher.metrics.leads(true);
            let ended = tokio::select! {
                ended = self.work(&identity, &shutdown) => Some(ended),
                () = lease.lost() => None,
            };
            self.watcher.metrics.leads(false);
            self.watcher.heartbeat.clear();
            if let Some(ended) = ended {
                lease.give_back().await;
                return ended;
            }
            tracing::warn!(identity, "the Lease is lost: another process may work");
        }
        Ok(())
    }

    /// Keeps pipelines true until it is told to end. When it is dropped, nothing of it goes on.
    async fn work(&self, identity: &str, shutdown: &Shutdown) -> anyhow::Result<()> {
        let mut tasks = JoinSet::new();
        let watches = Watches::start(self, &mut tasks);
        self.readiness
            .fails("the API server has not told yet what there is: see the log for watches that fail");
        tokio::select! {
            () = watches.ready() => self.readiness.holds(),
            ended = tasks.join_next() => anyhow::bail!("a watch ended: {ended:?}"),
            () = shutdown.draining() => return Ok(()),
        }
        let (news, heard) = mpsc::unbounded();
        let (board, clusters) = (Board::new(news), Clusters::default());
        let metrics = self.watcher.metrics.clone();
        let reporter = Reporter { controller: FIELD_MANAGER.into(), instance: Some(identity.into()) };
        let context = Arc::new(Context::new(Parts {
            client: self.client.clone(),
            installation: Installation {
                repository: self.settings.operator_image_repository.clone(),
                tag: self.settings.operator_image_tag.clone(),
            },
            pipelines: watches.pipelines.iter().map(|(_, store, _)| store.clone()).collect(),
            children: watches.children.clone(),
            beside_strimzi: watches.beside_strimzi.clone(),
            ledger: self.ledger.clone(),
            clusters: clusters.clone(),
            board: board.clone(),
            recorder: Recorder::new(self.client.clone(), reporter),
            metrics: metrics.clone(),
            resync: self.settings.operator_resync,
            concurrency: self.settings.operator_concurrency,
        }));
        let (routes, secrets) = (watches.routes.clone(), context.applier.secrets.clone());
        tasks.spawn(secrets.watch(self.settings.operator_resync, move |pipeline| routes.send(pipeline)));
        let autoscaler = Autoscaler {
            client: self.client.clone(),
            deployments: watches.children.deployments.clone(),
            board,
            clusters,
            metrics,
            interval: self.settings.operator_lag_interval,
            questions: self.settings.operator_lag_questions,
        };
        tasks.spawn(autoscaler.run(shutdown.clone()));
        tasks.spawn(sweep(Arc::clone(&context)));
        let routes = watches.routes.clone();
        tasks.spawn(heard.for_each(move |pipeline| {
            routes.send(pipeline);
            std::future::ready(())
        }));
        for (namespace, store, due) in watches.pipelines {
            tracing::info!(namespace = namespace.as_deref().unwrap_or("all"), "pipelines are kept true");
            tasks.spawn(control(store, due, Arc::clone(&context), self.settings.operator_concurrency));
        }
        tokio::select! {
            // First: parts end when it is told to.
            biased;
            () = shutdown.draining() => {}
            ended = tasks.join_next() => anyhow::bail!("a part of the operator ended: {ended:?}"),
        }
        tasks.shutdown().await;
        Ok(())
    }
}

/// Makes a pass over each pipeline that is due, a bounded number of them at once.
async fn control(
    store: Store<TransactionPipeline>,
    due: watches::Due,
    context: Arc<Context>,
    concurrency: u16,
) {
    // Every watch runs on its own and only says which pipelines are due: so none of them is in kube's one back-off for
    // all, in which nobody would poll it.
    let config = controller::Config::default().debounce(DEBOUNCE).concurrency(concurrency);
    Controller::for_stream(stream::pending(), store)
        .reconcile_on(due)
        .with_config(config)
        .run(reconcile, error_policy, context)
        .for_each(async |done| match done {
            // Passes that failed were told where it was decided what to do about them.
            Ok(_) | Err(controller::Error::ReconcilerFailed(..) | controller::Error::ObjectNotFound(_)) => {}
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "the controller failed"),
        })
        .await;
}

async fn sweep(context: Arc<Context>) {
    let mut ticks = tokio::time::interval(SWEEP);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        context.sweep();
    }
}
