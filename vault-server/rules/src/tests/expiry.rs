//! What time alone does (PROTOCOL.md section 7 steps 3 and 5).

use super::*;

/// Fails when `expire` compares with `<`, or `ATTEMPT_SECONDS` changes.
#[test]
fn an_attempt_is_open_for_fifteen_minutes_and_not_longer() {
    let mut vault = Vault::registered(patient());
    let charged_at = vault.time.now;
    vault.charge(1);
    vault.time.now = Timestamp::from_millis(charged_at.plus_seconds(15 * MINUTE).millis() - 1);
    vault.sweep();
    assert!(!vault.changed);
    assert_eq!(vault.open(), [1]);

    vault.time.now = charged_at.plus_seconds(15 * MINUTE);
    assert_eq!(refused(vault.finish(1, 1, true)), Refusal::TicketExpired);
    let cause = FailureCause::Expired;
    assert_eq!(vault.events, [EventKind::Failed { attempt: 1, cause }]);
    assert_eq!((vault.counters(), vault.open()), ((1, 0, 0), vec![]));
}

/// Fails when `expiry_of` leaves out `running_since`.
#[test]
fn an_outage_does_not_cost_an_open_attempt() {
    let mut vault = Vault::registered(policy(1, 1, &[]));
    vault.charge(1);
    vault.restart_at(vault.now_plus(YEAR));
    vault.sweep();
    assert_eq!(vault.open(), [1]);
    vault.pass(15 * MINUTE - 1);
    vault.succeed(1);
}

/// Fails when `Command::apply` returns the account as it came, or `apply_expiry` does not call
/// `destroy_if_exhausted`.
#[test]
fn a_sweep_destroys_an_exhausted_record_also_after_a_restart() {
    for outage in [None, Some(YEAR)] {
        let mut vault = Vault::registered(policy(1, 1, &[]));
        vault.charge(1);
        if let Some(outage) = outage {
            vault.restart_at(vault.now_plus(outage));
        }
        vault.pass(15 * MINUTE);
        vault.sweep();
        vault.assert_destroyed(vault.tombstone(1, DestructionReason::Exhausted));
        let cause = FailureCause::Expired;
        let destroyed = EventKind::Destroyed {
            reason: DestructionReason::Exhausted,
        };
        assert_eq!(
            vault.events,
            [EventKind::Failed { attempt: 1, cause }, destroyed]
        );
    }
}

#[test]
fn a_status_applies_what_is_due_like_every_command() {
    let mut vault = Vault::registered(policy(1, 1, &[]));
    vault.charge(1);
    vault.pass(15 * MINUTE);
    let tombstone = vault.tombstone(1, DestructionReason::Exhausted);
    assert_eq!(vault.status().state, AccountState::Destroyed(tombstone));
    assert!(vault.changed);
}

/// Fails when `expire` does not look at `remembered`.
#[test]
fn a_success_is_remembered_for_fifteen_minutes_after_its_charge() {
    let mut vault = Vault::registered(patient());
    vault.charge(1);
    vault.pass(10 * MINUTE);
    vault.succeed(1);
    vault.pass(5 * MINUTE - 1);
    vault.succeed(1);
    vault.pass(1);
    assert_eq!(refused(vault.finish(1, 1, true)), Refusal::TicketExpired);
    assert!(vault.remembered().is_empty());
    assert!(
        vault.events.is_empty(),
        "a success that is forgotten did not fail"
    );
    assert_eq!(vault.counters(), (1, 1, 1));
}

#[test]
fn a_sweep_drops_expired_registrations_and_what_is_left_can_be_removed() {
    let mut vault = Vault::new();
    vault.start_registration(1, patient());
    vault.pass(15 * MINUTE - 1);
    vault.start_registration(2, patient());
    vault.sweep();
    assert_eq!(vault.account.pending.len(), 2);
    vault.pass(1);
    vault.sweep();
    assert_eq!(vault.account.pending.len(), 1);
    assert!(!vault.account.is_removable());
    vault.pass(15 * MINUTE);
    vault.sweep();
    assert!(vault.account.is_removable());
}

/// Fails when one of the times is left out of `clamp_to` or `times_mut`.
#[test]
fn every_stored_time_in_the_future_becomes_now() {
    let mut vault = Vault::registered(patient());
    vault.charge(1);
    vault.succeed(1);
    vault.charge(2);
    vault.succeed(2);
    vault.charge(3);
    vault.start_registration(2, patient());
    vault.restart_at(Timestamp::from_millis(START - 10 * YEAR * 1000));
    vault.sweep();
    let now = vault.time.now;
    assert_eq!(vault.account.pending[0].started_at, now);
    let attempts = &vault.live().attempts;
    assert_eq!(attempts.latest_charge_at, Some(now));
    assert_eq!(attempts.last_success_at, Some(now));
    assert_eq!(attempts.open[0].charged_at, now);
    assert!(
        attempts
            .remembered
            .iter()
            .all(|success| success.charged_at == now)
    );
    assert_eq!(attempts.remembered[0].before.last_success_at, None);
    assert_eq!(attempts.remembered[1].before.last_success_at, Some(now));

    granted(vault.reset(1));
    vault.restart_at(Timestamp::from_millis(now.millis() - 1));
    vault.sweep();
    vault.assert_destroyed(vault.tombstone(1, DestructionReason::Reset));
}

#[test]
fn stored_times_in_the_past_stay() {
    let mut vault = Vault::registered(patient());
    vault.charge(1);
    vault.start_registration(2, patient());
    vault.pass(MINUTE);
    vault.sweep();
    assert!(!vault.changed);
}

/// Fails when `next_due` leaves one of them out, or takes the latest.
#[test]
fn the_next_sweep_is_due_at_the_first_change_that_time_makes() {
    assert_eq!(Account::absent().next_due(Vault::new().time), None);

    let mut vault = Vault::registered(policy(2, 9, &[3600]));
    assert_eq!(vault.account.next_due(vault.time), None);
    let charged_at = vault.time.now;
    vault.charge(1);
    let expiry = charged_at.plus_seconds(15 * MINUTE);
    assert_eq!(vault.account.next_due(vault.time), Some(expiry));

    vault.start_registration(2, patient());
    vault.pass(MINUTE);
    let restarted = CommandTime {
        running_since: vault.time.now,
        ..vault.time
    };
    assert_eq!(
        vault.account.next_due(restarted),
        Some(expiry),
        "the registration comes first"
    );

    vault.time.now = expiry;
    vault.sweep();
    let wait_over = charged_at.plus_seconds(3600);
    assert_eq!(vault.account.next_due(vault.time), Some(wait_over));
    vault.time.now = wait_over;
    assert_eq!(vault.account.next_due(vault.time), None);

    let attempt = vault.charge(2);
    vault.succeed(attempt);
    let forgotten = wait_over.plus_seconds(15 * MINUTE);
    assert_eq!(vault.account.next_due(vault.time), Some(forgotten));
    granted(vault.reset(1));
    assert_eq!(vault.account.next_due(vault.time), None);
}
