//! Charging a guess, and its success (PROTOCOL.md section 7 steps 1 and 4).

use super::*;

#[test]
fn nothing_is_charged_where_there_is_no_record() {
    let mut vault = Vault::new();
    assert_eq!(refused(vault.start(1)), Refusal::NotRegistered);
    assert!(!vault.changed && vault.account.is_removable());

    let mut vault = Vault::registered(patient());
    granted(vault.reset(1));
    let tombstone = vault.tombstone(1, DestructionReason::Reset);
    vault.pass(1);
    assert_eq!(refused(vault.start(1)), Refusal::Destroyed(tombstone));
    assert!(!vault.changed);
    vault.assert_destroyed(tombstone);
}

/// The main rule. Fails when `Attempts::charge` does not add 1, or when `StartRetrieval::decide`
/// makes the `Charge` without it.
#[test]
fn a_guess_is_counted_when_it_is_granted() {
    let mut vault = Vault::registered(policy(3, 3, &[0, 0]));
    for (guess, remaining) in [(1, 2), (2, 1), (3, 0)] {
        let charge = granted(vault.start(guess));
        assert_eq!(charge.attempt(), u64::from(guess));
        assert_eq!(charge.attempts_remaining(), remaining);
        assert_eq!(charge.generation(), 1);
        assert_eq!(
            charge.credential_identifier().expose_secret(),
            &[0xc0 ^ 1; 32]
        );
        assert_eq!(
            charge.registration_record().expose_secret(),
            &[0xd0 ^ 1; 192]
        );
        assert_eq!(vault.counters(), (u64::from(guess), 0, 0));
        assert_eq!(
            vault.events[0],
            EventKind::Charged {
                attempt: u64::from(guess)
            }
        );
    }
    assert_eq!(vault.open(), [1, 2, 3]);
    assert!(matches!(refused(vault.start(4)), Refusal::Waiting { .. }));
    assert_eq!(vault.counters(), (3, 0, 0));
}

/// Fails when `StartRetrieval::decide` does not ask `open_with` first.
#[test]
fn the_same_request_is_the_same_attempt_while_it_is_open() {
    let mut vault = Vault::registered(policy(2, 2, &[600]));
    vault.charge(1);
    // Also while another request has to wait.
    assert!(matches!(refused(vault.start(2)), Refusal::Waiting { .. }));
    let again = granted(vault.start(1));
    assert_eq!((again.attempt(), again.attempts_remaining()), (1, 1));
    assert!(!vault.changed && vault.events.is_empty());

    // Also when the budget is used up.
    vault.pass(600);
    vault.charge(2);
    for (request, attempt) in [(1, 1), (2, 2)] {
        let again = granted(vault.start(request));
        assert_eq!((again.attempt(), again.attempts_remaining()), (attempt, 0));
        assert!(!vault.changed && vault.events.is_empty());
    }
    assert_eq!((vault.counters(), vault.open()), ((2, 0, 0), vec![1, 2]));
}

/// Fails when an attempt that ends stays in `open`, or `open_with` also looks at ended ones.
#[test]
fn the_same_request_after_its_attempt_ended_is_charged_again() {
    let mut vault = Vault::registered(patient());
    vault.charge(1);
    vault.fail(1);
    assert_eq!(vault.charge(1), 2);
    granted(vault.abandon(1, 2));
    assert_eq!(vault.charge(1), 3);
    vault.succeed(3);
    assert_eq!(vault.charge(1), 4);
    vault.pass(15 * MINUTE);
    assert_eq!(vault.charge(1), 5);
    assert_eq!((vault.counters(), vault.open()), ((5, 1, 3), vec![5]));
}

#[test]
fn a_success_releases_the_wrapped_key_and_ends_the_failures_in_a_row() {
    let mut vault = Vault::registered(patient());
    vault.charge(1);
    vault.fail(1);
    vault.charge(2);
    let release = vault.succeed(2);
    assert_eq!(release.generation(), 1);
    assert_eq!(release.wrapped_key().expose_secret(), &[0xe0 ^ 1; 60]);
    assert_eq!(vault.events, [EventKind::Succeeded { attempt: 2 }]);
    assert_eq!(
        (vault.counters(), vault.open(), vault.remembered()),
        ((2, 1, 2), vec![], vec![2])
    );
    assert_eq!(vault.remaining(), 10);
}

/// Tickets and released keys are bound to the generation. Fails when `generation` of a charge or a
/// release says another one.
#[test]
fn a_charge_and_its_release_are_of_the_records_generation() {
    let mut vault = Vault::registered(patient());
    granted(vault.reset(1));
    vault.register(2, patient());
    assert_eq!(granted(vault.start(1)).generation(), 2);
    assert_eq!(vault.succeed(1).generation(), 2);
}

/// Fails when `before` does not take the own charge out, or is read after the success.
#[test]
fn a_success_tells_of_the_failures_before_it_without_its_own_charge() {
    let told = |release: Release| {
        let failures = (
            release.failures_since_success(),
            release.failures_in_generation(),
        );
        (failures, release.last_success_at())
    };
    let mut vault = Vault::registered(patient());
    vault.charge(1);
    assert_eq!(told(vault.succeed(1)), ((0, 0), None));
    let first = vault.time.now;

    vault.pass(1);
    vault.charge(2);
    vault.fail(2);
    vault.charge(3);
    vault.charge(4);
    vault.charge(5);
    // 2 failed, 3 and 5 are open and count until they succeed.
    assert_eq!(told(vault.succeed(4)), ((3, 3), Some(first)));
    let second = vault.time.now;
    // 3 is not among those in a row since 4 succeeded; 5 is, and 2 and 5 in the generation.
    vault.pass(1);
    assert_eq!(told(vault.succeed(3)), ((1, 2), Some(second)));
    let third = vault.time.now;
    assert_eq!(told(vault.succeed(5)), ((0, 1), Some(third)));
}

/// Fails when `succeed` sets `last_success = self.charged`.
#[test]
fn a_success_does_not_refund_a_guess_that_raced_it() {
    let mut vault = Vault::registered(policy(4, 100, &[0, 0, 0]));
    for guess in 1..=4 {
        vault.charge(guess);
    }
    vault.succeed(1);
    assert_eq!(vault.counters(), (4, 1, 1));
    assert_eq!(vault.remaining(), 1);
}

/// Fails when `succeed` sets `last_success = number` without the maximum.
#[test]
fn an_older_success_does_not_move_the_last_success_back() {
    let mut vault = Vault::registered(patient());
    vault.charge(1);
    vault.charge(2);
    vault.charge(3);
    vault.succeed(2);
    vault.succeed(1);
    assert_eq!(
        (vault.counters(), vault.remembered()),
        ((3, 2, 2), vec![2, 1])
    );
    assert_eq!(vault.remaining(), 9);
}

/// Fails when `state_of` says `Open` for a remembered success.
#[test]
fn a_repeated_finish_gives_the_same_answer_and_refills_nothing() {
    let mut vault = Vault::registered(patient());
    vault.charge(1);
    vault.fail(1);
    vault.charge(2);
    let first = vault.succeed(2);
    vault.charge(3);
    vault.fail(3);
    let remaining = vault.remaining();
    vault.pass(14 * MINUTE);
    let again = vault.succeed(2);
    assert!(!vault.changed && vault.events.is_empty());
    assert_eq!(
        again.wrapped_key().expose_secret(),
        first.wrapped_key().expose_secret()
    );
    assert_eq!(again.failures_since_success(), 1);
    assert_eq!(again.failures_in_generation(), 1);
    assert_eq!(again.last_success_at(), first.last_success_at());
    assert_eq!(vault.remaining(), remaining);
}

/// Fails when a bad KE3 is looked at without the attempt's state.
#[test]
fn a_bad_finish_of_a_remembered_success_is_wrong_and_changes_nothing() {
    let mut vault = Vault::registered(policy(3, 3, &[0, 600]));
    vault.charge(1);
    vault.succeed(1);
    let refusal = vault.fail(1);
    assert_eq!(
        refusal,
        Refusal::WrongPassword {
            attempts_remaining: 3,
            retry_at: None
        }
    );
    assert!(!vault.changed && vault.events.is_empty());
    assert_eq!(vault.remembered(), [1]);
}

/// Fails when `MAX_REMEMBERED` is not kept to (the stored state is then refused), or the newest is
/// dropped.
#[test]
fn the_ninth_success_in_fifteen_minutes_drops_the_oldest() {
    let mut vault = Vault::registered(patient());
    for guess in 1..=9 {
        let attempt = vault.charge(guess);
        vault.succeed(attempt);
    }
    assert_eq!(vault.remembered(), [2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(refused(vault.finish(1, 1, true)), Refusal::TicketExpired);
    vault.succeed(2);
    assert_eq!(vault.counters(), (9, 9, 9));
}

/// A stolen login that guesses between the owner's successes. Fails when `remaining` leaves out
/// `total_limit`.
#[test]
fn successes_do_not_reset_the_failures_of_the_generation() {
    let mut vault = Vault::registered(policy(3, 5, &[0, 0]));
    for (guess, remaining) in [(1, 2), (2, 2), (3, 2), (4, 1)] {
        let attempt = vault.charge(guess);
        vault.fail(attempt);
        assert_eq!(vault.remaining(), remaining);
        let owner = vault.charge(100 + guess);
        vault.succeed(owner);
    }
    assert_eq!(vault.remaining(), 1);
    let last = vault.charge(5);
    assert_eq!(vault.events[1], EventKind::Exhausted);
    let tombstone = vault.tombstone(1, DestructionReason::Exhausted);
    assert_eq!(vault.fail(last), Refusal::Destroyed(tombstone));
    vault.assert_destroyed(tombstone);
}

/// Fails when `StartRetrieval::decide` or `fail` destroys without asking `any_open`.
#[test]
fn the_last_attempt_can_still_succeed() {
    let mut vault = Vault::registered(policy(2, 2, &[0]));
    vault.charge(1);
    vault.charge(2);
    let wrong = vault.fail(1);
    let retry_at = Some(vault.now_plus(15 * MINUTE));
    assert_eq!(
        wrong,
        Refusal::WrongPassword {
            attempts_remaining: 0,
            retry_at
        }
    );
    vault.sweep();
    vault.pass(14 * MINUTE);
    vault.sweep();
    assert!(!vault.changed);
    vault.succeed(2);
    assert_eq!(vault.counters(), (2, 1, 2));
    assert_eq!(vault.remaining(), 1, "one failure stays for good");
}

/// The guesses after the last success have used up the budget; the attempt that is still open was
/// charged before it, and can take nothing off them.
#[test]
fn the_last_open_attempt_is_released_even_if_the_record_goes_with_it() {
    let mut vault = Vault::registered(policy(2, 10, &[0]));
    vault.charge(1);
    vault.charge(2);
    vault.succeed(2);
    for guess in [3, 4] {
        let attempt = vault.charge(guess);
        vault.fail(attempt);
    }
    assert!(vault.account.is_live());
    let release = vault.succeed(1);
    assert_eq!(release.wrapped_key().expose_secret(), &[0xe0 ^ 1; 60]);
    let reason = DestructionReason::Exhausted;
    let destroyed = EventKind::Destroyed { reason };
    assert_eq!(
        vault.events,
        [EventKind::Succeeded { attempt: 1 }, destroyed]
    );
    vault.assert_destroyed(vault.tombstone(1, reason));
}
