//! An account's leaf: the tenant's name in front of the account's state. The sweep, which meets
//! accounts by their key alone, needs the name to keep the tenant's count of live records.

use vault_ledger::{Batch, LeafKey, LeafUnavailable};
use vault_protocol::TenantId;
use vault_rules::{Account, Clock, Step};
use zeroize::Zeroizing;

use crate::places;
use crate::tenant::Tenant;

const VERSION: u8 = 1;

/// Applies one command to one account, within a commit: reads the state, lets the rules decide,
/// and writes the new state, its events, its due time and the tenant's count.
pub fn apply<T>(
    batch: &mut Batch<'_>,
    key: &LeafKey,
    tenant: &TenantId,
    clock: Clock,
    command: impl FnOnce(Account) -> Step<T>,
) -> Result<T, LeafUnavailable> {
    let stored = batch.read(key)?;
    let account = match &stored {
        Some(leaf) => decode(leaf)?.1,
        None => Account::absent(),
    };
    let was_live = account.is_live();
    let step = command(account);
    write(batch, key, tenant, stored.as_deref(), &step.account);
    if step.account.is_live() != was_live {
        count_live_record(batch, tenant, step.account.is_live())?;
    }
    for event in &step.events {
        batch.append_event(key, &event.encode());
    }
    let due = step.account.next_due(clock);
    batch.schedule(key, due.map(|due| due.millis()));
    Ok(step.outcome)
}

/// Whose account this leaf is, and its state.
pub fn decode(leaf: &[u8]) -> Result<(TenantId, Account), LeafUnavailable> {
    split(leaf).ok_or(LeafUnavailable)
}

fn split(leaf: &[u8]) -> Option<(TenantId, Account)> {
    let (head, rest) = leaf.split_first_chunk::<2>()?;
    let [VERSION, length] = *head else { return None };
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
    let place = places::tenant(tenant);
    let leaf = batch.read(&place)?.ok_or(LeafUnavailable)?;
    let mut tenant = Tenant::decode(&leaf).map_err(|_| LeafUnavailable)?;
    tenant.live_records = if one_more {
        tenant.live_records + 1
    } else {
        tenant.live_records.saturating_sub(1)
    };
    batch.put(&place, tenant.encode());
    Ok(())
}
