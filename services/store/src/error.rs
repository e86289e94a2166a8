//! What can fail, sorted by what can be done about it.

use sea_orm::{DbErr, RuntimeErr, SqlxError, SqlxMySqlError, SqlxSqliteError};

/// A failure of the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be reached, or it ended the connection. Trying again may help.
    #[error("the database cannot be reached")]
    Unreachable(#[source] DbErr),
    /// It answered that it cannot do this at the moment: read-only, full, locked, shutting down. Trying again may help.
    #[error("the database cannot do this now")]
    Unable(#[source] DbErr),
    /// It does not let the user in: a wrong password, or one that was changed while this process runs; a user who is
    /// locked, or may not use this database. Trying again may help, once the file with the password is renewed.
    #[error("the database does not let this user in")]
    Denied(#[source] DbErr),
    /// It will not serve these settings: an unknown database, a missing grant or table. A person must act.
    #[error("the database refuses these settings")]
    Misconfigured(#[source] DbErr),
    /// A unique key is there already.
    #[error("a unique key is there already")]
    Duplicate(#[source] DbErr),
    /// A statement failed for a reason that is not known to pass.
    #[error("a statement failed")]
    Statement(#[source] DbErr),
    /// It is another pipeline's. It can be handed over without a change of any setting.
    #[error(
        "the database is that of the pipeline {owner}: name another database, or, once nothing of that pipeline runs, \
         hand it over with the statement UPDATE owner SET pipeline = '{us}'"
    )]
    Claimed {
        /// Whose it is.
        owner: String,
        /// Whose it would have to be.
        us: String,
    },
    /// A row holds what Fluxo never wrote.
    #[error("{table} holds a value that Fluxo never wrote in {column}")]
    Foreign {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// The settings cannot be used.
    #[error("the settings of the database cannot be used: {0}")]
    Settings(String),
}

impl Error {
    /// Whether the same may succeed later without anybody changing a setting or a password.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Unable(_) | Self::Claimed { .. } => true,
            Self::Denied(_)
            | Self::Misconfigured(_)
            | Self::Duplicate(_)
            | Self::Statement(_)
            | Self::Foreign { .. }
            | Self::Settings(_) => false,
        }
    }

    /// A short, stable name, for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Unable(_) => "unable",
            Self::Denied(_) => "denied",
            Self::Misconfigured(_) => "misconfigured",
            Self::Duplicate(_) => "duplicate",
            Self::Statement(_) => "statement",
            Self::Claimed { .. } => "claimed",
            Self::Foreign { .. } => "foreign",
            Self::Settings(_) => "settings",
        }
    }

    /// The failure that MySQL's error with a number is, for whoever asks what is done about it.
    pub fn of_mysql(number: u16) -> Self {
        Self::sorted(sort_mysql(number), DbErr::Custom(format!("error {number}")))
    }

    fn sorted(sort: Sort, error: DbErr) -> Self {
        match sort {
            Sort::Unreachable => Self::Unreachable(error),
            Sort::Unable => Self::Unable(error),
            Sort::Denied => Self::Denied(error),
            Sort::Misconfigured => Self::Misconfigured(error),
            Sort::Duplicate => Self::Duplicate(error),
            Sort::Statement => Self::Statement(error),
        }
    }
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        Self::sorted(sort(&error), error)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Unreachable,
    Unable,
    Denied,
    Misconfigured,
    Duplicate,
    Statement,
}

fn sort(error: &DbErr) -> Sort {
    match error {
        DbErr::ConnectionAcquire(_) => Sort::Unreachable,
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => sort_sqlx(error),
        _ => Sort::Statement,
    }
}

fn sort_sqlx(error: &SqlxError) -> Sort {
    match error {
        SqlxError::Database(database) => {
            if let Some(mysql) = database.try_downcast_ref::<SqlxMySqlError>() {
                sort_mysql(mysql.number())
            } else if let Some(sqlite) = database.try_downcast_ref::<SqlxSqliteError>() {
                sort_sqlite(sea_orm::sqlx::error::DatabaseError::code(sqlite).as_deref())
            } else {
                Sort::Statement
            }
        }
        SqlxError::Io(_)
        | SqlxError::PoolTimedOut
        | SqlxError::PoolClosed
        | SqlxError::WorkerCrashed
        | SqlxError::BeginFailed
        | SqlxError::Protocol(_) => Sort::Unreachable,
        SqlxError::Configuration(_) | SqlxError::Tls(_) | SqlxError::InvalidArgument(_) => {
            Sort::Misconfigured
        }
        _ => Sort::Statement,
    }
}

/// By the numbers of MySQL's reference of server errors.
const fn sort_mysql(number: u16) -> Sort {
    match number {
        // Access denied to the server or the database, host not allowed, account locked, password expired.
        1044 | 1045 | 1130 | 1698 | 1820 | 1862 | 3118 => Sort::Denied,
        // Access denied to a table or a column, unknown database, table or column, no common way to log in.
        1049 | 1054 | 1142 | 1143 | 1146 | 1227 | 1251 | 3159 => Sort::Misconfigured,
        1062 | 1586 => Sort::Duplicate,
        // The server shuts down, ended the connection or the statement.
        1053 | 1077 | 1079 | 1152 | 1158..=1161 | 1184 | 1927 | 3169 => Sort::Unreachable,
        // Too many connections, disk or table full, lock wait, deadlock, read-only, out of memory, query ended.
        1021 | 1037 | 1038 | 1040 | 1041 | 1114 | 1203 | 1205 | 1206 | 1213 | 1226 | 1290 | 1317 | 1036
        | 1614 | 1637 | 1792 | 1836 | 3024 | 3058 | 3100 | 3101 | 3572 | 3675 => Sort::Unable,
        _ => Sort::Statement,
    }
}

/// By SQLite's extended result codes.
fn sort_sqlite(code: Option<&str>) -> Sort {
    match code.and_then(|code| code.parse::<i32>().ok()) {
        Some(1555 | 2067) => Sort::Duplicate,
        // The low byte is the primary code: busy, locked, I/O, full, cannot open, read-only.
        Some(code) if matches!(code & 0xff, 5 | 6 | 8 | 10 | 13 | 14) => Sort::Unable,
        _ => Sort::Statement,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_mysql_answers_is_sorted_by_what_can_be_done() {
        for (number, sort) in [
            (1044, Sort::Denied),
            (1045, Sort::Denied),
            (1049, Sort::Misconfigured),
            (1142, Sort::Misconfigured),
            (1146, Sort::Misconfigured),
            (1062, Sort::Duplicate),
            (1040, Sort::Unable),
            (1205, Sort::Unable),
            (1213, Sort::Unable),
            (1290, Sort::Unable),
            (1836, Sort::Unable),
            (1021, Sort::Unable),
            (1114, Sort::Unable),
            (3675, Sort::Unable),
            (1317, Sort::Unable),
            (3024, Sort::Unable),
            (1053, Sort::Unreachable),
            (1064, Sort::Statement),
        ] {
            assert_eq!(sort_mysql(number), sort, "{number}");
        }
    }

    #[test]
    fn what_sqlite_answers_is_sorted_by_what_can_be_done() {
        assert_eq!(sort_sqlite(Some("2067")), Sort::Duplicate);
        assert_eq!(sort_sqlite(Some("1555")), Sort::Duplicate);
        assert_eq!(sort_sqlite(Some("5")), Sort::Unable);
        assert_eq!(sort_sqlite(Some("517")), Sort::Unable);
        assert_eq!(sort_sqlite(Some("1")), Sort::Statement);
    }
}
