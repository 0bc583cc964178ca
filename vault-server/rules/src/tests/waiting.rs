//! Waits (PROTOCOL.md section 7 steps 1, 5 and 6).

use super::*;

fn retry_at(vault: &mut Vault) -> Option<Timestamp> {
    let AccountState::Live { retry_at, .. } = vault.status().state else {
        panic!("not live")
    };
    retry_at
}

/// Fails when `wait_over_at` indexes the waits by another number of failures, or `retry_at`
/// compares with `>=`.
#[test]
fn each_failure_in_a_row_is_followed_by_its_own_wait() {
    let waits = [100, 200, 300];
    let mut vault = Vault::registered(policy(4, 4, &waits));
    for (guess, wait) in (1..).zip(waits) {
        let attempt = vault.charge(guess);
        let charged_at = vault.time.now;
        let until = charged_at.plus_seconds(wait);
        assert_eq!(vault.events[1], EventKind::Waiting { until });
        vault.pass(1);
        vault.fail(attempt);

        vault.time.now = Timestamp::from_millis(until.millis() - 1);
        let refusal = refused(vault.start(100));
        assert_eq!(refusal, Refusal::Waiting { retry_at: until });
        assert!(!vault.changed && vault.events.is_empty());
        assert_eq!(retry_at(&mut vault), Some(until));

        vault.time.now = until;
        assert_eq!(retry_at(&mut vault), None);
    }
    vault.charge(5);
    assert_eq!(vault.counters(), (4, 0, 0));
}

/// Parallel guesses with the default policy: exactly 5. Fails when the wait begins with the
/// failure and not with the charge.
#[test]
fn a_wait_begins_with_the_charge_and_holds_back_parallel_guesses() {
    let mut vault = Vault::registered(Policy::default());
    let granted = (1..=200).filter(|guess| matches!(vault.start(*guess), Decision::Granted(_)));
    assert_eq!(granted.count(), 5);
    assert_eq!(vault.counters(), (5, 0, 0));
    assert_eq!(retry_at(&mut vault), Some(vault.now_plus(300)));
}

#[test]
fn without_waits_parallel_guesses_are_held_back_by_the_limit() {
    let mut vault = Vault::registered(patient());
    let granted = (1..=200).filter(|guess| matches!(vault.start(*guess), Decision::Granted(_)));
    assert_eq!(granted.count(), 10);
    assert_eq!(vault.counters(), (10, 0, 0));
}

#[test]
fn a_success_ends_the_wait() {
    let mut vault = Vault::registered(policy(2, 2, &[600]));
    vault.charge(1);
    assert_eq!(retry_at(&mut vault), Some(vault.now_plus(600)));
    vault.succeed(1);
    assert_eq!(retry_at(&mut vault), None);
    vault.charge(2);
}

/// Fails when `retry_at` takes the first expiry, or the wait of the policy.
#[test]
fn an_exhausted_record_waits_for_its_last_open_attempt() {
    let mut vault = Vault::registered(policy(2, 2, &[0]));
    vault.charge(1);
    vault.pass(60);
    vault.charge(2);
    assert_eq!(vault.events[1..], [EventKind::Exhausted]);
    let until = vault.now_plus(15 * MINUTE);
    vault.pass(60);
    assert_eq!(
        refused(vault.start(3)),
        Refusal::Waiting { retry_at: until }
    );
    assert!(!vault.changed);
    assert_eq!((retry_at(&mut vault), vault.remaining()), (Some(until), 0));

    vault.time.now = until;
    let tombstone = vault.tombstone(1, DestructionReason::Exhausted);
    assert_eq!(refused(vault.start(3)), Refusal::Destroyed(tombstone));
    assert!(vault.changed, "a refusal does not undo what was due");
    vault.assert_destroyed(tombstone);
}

/// Fails when `clamp_to` leaves out `latest_charge_at`, or is not called for refusals.
#[test]
fn a_clock_set_back_begins_the_wait_again_and_it_ends() {
    let mut vault = Vault::registered(policy(2, 2, &[600]));
    vault.charge(1);
    vault.fail(1);
    vault.restart_at(Timestamp::from_millis(START - 10 * YEAR * 1000));
    let until = vault.now_plus(600);
    assert_eq!(
        refused(vault.start(2)),
        Refusal::Waiting { retry_at: until }
    );
    assert!(
        vault.changed,
        "the corrected time is stored though the command is refused"
    );
    vault.time.now = until;
    vault.charge(2);
}

#[test]
fn a_clock_set_forward_can_end_a_wait_but_gives_no_attempt_back() {
    let mut vault = Vault::registered(policy(3, 3, &[600, 600]));
    vault.charge(1);
    vault.fail(1);
    vault.restart_at(vault.now_plus(10 * YEAR));
    assert_eq!(vault.remaining(), 2);
    assert_eq!(granted(vault.start(2)).attempts_remaining(), 1);
}
