//! Faults of the state machines, made on purpose: a simulation that does not find them proves nothing.

/// A fault. Each is a change of one thing that is asked or answered, as if the state machine were so.
///
/// Taking a batch for written that was not is none of them: the next one is fenced off by the database, and the offset
/// is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mutant {
    /// A batch moves its partitions one record too far.
    MovesTooFar,
    /// A batch moves its partitions one record too little.
    MovesTooLittle,
    /// Offsets are committed before the rows, not with them.
    CommitsBeforeWriting,
    /// Offsets move from wherever they are.
    ComparesNothing,
    /// Nobody looks which topic the records are of before the commit.
    ConfirmsNothing,
    /// A record counts whenever it was fetched.
    KeepsOldFetches,
    /// A commit whose reply is lost counts as not done: offsets are not read again.
    TakesSilenceForFailure,
    /// A row whose number or id is taken is left out: `INSERT IGNORE`.
    IgnoresDuplicates,
    /// A row whose number or id is taken replaces what is there: `ON DUPLICATE KEY UPDATE`.
    ReplacesDuplicates,
    /// The tails of a batch are remembered before its commit.
    RemembersUncommitted,
    /// Records that can never be a row go nowhere.
    DropsRefused,
    /// Two transactions with the same id count as the same, whatever they say.
    ComparesIdsOnly,
    /// A batch is written in another order.
    Reorders,
    /// A message of a newer version is refused.
    RefusesNewer,
    /// A partition whose records were deleted unread goes on.
    GoesOnAfterGap,
    /// A topic that was made anew is taken for the one before.
    TakesAnyTopic,
    /// A partition goes on where the copy in Kafka says, not where the database does.
    TrustsTheCopy,
    /// A partition that nobody has read begins at the end of its log.
    BeginsAtTheEnd,
    /// A row is recorded at the time of the clock, though the account's last one is later.
    TrustsTheClock,
}
