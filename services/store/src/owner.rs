//! Whose the database is: a pipeline's, by the one row of `owner`, or nobody's as long as there is none.

use sea_orm::{ActiveValue::Set, ConnectionTrait, EntityTrait, QuerySelect};

use crate::{Error, Store, entity::owner};

/// The id of the one row.
const ONLY: u8 = 1;

/// Refuses a database that is another's.
///
/// # Errors
/// [`Error::Claimed`] when it is, or when the database fails.
pub async fn refuse_others<C: ConnectionTrait>(connection: &C, us: &str) -> Result<(), Error> {
    match owner(connection).await? {
        Some(owner) if owner != us => Err(Error::Claimed { owner, us: us.into() }),
        _ => Ok(()),
    }
}

/// Claims the database, if it is nobody's. Whoever claims it must hold the lock of those who change the schema.
///
/// # Errors
/// [`Error::Claimed`] when it is another's, or when the database fails.
pub async fn claim<C: ConnectionTrait>(connection: &C, us: &str) -> Result<(), Error> {
    if owner(connection).await?.is_none() {
        let row = owner::ActiveModel { id: Set(ONLY), pipeline: Set(us.into()) };
        owner::Entity::insert(row).exec_without_returning(connection).await?;
    }
    refuse_others(connection, us).await
}

async fn owner<C: ConnectionTrait>(connection: &C) -> Result<Option<String>, Error> {
    let pipeline = owner::Entity::find_by_id(ONLY).select_only().column(owner::Column::Pipeline);
    Ok(pipeline.into_tuple().one(connection).await?)
}

impl Store {
    /// Refuses a database that is another's than the settings say, if they say whose it must be.
    pub(crate) async fn refuse_others(&self) -> Result<(), Error> {
        match &self.owner {
            Some(us) => refuse_others(&self.pool, us).await,
            None => Ok(()),
        }
    }
}
