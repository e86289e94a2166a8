//! What two Fluxo binaries must agree on, and nothing else: the domain, the Kafka message, the names of the
//! settings, and the kit that every process runs in.
//!
//! The admission test: *if this changed in one binary and not in the other, would the system break?* If not, it
//! belongs to the binary. The domain modules import no transport and no clock; whoever calls them brings both.
//!
//! Layout, in suggested reading order: [`money`], [`name`], [`kind`], [`time`], [`id`], [`text`] are the parts of a
//! [`transaction`]; [`invalid`] is every way in which one can be refused; [`content`] says when two are the same;
//! [`message`] is a transaction on Kafka; [`position`] is where it lies there; [`quarantine`] is where a record goes
//! that can never be one. [`settings`] and [`kit`] are what the processes share.
#![warn(missing_docs)]

pub mod content;
pub mod id;
pub mod invalid;
pub mod kind;
pub mod kit;
pub mod message;
pub mod money;
pub mod name;
pub mod position;
pub mod quarantine;
pub mod settings;
pub mod text;
pub mod time;
pub mod transaction;

pub use content::ContentHash;
pub use id::TransactionId;
pub use invalid::Invalid;
pub use kind::Kind;
pub use money::{Balance, Currency, Money};
pub use name::{Account, Client};
pub use position::{Position, TopicId};
pub use text::{Description, Metadata};
pub use time::Timestamp;
pub use transaction::{Accepted, Submission, Transaction};
