//! Upkeep as it runs in a server: the ticks of [`Maintenance::run`] call it
//! (PROTOCOL.md sections 5 and 7). The runtime's time is paused, so that it jumps from tick to
//! tick; the vault's own clock moves only when a test advances it.
//!
//! [`Maintenance::run`]: vault_server::maintenance::Maintenance::run

use std::time::Duration;

use vault_protocol::binary::Ticket;
use vault_tests::in_process::{CHANNEL, DAY, TestVault};

use crate::support::{OPEN_SECONDS, RIGHT, charge, policy, register, vault_of_alice};

/// A tick of these vaults.
const TICK: Duration = Duration::from_secs(60);

/// In so many ticks anything that is due is done.
const TICKS: usize = 50;

/// Lets maintenance run for some ticks, and does this behind each of them. The ledger is asked for
/// something at every tick: its answer comes behind the commits that maintenance asked for before.
async fn maintenance_runs(vault: &TestVault, mut behind_tick: impl FnMut(usize)) {
    let nobody = vault.account("nobody");
    let ticks = async {
        for number in 0..TICKS {
            tokio::time::sleep(TICK).await;
            vault.stored(&nobody).await;
            behind_tick(number);
        }
    };
    tokio::time::pause();
    tokio::select! {
        () = ticks => {}
        ended = vault.vault().maintenance.run() => panic!("maintenance ended: {ended}"),
    }
    tokio::time::resume();
}

/// A vault where alice's record is exhausted, with an attempt that is still open.
async fn exhausted() -> TestVault {
    let vault = TestVault::start(policy(1, 1)).await;
    let alice = vault.account("alice");
    register(&vault, &alice, RIGHT).await;
    charge(&vault, &alice).await;
    vault
}

async fn is_live(vault: &TestVault) -> bool {
    let stored = vault.stored(&vault.account("alice")).await;
    stored.is_some_and(|stored| stored.is_live)
}

/// The id of the key that sealed it (PROTOCOL.md section 7).
fn key_id(ticket: &Ticket) -> &[u8] {
    &ticket.0[1..5]
}

#[tokio::test]
async fn running_maintenance_destroys_nothing_that_is_not_due() {
    let vault = exhausted().await;
    vault.advance_seconds(OPEN_SECONDS - 1);
    maintenance_runs(&vault, |_| {}).await;
    assert!(is_live(&vault).await);
}

/// Fails when `Maintenance::once` does not sweep, or `Maintenance::run` does not call it.
#[tokio::test]
async fn running_maintenance_destroys_an_exhausted_record() {
    let vault = exhausted().await;
    vault.advance_seconds(OPEN_SECONDS);
    assert!(is_live(&vault).await, "nothing runs yet");
    maintenance_runs(&vault, |_| {}).await;
    assert!(!is_live(&vault).await);
}

/// Fails when only the first round sweeps: accounts that come due later would stay.
#[tokio::test]
async fn maintenance_goes_on_after_its_first_round() {
    let vault = exhausted().await;
    let expire = |number| {
        if number == TICKS / 2 {
            vault.advance_seconds(OPEN_SECONDS);
        }
    };
    maintenance_runs(&vault, expire).await;
    assert!(!is_live(&vault).await);
}

/// Fails when `Maintenance::once` does not rotate the ticket keys, or does not take the new ones over.
#[tokio::test]
async fn running_maintenance_replaces_the_ticket_key() {
    let (vault, alice, _) = vault_of_alice().await;
    let first = charge(&vault, &alice).await.retrieval_ticket;
    vault.advance_seconds(DAY);
    let second = charge(&vault, &alice).await.retrieval_ticket;
    assert_eq!(key_id(&second), key_id(&first), "nothing runs yet");
    maintenance_runs(&vault, |_| {}).await;
    let third = charge(&vault, &alice).await.retrieval_ticket;
    assert_ne!(key_id(&third), key_id(&first));
}

/// Fails when `Maintenance::once` does not renew the publication.
#[tokio::test]
async fn running_maintenance_replaces_the_channels_keys() {
    let (vault, _, _) = vault_of_alice().await;
    let before = vault.key_list().await;
    vault.advance_seconds(CHANNEL.period_seconds);
    assert_eq!(vault.key_list().await, before, "nothing runs yet");
    maintenance_runs(&vault, |_| {}).await;
    assert_ne!(vault.key_list().await, before);
}

/// Fails when `sweep_page` gives up accounts that the queue had no room for.
#[tokio::test]
async fn a_start_with_a_queue_of_one_sweeps_everything() {
    let mut vault = TestVault::start(policy(1, 1)).await;
    let names: Vec<String> = (0..20).map(|number| format!("user-{number}")).collect();
    for name in &names {
        let account = vault.account(name);
        register(&vault, &account, RIGHT).await;
        charge(&vault, &account).await;
    }
    vault.advance_seconds(OPEN_SECONDS);
    vault.queue_capacity = 1;
    vault.restart(vault.now()).await;
    // The restart began the 15 minutes anew.
    vault.advance_seconds(OPEN_SECONDS);
    vault.sweep().await;
    for name in &names {
        let stored = vault.stored(&vault.account(name)).await;
        assert!(stored.is_some_and(|stored| !stored.is_live), "{name}");
    }
}
