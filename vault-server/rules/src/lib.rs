//! The rules of the backup key vault: the state of one account, and how each command changes it.
//!
//! Everything here is a pure function (state, command) -> (new state, outcome, events). There is no
//! clock, randomness, storage, HTTP or logging: commands carry their own time and random bytes, the
//! ledger makes the new state durable, and only then is the outcome used. PROTOCOL.md sections 6
//! and 7 are the text these rules follow.
//!
//! ```text
//!                 finish registration                 finish registration, with proof: generation + 1
//!                    generation + 1                        +------+
//!   +--------+                             +--------+      |      |
//!   | absent | --------------------------> |  live  | <----+      |
//!   +--------+                             |        | ------------+
//!                                          |        |
//!   +-----------+   exhausted, deleted,    |        |
//!   | destroyed | <----------------------- |        |
//!   |           |   or reset               |        |
//!   |           |                          |        |
//!   |           | -----------------------> |        |
//!   +-----------+   finish registration    +--------+
//!                    generation + 1
//!
//!   An attempt of a live record; each arrow into "open" was counted as a failure already:
//!
//!     start: charged --> open --> succeeded    KE3 verifies; remembered until it expires
//!                          |
//!                          +----> failed       KE3 does not verify, abandoned, or expired
//! ```
//!
//! | module | content |
//! |---|---|
//! | `retrieval` | **where a guess is charged**, released or failed |
//! | `counting` | the two budgets, the waits |
//! | `expiry` | the changes that time alone makes; the sweep |
//! | `registration`, `removal`, `status` | how a record begins and ends, and its status |
//! | `account`, `tombstone`, `secret` | the state, and **where a record is destroyed** |
//! | `stored`, `versioned`, `codec` | the stored form |
//! | `command`, `outcome`, `event`, `clock` | a command, its answer, its events, its time |

mod account;
mod clock;
mod codec;
mod command;
mod counting;
mod event;
mod expiry;
mod outcome;
mod registration;
mod removal;
mod retrieval;
mod secret;
mod status;
mod stored;
#[cfg(test)]
mod tests;
mod tombstone;
pub mod versioned;

pub use account::Account;
pub use clock::{ATTEMPT_SECONDS, CommandTime};
pub use command::{Command, Step};
pub use event::{Event, EventKind, FailureCause, Journal};
pub use expiry::Sweep;
pub use outcome::{Decision, Refusal};
pub use registration::{FinishRegistration, Registration, StartRegistration, StartedRegistration};
pub use removal::{Delete, Removed, Reset};
pub use retrieval::{AbandonRetrieval, Charge, FinishRetrieval, Release, StartRetrieval};
pub use secret::{CredentialIdentifier, RegistrationRecord, Secret, WrappedKey};
pub use status::{AccountState, ReadStatus, Status};
pub use tombstone::Tombstone;
pub use vault_protocol::messages::DestructionReason;
