//! Upkeep as it runs in a server: nobody calls it, the ticks of [`Vault::upkeep`] do
//! (PROTOCOL.md sections 5 and 7). The runtime's time is paused, so that it jumps from tick to
//! tick; the vault's own clock moves only when a test advances it.
//!
//! [`Vault::upkeep`]: vault_server::vault::Vault::upkeep

use std::time::Duration;

use vault_protocol::binary::Ticket;
use vault_tests::in_process::{CHANNEL, DAY, Stored, TestVault};

use crate::support::{OPEN_SECONDS, RIGHT, charge, policy, register, without_waits};

/// A tick of these vaults.
const TICK: Duration = Duration::from_secs(60);

/// So many ticks are enough for anything that is due.
const ENOUGH: usize = 100;

/// Lets upkeep run until something is seen; false if it is not seen within enough ticks.
async fn runs_until(vault: &TestVault, seen: impl AsyncFn() -> bool) -> bool {
    let watching = async {
        for _ in 0..ENOUGH {
            tokio::time::sleep(TICK).await;
            if seen().await {
                return true;
            }
        }
        false
    };
    tokio::time::pause();
    let found = tokio::select! {
        found = watching => found,
        ended = vault.vault().upkeep() => panic!("upkeep ended: {ended}"),
    };
    tokio::time::resume();
    found
}

fn key_id(ticket: &Ticket) -> [u8; 4] {
    *ticket.0[1..].first_chunk().unwrap()
}

async fn is_live(vault: &TestVault, name: &str) -> bool {
    let stored: Option<Stored> = vault.stored(&vault.account(name)).await;
    stored.is_some_and(|stored| stored.is_live)
}

#[tokio::test]
async fn upkeep_destroys_nothing_that_is_not_due() {
    let vault = TestVault::start(policy(1, 1)).await;
    let alice = vault.account("alice");
    register(&vault, &alice, RIGHT).await;
    charge(&vault, &alice).await;
    vault.advance_seconds(OPEN_SECONDS - 1);
    let destroyed = runs_until(&vault, async || !is_live(&vault, "alice").await).await;
    assert!(!destroyed);
}

/// Fails when `upkeep::once` does not sweep, or `upkeep::run` does not call it.
#[tokio::test]
async fn running_upkeep_destroys_an_exhausted_record() {
    let vault = TestVault::start(policy(1, 1)).await;
    let alice = vault.account("alice");
    register(&vault, &alice, RIGHT).await;
    charge(&vault, &alice).await;
    vault.advance_seconds(OPEN_SECONDS);
    assert!(is_live(&vault, "alice").await, "nothing runs yet");
    let destroyed = runs_until(&vault, async || !is_live(&vault, "alice").await).await;
    assert!(destroyed);
}

/// Fails when `upkeep::run` ends after its first round: what comes due later would stay.
#[tokio::test]
async fn upkeep_goes_on_after_its_first_round() {
    let vault = TestVault::start(policy(1, 1)).await;
    let alice = vault.account("alice");
    register(&vault, &alice, RIGHT).await;
    charge(&vault, &alice).await;
    let looked = std::cell::Cell::new(0);
    let destroyed = runs_until(&vault, async || {
        looked.set(looked.get() + 1);
        if looked.get() == ENOUGH / 2 {
            assert!(is_live(&vault, "alice").await);
            vault.advance_seconds(OPEN_SECONDS);
        }
        !is_live(&vault, "alice").await
    });
    assert!(destroyed.await);
}

/// Fails when `upkeep::once` does not rotate the ticket keys, or does not take the new ones over.
#[tokio::test]
async fn running_upkeep_replaces_the_ticket_key() {
    let vault = TestVault::start(policy(100, 100)).await;
    let alice = vault.account("alice");
    register(&vault, &alice, RIGHT).await;
    let before = key_id(&charge(&vault, &alice).await.retrieval_ticket);
    vault.advance_seconds(DAY);
    let unchanged = key_id(&charge(&vault, &alice).await.retrieval_ticket);
    assert_eq!(unchanged, before, "nothing runs yet");
    let replaced = async || {
        let started = charge(&vault, &alice).await;
        key_id(&started.retrieval_ticket) != before
    };
    assert!(runs_until(&vault, replaced).await);
}

/// Fails when `upkeep::once` does not renew the publication.
#[tokio::test]
async fn running_upkeep_replaces_the_channels_keys() {
    let vault = TestVault::start(without_waits()).await;
    let before = vault.key_list().await;
    vault.advance_seconds(CHANNEL.period_seconds);
    assert_eq!(vault.key_list().await, before, "nothing runs yet");
    let replaced = async || vault.key_list().await != before;
    assert!(runs_until(&vault, replaced).await);
}
