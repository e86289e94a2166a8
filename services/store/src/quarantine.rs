//! What is in quarantine: what the dead-letter topic has yet to get, and what a person asks.

use std::collections::BTreeSet;

use fluxo_core::{Position, Timestamp, TopicId, TransactionId, quarantine::Reason};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Select,
    sea_query::{Expr, Query},
};
use time::PrimitiveDateTime;
use uuid::Uuid;

use crate::{
    Error, Store,
    connect::in_time,
    entity::quarantine::{Column, Entity, Model},
    headers,
    record::RawRecord,
};

/// The most rows that are counted: counting must stay cheap, however long nothing was forwarded.
pub const COUNT_MAX: u64 = 10_000;

/// Where a record in quarantine lies: what its row is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The topic that it was read from.
    pub topic_id: TopicId,
    /// Where in it.
    pub position: Position,
}

/// What is known of a record in quarantine beside its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it lies.
    pub place: Place,
    /// The name of its topic.
    pub topic: String,
    /// The id of its transaction, if it could be read.
    pub id: Option<TransactionId>,
    /// Why it is there.
    pub reason: Reason,
    /// Since when it is there.
    pub recorded_at: Timestamp,
    /// When the dead-letter topic had it.
    pub forwarded_at: Option<Timestamp>,
}

/// The rows that one of several forwarders is to forward: those of its partitions, whichever topic of that name they
/// were read from. A topic that was made anew may have fewer partitions than before; so that nobody's rows are left,
/// they are dealt out by their number modulo the partitions that there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The name of the topic.
    pub topic: String,
    /// How many partitions it has.
    pub partitions: i32,
    /// Those that are this forwarder's.
    pub held: Vec<i32>,
}

/// What the dead-letter topic has yet to get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many rows, at most [`COUNT_MAX`].
    pub rows: u64,
    /// Since when the oldest that was counted waits.
    pub oldest: Option<Timestamp>,
}

/// Which records are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only of a topic of this name.
    pub topic: Option<String>,
    /// Only for this reason.
    pub reason: Option<Reason>,
    /// Only those that are there since then or later.
    pub from: Option<Timestamp>,
    /// Only those that are there since before.
    pub to: Option<Timestamp>,
    /// Only those that the dead-letter topic has yet to get.
    pub waiting: bool,
}

/// The columns of an [`Entry`].
type Columns =
    (String, i32, i64, String, Option<Vec<u8>>, String, PrimitiveDateTime, Option<PrimitiveDateTime>);

impl Store {
    /// The records of a share that the dead-letter topic has yet to get, in the order of their keys, after one of them.
    ///
    /// # Errors
    /// When the database fails, or a row is none that Fluxo wrote.
    pub async fn unforwarded(
        &self,
        share: &Share,
        after: Option<&Place>,
        limit: u64,
    ) -> Result<Vec<Place>, Error> {
        let places = of_share(share)
            .filter(after.map_or_else(Condition::all, beyond))
            .select_only()
            .columns([Column::TopicId, Column::Partition, Column::Offset])
            .order_by_asc(Column::TopicId)
            .order_by_asc(Column::Partition)
            .order_by_asc(Column::Offset)
            .limit(limit)
            .into_tuple::<(String, i32, i64)>();
        let places = in_time(places.all(&self.pool)).await?;
        places.into_iter().map(|(topic_id, partition, offset)| place(&topic_id, partition, offset)).collect()
    }

    /// How much of a share the dead-letter topic has yet to get.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn backlog(&self, share: &Share) -> Result<Backlog, Error> {
        let waiting = of_share(share).select_only().column(Column::RecordedAt).limit(COUNT_MAX);
        let recorded_at = || Expr::col("recorded_at");
        let mut counted = Query::select();
        counted
            .expr_as(recorded_at().count(), "rows")
            .expr_as(recorded_at().min(), "oldest")
            .from_subquery(waiting.into_query(), "waiting");
        let counted = sea_orm::ConnectionTrait::query_one(&self.pool, &counted);
        let Some(row) = in_time(counted).await? else {
            return Ok(Backlog::default());
        };
        let (rows, oldest): (i64, Option<PrimitiveDateTime>) =
            (row.try_get("", "rows")?, row.try_get("", "oldest")?);
        Ok(Backlog { rows: u64::try_from(rows).unwrap_or_default(), oldest: oldest.map(Into::into) })
    }

    /// A record in quarantine, with its bytes.
    ///
    /// # Errors
    /// When the database fails, or the row is none that Fluxo wrote.
    pub async fn quarantined(&self, place: &Place) -> Result<Option<(Entry, RawRecord)>, Error> {
        let Position { partition, offset } = place.position;
        let key = (place.topic_id.as_str().to_owned(), partition, offset);
        let row = in_time(Entity::find_by_id(key).one(&self.pool)).await?;
        row.map(with_bytes).transpose()
    }

    /// Notes that the dead-letter topic has these records.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_forwarded(&self, places: &[Place], at: Timestamp) -> Result<(), Error> {
        let mut rest = places;
        while let Some(first) = rest.first() {
            // Each statement is a range of one partition of the primary key.
            let same = |place: &&Place| {
                place.topic_id == first.topic_id && place.position.partition == first.position.partition
            };
            let count = rest.iter().take_while(same).count().min(256);
            let (now, after) = rest.split_at(count);
            let noted = Entity::update_many()
                .col_expr(Column::ForwardedAt, Expr::value(at.to_utc()))
                .filter(Column::TopicId.eq(first.topic_id.as_str()))
                .filter(Column::Partition.eq(first.position.partition))
                .filter(Column::Offset.is_in(now.iter().map(|place| place.position.offset)));
            in_time(noted.exec(&self.pool)).await?;
            rest = after;
        }
        Ok(())
    }

    /// What is in quarantine, newest first. It reads the whole table: it is for a person who asks, not for a service.
    ///
    /// # Errors
    /// When the database fails, or a row is none that Fluxo wrote.
    pub async fn quarantine(&self, filter: &Filter, limit: u64) -> Result<Vec<Entry>, Error> {
        let rows: Vec<Columns> = entries()
            .filter(
                Condition::all()
                    .add_option(filter.topic.as_ref().map(|topic| Column::Topic.eq(topic.as_str())))
                    .add_option(filter.reason.map(|reason| Column::Reason.eq(reason.as_str())))
                    .add_option(filter.from.map(|from| Column::RecordedAt.gte(from.to_utc())))
                    .add_option(filter.to.map(|to| Column::RecordedAt.lt(to.to_utc())))
                    .add_option(filter.waiting.then(|| Column::ForwardedAt.is_null())),
            )
            .order_by_desc(Column::RecordedAt)
            .order_by_desc(Column::TopicId)
            .order_by_desc(Column::Partition)
            .order_by_desc(Column::Offset)
            .limit(limit)
            .into_tuple()
            .all(&self.pool)
            .await?;
        rows.into_iter().map(entry).collect()
    }

    /// The offsets from `first` to `last` of a partition whose records are in quarantine.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn quarantined_between(
        &self,
        topic_id: &TopicId,
        partition: i32,
        first: i64,
        last: i64,
    ) -> Result<BTreeSet<i64>, Error> {
        let offsets: Vec<i64> = Entity::find()
            .select_only()
            .column(Column::Offset)
            .filter(Column::TopicId.eq(topic_id.as_str()))
            .filter(Column::Partition.eq(partition))
            .filter(Column::Offset.between(first, last))
            .into_tuple()
            .all(&self.pool)
            .await?;
        Ok(offsets.into_iter().collect())
    }

    /// The records in quarantine at a position of topics of a name: one for each topic that had the name.
    ///
    /// # Errors
    /// When the database fails, or a row is none that Fluxo wrote.
    pub async fn quarantined_at(&self, topic: &str, position: Position) -> Result<Vec<Place>, Error> {
        let ids: Vec<String> = Entity::find()
            .select_only()
            .column(Column::TopicId)
            .filter(Column::Topic.eq(topic))
            .filter(Column::Partition.eq(position.partition))
            .filter(Column::Offset.eq(position.offset))
            .order_by_asc(Column::TopicId)
            .into_tuple()
            .all(&self.pool)
            .await?;
        ids.iter().map(|topic_id| place(topic_id, position.partition, position.offset)).collect()
    }
}

/// The rows of a share that were not forwarded.
fn of_share(share: &Share) -> Select<Entity> {
    let holder = Expr::col(Column::Partition).modulo(share.partitions);
    Entity::find()
        .filter(Column::ForwardedAt.is_null())
        .filter(Column::Topic.eq(share.topic.as_str()))
        .filter(holder.is_in(share.held.iter().copied()))
}

/// The rows after one, in the order of the primary key.
fn beyond(place: &Place) -> Condition {
    let Position { partition, offset } = place.position;
    let topic_id = || place.topic_id.as_str();
    let same_topic = Condition::all().add(Column::TopicId.eq(topic_id()));
    let same_partition = same_topic.clone().add(Column::Partition.eq(partition));
    Condition::any()
        .add(Column::TopicId.gt(topic_id()))
        .add(same_topic.add(Column::Partition.gt(partition)))
        .add(same_partition.add(Column::Offset.gt(offset)))
}

fn entries() -> Select<Entity> {
    Entity::find().select_only().columns([
        Column::TopicId,
        Column::Partition,
        Column::Offset,
        Column::Topic,
        Column::Id,
        Column::Reason,
        Column::RecordedAt,
        Column::ForwardedAt,
    ])
}

/// A value that Fluxo never wrote.
const fn foreign(column: &'static str) -> Error {
    Error::Foreign { table: "quarantine", column }
}

fn place(topic_id: &str, partition: i32, offset: i64) -> Result<Place, Error> {
    let topic_id = TopicId::parse(topic_id).ok_or(foreign("topic_id"))?;
    Ok(Place { topic_id, position: Position { partition, offset } })
}

fn entry(columns: Columns) -> Result<Entry, Error> {
    let (topic_id, partition, offset, topic, id, reason, recorded_at, forwarded_at) = columns;
    let id = id.map(|id| Uuid::from_slice(&id).map_err(|_| foreign("id"))).transpose()?;
    Ok(Entry {
        place: place(&topic_id, partition, offset)?,
        topic,
        id: id.map(Into::into),
        reason: Reason::named(&reason).ok_or(foreign("reason"))?,
        recorded_at: recorded_at.into(),
        forwarded_at: forwarded_at.map(Into::into),
    })
}

fn with_bytes(row: Model) -> Result<(Entry, RawRecord), Error> {
    let raw = RawRecord {
        key: row.key,
        value: row.value,
        headers: headers::decode(&row.headers).ok_or(foreign("headers"))?,
        timestamp_ms: row.record_timestamp,
    };
    let (topic_id, partition, offset, topic) = (row.topic_id, row.partition, row.offset, row.topic);
    let columns = (topic_id, partition, offset, topic, row.id, row.reason, row.recorded_at, row.forwarded_at);
    Ok((entry(columns)?, raw))
}
