//! Whether a key that a device still holds is still protected (PROTOCOL.md section 3): if not, the
//! device registers the same key again.

use serde::{Deserialize, Serialize};
use vault_protocol::messages::{AccountState, DestructionReason, Status};
use vault_protocol::{AccountId, AccountScope, Policy, StretchingProfile, TenantId, VaultId};

/// Names a registration: which record a device has made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrationRef {
    /// The vault.
    pub vault: VaultId,
    /// The app.
    pub tenant: TenantId,
    /// The user.
    pub account: AccountId,
    /// The account's generation that it made.
    pub generation: u64,
}

/// Whether a registered key is still protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// The record is the one that was registered, and meets today's requirements.
    Protected,
    /// It is not. Ask the user before the key is registered again; the reason says which question.
    /// After [`Reason::Replaced`] the key may be registered all the same, with the newest password.
    NeedsRegistration(Reason),
}

/// Why a key has to be registered again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The app uses another vault now, or another account.
    Moved,
    /// The vault has no record of the account.
    Lost,
    /// The record was destroyed. After `Exhausted` the new password must be another one, because an
    /// attacker was guessing. After `Deleted` the user may have wanted it so: ask.
    Destroyed(DestructionReason),
    /// Another device has registered since, this key with another password or another key. The
    /// vault cannot tell which: retrieve with the newest password and compare before replacing.
    Replaced,
    /// The password is stretched less than it would be today.
    WeakStretching,
    /// The record's policy allows more guesses than the app's maximum.
    LooserPolicy,
}

impl RegistrationRef {
    pub(crate) fn new(scope: &AccountScope, generation: u64) -> Self {
        Self {
            vault: scope.vault.clone(),
            tenant: scope.tenant.clone(),
            account: scope.account.clone(),
            generation,
        }
    }

    /// Whether it was registered for this account of this vault.
    pub fn is_at(&self, scope: &AccountScope) -> bool {
        self.vault == scope.vault && self.tenant == scope.tenant && self.account == scope.account
    }

    /// Compares the registration with the status that the vault gives now for `scope`.
    pub fn compare(&self, scope: &AccountScope, status: &Status, maximum: &Policy) -> Protection {
        match self.reason(scope, status, maximum) {
            Some(reason) => Protection::NeedsRegistration(reason),
            None => Protection::Protected,
        }
    }

    fn reason(&self, scope: &AccountScope, status: &Status, maximum: &Policy) -> Option<Reason> {
        if !self.is_at(scope) {
            return Some(Reason::Moved);
        }
        match status.state {
            AccountState::Absent => return Some(Reason::Lost),
            AccountState::Destroyed => {
                return Some(status.reason.map_or(Reason::Lost, Reason::Destroyed));
            }
            // A wait passes; the record is there.
            AccountState::Active | AccountState::Waiting => {}
        }
        if status.generation != self.generation {
            return Some(Reason::Replaced);
        }
        let is_weak = |profile| profile < StretchingProfile::CURRENT;
        if status.stretching_profile.is_none_or(is_weak) {
            return Some(Reason::WeakStretching);
        }
        status
            .policy
            .is_looser_than(maximum)
            .then_some(Reason::LooserPolicy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vault_protocol::Timestamp;

    type Change = fn(&mut Status);

    fn scope() -> AccountScope {
        AccountScope {
            vault: VaultId::new("v").unwrap(),
            tenant: TenantId::new("app").unwrap(),
            account: AccountId::new("alice").unwrap(),
        }
    }

    fn reference() -> RegistrationRef {
        RegistrationRef::new(&scope(), 2)
    }

    fn status() -> Status {
        Status {
            state: AccountState::Active,
            generation: 2,
            attempts_remaining: 10,
            retry_at: None,
            destroyed_at: None,
            reason: None,
            stretching_profile: Some(StretchingProfile::CURRENT),
            policy: Policy::default(),
        }
    }

    fn compare(status: &Status) -> Protection {
        reference().compare(&scope(), status, &Policy::default())
    }

    // Fails if `is_at` leaves out the vault, the tenant or the account.
    #[test]
    fn another_vault_app_or_account_does_not_protect_the_key() {
        let (mut vault, mut tenant, mut account) = (scope(), scope(), scope());
        vault.vault = VaultId::new("w").unwrap();
        tenant.tenant = TenantId::new("other").unwrap();
        account.account = AccountId::new("bob").unwrap();
        for other in [vault, tenant, account] {
            let moved = reference().compare(&other, &status(), &Policy::default());
            assert_eq!(moved, Protection::NeedsRegistration(Reason::Moved));
        }
    }

    #[test]
    fn every_way_to_lose_the_protection_has_its_reason() {
        let changes: [(Change, Reason); 6] = [
            (|s| s.state = AccountState::Absent, Reason::Lost),
            (
                |s| {
                    s.state = AccountState::Destroyed;
                    s.reason = Some(DestructionReason::Exhausted);
                },
                Reason::Destroyed(DestructionReason::Exhausted),
            ),
            (|s| s.generation = 3, Reason::Replaced),
            (
                |s| s.stretching_profile = Some(StretchingProfile(0)),
                Reason::WeakStretching,
            ),
            (|s| s.stretching_profile = None, Reason::WeakStretching),
            (
                |s| s.policy = Policy::new(11, 100, vec![0; 10]).unwrap(),
                Reason::LooserPolicy,
            ),
        ];
        for (change, reason) in changes {
            let mut changed = status();
            change(&mut changed);
            assert_eq!(compare(&changed), Protection::NeedsRegistration(reason));
        }
    }

    #[test]
    fn a_wait_is_no_loss_of_protection() {
        let mut waiting = status();
        waiting.state = AccountState::Waiting;
        waiting.retry_at = Some(Timestamp::from_millis(1));
        assert_eq!(compare(&status()), Protection::Protected);
        assert_eq!(compare(&waiting), Protection::Protected);
    }
}
