//! Attempts that fail, are abandoned, or are over (PROTOCOL.md section 7 steps 3 to 5).

use super::*;

/// Fails when the `Err` or the refusal of a wrong KE3 discards the new state.
#[test]
fn a_wrong_password_ends_the_attempt_and_stays_counted() {
    let mut vault = Vault::registered(policy(3, 3, &[0, 600]));
    vault.charge(1);
    let wrong = vault.fail(1);
    assert_eq!(
        wrong,
        Refusal::WrongPassword {
            attempts_remaining: 2,
            retry_at: None
        }
    );
    let cause = FailureCause::WrongPassword;
    assert_eq!(vault.events, [EventKind::Failed { attempt: 1, cause }]);
    assert_eq!((vault.counters(), vault.open()), ((1, 0, 0), vec![]));

    vault.charge(2);
    let retry_at = Some(vault.now_plus(600));
    let wrong = vault.fail(2);
    assert_eq!(
        wrong,
        Refusal::WrongPassword {
            attempts_remaining: 1,
            retry_at
        }
    );
}

/// Fails when `state_of` finds ended attempts open, or `FinishRetrieval::decide` grants an ended one.
#[test]
fn a_right_finish_of_an_ended_attempt_is_refused() {
    let mut vault = Vault::registered(patient());
    vault.charge(1);
    vault.fail(1);
    vault.charge(2);
    granted(vault.abandon(1, 2));
    vault.charge(3);
    vault.pass(15 * MINUTE);
    vault.sweep();
    for attempt in 1..=3 {
        for verified in [true, false] {
            let refusal = refused(vault.finish(1, attempt, verified));
            assert_eq!(refusal, Refusal::TicketExpired, "{attempt}");
            assert!(!vault.changed);
        }
    }
    assert_eq!(vault.counters(), (3, 0, 0));
}

#[test]
fn a_number_that_was_never_charged_is_refused() {
    let mut vault = Vault::registered(patient());
    vault.charge(1);
    for attempt in [0, 2, u64::MAX] {
        assert_eq!(
            refused(vault.finish(1, attempt, true)),
            Refusal::TicketExpired
        );
        assert_eq!(refused(vault.abandon(1, attempt)), Refusal::TicketExpired);
        assert!(!vault.changed);
    }
}

/// Fails when `record_of_ticket` does not compare the generation.
#[test]
fn tickets_of_other_generations_are_refused() {
    let mut absent = Vault::new();
    let mut live = Vault::registered(patient());
    live.charge(1);
    let mut destroyed = Vault::registered(patient());
    granted(destroyed.reset(1));
    for vault in [&mut absent, &mut live, &mut destroyed] {
        for generation in [0, 2, u64::MAX] {
            assert_eq!(
                refused(vault.finish(generation, 1, true)),
                Refusal::TicketExpired
            );
            assert_eq!(
                refused(vault.abandon(generation, 1)),
                Refusal::TicketExpired
            );
            assert!(!vault.changed);
        }
    }
}

/// Fails when `record_of_ticket` answers a tombstone's generation with `TicketExpired`.
#[test]
fn every_ticket_of_a_destroyed_generation_is_told_so() {
    let mut vault = Vault::registered(policy(3, 3, &[0, 0]));
    vault.charge(1);
    vault.fail(1);
    vault.charge(2);
    vault.succeed(2);
    vault.charge(3);
    granted(vault.reset(1));
    let tombstone = vault.tombstone(1, DestructionReason::Reset);
    vault.pass(1);
    for attempt in [1, 2, 3, 4] {
        let refusal = refused(vault.finish(1, attempt, true));
        assert_eq!(refusal, Refusal::Destroyed(tombstone));
        let status = granted(vault.abandon(1, attempt));
        let state = AccountState::Destroyed(tombstone);
        assert_eq!(
            status,
            Status {
                generation: 1,
                state
            }
        );
        assert!(!vault.changed && vault.events.is_empty());
    }
}

/// Fails when `fail` does not call `destroy_if_exhausted`, or `is_exhausted` is off by one.
#[test]
fn the_failure_that_destroys_is_told_so() {
    let mut vault = Vault::registered(policy(2, 2, &[0]));
    vault.charge(1);
    vault.fail(1);
    vault.charge(2);
    assert_eq!(
        vault.events,
        [EventKind::Charged { attempt: 2 }, EventKind::Exhausted]
    );
    vault.pass(1);
    let tombstone = vault.tombstone(1, DestructionReason::Exhausted);
    assert_eq!(vault.fail(2), Refusal::Destroyed(tombstone));
    let cause = FailureCause::WrongPassword;
    let destroyed = EventKind::Destroyed {
        reason: DestructionReason::Exhausted,
    };
    assert_eq!(
        vault.events,
        [EventKind::Failed { attempt: 2, cause }, destroyed]
    );
    vault.assert_destroyed(tombstone);
    assert!(!vault.account.is_live() && !vault.account.is_removable());
}

/// Fails when `RecordSlot::Destroyed` gets room for a record, or `destroy` leaves `pending` alone.
#[test]
fn a_destroyed_account_holds_nothing_but_its_tombstone() {
    let mut vault = Vault::registered(policy(1, 1, &[]));
    vault.start_registration(2, patient());
    vault.charge(7);
    vault.fail(1);
    let stored = vault.account.encode();
    assert!(stored.len() <= 16, "{} bytes", stored.len());
}

#[test]
fn abandoning_refunds_nothing() {
    let mut vault = Vault::registered(policy(3, 3, &[0, 600]));
    vault.charge(1);
    let status = granted(vault.abandon(1, 1));
    let state = AccountState::Live {
        attempts_remaining: 2,
        retry_at: None,
        stretching_profile: StretchingProfile::ONE,
        policy: policy(3, 3, &[0, 600]),
    };
    assert_eq!(
        status,
        Status {
            generation: 1,
            state
        }
    );
    let cause = FailureCause::Abandoned;
    assert_eq!(vault.events, [EventKind::Failed { attempt: 1, cause }]);
    assert_eq!((vault.counters(), vault.open()), ((1, 0, 0), vec![]));

    vault.charge(2);
    let until = vault.now_plus(600);
    let AccountState::Live {
        attempts_remaining,
        retry_at,
        ..
    } = granted(vault.abandon(1, 2)).state
    else {
        panic!("still live");
    };
    assert_eq!((attempts_remaining, retry_at), (1, Some(until)));
}

#[test]
fn abandoning_the_last_attempt_destroys() {
    let mut vault = Vault::registered(policy(1, 1, &[]));
    vault.charge(1);
    let tombstone = vault.tombstone(1, DestructionReason::Exhausted);
    let status = granted(vault.abandon(1, 1));
    assert_eq!(
        status,
        Status {
            generation: 1,
            state: AccountState::Destroyed(tombstone)
        }
    );
    vault.assert_destroyed(tombstone);
}

/// Fails when `AbandonRetrieval::decide` fails attempts that are not open.
#[test]
fn abandoning_an_ended_attempt_tells_the_budget_and_changes_nothing() {
    let mut vault = Vault::registered(patient());
    vault.charge(1);
    vault.fail(1);
    vault.charge(2);
    vault.succeed(2);
    vault.charge(3);
    for attempt in [1, 2] {
        let status = granted(vault.abandon(1, attempt));
        assert!(!vault.changed && vault.events.is_empty());
        assert_eq!(status, vault.status());
    }
    assert_eq!((vault.open(), vault.remembered()), (vec![3], vec![2]));
    vault.succeed(2);
}
