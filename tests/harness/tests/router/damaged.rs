//! An attacker, or a disk, changed a row of the database. Accounts below it in the key tree are told
//! that the vault cannot answer, and never that there is nothing: a lost record would be a fresh
//! budget. No other account notices.

use http::StatusCode;
use rusqlite::{Connection, OptionalExtension, params};
use vault_ledger::LeafKey;
use vault_protocol::{AccountScope, Policy, Problem};
use vault_server::stored::keys;
use vault_tests::device::{Device, Guess};
use vault_tests::in_process::{Answered, Stored, TestTenant, TestVault};

use crate::support::{
    OPEN_SECONDS, RIGHT, charge, policy, register, remaining, retrieve, start, vault_of_alice,
    without_waits,
};

/// So many accounts more are enough to divide the tree's root into buckets.
const FILLERS: usize = 8;

/// A key's bits for one step down the tree, and the number of the root's row.
const STEP_BITS: u32 = 6;
const ROOT: i64 = 1;

/// Accounts that share no bucket with each other or with what the vault keeps for itself, none of
/// them registered yet, and another tenant.
async fn vault_of<const N: usize>(policy: Policy) -> (TestVault, TestTenant, [AccountScope; N]) {
    let vault = TestVault::start(policy).await;
    let other = vault.add_tenant("other", without_waits()).await;
    let mut taken: Vec<i64> = [
        keys::tenants(),
        keys::ticket_keys(),
        keys::ohttp_keys(),
        keys::statement_serial(),
        keys::tenant(&vault.app.name),
        keys::tenant(&other.name),
    ]
    .map(|place| rows_on_the_way(&place)[1])
    .to_vec();
    let mut accounts = (0..).filter_map(|number| {
        let account = vault.account(&format!("user-{number}"));
        let row = rows_on_the_way(&leaf_of(&vault, &account))[1];
        let is_apart = !taken.contains(&row);
        taken.push(row);
        is_apart.then_some(account)
    });
    let chosen = std::array::from_fn(|_| accounts.next().unwrap());
    for filler in accounts.take(FILLERS).collect::<Vec<_>>() {
        register(&vault, &filler, RIGHT).await;
    }
    (vault, other, chosen)
}

/// The rows that a key's bits lead to, the root's first: the number of a row is a 1, and behind it
/// the bits of every step.
fn rows_on_the_way(key: &LeafKey) -> [i64; 4] {
    let bits = u64::from_be_bytes(key.0[..8].try_into().unwrap());
    [0, 1, 2, 3].map(|steps| match steps * STEP_BITS {
        0 => ROOT,
        used => ROOT << used | i64::try_from(bits >> (u64::BITS - used)).unwrap(),
    })
}

/// Stops the vault, changes the row of the bucket in which a leaf lies, or removes it, and starts
/// again.
async fn change_bucket(
    vault: &mut TestVault,
    leaf: &LeafKey,
    change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>,
) {
    let now = vault.now();
    vault.stop();
    let database = Connection::open(vault.data_folder().join("ledger.db")).unwrap();
    let read = |row: &i64| -> Option<Vec<u8>> {
        let sql = "SELECT sealed FROM node WHERE id = ?1";
        let found = database.query_row(sql, params![row], |row| row.get(0));
        found.optional().unwrap()
    };
    let rows = rows_on_the_way(leaf);
    let mut stored = rows.iter().filter_map(|row| Some((*row, read(row)?)));
    let (row, sealed) = stored.next_back().unwrap();
    assert_ne!(row, ROOT, "one bucket holds everything: use more accounts");
    let changed = match change(sealed) {
        Some(sealed) => {
            let sql = "UPDATE node SET sealed = ?2 WHERE id = ?1";
            database.execute(sql, params![row, sealed])
        }
        None => database.execute("DELETE FROM node WHERE id = ?1", params![row]),
    };
    assert_eq!(changed.unwrap(), 1);
    database.close().unwrap();
    vault.restart(now).await;
}

async fn damage(vault: &mut TestVault, leaf: LeafKey) {
    let flip = |mut sealed: Vec<u8>| {
        let middle = sealed.len() / 2;
        sealed[middle] ^= 1;
        Some(sealed)
    };
    change_bucket(vault, &leaf, flip).await;
}

fn leaf_of(vault: &TestVault, scope: &AccountScope) -> LeafKey {
    LeafKey(vault.keyring().account_key(&scope.tenant, &scope.account))
}

fn assert_unavailable(answer: &Answered) {
    assert_eq!(answer.problem(), Problem::Unavailable);
    assert!(answer.retry_after().is_some(), "no Retry-After");
}

async fn status_of(vault: &TestVault, scope: &AccountScope) -> Answered {
    let (account, path) = (scope.account.as_str(), scope.path());
    let answer = vault.sealed_call(account, "GET", &path, &[]).await;
    answer.opened()
}

/// Fails when `account::apply` takes a leaf that cannot be read for an absent account:
/// `batch.read(key).unwrap_or(None)`.
#[tokio::test]
async fn a_damaged_account_is_unavailable_and_gets_no_fresh_budget() {
    let (mut vault, _, [alice]) = vault_of(without_waits()).await;
    register(&vault, &alice, RIGHT).await;
    charge(&vault, &alice).await;
    let leaf = leaf_of(&vault, &alice);
    damage(&mut vault, leaf).await;
    for _ in 0..2 {
        assert_unavailable(&status_of(&vault, &alice).await);
        assert_unavailable(&start(&vault, &Guess::new(&alice, RIGHT)).await);
        let again = Device::new(&alice).register(RIGHT).message;
        assert_unavailable(&vault.post(&alice, "registration/start", &again).await);
        // Nothing of it made the row readable, or new.
        let now = vault.now();
        vault.restart(now).await;
    }
}

/// Fails when the ledger takes a node that is not there for an empty one.
#[tokio::test]
async fn a_removed_account_is_unavailable_and_not_absent() {
    let (mut vault, _, [alice]) = vault_of(without_waits()).await;
    register(&vault, &alice, RIGHT).await;
    let leaf = leaf_of(&vault, &alice);
    change_bucket(&mut vault, &leaf, |_| None).await;
    assert_unavailable(&status_of(&vault, &alice).await);
    let again = Device::new(&alice).register(RIGHT).message;
    assert_unavailable(&vault.post(&alice, "registration/start", &again).await);
}

/// Fails when the ledger does not draw a new key for a bucket that it changes.
#[tokio::test]
async fn an_older_row_that_is_put_back_gives_no_attempt_back() {
    let (mut vault, _, [alice]) = vault_of(without_waits()).await;
    register(&vault, &alice, RIGHT).await;
    let leaf = leaf_of(&vault, &alice);
    let mut older = Vec::new();
    let save = |sealed: Vec<u8>| {
        older.clone_from(&sealed);
        Some(sealed)
    };
    change_bucket(&mut vault, &leaf, save).await;
    charge(&vault, &alice).await;
    change_bucket(&mut vault, &leaf, |_| Some(older)).await;
    assert_unavailable(&status_of(&vault, &alice).await);
    assert_unavailable(&start(&vault, &Guess::new(&alice, RIGHT)).await);
}

#[tokio::test]
async fn a_damaged_account_does_not_disturb_the_others() {
    let (mut vault, _, [alice, bob, carol]) = vault_of(without_waits()).await;
    register(&vault, &alice, RIGHT).await;
    let device = register(&vault, &bob, RIGHT).await;
    charge(&vault, &bob).await;
    let leaf = leaf_of(&vault, &alice);
    damage(&mut vault, leaf).await;
    assert_eq!(remaining(&vault, &bob).await, 9);
    retrieve(&vault, &device, RIGHT).await;
    register(&vault, &carol, RIGHT).await;
    assert_unavailable(&status_of(&vault, &alice).await);
}

/// The damaged account is the first that is due. Fails when the sweep ends at an account that cannot be read
/// (`CommitError::Unavailable` in `Service::sweep_account`).
#[tokio::test]
async fn the_sweep_goes_on_behind_a_damaged_account() {
    let (mut vault, _, accounts) = vault_of::<4>(policy(1, 1)).await;
    for account in &accounts {
        register(&vault, account, RIGHT).await;
        charge(&vault, account).await;
        vault.advance_seconds(1);
    }
    let leaf = leaf_of(&vault, &accounts[0]);
    damage(&mut vault, leaf).await;
    vault.advance_seconds(OPEN_SECONDS);
    vault.sweep().await;
    let destroyed = Some(Stored {
        generation: 1,
        is_live: false,
    });
    for account in &accounts[1..] {
        assert_eq!(vault.stored(account).await, destroyed);
    }
    assert_unavailable(&status_of(&vault, &accounts[0]).await);
}

/// Fails when `tenants::read_all` gives up at a tenant that cannot be read: nothing would start.
#[tokio::test]
async fn a_damaged_tenants_tokens_are_refused_and_the_other_tenants_work() {
    let (mut vault, other, [alice, carol]) = vault_of(without_waits()).await;
    let bob = vault.account_of(&other, "bob");
    register(&vault, &alice, RIGHT).await;
    let leaf = keys::tenant(&other.name);
    damage(&mut vault, leaf).await;

    let refused = vault.sealed(&other, "bob", b"any message").await.outer;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let path = format!("/v1/tenants/other/accounts/{}", bob.account.as_str());
    let refused = vault.get(&path, Some(&other.status_token)).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);

    assert_eq!(remaining(&vault, &alice).await, 10);
    register(&vault, &carol, RIGHT).await;
}

/// Stops the vault, changes the due index, and starts again.
async fn change_due_index(vault: &mut TestVault, sql: &str, leaf: LeafKey) {
    let now = vault.now();
    vault.stop();
    let database = Connection::open(vault.data_folder().join("ledger.db")).unwrap();
    assert_eq!(database.execute(sql, params![leaf.0]).unwrap(), 1);
    database.close().unwrap();
    vault.restart(now).await;
}

/// Fails when a sweep does anything to an account but `Sweep`, because the index named it.
#[tokio::test]
async fn a_planted_due_row_takes_nothing_from_its_account() {
    let (mut vault, alice, device) = vault_of_alice().await;
    let leaf = leaf_of(&vault, &alice);
    let plant = "INSERT INTO due (leaf_key, due_ms) VALUES (?1, 0)";
    change_due_index(&mut vault, plant, leaf).await;
    vault.sweep().await;
    assert_eq!(remaining(&vault, &alice).await, 10);
    retrieve(&vault, &device, RIGHT).await;
}

/// Fails when a command leaves due changes to the sweep.
#[tokio::test]
async fn a_removed_due_row_gives_nothing_back_to_its_account() {
    let mut vault = TestVault::start(policy(1, 1)).await;
    let alice = vault.account("alice");
    register(&vault, &alice, RIGHT).await;
    charge(&vault, &alice).await;
    let leaf = leaf_of(&vault, &alice);
    change_due_index(&mut vault, "DELETE FROM due WHERE leaf_key = ?1", leaf).await;
    vault.advance_seconds(OPEN_SECONDS);
    let refused = start(&vault, &Guess::new(&alice, RIGHT)).await;
    assert!(matches!(refused.problem(), Problem::Destroyed { .. }));
}
