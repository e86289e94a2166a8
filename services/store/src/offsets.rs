//! Where each partition goes on, and on which topic: the offsets are kept with the rows, so that they cannot differ.

use std::collections::BTreeMap;

use fluxo_core::TopicId;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, QueryFilter, TransactionTrait,
    sea_query::{Expr, OnConflict},
};

use crate::{Error, Store, connect::in_time, entity::offset};

/// Where one partition goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredOffset {
    /// The cluster that the topic is in.
    pub cluster_id: String,
    /// The topic that the offset is of.
    pub topic_id: TopicId,
    /// The offset of the next record.
    pub next_offset: i64,
}

/// The partitions of a topic that have an offset.
pub type StoredOffsets = BTreeMap<i32, StoredOffset>;

impl Store {
    /// The offsets of a topic. Whoever takes a partition up asks for them, so a database that is another's by now is
    /// refused here too.
    ///
    /// # Errors
    /// When the database fails, or is another's.
    pub async fn offsets(&self, topic: &str) -> Result<StoredOffsets, Error> {
        in_time(self.read_offsets(topic)).await
    }

    async fn read_offsets(&self, topic: &str) -> Result<StoredOffsets, Error> {
        self.renewing_password(self.refuse_others().await)?;
        let rows = offset::Entity::find().filter(offset::Column::Topic.eq(topic)).all(&self.pool).await;
        let rows = self.renewing_password(rows.map_err(Error::from))?;
        rows.into_iter()
            .map(|row| {
                let foreign = Error::Foreign { table: "offsets", column: "topic_id" };
                let topic_id = TopicId::parse(&row.topic_id).ok_or(foreign)?;
                let stored =
                    StoredOffset { cluster_id: row.cluster_id, topic_id, next_offset: row.next_offset };
                Ok((row.partition, stored))
            })
            .collect()
    }

    /// Gives partitions that have no offset yet their first one. One that has an offset keeps it, so several
    /// listeners may do this at once; read the offsets afterwards.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin_offsets(&self, topic: &str, offsets: &StoredOffsets) -> Result<(), Error> {
        if offsets.is_empty() {
            return Ok(());
        }
        let (keys, next) = ([offset::Column::Topic, offset::Column::Partition], offset::Column::NextOffset);
        let begun = offset::Entity::insert_many(rows(topic, offsets))
            // As it is: the listener may not change the columns of the key.
            .on_conflict(OnConflict::columns(keys).value(next, Expr::col(next)).to_owned());
        in_time(begun.exec_without_returning(&self.pool)).await?;
        Ok(())
    }

    /// Sets the offsets of a topic, whatever they were: a person has decided to go on there. All of them or none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn adopt_offsets(&self, topic: &str, offsets: &StoredOffsets) -> Result<(), Error> {
        let transaction = self.pool.begin().await?;
        let keys = [offset::Column::Topic, offset::Column::Partition];
        let changed = [offset::Column::ClusterId, offset::Column::TopicId, offset::Column::NextOffset];
        for row in rows(topic, offsets) {
            offset::Entity::insert(row)
                .on_conflict(OnConflict::columns(keys).update_columns(changed).to_owned())
                .exec_without_returning(&transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

fn rows(topic: &str, offsets: &StoredOffsets) -> impl Iterator<Item = offset::ActiveModel> {
    offsets.iter().map(move |(partition, stored)| offset::ActiveModel {
        topic: Set(topic.to_owned()),
        partition: Set(*partition),
        cluster_id: Set(stored.cluster_id.clone()),
        topic_id: Set(stored.topic_id.as_str().to_owned()),
        next_offset: Set(stored.next_offset),
    })
}
