//! Asking for an account's status, which costs nothing; and whether it allows a registration.

use vault_protocol::messages::{AccountState, Status};

use crate::call::{InnerAnswer, InnerCall};
use crate::error::Error;
use crate::trust::VaultAccount;

/// A question for the status.
pub struct StatusQuery(VaultAccount);

impl StatusQuery {
    /// Asks about this account.
    pub fn new(account: VaultAccount) -> Self {
        Self(account)
    }

    /// The request.
    pub fn request(&self) -> InnerCall {
        InnerCall::get(self.0.scope())
    }

    /// Reads the answer.
    pub fn answered(self, answer: &InnerAnswer) -> Result<Status, Error> {
        answer.read()
    }
}

/// Refuses a registration that the vault would refuse, or that the user did not ask for. Without the
/// key of a live record there must be none; where one is to be replaced there must be one.
pub fn check_registrable(status: &Status, replaces: bool) -> Result<(), Error> {
    match (status.state, replaces) {
        (AccountState::Absent | AccountState::Destroyed, false)
        | (AccountState::Active | AccountState::Waiting, true) => Ok(()),
        (AccountState::Active | AccountState::Waiting, false) => Err(Error::AlreadyRegistered {
            generation: status.generation,
        }),
        (AccountState::Absent, true) => Err(Error::NotRegistered),
        (AccountState::Destroyed, true) => Err(destroyed(status)),
    }
}

/// A tombstone's status as an error.
pub(super) fn destroyed(status: &Status) -> Error {
    match (status.destroyed_at, status.reason) {
        (Some(destroyed_at), Some(reason)) => Error::Destroyed {
            destroyed_at,
            reason,
            generation: status.generation,
        },
        _ => Error::NotUnderstood,
    }
}
