//! The rules of the backup key vault: what one account's state is, and how each command changes it.
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
//! | where | what |
//! |---|---|
//! | [`retrieval`] | **where a guess is charged**, released or failed |
//! | `counting` | the two budgets, the waits |
//! | `expiry` | what time alone does |
//! | [`registration`], [`removal`] | how a record begins and ends |
//! | [`account`], `stored` | the state and its stored form |
//! | [`command`], [`outcome`], [`event`] | what goes in and comes out |

pub mod account;
pub mod clock;
mod codec;
pub mod command;
mod counting;
pub mod event;
mod expiry;
pub mod outcome;
pub mod registration;
pub mod removal;
pub mod retrieval;
mod secret;
mod stored;
#[cfg(test)]
mod tests;

pub use account::{Account, Tombstone};
pub use clock::Clock;
pub use command::{Command, apply};
pub use event::{Event, EventKind, FailureCause};
pub use outcome::{Decision, Refusal, Standing, Status, Step};
pub use registration::{Enrolment, Registration};
pub use removal::Removed;
pub use retrieval::{Charge, Release};
pub use secret::{CredentialIdentifier, RegistrationRecord, Secret, WrappedKey};
pub use stored::StoredStateError;
pub use vault_protocol::messages::DestructionReason;
