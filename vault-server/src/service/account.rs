//! An account's leaf: the tenant's name in front of the account's state. The sweep, which meets
//! accounts by their key alone, needs the name to keep the tenant's count of live records.

use vault_ledger::{Batch, LeafKey, LeafUnavailable};
use vault_protocol::TenantId;
use vault_rules::{Account, Command};
use zeroize::Zeroizing;

use crate::stored::leaf::{Leaf, Leaves, Stored, Unreadable};
use crate::tenants::tenant::Tenant;

const VERSION: u8 = 1;

/// An account as it is stored.
pub struct AccountLeaf {
    /// The tenant that the account belongs to.
    pub tenant: TenantId,
    /// Its state, which only the rules change.
    pub account: Account,
}

/// Applies one command to one account, within a commit: reads the state, lets the rules decide,
/// and writes the new state, its events, its due time and the tenant's count.
pub(super) fn apply<C: Command>(
    batch: &mut Batch<'_>,
    key: &LeafKey,
    tenant: &TenantId,
    command: C,
) -> Result<C::Outcome, LeafUnavailable> {
    let leaf = Leaf::<AccountLeaf>::at(*key);
    let stored = batch.get(&leaf)?;
    let is_stored = stored.is_some();
    let account = stored.map_or_else(Account::absent, |stored| stored.account);
    let was_live = account.is_live();
    let time = command.time();
    let step = command.apply(account);
    let (is_live, due) = (step.account.is_live(), step.account.next_due(time));
    if !step.account.is_removable() {
        let (tenant, account) = (tenant.clone(), step.account);
        batch.set(&leaf, &AccountLeaf { tenant, account });
    } else if is_stored {
        batch.remove(key);
    }
    if is_live != was_live {
        count_live_record(batch, tenant, is_live)?;
    }
    for event in &step.events {
        batch.append_event(key, &event.encode());
    }
    batch.schedule(key, due.map(|due| due.millis()));
    Ok(step.outcome)
}

impl Stored for AccountLeaf {
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let name = self.tenant.as_str().as_bytes();
        let length = u8::try_from(name.len()).expect("a tenant's name has at most 32 bytes");
        let state = self.account.encode();
        // The final size: a buffer that grows would leave copies of secrets behind.
        let mut leaf = Zeroizing::new(Vec::with_capacity(2 + name.len() + state.len()));
        leaf.extend_from_slice(&[VERSION, length]);
        leaf.extend_from_slice(name);
        leaf.extend_from_slice(&state);
        leaf
    }

    fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        split(bytes).ok_or(Unreadable)
    }
}

fn split(leaf: &[u8]) -> Option<AccountLeaf> {
    let (head, rest) = leaf.split_first_chunk::<2>()?;
    let [VERSION, length] = *head else {
        return None;
    };
    let (tenant, state) = rest.split_at_checked(usize::from(length))?;
    Some(AccountLeaf {
        tenant: TenantId::new(std::str::from_utf8(tenant).ok()?).ok()?,
        account: Account::decode(state).ok()?,
    })
}

fn count_live_record(
    batch: &mut Batch<'_>,
    tenant: &TenantId,
    one_more: bool,
) -> Result<(), LeafUnavailable> {
    let leaf = Tenant::leaf(tenant);
    let mut tenant = batch.get(&leaf)?.ok_or(LeafUnavailable)?;
    tenant.live_records = if one_more {
        tenant.live_records.saturating_add(1)
    } else {
        tenant.live_records.saturating_sub(1)
    };
    batch.set(&leaf, &tenant);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Version 1, three bytes of name, `app`; then a state of version 1: generation 1 destroyed.
    const FIXTURE: [u8; 16] = [
        0x01, 0x03, b'a', b'p', b'p', // the framing
        0x01, 0x02, 0x01, 0x80, 0xa0, 0xf1, 0xc2, 0xb1, 0x34, 0x02, 0x00,
    ];

    fn is_unreadable(leaf: &[u8]) -> bool {
        AccountLeaf::decode(leaf).is_err()
    }

    fn changed(at: usize, byte: u8) -> Vec<u8> {
        let mut leaf = FIXTURE.to_vec();
        leaf[at] = byte;
        leaf
    }

    /// Fails when `split` does not look at the version.
    #[test]
    fn leaves_of_other_versions_are_unreadable() {
        for version in (0..=u8::MAX).filter(|version| *version != VERSION) {
            assert!(is_unreadable(&changed(0, version)), "{version}");
        }
    }

    /// Nothing that is cut off may read as an account with a fresh budget.
    #[test]
    fn truncated_leaves_and_trailing_bytes_are_unreadable() {
        for length in 0..FIXTURE.len() {
            assert!(is_unreadable(&FIXTURE[..length]), "{length}");
        }
        assert!(is_unreadable(&[FIXTURE.as_slice(), &[0]].concat()));
    }

    #[test]
    fn foreign_bytes_are_unreadable() {
        for length in (0..=u8::MAX).filter(|length| *length != 3) {
            assert!(
                is_unreadable(&changed(1, length)),
                "a name of {length} bytes"
            );
        }
        for byte in [b'A', b'_', 0, 0xff] {
            assert!(is_unreadable(&changed(2, byte)), "a name with {byte}");
        }
        assert!(is_unreadable(&changed(5, 2)), "a state of another version");
        assert!(is_unreadable(&[0; 64]));
        assert!(is_unreadable(&[0xff; 64]));
    }

    #[test]
    fn the_committed_leaf_is_still_read() {
        let leaf = AccountLeaf::decode(&FIXTURE).unwrap();
        let AccountLeaf { tenant, account } = &leaf;
        assert_eq!(tenant.as_str(), "app");
        assert_eq!((account.generation(), account.is_live()), (1, false));
        assert!(!account.is_removable());
        assert_eq!(leaf.encode().as_slice(), FIXTURE);
    }
}
