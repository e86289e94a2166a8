//! What is done about a batch that was not recorded: the one place where that is decided.

use fluxo_store::{Error, record::NotRecorded};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Read the offsets again at once, and go on from there.
    Reread,
    /// Wait a while, longer each time, then read the offsets and try again, for ever.
    Retry,
    /// End the process: a person must change a setting, and it will be read at the next start.
    Fatal,
}

/// What is done about a batch that was not recorded.
pub const fn disposition(failure: &NotRecorded) -> Disposition {
    match failure {
        NotRecorded::Fenced => Disposition::Reread,
        NotRecorded::Unconfirmed | NotRecorded::Contended => Disposition::Retry,
        NotRecorded::Database(error) => of_database(error),
    }
}

/// What is done about a failure of the database.
pub const fn of_database(error: &Error) -> Disposition {
    match error {
        // The last three are not known to pass, but nothing is lost by waiting, and ending would not help either.
        Error::Unreachable(_)
        | Error::Unable(_)
        | Error::Claimed { .. }
        | Error::Duplicate(_)
        | Error::Statement(_)
        | Error::Foreign { .. } => Disposition::Retry,
        Error::Misconfigured(_) | Error::Settings(_) => Disposition::Fatal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_setting_must_mend_ends_the_process() {
        let settings = || NotRecorded::Database(Error::Settings(String::new()));
        let foreign = || NotRecorded::Database(Error::Foreign { table: "t", column: "c" });
        for (failure, expected) in [
            (NotRecorded::Fenced, Disposition::Reread),
            (NotRecorded::Unconfirmed, Disposition::Retry),
            (NotRecorded::Contended, Disposition::Retry),
            (foreign(), Disposition::Retry),
            (settings(), Disposition::Fatal),
        ] {
            assert_eq!(disposition(&failure), expected, "{failure:?}");
        }
    }
}
