//! The parts of the demo, put together, and ended in their order.

use std::{io::Write as _, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::bail;
use fluxo_api::{Admission, Api};
use fluxo_core::kit::{health::Readiness, shutdown::Shutdown};
use fluxo_listener::Listener;

use crate::{Settings, data::Data, kafka::Kafka};

/// The most that may be on Kafka and not yet recorded: the mock cluster drops what is beyond 5 MiB of a partition. These
/// are bytes of values; a record also has a key, trace headers and its share of a batch, 730 bytes at the very most.
/// So even if all is in one partition, and nothing can be compressed, 2 MiB + 4,000 * 730 bytes are below 5 MiB.
const UNRECORDED_RECORDS: u32 = 4_000;
const UNRECORDED_BYTES: u32 = 2 << 20;

/// How often is looked whether something is the case.
const POLL: Duration = Duration::from_millis(20);

/// A demo that has its ports, and does not serve yet.
pub struct Demo {
    api: Api,
    listener: Listener,
    name_of_data: String,
    // Ended after the services that use them.
    data: Data,
    kafka: Kafka,
}

impl Demo {
    /// Starts a Kafka, takes the ports and opens the file.
    ///
    /// # Errors
    /// When a port or the file cannot be used.
    pub async fn bind(settings: Settings) -> anyhow::Result<Self> {
        let kafka = Kafka::start()?;
        let database = Data::settings(&settings.data)?;
        let (admission, backlog) = Admission::until_recorded(UNRECORDED_RECORDS, UNRECORDED_BYTES);
        let of_api = settings.api(kafka.settings().clone(), database.clone())?;
        let api = Api::bind_with(of_api, admission).await?;
        let of_listener = settings.listener(kafka.settings().clone(), database)?;
        let listener = Listener::bind(of_listener).await?;
        let listener = listener.on_recorded(Arc::new(move |records, bytes| backlog.recorded(records, bytes)));
        let data = Data::open(&settings.data).await?;
        // What a listener would ask a person to decide is certain here: the topic is a new one, and everything of the
        // one before that was ever recorded is in the file.
        let topic = &kafka.settings().kafka_topic;
        data.store().adopt_offsets(topic, &kafka.beginnings().await?).await?;
        Ok(Self { api, listener, name_of_data: settings.data.display().to_string(), data, kafka })
    }

    /// The address that clients call.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.api.local_addr()
    }

    /// The addresses of probes and metrics: the api's and the listener's.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn admin_addrs(&self) -> std::io::Result<[SocketAddr; 2]> {
        Ok([self.api.admin_addr()?, self.listener.admin_addr()?])
    }

    /// Serves until `shutdown` drains, and then until all that was accepted is recorded: this Kafka ends with the
    /// process.
    ///
    /// # Errors
    /// When a service fails.
    pub async fn serve(self, shutdown: Shutdown) -> anyhow::Result<()> {
        let greeting = self.greeting()?;
        let Self { api, listener, data, kafka, .. } = self;
        let listening = Shutdown::manual();
        let readiness = api.readiness();
        let one_after_the_other = async {
            api.serve(shutdown.clone()).await?;
            all_recorded(&kafka, &data).await?;
            listening.drain();
            anyhow::Ok(())
        };
        let greet = async {
            ready(&readiness).await;
            greet(&greeting);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            ended = async { tokio::try_join!(one_after_the_other, listener.serve(listening.clone())) } => {
                ended?;
            }
            () = greet => unreachable!("it never ends"),
            () = shutdown.aborted() => {
                listening.abort();
                bail!("ended before everything was recorded");
            }
        }
        data.store().close().await;
        Ok(())
    }

    fn greeting(&self) -> std::io::Result<String> {
        let (url, [api, listener]) = (format!("http://{}", self.local_addr()?), self.admin_addrs()?);
        let data = &self.name_of_data;
        Ok(format!(
            r#"
Fluxo serves {url} and keeps transactions in {data}. Try:

  curl {url}/v1/transactions -H 'Content-Type: application/json' -H 'Prefer: wait=5' -d '{{"account":"ana","kind":"entrada","amount":"1234.56","currency":"BRL"}}'
  curl {url}/v1/accounts/ana/balance
  curl '{url}/v1/accounts/ana/statement?currency=BRL'

All calls are described at {url}/docs, and tried there.
Metrics: http://{api}/metrics of the api, http://{listener}/metrics of the listener.
Ctrl-C ends it, and keeps everything. Its Kafka is in memory: a kill loses what was accepted and not yet recorded.

"#
        ))
    }
}

/// Waits until everything that Kafka has is recorded. Nothing may come any more.
async fn all_recorded(kafka: &Kafka, data: &Data) -> anyhow::Result<()> {
    loop {
        let offsets = data.store().offsets(&kafka.settings().kafka_topic).await?;
        if kafka.is_read(offsets).await? {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn ready(readiness: &Readiness) {
    while !readiness.missing().is_empty() {
        tokio::time::sleep(POLL).await;
    }
}

/// Says where to begin, on standard output: logs are on the other one.
fn greet(greeting: &str) {
    let mut output = std::io::stdout().lock();
    // Whoever started it may not want to read it.
    let _ = output.write_all(greeting.as_bytes()).and_then(|()| output.flush());
}
