//! What a command leads to. A refusal is a value like any other: the state that goes with it has
//! to be stored too, or a charge could be undone by the refusal that follows it.

use vault_protocol::{Policy, StretchingProfile, Timestamp};

use crate::account::{Account, Tombstone};
use crate::clock::Clock;
use crate::event::{Event, Journal};

/// The result of applying one command.
#[derive(Debug)]
#[must_use = "the new state has to be stored, whatever the outcome"]
pub struct Step<T> {
    /// The new state. It may have changed even if the command was refused; if its encoding is the
    /// same as before, nothing has to be written.
    pub account: Account,
    /// What the command led to. Shown to nobody before `account` and `events` are durable.
    pub outcome: T,
    /// What happened, in order; stored by the same commit.
    pub events: Vec<Event>,
}

/// Granted, or refused for one of a closed list of reasons.
#[derive(Debug)]
pub enum Decision<T> {
    /// As asked.
    Granted(T),
    /// Not as asked.
    Refused(Refusal),
}

/// Why a command was refused. One problem of PROTOCOL.md section 8 each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No registration was ever completed.
    NotRegistered,
    /// The record was destroyed.
    Destroyed(Tombstone),
    /// No attempt may start yet.
    Waiting {
        /// From when on it may.
        retry_at: Timestamp,
    },
    /// The ticket is of no use: expired, ended, unknown, or of another generation.
    TicketExpired,
    /// There is a record, and nothing that allows to replace or destroy it.
    AlreadyRegistered {
        /// Its generation.
        generation: u64,
    },
    /// The proof does not verify.
    Forbidden,
    /// KE3 did not verify.
    WrongPassword {
        /// Attempts left, the smaller of both budgets.
        attempts_remaining: u64,
        /// When the next attempt may start, if that is not now.
        retry_at: Option<Timestamp>,
    },
}

/// How an account stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The account's generation.
    pub generation: u64,
    /// Whether there is a record, and what is left of its budget.
    pub standing: Standing,
}

/// The `state` of the wire, with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// `absent`: no registration was ever completed.
    Absent,
    /// `active`, or `waiting` if there is a `retry_at`.
    Live {
        /// Attempts left, the smaller of both budgets.
        attempts_remaining: u64,
        /// When the next attempt may start, if that is not now.
        retry_at: Option<Timestamp>,
        /// How the device stretches the password.
        stretching_profile: StretchingProfile,
        /// The record's own policy.
        policy: Policy,
    },
    /// `destroyed`.
    Destroyed(Tombstone),
}

impl<T> Step<T> {
    pub(crate) fn map<U>(self, outcome: impl FnOnce(T) -> U) -> Step<U> {
        Step {
            account: self.account,
            outcome: outcome(self.outcome),
            events: self.events,
        }
    }
}

/// Applies what is due, then decides.
pub(crate) fn step<T>(
    mut account: Account,
    clock: Clock,
    decide: impl FnOnce(&mut Account, &mut Journal) -> T,
) -> Step<T> {
    let mut journal = Journal::new(clock.now);
    account.apply_what_is_due(clock, &mut journal);
    let outcome = decide(&mut account, &mut journal);
    Step {
        account,
        outcome,
        events: journal.into_events(),
    }
}
