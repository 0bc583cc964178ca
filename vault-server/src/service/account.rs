//! An account's leaf: the tenant's name in front of the account's state. The sweep, which meets
//! accounts by their key alone, needs the name to keep the tenant's count of live records.

use vault_ledger::{Batch, LeafKey, LeafUnavailable};
use vault_protocol::TenantId;
use vault_rules::{Account, Command};
use zeroize::Zeroizing;

use crate::stored::keys;
use crate::tenants::tenant::Tenant;

const VERSION: u8 = 1;

/// Applies one command to one account, within a commit: reads the state, lets the rules decide,
/// and writes the new state, its events, its due time and the tenant's count.
pub fn apply<C: Command>(
    batch: &mut Batch<'_>,
    key: &LeafKey,
    tenant: &TenantId,
    command: C,
) -> Result<C::Outcome, LeafUnavailable> {
    let stored = batch.read(key)?;
    let account = match &stored {
        Some(leaf) => decode(leaf)?.1,
        None => Account::absent(),
    };
    let was_live = account.is_live();
    let time = command.time();
    let step = command.apply(account);
    write(batch, key, tenant, stored.as_deref(), &step.account);
    if step.account.is_live() != was_live {
        count_live_record(batch, tenant, step.account.is_live())?;
    }
    for event in &step.events {
        batch.append_event(key, &event.encode());
    }
    let due = step.account.next_due(time);
    batch.schedule(key, due.map(|due| due.millis()));
    Ok(step.outcome)
}

/// Whose account this leaf is, and its state.
pub fn decode(leaf: &[u8]) -> Result<(TenantId, Account), LeafUnavailable> {
    split(leaf).ok_or(LeafUnavailable)
}

fn split(leaf: &[u8]) -> Option<(TenantId, Account)> {
    let (head, rest) = leaf.split_first_chunk::<2>()?;
    let [VERSION, length] = *head else {
        return None;
    };
    let (tenant, state) = rest.split_at_checked(usize::from(length))?;
    let tenant = TenantId::new(std::str::from_utf8(tenant).ok()?).ok()?;
    Some((tenant, Account::decode(state).ok()?))
}

fn encode(tenant: &TenantId, account: &Account) -> Zeroizing<Vec<u8>> {
    let name = tenant.as_str().as_bytes();
    let length = u8::try_from(name.len()).expect("a tenant's name has at most 32 bytes");
    let state = account.encode();
    let mut leaf = Zeroizing::new(Vec::with_capacity(2 + name.len() + state.len()));
    leaf.extend_from_slice(&[VERSION, length]);
    leaf.extend_from_slice(name);
    leaf.extend_from_slice(&state);
    leaf
}

/// Writes only what changed: asking for a status must not cost a write.
fn write(
    batch: &mut Batch<'_>,
    key: &LeafKey,
    tenant: &TenantId,
    stored: Option<&Vec<u8>>,
    account: &Account,
) {
    if account.is_removable() {
        if stored.is_some() {
            batch.remove(key);
        }
        return;
    }
    let leaf = encode(tenant, account);
    if stored != Some(&*leaf) {
        batch.put(key, leaf);
    }
}

fn count_live_record(
    batch: &mut Batch<'_>,
    tenant: &TenantId,
    one_more: bool,
) -> Result<(), LeafUnavailable> {
    let place = keys::tenant(tenant);
    let leaf = batch.read(&place)?.ok_or(LeafUnavailable)?;
    let mut tenant = Tenant::decode(&leaf).map_err(|_| LeafUnavailable)?;
    tenant.live_records = if one_more {
        tenant.live_records.saturating_add(1)
    } else {
        tenant.live_records.saturating_sub(1)
    };
    batch.put(&place, tenant.encode());
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

    fn is_unavailable(leaf: &[u8]) -> bool {
        matches!(decode(leaf), Err(LeafUnavailable))
    }

    fn changed(at: usize, byte: u8) -> Vec<u8> {
        let mut leaf = FIXTURE.to_vec();
        leaf[at] = byte;
        leaf
    }

    /// Fails when `split` does not look at the version.
    #[test]
    fn leaves_of_other_versions_are_unavailable() {
        for version in (0..=u8::MAX).filter(|version| *version != VERSION) {
            assert!(is_unavailable(&changed(0, version)), "{version}");
        }
    }

    /// Nothing that is cut off may read as an account with a fresh budget.
    #[test]
    fn truncated_leaves_and_trailing_bytes_are_unavailable() {
        for length in 0..FIXTURE.len() {
            assert!(is_unavailable(&FIXTURE[..length]), "{length}");
        }
        assert!(is_unavailable(&[FIXTURE.as_slice(), &[0]].concat()));
    }

    #[test]
    fn foreign_bytes_are_unavailable() {
        for length in (0..=u8::MAX).filter(|length| *length != 3) {
            assert!(
                is_unavailable(&changed(1, length)),
                "a name of {length} bytes"
            );
        }
        for byte in [b'A', b'_', 0, 0xff] {
            assert!(is_unavailable(&changed(2, byte)), "a name with {byte}");
        }
        assert!(is_unavailable(&changed(5, 2)), "a state of another version");
        assert!(is_unavailable(&[0; 64]));
        assert!(is_unavailable(&[0xff; 64]));
    }

    #[test]
    fn the_committed_leaf_is_still_read() {
        let (tenant, account) = decode(&FIXTURE).unwrap();
        assert_eq!(tenant.as_str(), "app");
        assert_eq!((account.generation(), account.is_live()), (1, false));
        assert!(!account.is_removable());
        assert_eq!(encode(&tenant, &account).as_slice(), FIXTURE);
    }
}
