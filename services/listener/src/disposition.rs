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
        // A user who is not let in was let in when the process started: the password was changed. It is read again from
        // its file at each try, so the change needs no restart.
        // The last three are not known to pass, but nothing is lost by waiting, and ending would not help either.
        Error::Unreachable(_)
        | Error::Unable(_)
        | Error::Denied(_)
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
    fn what_mysql_says_has_a_name_and_is_tried_again_unless_a_setting_must_mend_it() {
        for (number, name, expected) in [
            // What passes by itself, or when somebody mends the server: offsets are read again, then all is tried again.
            (1040, "unable", Disposition::Retry), // too many connections
            (1205, "unable", Disposition::Retry), // a lock was waited for too long
            (1213, "unable", Disposition::Retry), // deadlock
            (1290, "unable", Disposition::Retry), // super_read_only: a replica
            (1836, "unable", Disposition::Retry), // read-only
            (1021, "unable", Disposition::Retry), // disk full
            (1114, "unable", Disposition::Retry), // table full
            (3675, "unable", Disposition::Retry), // disk full, in a tablespace
            (1317, "unable", Disposition::Retry), // the statement was killed
            (3024, "unable", Disposition::Retry), // the statement took too long for the server
            // The connection is gone; what was committed is unknown until the offsets were read.
            (1053, "unreachable", Disposition::Retry), // the server shuts down
            (1927, "unreachable", Disposition::Retry), // the connection was killed
            (3169, "unreachable", Disposition::Retry), // the session was killed
            // The password was changed: it is read again from its file.
            (1044, "denied", Disposition::Retry),
            (1045, "denied", Disposition::Retry),
            // A person must change a setting.
            (1049, "misconfigured", Disposition::Fatal), // unknown database
            (1142, "misconfigured", Disposition::Fatal), // a right is missing
            (1146, "misconfigured", Disposition::Fatal), // the schema is missing
            (1064, "statement", Disposition::Retry),
        ] {
            let error = Error::of_mysql(number);
            assert_eq!((error.label(), of_database(&error)), (name, expected), "{number}");
        }
    }

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
