//! `topic-operator`: the stand-in as a process, on the cluster that `KUBECONFIG` names.

use clap::Parser as _;
use fluxo_topic_operator::Settings;

/// Answers the `KafkaTopic`s of one namespace as Strimzi's Topic Operator was seen to.
#[derive(clap::Parser)]
struct Arguments {
    /// Where the `KafkaTopic`s are
    #[arg(long)]
    namespace: String,
    /// Answers those whose label `strimzi.io/cluster` has this value
    #[arg(long)]
    cluster: String,
    /// The Kafka that has the topics: host:port[,host:port…]
    #[arg(long)]
    bootstrap_servers: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().init();
    let Arguments { namespace, cluster, bootstrap_servers } = Arguments::parse();
    let client = kube::Client::try_default().await?;
    let interrupted = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    fluxo_topic_operator::run(client, Settings::new(namespace, cluster, bootstrap_servers), interrupted).await
}
