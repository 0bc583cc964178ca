//! What protecting the key by a password means now: told before a password is chosen.

use rand::{CryptoRng, RngCore};
use vault_protocol::messages::{AccountState, DestructionReason, Status};
use vault_protocol::{AccountScope, BackupKey, Policy, Timestamp};

use super::error::DeviceError;
use super::place::Place;
use super::state::{DeviceState, Record};
use crate::error::Error;
use crate::protection::{Protection, Reason};

/// What there is to do.
#[derive(Debug)]
pub enum Planned {
    /// Nothing: the key is registered, and the record is as it should be.
    Protected,
    /// A registration.
    Register(Plan),
}

/// A registration that is to be made.
#[derive(Debug)]
pub struct Plan {
    key: BackupKey,
    replaces: bool,
    reason: Option<Reason>,
    destroyed: Option<Destroyed>,
    may_follow_destruction: bool,
}

/// The vault destroyed the account's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destroyed {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: DestructionReason,
    /// Which generation it was.
    pub generation: u64,
}

impl DeviceState {
    /// Finds out what there is to do at `place`, whose status was just read: for the given key, the one
    /// that is held, or a new one. A change that is pending is made again: nothing else shows what
    /// became of it.
    pub fn plan<R: RngCore + CryptoRng>(
        &self,
        given: Option<BackupKey>,
        place: &Place,
        scope: &AccountScope,
        status: &Status,
        maximum: &Policy,
        rng: &mut R,
    ) -> Result<Planned, DeviceError> {
        let is_new = self.key.is_none() && given.is_none();
        let key = self.choose_key(given, rng)?;
        self.check_place(place)?;
        let mut reason = None;
        if let Record::Registered(reference) = self.record() {
            reason = match reference.compare(scope, status, maximum) {
                Protection::Protected => return Ok(Planned::Protected),
                // Whose password is newer, only the user knows.
                Protection::NeedsRegistration(Reason::Replaced) => {
                    return Err(DeviceError::RegisteredSince);
                }
                Protection::NeedsRegistration(reason) => Some(reason),
            };
        }
        Ok(Planned::Register(Plan {
            key,
            replaces: replaces_live_record(status, is_new)?,
            reason,
            destroyed: destroyed(status)?,
            may_follow_destruction: false,
        }))
    }
}

impl Plan {
    /// The key that is registered.
    pub fn key(&self) -> &BackupKey {
        &self.key
    }

    /// Whether a live record is replaced, which only its own key can do.
    pub fn replaces(&self) -> bool {
        self.replaces
    }

    /// Why the registered key has to be registered again.
    pub fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// The record that the vault destroyed. Ask the user: whoever destroyed it may have meant it, or
    /// was guessing. After [`DestructionReason::Exhausted`] the password has to be another one.
    pub fn destroyed(&self) -> Option<Destroyed> {
        self.destroyed
    }

    /// The user wants the key registered although the vault destroyed its record.
    #[must_use]
    pub fn although_destroyed(mut self) -> Self {
        self.may_follow_destruction = true;
        self
    }

    /// The key, if it may be registered now: [`Error::Destroyed`] until [`Self::although_destroyed`].
    pub fn into_key(self) -> Result<BackupKey, Error> {
        match self.destroyed {
            Some(destroyed) if !self.may_follow_destruction => Err(Error::Destroyed {
                destroyed_at: destroyed.at,
                reason: destroyed.reason,
                generation: destroyed.generation,
            }),
            Some(_) | None => Ok(self.key),
        }
    }
}

/// Whether a live record is to be replaced. A key that was drawn just now is in no record; any other
/// may be in the live one.
fn replaces_live_record(status: &Status, is_new: bool) -> Result<bool, Error> {
    match status.state {
        AccountState::Active | AccountState::Waiting if is_new => Err(Error::AlreadyRegistered {
            generation: status.generation,
        }),
        AccountState::Active | AccountState::Waiting => Ok(true),
        AccountState::Absent | AccountState::Destroyed => Ok(false),
    }
}

fn destroyed(status: &Status) -> Result<Option<Destroyed>, Error> {
    match (status.state, status.destroyed_at, status.reason) {
        (AccountState::Destroyed, Some(at), Some(reason)) => Ok(Some(Destroyed {
            at,
            reason,
            generation: status.generation,
        })),
        (AccountState::Destroyed, _, _) => Err(Error::NotUnderstood),
        (AccountState::Absent | AccountState::Active | AccountState::Waiting, _, _) => Ok(None),
    }
}
