//! `listener quarantine`: a person looks at the records in quarantine, forwards them, or tries them again.

mod judge;
mod print;

use std::io::Write;

use anyhow::{Context as _, bail, ensure};
use fluxo_core::{Position, TopicId};
use fluxo_store::{
    Store,
    quarantine::{Entry, Filter, Place, Share},
    record::RawRecord,
};

use crate::{
    chain,
    forward::{PAGE, Sender},
    kafka::Producer,
    settings::{Forward, List, Quarantine, Retry, Settings},
};
use judge::Judgement;
pub(crate) use print::table;

/// Does what the command says, and tells it to `out`.
///
/// # Errors
/// When it cannot be done, or not for every record that was named.
pub async fn run(settings: &Settings, command: &Quarantine, out: &mut impl Write) -> anyhow::Result<()> {
    let store = Store::open(&settings.database).await?;
    store.ping().await.map_err(|error| anyhow::anyhow!("{}", chain(&error)))?;
    match command {
        Quarantine::List(list) => self::list(&store, list, out).await,
        Quarantine::Show(show) => {
            let (entry, raw) = find(&store, &show.place).await?;
            Ok(print::record(&entry, &raw, show.output, out)?)
        }
        Quarantine::Forward(forward) => self::forward(settings, &store, forward, out).await,
        Quarantine::Retry(retry) => self::retry(settings, &store, retry, out).await,
    }
}

async fn list(store: &Store, list: &List, out: &mut impl Write) -> anyhow::Result<()> {
    let filter = Filter {
        topic: list.topic.clone(),
        reason: list.reason,
        from: list.from,
        to: list.to,
        waiting: list.waiting,
    };
    let entries = store.quarantine(&filter, list.limit.into()).await?;
    Ok(print::entries(&entries, list.output, out)?)
}

async fn forward(
    settings: &Settings,
    store: &Store,
    forward: &Forward,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let topic = settings.listener.listener_dead_letter_topic.as_ref();
    let topic =
        topic.context("FLUXO_LISTENER_DEAD_LETTER_TOPIC is needed: it is where records are forwarded to")?;
    let mut sender = Sender::new(&settings.kafka, topic, &settings.listener.listener_group);
    let (mut forwarded, mut left) = (0, 0);
    // Of one partition, all rows are the first one's.
    let share = Share { topic: settings.kafka.kafka_topic.clone(), partitions: 1, held: vec![0] };
    let mut page = named(store, forward).await?;
    let all = forward.places.is_empty();
    let mut after = None;
    loop {
        if all {
            page = store.unforwarded(&share, after.as_ref(), PAGE).await?;
        }
        let progress = sender.forward(store, &page, || false).await?;
        forwarded += progress.forwarded.len();
        left += progress.refused.len();
        for (place, refusal) in &progress.refused {
            writeln!(out, "{}: {}", print::place(place), refusal.error)?;
        }
        if let Some(interrupted) = progress.interrupted {
            return Err(interrupted.into());
        }
        after = page.last().cloned();
        if !all || after.is_none() {
            break;
        }
    }
    sender.end().await;
    writeln!(out, "{forwarded} forwarded to {topic}")?;
    ensure!(left == 0, "{left} could not be forwarded");
    Ok(())
}

/// The records that are named; those that were forwarded already only if that is said.
async fn named(store: &Store, forward: &Forward) -> anyhow::Result<Vec<Place>> {
    let mut places = Vec::new();
    for named in &forward.places {
        let (entry, _) = find(store, named).await?;
        if let (Some(at), false) = (entry.forwarded_at, forward.again) {
            bail!(
                "{} was forwarded at {at}: say --again to forward it once more",
                print::place(&entry.place)
            );
        }
        places.push(entry.place);
    }
    places.sort();
    Ok(places)
}

async fn retry(
    settings: &Settings,
    store: &Store,
    retry: &Retry,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let topic = &settings.kafka.kafka_topic;
    let producer = Producer::new(&settings.kafka, topic)?;
    let mut refused = 0;
    for named in &retry.places {
        let (entry, raw) = find(store, named).await?;
        ensure!(
            &entry.topic == topic,
            "{} is of the topic {}, and FLUXO_KAFKA_TOPIC is {topic}",
            print::place(&entry.place),
            entry.topic
        );
        let judgement = judge::judge(store, &raw).await?;
        if judgement == Judgement::Retry {
            let new = producer.send(&raw, None).await?;
            let Position { partition, offset } = new;
            writeln!(out, "{}: tried again as {topic}/{partition}/{offset}", print::place(&entry.place))?;
        } else {
            refused += 1;
            writeln!(out, "{}: {judgement}", print::place(&entry.place))?;
        }
    }
    tokio::task::spawn_blocking(move || drop(producer)).await?;
    ensure!(refused == 0, "{refused} not tried again");
    Ok(())
}

/// The record that is named by `<topic or its id>/<partition>/<offset>`.
async fn find(store: &Store, named: &str) -> anyhow::Result<(Entry, RawRecord)> {
    let (topic, position) = parse(named)?;
    let mut places: Vec<_> =
        TopicId::parse(topic).map(|topic_id| Place { topic_id, position }).into_iter().collect();
    places.extend(store.quarantined_at(topic, position).await?);
    let mut found = Vec::new();
    for place in places {
        found.extend(store.quarantined(&place).await?);
    }
    let ids: Vec<_> = found.iter().map(|(entry, _)| entry.place.topic_id.as_str()).collect();
    ensure!(ids.len() <= 1, "several topics had the name {topic}: name one by its id, {}", ids.join(" or "));
    found.pop().with_context(|| format!("no record in quarantine is at {named}"))
}

fn parse(named: &str) -> anyhow::Result<(&str, Position)> {
    let parts = || {
        // The id of a topic is base64, which may have a slash in it.
        let (rest, offset) = named.rsplit_once('/')?;
        let (topic, partition) = rest.rsplit_once('/')?;
        Some((topic, Position { partition: partition.parse().ok()?, offset: offset.parse().ok()? }))
    };
    parts()
        .with_context(|| format!("{named} is not like transactions/0/17: topic or its id, partition, offset"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_named_by_topic_partition_and_offset() {
        let position = Position { partition: 3, offset: 17 };
        assert_eq!(parse("transactions/3/17").unwrap(), ("transactions", position));
        assert_eq!(parse("ab/cd==/3/17").unwrap(), ("ab/cd==", position));
        for bad in ["", "transactions", "3/17", "transactions/x/17", "transactions/3/"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
