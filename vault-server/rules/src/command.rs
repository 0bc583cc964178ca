//! One trait for whatever can be asked of an account.
//!
//! A command carries everything that its effect depends on, time and random bytes included. So the
//! same commands, applied to the same state, always lead to the same state.

use crate::account::Account;
use crate::clock::CommandTime;
use crate::event::{Event, Journal};

/// Anything that can be asked of an account. [`apply`](Self::apply) is the only way to do it, and
/// no other crate can write a command, or leave expiry out.
pub trait Command: Rule {
    /// Applies expiry, then the rule.
    fn apply(self, account: Account) -> Step<Self::Outcome> {
        let mut account = account;
        let time = self.time();
        let mut journal = Journal::new(time.now);
        account.apply_expiry(time, &mut journal);
        let outcome = self.decide(&mut account, &mut journal);
        Step {
            account,
            outcome,
            events: journal.into_events(),
        }
    }
}

impl<C: Rule> Command for C {}

mod sealed {
    use super::{Account, CommandTime, Journal};

    /// One command's rule.
    pub trait Rule: Sized {
        /// The answer to the caller, once the new state is durable.
        type Outcome;

        /// The one time that the command knows: waits and expiry count from it.
        fn time(&self) -> CommandTime;

        /// The rule itself. Other crates cannot call it, because they cannot make a [`Journal`].
        fn decide(self, account: &mut Account, journal: &mut Journal) -> Self::Outcome;
    }
}

pub(crate) use self::sealed::Rule;

/// The result of applying one command.
#[derive(Debug)]
#[must_use = "the new state has to be stored, whatever the outcome"]
pub struct Step<T> {
    /// The new state. It may have changed even if the command was refused; if its encoding is the
    /// same as before, nothing has to be written.
    pub account: Account,
    /// Withheld from everyone until `account` and `events` are durable.
    pub outcome: T,
    /// In the order in which they happened; stored by the commit that stores `account`.
    pub events: Vec<Event>,
}
