//! `POST …/deletion`: for a device with K.

use http::StatusCode;
use vault_protocol::messages::{
    AccountState, Deletion, DestructionReason, Removed, RetrievalStarted,
};
use vault_protocol::{Binary, Problem};
use vault_tests::device::{Device, Guess};
use vault_tests::in_process::TestVault;

use crate::support::{
    RIGHT, at, charge, finish_registration, policy, prepare_registration, register, remaining,
    replace, start, vault_of_alice, without_waits,
};

#[tokio::test]
async fn an_absent_account_is_not_registered() {
    let vault = TestVault::start(without_waits()).await;
    let alice = vault.account("alice");
    let device = Device::new(&alice);
    let refused = vault.post(&alice, "deletion", &device.deletion(0)).await;
    assert_eq!(refused.problem(), Problem::NotRegistered);
}

/// Fails when `Delete` leaves `pending` alone where there is no record: the relay holds the finish
/// back until the owner has been told that the password is switched off.
#[tokio::test]
async fn a_finish_that_was_held_back_registers_nothing_after_a_deletion() {
    let vault = TestVault::start(without_waits()).await;
    let alice = vault.account("alice");
    let device = Device::new(&alice);
    let held = prepare_registration(&vault, &device, RIGHT).await;
    let refused = vault.post(&alice, "deletion", &device.deletion(0)).await;
    assert_eq!(refused.problem(), Problem::NotRegistered);
    let refused = finish_registration(&vault, &alice, &held.message).await;
    assert_eq!(refused.problem(), Problem::TicketExpired);

    let device = register(&vault, &alice, RIGHT).await;
    for deleted_before in [false, true] {
        let held = prepare_registration(&vault, &device, RIGHT).await;
        let removed = vault.post(&alice, "deletion", &device.deletion(1)).await;
        assert_eq!(removed.status, StatusCode::OK);
        let refused = finish_registration(&vault, &alice, &held.message).await;
        assert_eq!(
            refused.problem(),
            Problem::TicketExpired,
            "{deleted_before}"
        );
    }
    assert_eq!(vault.status(&alice).await.state, AccountState::Destroyed);
}

/// Fails when `verify_deletion` is not asked: a stolen login would take the key away.
#[tokio::test]
async fn a_proof_that_does_not_verify_is_forbidden_and_changes_nothing() {
    let (vault, alice, device) = vault_of_alice().await;
    let bob = register(&vault, &vault.account("bob"), RIGHT).await;
    let her_key_for_bob = Device::with_key(
        &vault.account("bob"),
        device.key().digits().parse().unwrap(),
    );
    let prepared = prepare_registration(&vault, &device, RIGHT).await;
    let replacing = device.proven(&prepared.message, 1).replace_proof.unwrap();
    let attempts = [
        ("by another key", bob.deletion(1)),
        ("for another account", her_key_for_bob.deletion(1)),
        ("for generation 0", device.deletion(0)),
        ("for generation 2", device.deletion(2)),
        ("of a replacement", Deletion { proof: replacing }),
        (
            "zeros",
            Deletion {
                proof: Binary([0; 64]),
            },
        ),
    ];
    for (what, message) in attempts {
        let refused = vault.post(&alice, "deletion", &message).await;
        assert_eq!(refused.problem(), Problem::Forbidden, "{what}");
    }
    assert_eq!(remaining(&vault, &alice).await, 10);
}

#[tokio::test]
async fn a_proof_for_a_replaced_generation_is_forbidden() {
    let (vault, alice, device) = vault_of_alice().await;
    let old = device.deletion(1);
    replace(&vault, &device, 1, RIGHT).await;
    let refused = vault.post(&alice, "deletion", &old).await;
    assert_eq!(refused.problem(), Problem::Forbidden);
}

#[tokio::test]
async fn a_deletion_destroys_for_good_and_can_be_repeated_with_any_proof() {
    let (vault, alice, device) = vault_of_alice().await;
    charge(&vault, &alice).await;
    vault.advance_seconds(9);
    let any = Deletion {
        proof: Binary([7; 64]),
    };
    for message in [device.deletion(1), device.deletion(1), any] {
        let removed = vault.post(&alice, "deletion", &message).await;
        let removed: Removed = removed.read(StatusCode::OK);
        assert_eq!(removed.generation, 1);
        vault.advance_seconds(1);
    }
    let status = vault.status(&alice).await;
    assert_eq!(status.state, AccountState::Destroyed);
    assert_eq!(status.reason, Some(DestructionReason::Deleted));
    assert_eq!(status.destroyed_at, Some(at(9)));
    let refused = start(&vault, &Guess::new(&alice, RIGHT)).await;
    assert!(matches!(refused.problem(), Problem::Destroyed { .. }));
}

#[tokio::test]
async fn a_deletion_ends_the_waiting_of_an_exhausted_record() {
    let vault = TestVault::start(policy(1, 1)).await;
    let alice = vault.account("alice");
    let device = register(&vault, &alice, RIGHT).await;
    let open: RetrievalStarted = charge(&vault, &alice).await;
    assert_eq!(open.attempts_remaining, 0);
    let removed = vault.post(&alice, "deletion", &device.deletion(1)).await;
    assert_eq!(removed.status, StatusCode::OK);
    let status = vault.status(&alice).await;
    assert_eq!(status.reason, Some(DestructionReason::Deleted));
}
