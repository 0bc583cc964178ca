//! A stop and a new start change nothing that was charged, whatever the clock does between
//! the two (PROTOCOL.md section 7 steps 3 and 6).

use http::StatusCode;
use vault_protocol::messages::{AccountState, DestructionReason};
use vault_protocol::{AccountScope, Policy, Problem, Timestamp};
use vault_tests::device::{Device, Guess};
use vault_tests::in_process::{DAY, START, Stored, TestVault};

use crate::support::{
    OPEN_SECONDS, RIGHT, at, charge, evaluated, fail, finish, finish_registration, log_in, policy,
    prepare_registration, register, remaining, retrieve, start, vault_of_alice, without_waits,
};

/// So many seconds before every test began.
fn before(seconds: u64) -> Timestamp {
    Timestamp::from_millis(START.millis() - 1000 * seconds)
}

const YEAR: u64 = 365 * DAY;

async fn waiting_until(vault: &TestVault, scope: &AccountScope) -> Timestamp {
    match start(vault, &Guess::new(scope, RIGHT)).await.problem() {
        Problem::Waiting { retry_at } => retry_at,
        other => panic!("not waiting: {other:?}"),
    }
}

/// Fails when a charge is answered before it is durable.
#[tokio::test]
async fn every_charge_is_there_after_a_restart() {
    let (mut vault, alice, device) = vault_of_alice().await;
    for charged in 1..=9 {
        charge(&vault, &alice).await;
        vault.restart(vault.now()).await;
        assert_eq!(remaining(&vault, &alice).await, 10 - charged);
    }
    let released = retrieve(&vault, &device, RIGHT).await;
    assert_eq!(released.failures_since_success, 9);
}

#[tokio::test]
async fn what_was_destroyed_stays_destroyed() {
    let mut vault = TestVault::start(policy(1, 1)).await;
    let alice = vault.account("alice");
    register(&vault, &alice, RIGHT).await;
    let expected = fail(&vault, &alice).await;
    assert!(matches!(expected, Problem::Destroyed { .. }));
    for time in [at(0), at(YEAR), at(1)] {
        vault.restart(time).await;
        let refused = start(&vault, &Guess::new(&alice, RIGHT)).await;
        assert_eq!(refused.problem(), expected);
    }
}

/// Fails when ticket keys are drawn anew at every start.
#[tokio::test]
async fn an_open_attempt_can_be_finished_after_a_restart() {
    let mut vault = TestVault::start(policy(1, 1)).await;
    let alice = vault.account("alice");
    let device = register(&vault, &alice, RIGHT).await;
    let last = log_in(&vault, &alice, RIGHT).await;
    vault.restart(at(60)).await;
    let released = finish(&vault, &alice, &last.message).await;
    let key = last.open(&released.read(StatusCode::OK)).unwrap();
    assert!(key.is_same(device.key()));
}

/// Fails when an attempt's time counts while the vault is down: an outage would cost the owner an
/// attempt, the last one for good.
#[tokio::test]
async fn an_outage_does_not_expire_an_open_attempt() {
    let (mut vault, alice, _) = vault_of_alice().await;
    let guess = Guess::new(&alice, RIGHT);
    let answer = evaluated(&vault, &guess).await;
    let login = guess.evaluated(&answer).unwrap();
    vault.restart(at(DAY - 1)).await;
    vault.advance_seconds(OPEN_SECONDS - 1);
    assert_eq!(
        evaluated(&vault, &guess).await.attempts_remaining,
        9,
        "the same request"
    );
    let released = finish(&vault, &alice, &login.message).await;
    assert_eq!(released.status, StatusCode::OK);
}

#[tokio::test]
async fn after_an_outage_an_open_attempt_expires_fifteen_minutes_after_the_start() {
    let (mut vault, alice, _) = vault_of_alice().await;
    let login = log_in(&vault, &alice, RIGHT).await;
    vault.restart(at(1_000)).await;
    vault.advance_seconds(OPEN_SECONDS);
    let refused = finish(&vault, &alice, &login.message).await;
    assert_eq!(refused.problem(), Problem::TicketExpired);
}

#[tokio::test]
async fn a_pending_registration_survives_a_restart_and_expires_by_the_clock() {
    let mut vault = TestVault::start(without_waits()).await;
    let alice = vault.account("alice");
    let device = Device::new(&alice);
    let late = prepare_registration(&vault, &device, RIGHT).await.message;
    vault.advance_seconds(100);
    let in_time = prepare_registration(&vault, &device, RIGHT).await.message;
    vault.restart(at(OPEN_SECONDS)).await;
    let refused = finish_registration(&vault, &alice, &late).await;
    assert_eq!(refused.problem(), Problem::TicketExpired);
    let finished = finish_registration(&vault, &alice, &in_time).await;
    assert_eq!(finished.status, StatusCode::CREATED);
}

/// A vault whose alice waits for five minutes.
async fn waiting() -> (TestVault, AccountScope, Device) {
    let policy = Policy::new(3, 3, vec![300, 600]).unwrap();
    let vault = TestVault::start(policy).await;
    let alice = vault.account("alice");
    let device = register(&vault, &alice, RIGHT).await;
    fail(&vault, &alice).await;
    assert_eq!(waiting_until(&vault, &alice).await, at(300));
    (vault, alice, device)
}

#[tokio::test]
async fn a_wait_goes_on_over_a_restart() {
    let (mut vault, alice, device) = waiting().await;
    vault.restart(at(100)).await;
    assert_eq!(waiting_until(&vault, &alice).await, at(300));
    vault.advance_seconds(200);
    retrieve(&vault, &device, RIGHT).await;
}

/// Fails when stored times in the future are left as they are: the owner would wait for as long
/// as the clock was wrong.
#[tokio::test]
async fn with_the_clock_set_back_a_wait_begins_again_and_ends() {
    let (mut vault, alice, device) = waiting().await;
    vault.restart(before(YEAR)).await;
    let wait_again = before(YEAR - 300);
    assert_eq!(waiting_until(&vault, &alice).await, wait_again);
    vault.advance_seconds(299);
    // Stored with the refusal: asking again does not begin it again.
    assert_eq!(waiting_until(&vault, &alice).await, wait_again);
    vault.advance_seconds(1);
    retrieve(&vault, &device, RIGHT).await;
}

/// The same without a request until the wait is over: the sweep at the start stores the present.
/// Fails when that sweep looks only at accounts that seem due.
#[tokio::test]
async fn with_the_clock_set_back_the_sweep_at_the_start_begins_the_wait() {
    let (mut vault, _, device) = waiting().await;
    vault.restart(before(YEAR)).await;
    vault.advance_seconds(300);
    retrieve(&vault, &device, RIGHT).await;
}

#[tokio::test]
async fn with_the_clock_set_back_nothing_that_was_charged_comes_back() {
    let (mut vault, alice, _) = vault_of_alice().await;
    for charged in 1..=9 {
        charge(&vault, &alice).await;
        vault.restart(before(charged * DAY)).await;
        assert_eq!(remaining(&vault, &alice).await, 10 - charged);
    }
}

/// Fails as the one above: the record would be live, and its attempt open, for a year.
#[tokio::test]
async fn with_the_clock_set_back_an_exhausted_record_is_still_destroyed_without_any_request() {
    let mut vault = TestVault::start(policy(1, 1)).await;
    let alice = vault.account("alice");
    register(&vault, &alice, RIGHT).await;
    charge(&vault, &alice).await;
    vault.restart(before(YEAR)).await;
    vault.advance_seconds(OPEN_SECONDS);
    vault.sweep().await;
    let destroyed = Some(Stored {
        generation: 1,
        is_live: false,
    });
    assert_eq!(vault.stored(&alice).await, destroyed);
    let status = vault.status(&alice).await;
    assert_eq!(status.reason, Some(DestructionReason::Exhausted));
    assert_eq!(status.destroyed_at, Some(before(YEAR - OPEN_SECONDS)));
}

#[tokio::test]
async fn with_the_clock_set_back_an_open_attempt_can_still_succeed() {
    let mut vault = TestVault::start(policy(1, 1)).await;
    let alice = vault.account("alice");
    let device = register(&vault, &alice, RIGHT).await;
    let last = log_in(&vault, &alice, RIGHT).await;
    vault.restart(before(YEAR)).await;
    vault.advance_seconds(OPEN_SECONDS - 1);
    let released = finish(&vault, &alice, &last.message).await;
    let key = last.open(&released.read(StatusCode::OK)).unwrap();
    assert!(key.is_same(device.key()));
}

/// Documented in PROTOCOL.md section 7 step 6: a wait can be shortened, an attempt not given back.
#[tokio::test]
async fn with_the_clock_set_forward_a_wait_ends_and_the_charge_stays() {
    let (mut vault, alice, _) = waiting().await;
    vault.restart(at(YEAR)).await;
    let status = vault.status(&alice).await;
    assert_eq!(status.state, AccountState::Active);
    assert_eq!(status.attempts_remaining, 2);
    fail(&vault, &alice).await;
    // And back again: the wait counts from the present.
    vault.restart(at(1_000)).await;
    assert_eq!(waiting_until(&vault, &alice).await, at(1_600));
    assert_eq!(remaining(&vault, &alice).await, 1);
}
