//! Deletion, reset and status (PROTOCOL.md section 6).

use super::*;

#[test]
fn an_absent_account_is_neither_deleted_nor_reset() {
    let mut vault = Vault::new();
    vault.start_registration(1, patient());
    for generation in [0, 1] {
        assert_eq!(refused(vault.reset(generation)), Refusal::NotRegistered);
        assert!(!vault.changed);
    }
    // Fails when `Delete` leaves `pending` alone.
    let proof = signer(1).sign_deletion(&scope(), 0);
    assert_eq!(refused(vault.delete(proof)), Refusal::NotRegistered);
    assert!(vault.account.is_removable() && vault.events.is_empty());
}

/// Fails when `Delete::decide` does not call `verify_deletion`, or calls it with another key, scope
/// or generation.
#[test]
fn a_live_record_is_not_deleted_with_a_proof_of_something_else() {
    let elsewhere = AccountScope {
        tenant: "other".parse().unwrap(),
        ..scope()
    };
    for (state, mut vault) in live_vaults() {
        for proof in [
            signer(2).sign_deletion(&scope(), 1),
            signer(1).sign_deletion(&elsewhere, 1),
            signer(1).sign_deletion(&scope(), 2),
            signer(1).sign_replacement(&scope(), 1, &[0; 32]),
            Binary([0; 64]),
        ] {
            assert_eq!(refused(vault.delete(proof)), Refusal::Forbidden, "{state}");
            assert!(!vault.changed && vault.events.is_empty(), "{state}");
        }
    }
}

#[test]
fn a_deletion_with_a_proof_destroys_in_every_state() {
    for (state, mut vault) in live_vaults() {
        vault.start_registration(2, patient());
        let deleted = granted(vault.delete(signer(1).sign_deletion(&scope(), 1)));
        assert_eq!(deleted, Removed { generation: 1 }, "{state}");
        let reason = DestructionReason::Deleted;
        let destroyed = EventKind::Destroyed { reason };
        assert_eq!(vault.events, [EventKind::Deleted, destroyed], "{state}");
        vault.assert_destroyed(vault.tombstone(1, reason));
    }
}

#[test]
fn deleting_what_is_destroyed_is_granted_without_looking_at_the_proof() {
    let mut vault = Vault::registered(patient());
    granted(vault.reset(1));
    let tombstone = vault.tombstone(1, DestructionReason::Reset);
    vault.pass(1);
    vault.start_registration(2, patient());
    assert_eq!(
        granted(vault.delete(Binary([0; 64]))),
        Removed { generation: 1 }
    );
    assert!(vault.events.is_empty());
    assert_eq!(vault.status().state, AccountState::Destroyed(tombstone));
    // What was begun is dropped. Fails when `Delete` leaves `pending` alone.
    assert_eq!(
        refused(vault.send(vault.finish_of(2))),
        Refusal::TicketExpired
    );
}

/// Fails when `Reset::decide` does not compare the generation.
#[test]
fn a_reset_of_another_generation_leaves_a_live_record_alone() {
    let mut vault = Vault::registered(patient());
    granted(vault.reset(1));
    vault.register(2, patient());
    for generation in [0, 1, 3] {
        let refusal = refused(vault.reset(generation));
        assert_eq!(refusal, Refusal::AlreadyRegistered { generation: 2 });
        assert!(!vault.changed && vault.events.is_empty());
    }
}

#[test]
fn a_reset_of_a_generation_that_is_not_the_destroyed_one_is_told_which_is() {
    let mut vault = Vault::registered(patient());
    granted(vault.reset(1));
    let tombstone = vault.tombstone(1, DestructionReason::Reset);
    for generation in [0, 2] {
        assert_eq!(
            refused(vault.reset(generation)),
            Refusal::Destroyed(tombstone)
        );
        assert!(!vault.changed);
    }
}

#[test]
fn a_reset_destroys_in_every_state_and_can_be_repeated() {
    for (state, mut vault) in live_vaults() {
        vault.start_registration(2, patient());
        assert_eq!(
            granted(vault.reset(1)),
            Removed { generation: 1 },
            "{state}"
        );
        let reason = DestructionReason::Reset;
        assert_eq!(
            vault.events,
            [EventKind::Reset, EventKind::Destroyed { reason }],
            "{state}"
        );
        let tombstone = vault.tombstone(1, reason);
        vault.assert_destroyed(tombstone);

        vault.pass(1);
        assert_eq!(
            granted(vault.reset(1)),
            Removed { generation: 1 },
            "{state}"
        );
        assert!(!vault.changed && vault.events.is_empty(), "{state}");
        vault.assert_destroyed(tombstone);
    }
}

#[test]
fn the_status_tells_how_an_account_stands_and_changes_nothing() {
    let mut vault = Vault::new();
    let absent = Status {
        generation: 0,
        state: AccountState::Absent,
    };
    assert_eq!(vault.status(), absent);
    vault.start_registration(1, patient());
    assert_eq!(vault.status(), absent);

    granted(vault.send(vault.finish_of(1)));
    vault.charge(1);
    let state = AccountState::Live {
        attempts_remaining: 9,
        retry_at: None,
        stretching_profile: StretchingProfile::ONE,
        policy: patient(),
    };
    assert_eq!(
        vault.status(),
        Status {
            generation: 1,
            state
        }
    );
    assert!(!vault.changed && vault.events.is_empty());

    granted(vault.reset(1));
    let tombstone = vault.tombstone(1, DestructionReason::Reset);
    let destroyed = Status {
        generation: 1,
        state: AccountState::Destroyed(tombstone),
    };
    assert_eq!(vault.status(), destroyed);
    assert!(!vault.changed);
}

/// A tenant's count of live records is kept from `is_live` before and after.
#[test]
fn an_account_is_live_between_its_registration_and_its_destruction() {
    let mut vault = Vault::new();
    vault.start_registration(1, patient());
    assert!(!vault.account.is_live());
    granted(vault.send(vault.finish_of(1)));
    assert!(vault.account.is_live());
    vault.start_registration(2, patient());
    let replacement = vault.with_proof(vault.finish_of(2), 1);
    granted(vault.send(replacement));
    assert!(vault.account.is_live());
    granted(vault.reset(2));
    assert!(!vault.account.is_live());
}
