//! What happens to the cluster, and when. All of it follows from the seed of a round.

use std::time::Duration;

use fastrand::Rng;
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
    metadata::MetadataPartition,
};
use tokio::{sync::Mutex, time::sleep};

use crate::{
    cluster::{Cluster, SESSION, TOPIC},
    servers::BROKERS,
    service::{Service, signal},
};

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    KillApi,
    PauseApi,
    RestartApi,
    KillListener,
    /// For longer than its session: another takes over, and it wakes as one that believes to own its partitions.
    PauseListener,
    RestartListener,
    KillBothListeners,
    KillBroker,
    PauseBroker,
    /// The one that leads a partition, whichever it is.
    KillLeader,
    /// Neither a leader of the cluster nor an in-sync quorum is left.
    KillTwoBrokers,
    CutBroker(Cut),
    KillMysql,
    PauseMysql,
    CutMysql(Cut),
}

/// How a connection fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cut {
    /// Connections break, and no new one is made.
    Refused,
    /// Nothing comes through, and nothing is said.
    Silent,
    /// What there is falls silent for ever; new connections are well.
    Forgotten,
}

/// What a fault happens to: two at once happen to different parts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Api,
    Listener,
    Kafka,
    Mysql,
}

/// A fault with its moment and its length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    pub(crate) fault: Fault,
    /// Which of several it happens to.
    index: usize,
    /// After the load has begun.
    after: Duration,
    lasts: Duration,
}

impl Fault {
    pub(crate) const ALL: [(Self, &'static str); 19] = [
        (Self::KillApi, "an api is killed"),
        (Self::PauseApi, "an api stands still (SIGSTOP)"),
        (Self::RestartApi, "an api is restarted (SIGTERM)"),
        (Self::KillListener, "a listener is killed"),
        (Self::PauseListener, "a listener stands still for longer than its session, and wakes"),
        (Self::RestartListener, "a listener is restarted (SIGTERM)"),
        (Self::KillBothListeners, "both listeners are killed"),
        (Self::KillBroker, "a broker is killed"),
        (Self::PauseBroker, "a broker stands still"),
        (Self::KillLeader, "the leader of a partition is killed"),
        (Self::KillTwoBrokers, "two brokers of three are killed"),
        (Self::CutBroker(Cut::Refused), "connections to a broker break"),
        (Self::CutBroker(Cut::Silent), "connections to a broker fall silent"),
        (Self::CutBroker(Cut::Forgotten), "connections to a broker are forgotten"),
        (Self::KillMysql, "MySQL is killed"),
        (Self::PauseMysql, "MySQL stands still"),
        (Self::CutMysql(Cut::Refused), "connections to MySQL break"),
        (Self::CutMysql(Cut::Silent), "connections to MySQL fall silent"),
        (Self::CutMysql(Cut::Forgotten), "connections to MySQL are forgotten"),
    ];

    pub(crate) fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(fault, _)| *fault == self).map_or("", |(_, name)| name)
    }

    fn part(self) -> Part {
        match self {
            Self::KillApi | Self::PauseApi | Self::RestartApi => Part::Api,
            Self::KillListener | Self::PauseListener | Self::RestartListener | Self::KillBothListeners => {
                Part::Listener
            }
            Self::KillBroker
            | Self::PauseBroker
            | Self::KillLeader
            | Self::KillTwoBrokers
            | Self::CutBroker(_) => Part::Kafka,
            Self::KillMysql | Self::PauseMysql | Self::CutMysql(_) => Part::Mysql,
        }
    }
}

/// What happens in a round: one thing, or two at once to different parts.
pub(crate) fn plan(seed: u64) -> Vec<Planned> {
    let mut rng = Rng::with_seed(seed);
    let mut faults = Fault::ALL.map(|(fault, _)| fault);
    rng.shuffle(&mut faults);
    let alone = rng.bool();
    let second = faults[1..].iter().find(|fault| fault.part() != faults[0].part()).filter(|_| !alone);
    let chosen: Vec<_> = faults[..1].iter().chain(second).copied().collect();
    let millis = |rng: &mut Rng, range| Duration::from_millis(rng.u64(range));
    chosen
        .into_iter()
        .map(|fault| Planned {
            fault,
            index: rng.usize(..6),
            after: millis(&mut rng, 300..2_000),
            lasts: match fault {
                Fault::PauseListener => SESSION + millis(&mut rng, 1_000..4_000),
                _ => millis(&mut rng, 200..6_000),
            },
        })
        .collect()
}

impl Planned {
    /// Does it, and mends it.
    pub(crate) async fn happen(self, cluster: &Cluster<'_>) -> anyhow::Result<()> {
        sleep(self.after).await;
        match self.fault {
            Fault::KillApi => self.kill(&cluster.apis[self.index % 2]).await,
            Fault::PauseApi => self.pause_service(&cluster.apis[self.index % 2]).await,
            Fault::RestartApi => restart(&cluster.apis[self.index % 2]).await,
            Fault::KillListener => self.kill(&cluster.listeners[self.index % 2]).await,
            Fault::PauseListener => self.pause_service(&cluster.listeners[self.index % 2]).await,
            Fault::RestartListener => restart(&cluster.listeners[self.index % 2]).await,
            Fault::KillBothListeners => {
                tokio::try_join!(self.kill(&cluster.listeners[0]), self.kill(&cluster.listeners[1]))?;
                Ok(())
            }
            Fault::KillBroker => self.kill_brokers(cluster, &[self.broker()]).await,
            Fault::PauseBroker => self.pause(cluster.servers.broker(self.broker())?).await,
            Fault::KillLeader => {
                let leader = leader(cluster, self.index).await?;
                self.kill_brokers(cluster, &[leader]).await
            }
            Fault::KillTwoBrokers => {
                let next = (self.broker() + 1) % usize::from(BROKERS);
                self.kill_brokers(cluster, &[self.broker(), next]).await
            }
            Fault::CutBroker(cut) => self.cut(&cluster.servers.to_brokers[self.broker()], cut).await,
            Fault::KillMysql => {
                signal("KILL", cluster.servers.mysql()?).await?;
                sleep(self.lasts).await;
                cluster.servers.mysql_up().await
            }
            Fault::PauseMysql => self.pause(cluster.servers.mysql()?).await,
            Fault::CutMysql(cut) => self.cut(&cluster.servers.to_mysql, cut).await,
        }
    }

    fn broker(self) -> usize {
        self.index % usize::from(BROKERS)
    }

    async fn kill(self, service: &Mutex<Service>) -> anyhow::Result<()> {
        let mut service = service.lock().await;
        service.kill().await?;
        sleep(self.lasts).await;
        service.start_again()
    }

    async fn pause_service(self, service: &Mutex<Service>) -> anyhow::Result<()> {
        let process = service.lock().await.process()?;
        self.pause(process).await
    }

    async fn pause(self, process: u32) -> anyhow::Result<()> {
        signal("STOP", process).await?;
        sleep(self.lasts).await;
        signal("CONT", process).await
    }

    async fn kill_brokers(self, cluster: &Cluster<'_>, brokers: &[usize]) -> anyhow::Result<()> {
        for broker in brokers {
            signal("KILL", cluster.servers.broker(*broker)?).await?;
        }
        sleep(self.lasts).await;
        cluster.servers.brokers_up().await
    }

    async fn cut(self, link: &fluxo_testkit::Link, cut: Cut) -> anyhow::Result<()> {
        match cut {
            Cut::Refused => link.refuses(),
            Cut::Silent => link.falls_silent(),
            Cut::Forgotten => link.forgets_connections(),
        }
        sleep(self.lasts).await;
        link.passes();
        Ok(())
    }
}

async fn restart(service: &Mutex<Service>) -> anyhow::Result<()> {
    let mut service = service.lock().await;
    service.end().await?;
    service.start_again()
}

/// The broker that leads one of the partitions.
async fn leader(cluster: &Cluster<'_>, partition: usize) -> anyhow::Result<usize> {
    let servers = cluster.servers.kafka();
    let asked = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", servers).create()?;
        let metadata = consumer.fetch_metadata(Some(TOPIC), Duration::from_secs(30))?;
        let partitions = metadata.topics().first().map_or(&[][..], |topic| topic.partitions());
        anyhow::Ok(partitions.get(partition).map_or(1, MetadataPartition::leader))
    });
    // Brokers are counted from 1.
    Ok(usize::try_from(asked.await??.max(1) - 1)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_few_hundred_seeds_have_every_fault_alone_and_beside_another() {
        let plans: Vec<_> = (0..400).map(plan).collect();
        for size in [1, 2] {
            let plans = plans.iter().filter(|plan| plan.len() == size);
            let faults: BTreeSet<_> = plans.flatten().map(|planned| planned.fault).collect();
            assert_eq!(faults.len(), Fault::ALL.len(), "in plans of {size}");
        }
    }

    #[test]
    fn a_seed_always_means_the_same_and_two_faults_happen_to_different_parts() {
        for seed in 0..100 {
            assert_eq!(format!("{:?}", plan(seed)), format!("{:?}", plan(seed)));
            if let [first, second] = plan(seed)[..] {
                assert!(first.fault.part() != second.fault.part());
            }
        }
    }
}
