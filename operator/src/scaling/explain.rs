//! What a decision rests on, kept with it, and how it is said.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Decision, Mode, Rate, Replicas};
use crate::lag::{Reading, Unknown};

/// Where the most listeners come from.
const MOST_IS: &str = "(the least of listener.scaling.maxReplicas, the topic's partitions and what mysql.maxConnections admits)";

/// What a decision rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inputs {
    /// When it was decided, as [`Observation::at`](super::Observation::at).
    #[serde(with = "super::millis", rename = "atMs")]
    pub at: Duration,
    /// Who decides.
    pub mode: Mode,
    /// The number that was declared, as [`Policy::declared`](super::Policy::declared).
    pub declared: u32,
    /// The listeners that there were.
    pub replicas: Replicas,
    /// The partitions of the topic, if it could be read.
    pub partitions: Option<u32>,
    /// The fewest listeners allowed.
    pub least: u32,
    /// The most listeners allowed: by the specification, by the connections to MySQL, and by the partitions.
    pub most: u32,
    /// The lag, in offsets.
    pub lag: Reading<u64>,
    /// How many partitions have lag that nobody reads; their lag asks for no listener.
    pub stuck_partitions: u32,
    /// How many records are older than the target, and are not of stuck partitions.
    pub backlog: u64,
    /// Whether any record is older than the target.
    pub catching_up: bool,
    /// What arrives, in thousandths of a record a second.
    pub arrival: Reading<Rate>,
    /// What one listener reaches, in thousandths of a record a second.
    pub rate: Rate,
    /// Whether a listener was seen to reach it; else it is the prior.
    pub rate_was_seen: bool,
    /// How many listeners the arrivals and the backlog need, without bounds.
    pub needed: u32,
    /// To how many listeners a scale-out would go.
    pub out_to: u32,
    /// To how many listeners a scale-in would go at the earliest.
    pub in_to: u32,
    /// How many changes the budget of the hour still has.
    pub changes_left: u32,
}

/// Why there should be so many listeners.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// The number is declared: lag does not decide.
    Declared,
    /// The number is declared, and more than can run.
    DeclaredAboveMaximum,
    /// There are fewer than allowed.
    BelowMinimum,
    /// There are more than allowed.
    AboveMaximum,
    /// There are more than partitions.
    AbovePartitions,
    /// More are needed, for what arrives and for the backlog.
    Backlog,
    /// As many as needed.
    Enough,
    /// More are needed than allowed.
    AtMaximum,
    /// More are needed than there are partitions.
    PartitionBound,
    /// Fewer would do for what arrives, but the backlog is not drained.
    CatchingUp,
    /// Fewer would do, but not for all of the window yet.
    Window,
    /// Fewer did for the whole window.
    Idle,
    /// The budget of changes is spent.
    BudgetSpent,
    /// What is not known scales nothing in.
    Unknown(Unknown),
}

impl Reason {
    /// The reason of the condition `Scaling`, and of a metric.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Declared => "Declared",
            Self::DeclaredAboveMaximum => "DeclaredAboveMaximum",
            Self::BelowMinimum => "BelowMinimum",
            Self::AboveMaximum => "AboveMaximum",
            Self::AbovePartitions => "AbovePartitions",
            Self::Backlog => "Backlog",
            Self::Enough => "Enough",
            Self::AtMaximum => "AtMaximum",
            Self::PartitionBound => "PartitionBound",
            Self::CatchingUp => "CatchingUp",
            Self::Window => "ScaleInWindow",
            Self::Idle => "Idle",
            Self::BudgetSpent => "RebalanceBudgetSpent",
            Self::Unknown(_) => "LagUnknown",
        }
    }
}

/// One sentence for a person: what, and why.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inputs = &self.inputs;
        let now = inputs.replicas.wanted;
        match self.replicas.cmp(&now) {
            std::cmp::Ordering::Equal => write!(f, "{now} listeners: ")?,
            _ => write!(f, "{now} to {} listeners: ", self.replicas)?,
        }
        match &self.reason {
            Reason::Declared => f.write_str("the number is declared"),
            Reason::DeclaredAboveMaximum => write!(
                f,
                "{} are declared, and only {} run: the topic's partitions and mysql.maxConnections admit no more",
                inputs.declared, self.replicas
            ),
            Reason::BelowMinimum => write!(f, "at least {} are wanted", inputs.least),
            Reason::AboveMaximum => write!(f, "at most {} {MOST_IS} may run", inputs.most),
            Reason::AbovePartitions => write!(f, "the topic has only {} partitions to share", inputs.most),
            Reason::Backlog => write!(f, "{inputs}"),
            Reason::Enough => write!(f, "enough for {inputs}"),
            Reason::AtMaximum => {
                let most = inputs.most;
                // Numbers that leave the busiest listener as many partitions as before are not used.
                if now < most {
                    write!(f, "no number up to the maximum of {most} {MOST_IS} helps more")?;
                } else {
                    write!(f, "the maximum of {most} {MOST_IS} is reached")?;
                }
                write!(f, "; {} are needed for {inputs}", inputs.needed)
            }
            Reason::PartitionBound => {
                write!(f, "the topic has no more partitions to share; {inputs}")
            }
            Reason::CatchingUp => {
                write!(f, "{} would do once the backlog is drained; {inputs}", inputs.in_to)
            }
            Reason::Window => write!(f, "{} would do, if nothing asks for more soon; {inputs}", inputs.in_to),
            Reason::Idle => write!(f, "no more were needed for a whole window; {inputs}"),
            Reason::BudgetSpent => {
                write!(f, "maxRebalancesPerHour leaves no change; {} would do for {inputs}", inputs.in_to)
            }
            Reason::Unknown(unknown) => write!(f, "lag is not known: {unknown}"),
        }
    }
}

impl fmt::Display for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a backlog of {} records", self.backlog)?;
        if let Ok(arrival) = self.arrival {
            write!(f, " and {arrival} that arrive")?;
        }
        let seen = if self.rate_was_seen { "was seen to record" } else { "is taken to record" };
        write!(f, "; one listener {seen} {}", self.rate)?;
        match self.stuck_partitions {
            0 => Ok(()),
            stuck => write!(f, "; {stuck} partitions stand still"),
        }
    }
}
