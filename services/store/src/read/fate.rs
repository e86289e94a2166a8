//! What became of ids that were accepted.

use std::collections::HashMap;

use fluxo_core::{ContentHash, TransactionId, quarantine::Reason};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use time::PrimitiveDateTime;
use uuid::Uuid;

use super::{Fate, Refused, row::foreign};
use crate::{
    Error, Store,
    entity::{quarantine, transaction},
};

impl Store {
    /// The quarantined record with an id. Should there be several, it is the first of the topic: ids are met again in
    /// the order of their partition.
    ///
    /// # Errors
    /// When the database fails, or the row is none that Fluxo wrote.
    pub async fn refused(&self, id: TransactionId) -> Result<Option<Refused>, Error> {
        // In the order of the primary key, which is also that of the index on `id`: one read, however many there are.
        let row: Option<(String, PrimitiveDateTime)> = quarantine::Entity::find()
            .select_only()
            .columns([quarantine::Column::Reason, quarantine::Column::RecordedAt])
            .filter(quarantine::Column::Id.eq(bytes(id)))
            .order_by_asc(quarantine::Column::TopicId)
            .order_by_asc(quarantine::Column::Partition)
            .order_by_asc(quarantine::Column::Offset)
            .limit(1)
            .into_tuple()
            .one(&self.pool)
            .await?;
        row.map(|(name, at)| Ok(Refused { reason: reason(&name)?, recorded_at: at.into() })).transpose()
    }

    /// What became of ids, at most 1,000, in two statements. Those that are neither a row nor in quarantine are left
    /// out.
    ///
    /// # Errors
    /// When the database fails, or a row is none that Fluxo wrote.
    pub async fn fates(&self, ids: &[TransactionId]) -> Result<HashMap<TransactionId, Fate>, Error> {
        let mut fates = HashMap::with_capacity(ids.len());
        if ids.is_empty() {
            return Ok(fates);
        }
        let recorded: Vec<(Uuid, Vec<u8>)> = transaction::Entity::find()
            .select_only()
            .columns([transaction::Column::Id, transaction::Column::ContentHash])
            .filter(transaction::Column::Id.is_in(padded(ids.iter().map(|id| id.as_uuid()).collect())))
            .into_tuple()
            .all(&self.pool)
            .await?;
        for (id, hash) in recorded {
            let hash: [u8; 32] = hash.try_into().map_err(|_| foreign("content_hash"))?;
            fates.insert(id.into(), Fate::Recorded(ContentHash::from(hash)));
        }
        let others: Vec<_> = ids.iter().filter(|id| !fates.contains_key(*id)).map(|id| bytes(*id)).collect();
        if !others.is_empty() {
            self.refusals(others, &mut fates).await?;
        }
        Ok(fates)
    }

    async fn refusals(
        &self,
        ids: Vec<Vec<u8>>,
        fates: &mut HashMap<TransactionId, Fate>,
    ) -> Result<(), Error> {
        let refused: Vec<(Vec<u8>, String)> = quarantine::Entity::find()
            .select_only()
            .columns([quarantine::Column::Id, quarantine::Column::Reason])
            .filter(quarantine::Column::Id.is_in(padded(ids)))
            .order_by_asc(quarantine::Column::Id)
            .order_by_asc(quarantine::Column::TopicId)
            .order_by_asc(quarantine::Column::Partition)
            .order_by_asc(quarantine::Column::Offset)
            .into_tuple()
            .all(&self.pool)
            .await?;
        for (id, name) in refused {
            let foreign = Error::Foreign { table: "quarantine", column: "id" };
            let id = Uuid::from_slice(&id).map_err(|_| foreign)?;
            // The first one, as for a single id.
            fates.entry(id.into()).or_insert(Fate::Refused(reason(&name)?));
        }
        Ok(())
    }
}

fn bytes(id: TransactionId) -> Vec<u8> {
    id.as_uuid().as_bytes().to_vec()
}

fn reason(name: &str) -> Result<Reason, Error> {
    Reason::named(name).ok_or(Error::Foreign { table: "quarantine", column: "reason" })
}

/// Repeats the last one up to a power of two: each length is a statement of its own that connections keep prepared.
fn padded<T: Clone>(mut ids: Vec<T>) -> Vec<T> {
    if let Some(last) = ids.last().cloned() {
        ids.resize(ids.len().next_power_of_two(), last);
    }
    ids
}
