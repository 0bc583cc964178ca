//! Where a record is, or may be.

use serde::{Deserialize, Serialize};
use vault_protocol::identity::Fingerprint;
use vault_protocol::{AccountId, AccountScope, TenantId};

use crate::trust::{Trust, TrustMemory};

/// One account at one vault, as a device knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The app's name at the vault.
    pub tenant: TenantId,
    /// The user's account in the app.
    pub account: AccountId,
    /// The vault's pinned fingerprints. A vault with none of them is another one, whatever its name.
    pub fingerprints: Vec<Fingerprint>,
    /// How the app reaches the vault: its own words, kept and never read.
    pub address: String,
    /// The newest statement that the device has seen.
    pub memory: Option<TrustMemory>,
}

impl Place {
    /// A place of which nothing is known yet.
    pub fn new(
        tenant: TenantId,
        account: AccountId,
        fingerprints: impl IntoIterator<Item = Fingerprint>,
        address: &str,
    ) -> Self {
        Self {
            tenant,
            account,
            fingerprints: fingerprints.into_iter().collect(),
            address: address.to_owned(),
            memory: None,
        }
    }

    /// Whether this is the same account of the same vault, however it is reached.
    pub fn is_same(&self, other: &Self) -> bool {
        let is_account = (&self.tenant, &self.account) == (&other.tenant, &other.account);
        is_account && self.shares_pin(other)
    }

    /// The trust of a client of this place.
    pub fn trust(&self) -> Trust {
        let trust = Trust::new(self.fingerprints.iter().copied());
        match &self.memory {
            Some(memory) => trust.remembering(memory.clone()),
            None => trust,
        }
    }

    /// Vault, tenant and account, once the vault has shown itself.
    pub fn scope(&self) -> Option<AccountScope> {
        self.memory.as_ref().map(|memory| AccountScope {
            vault: memory.vault.clone(),
            tenant: self.tenant.clone(),
            account: self.account.clone(),
        })
    }

    /// Takes over the statement that `other` remembers, if it is a newer one of the same vault.
    pub fn learn(&mut self, other: &Self) {
        let Some(theirs) = &other.memory else { return };
        let is_newer = self
            .memory
            .as_ref()
            .is_none_or(|mine| mine.vault == theirs.vault && mine.seen.serial < theirs.seen.serial);
        if is_newer && self.shares_pin(other) {
            self.memory = Some(theirs.clone());
        }
    }

    fn shares_pin(&self, other: &Self) -> bool {
        let mut pins = self.fingerprints.iter();
        pins.any(|pin| other.fingerprints.contains(pin))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{memory, place};
    use super::*;

    // Fails if `is_same` compares no pins, or all of them.
    #[test]
    fn a_place_is_the_same_as_long_as_one_pin_stays() {
        let former = place("alice", &[1, 2]);
        let other_way = Place {
            address: "elsewhere".to_owned(),
            ..place("alice", &[2, 3])
        };
        assert!(former.is_same(&other_way));
        assert!(!former.is_same(&place("alice", &[3])));
        assert!(!former.is_same(&place("bob", &[1])));
    }

    // Fails if `learn` looks at no pins: one vault's serials would shut out another one.
    #[test]
    fn what_another_vault_showed_and_what_is_older_is_not_learnt() {
        let mut mine = place("alice", &[1]);
        mine.memory = memory("v", 2);
        let known = mine.clone();
        for (pin, vault, serial) in [(2, "v", 3), (1, "w", 3), (1, "v", 1)] {
            let mut other = place("bob", &[pin]);
            other.memory = memory(vault, serial);
            mine.learn(&other);
            assert_eq!(mine, known);
        }
        let mut newer = place("bob", &[1]);
        newer.memory = memory("v", 3);
        mine.learn(&newer);
        assert_eq!(mine.memory, newer.memory);
        assert_eq!(mine.account, known.account);
    }
}
