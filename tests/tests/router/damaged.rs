//! Somebody, or a disk, changed a row of the database. Whoever it belongs to is told that the
//! vault cannot answer, and never that there is nothing: a lost record would be a fresh budget.
//! Nobody else notices.

use http::StatusCode;
use rusqlite::{Connection, params};
use vault_ledger::LeafKey;
use vault_protocol::{AccountScope, Problem};
use vault_server::places;
use vault_tests::device::{Device, Guess};
use vault_tests::in_process::{Answered, Stored, TestVault};

use crate::support::{
    OPEN_SECONDS, RIGHT, charge, policy, register, remaining, retrieve, start, vault_of_alice,
    without_waits,
};

/// Stops the vault, changes a byte in the middle of a sealed leaf, and starts again.
async fn damage(vault: &mut TestVault, leaf: LeafKey) {
    let now = vault.now();
    vault.stop();
    let database = Connection::open(vault.data_folder().join("ledger.db")).unwrap();
    let read = "SELECT sealed FROM leaf WHERE leaf_key = ?1";
    let mut sealed: Vec<u8> = database
        .query_row(read, params![leaf.0], |row| row.get(0))
        .unwrap();
    let middle = sealed.len() / 2;
    sealed[middle] ^= 1;
    let write = "UPDATE leaf SET sealed = ?2 WHERE leaf_key = ?1";
    assert_eq!(database.execute(write, params![leaf.0, sealed]).unwrap(), 1);
    database.close().unwrap();
    vault.restart(now).await;
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

/// Fails when `account_leaf::apply` takes a leaf that cannot be read for an absent account:
/// `batch.read(key).unwrap_or(None)`.
#[tokio::test]
async fn a_damaged_account_is_unavailable_and_gets_no_fresh_budget() {
    let (mut vault, alice, _) = vault_of_alice().await;
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

#[tokio::test]
async fn a_damaged_account_does_not_disturb_the_others() {
    let (mut vault, alice, _) = vault_of_alice().await;
    let bob = vault.account("bob");
    let device = register(&vault, &bob, RIGHT).await;
    charge(&vault, &bob).await;
    let leaf = leaf_of(&vault, &alice);
    damage(&mut vault, leaf).await;
    assert_eq!(remaining(&vault, &bob).await, 9);
    retrieve(&vault, &device, RIGHT).await;
    register(&vault, &vault.account("carol"), RIGHT).await;
    assert_unavailable(&status_of(&vault, &alice).await);
}

/// The damaged account is the first that is due. Fails when the sweep ends at an account that cannot be read
/// (`CommitError::Unavailable` in `upkeep::sweep_account`).
#[tokio::test]
async fn the_sweep_goes_on_behind_a_damaged_account() {
    let mut vault = TestVault::start(policy(1, 1)).await;
    let mut accounts = Vec::new();
    for name in ["alice", "bob", "carol", "dave"] {
        let account = vault.account(name);
        register(&vault, &account, RIGHT).await;
        charge(&vault, &account).await;
        vault.advance_seconds(1);
        accounts.push(account);
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
    let mut vault = TestVault::start(without_waits()).await;
    let other = vault.add_tenant("other", without_waits()).await;
    let (alice, bob) = (vault.account("alice"), vault.account_of(&other, "bob"));
    register(&vault, &alice, RIGHT).await;
    let leaf = places::tenant(&other.name);
    damage(&mut vault, leaf).await;

    let refused = vault.sealed(&other, "bob", b"any message").await.outer;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let path = format!("/v1/tenants/other/accounts/{}", bob.account.as_str());
    let refused = vault.get(&path, Some(&other.status_token)).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);

    assert_eq!(remaining(&vault, &alice).await, 10);
    register(&vault, &vault.account("carol"), RIGHT).await;
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

/// Fails when a command leaves what is due to the sweep.
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
