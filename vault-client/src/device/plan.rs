//! Whether the key has to be registered, and over which record: known before a password is chosen.

use rand::{CryptoRng, RngCore};
use vault_protocol::messages::{AccountState, DestructionReason, Status};
use vault_protocol::{AccountScope, BackupKey, Policy, Timestamp};

use super::error::DeviceError;
use super::place::Place;
use super::state::{DeviceState, Record};
use crate::error::Error;
use crate::protection::{Protection, Reason};

/// The next step towards a key that is protected by a password.
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
    /// Finds out the next step at `place`, whose status was just read: for the given key, the one that
    /// is held, or a new one. A change that is pending is made again: nothing else shows its outcome.
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

    /// The record that the vault destroyed. Ask the user: another device may have meant it, or an
    /// attacker was guessing. After [`DestructionReason::Exhausted`] the password has to be another one.
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

#[cfg(test)]
mod tests {
    use super::super::tests::{key, memory, place, reference, unknown};
    use super::*;
    use rand::rngs::OsRng;
    use vault_protocol::{StretchingProfile, VaultId};

    fn status(state: AccountState, reason: Option<DestructionReason>) -> Status {
        Status {
            state,
            generation: 3,
            attempts_remaining: 10,
            retry_at: None,
            destroyed_at: reason.map(|_| Timestamp::from_millis(0)),
            reason,
            stretching_profile: Some(StretchingProfile::CURRENT),
            policy: Policy::default(),
        }
    }

    fn alice() -> Place {
        Place {
            memory: memory("v", 1),
            ..place("alice", &[1])
        }
    }

    fn protected() -> DeviceState {
        let registered = Some((alice(), reference(&alice(), 3)));
        DeviceState::adopt(key(1), true, registered, vec![])
    }

    fn plan(
        state: &DeviceState,
        given: Option<u8>,
        at: &Place,
        status: &Status,
    ) -> Result<Planned, DeviceError> {
        let scope = at.scope().unwrap();
        let maximum = Policy::default();
        state.plan(given.map(key), at, &scope, status, &maximum, &mut OsRng)
    }

    fn to_register(planned: Result<Planned, DeviceError>) -> Plan {
        match planned.unwrap() {
            Planned::Register(plan) => plan,
            Planned::Protected => panic!("protected already"),
        }
    }

    // Fails if `replaces_live_record` leaves the refusal to the vault.
    #[test]
    fn a_new_key_is_refused_before_a_password_is_chosen_where_there_is_a_record() {
        let live = status(AccountState::Active, None);
        let refused = plan(&DeviceState::new(), None, &alice(), &live);
        let is_refused = matches!(
            refused,
            Err(DeviceError::Vault(Error::AlreadyRegistered {
                generation: 3
            }))
        );
        assert!(is_refused);
        assert!(to_register(plan(&DeviceState::new(), Some(1), &alice(), &live)).replaces());
        let absent = status(AccountState::Absent, None);
        assert!(!to_register(plan(&DeviceState::new(), None, &alice(), &absent)).replaces());
    }

    // Fails if `into_key` lets any reason pass.
    #[test]
    fn nothing_is_registered_after_a_destruction_unless_it_is_said() {
        for reason in [
            DestructionReason::Exhausted,
            DestructionReason::Deleted,
            DestructionReason::Reset,
        ] {
            let destroyed = status(AccountState::Destroyed, Some(reason));
            let plan = || to_register(plan(&protected(), None, &alice(), &destroyed));
            assert_eq!(plan().reason(), Some(Reason::Destroyed(reason)));
            assert_eq!(plan().destroyed().unwrap().reason, reason);
            assert!(matches!(plan().into_key(), Err(Error::Destroyed { .. })));
            let key = plan().although_destroyed().into_key().unwrap();
            assert!(key.is_same(&self::key(1)));
        }
    }

    // Fails if `plan` compares the vault and the generation alone, or no pins.
    #[test]
    fn a_key_is_not_protected_already_where_it_was_never_registered() {
        let live = status(AccountState::Active, None);
        let same = plan(&protected(), None, &alice(), &live);
        assert!(matches!(same, Ok(Planned::Protected)));
        let mut tenant = alice();
        tenant.tenant = "other".parse().unwrap();
        let mut account = alice();
        account.account = "bob".parse().unwrap();
        let mut pinned = alice();
        pinned.fingerprints = place("alice", &[2]).fingerprints;
        for other in [tenant, account, pinned] {
            let refused = plan(&protected(), None, &other, &live);
            assert!(matches!(refused, Err(DeviceError::RecordElsewhere)));
        }
        let mut renamed = alice();
        renamed.memory = memory("w", 1);
        assert_eq!(renamed.scope().unwrap().vault, VaultId::new("w").unwrap());
        let plan = to_register(plan(&protected(), None, &renamed, &live));
        assert_eq!(plan.reason(), Some(Reason::Moved));
    }

    // Fails if `plan` replaces a record that another device has made since, or takes a change that is
    // pending for one that was made.
    #[test]
    fn a_newer_record_is_left_alone_unless_it_may_be_from_here() {
        let mut newer = status(AccountState::Active, None);
        newer.generation = 4;
        let refused = plan(&protected(), None, &alice(), &newer);
        assert!(matches!(refused, Err(DeviceError::RegisteredSince)));
        let mut pending = protected();
        let unstored = pending.begin_registration(key(1), alice()).unwrap();
        pending.registration_ended(unstored.stored(), &Err(unknown()));
        for status in [newer, status(AccountState::Active, None)] {
            assert!(to_register(plan(&pending, None, &alice(), &status)).replaces());
        }
    }
}
