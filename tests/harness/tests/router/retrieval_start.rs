//! `POST …/retrieval/start`: charged before it is evaluated (PROTOCOL.md section 7).

use http::StatusCode;
use vault_protocol::messages::{AccountState, DestructionReason, RetrievalStarted};
use vault_protocol::{AccountScope, Policy, Problem};
use vault_tests::device::{Device, Guess, WrongPassword, false_finish};
use vault_tests::in_process::TestVault;

use crate::support::{
    OPEN_SECONDS, RIGHT, WRONG, at, charge, evaluated, fail, finish, log_in, policy,
    prepare_registration, register, remaining, replace, retrieve, start, vault_of_alice,
    without_waits,
};

/// A new guess is refused until this time, for so many seconds by `Retry-After`.
async fn assert_waiting(vault: &TestVault, scope: &AccountScope, until: u64, seconds: u64) {
    let refused = start(vault, &Guess::new(scope, RIGHT)).await;
    let retry_at = at(until);
    assert_eq!(refused.problem(), Problem::Waiting { retry_at });
    assert_eq!(refused.retry_after(), Some(seconds));
}

#[tokio::test]
async fn an_absent_account_is_not_registered() {
    let vault = TestVault::start(without_waits()).await;
    let alice = vault.account("alice");
    let refused = start(&vault, &Guess::new(&alice, RIGHT)).await;
    assert_eq!(refused.problem(), Problem::NotRegistered);
}

#[tokio::test]
async fn a_pending_registration_is_not_yet_a_record() {
    let vault = TestVault::start(without_waits()).await;
    let alice = vault.account("alice");
    let device = Device::new(&alice);
    prepare_registration(&vault, &device, RIGHT).await;
    let refused = start(&vault, &Guess::new(&alice, RIGHT)).await;
    assert_eq!(refused.problem(), Problem::NotRegistered);
}

#[tokio::test]
async fn a_destroyed_account_says_when_and_why() {
    let (vault, alice, device) = vault_of_alice().await;
    vault.advance_seconds(5);
    let deleted = vault.post(&alice, "deletion", &device.deletion(1)).await;
    assert_eq!(deleted.status, StatusCode::OK);
    vault.advance_seconds(5);
    let refused = start(&vault, &Guess::new(&alice, RIGHT)).await;
    let expected = Problem::Destroyed {
        destroyed_at: at(5),
        reason: DestructionReason::Deleted,
        generation: 1,
    };
    assert_eq!(refused.problem(), expected);
}

/// Fails when KE1 is decoded after the commit.
#[tokio::test]
async fn a_malformed_request_is_not_charged() {
    let (vault, alice, _) = vault_of_alice().await;
    let mut guess = Guess::new(&alice, WRONG);
    guess.message.credential_request.0[..32].fill(0);
    let refused = start(&vault, &guess).await;
    let expected = Problem::invalid_field("credential_request");
    assert_eq!(refused.problem(), expected);
    assert_eq!(remaining(&vault, &alice).await, 10);
}

/// Fails when the charge is not stored: comment out `batch.put(key, leaf)` in
/// `Leaves::set`.
#[tokio::test]
async fn every_guess_is_charged_whether_or_not_it_is_finished() {
    let (vault, alice, _) = vault_of_alice().await;
    for left in (0..10).rev() {
        let started = charge(&vault, &alice).await;
        assert_eq!(started.attempts_remaining, left);
        assert_eq!(started.generation, 1);
        assert_eq!(remaining(&vault, &alice).await, left);
    }
    assert_waiting(&vault, &alice, OPEN_SECONDS, OPEN_SECONDS).await;
}

/// Fails when `open_with` finds nothing: a lost answer would cost an attempt.
#[tokio::test]
async fn the_same_request_is_not_charged_again_while_its_attempt_is_open() {
    let (vault, alice, device) = vault_of_alice().await;
    let guess = Guess::new(&alice, RIGHT);
    let first = evaluated(&vault, &guess).await;
    vault.advance_seconds(OPEN_SECONDS - 1);
    let second = evaluated(&vault, &guess).await;
    assert_eq!(first.attempts_remaining, second.attempts_remaining);
    assert_eq!(remaining(&vault, &alice).await, 9);
    // Each response belongs to the ticket it came with.
    let login = guess.evaluated(&second).unwrap();
    let answer = finish(&vault, &alice, &login.message).await;
    let answer = answer.read(StatusCode::OK);
    assert!(login.open(&answer).unwrap().is_same(device.key()));
    // And the first answer too, for the same attempt.
    let login = guess.evaluated(&first).unwrap();
    let answer = finish(&vault, &alice, &login.message).await;
    assert!(login.open(&answer.read(StatusCode::OK)).is_ok());
    assert_eq!(remaining(&vault, &alice).await, 10);
}

/// Fails when ended attempts are compared too: a guess could be tested twice for one charge.
#[tokio::test]
async fn the_same_request_is_charged_again_once_its_attempt_has_ended() {
    let (vault, alice, _) = vault_of_alice().await;
    let guess = Guess::new(&alice, WRONG);
    let failed = evaluated(&vault, &guess).await;
    finish(&vault, &alice, &false_finish(&failed.retrieval_ticket)).await;
    assert_eq!(evaluated(&vault, &guess).await.attempts_remaining, 8);
    vault.advance_seconds(OPEN_SECONDS);
    assert_eq!(evaluated(&vault, &guess).await.attempts_remaining, 7);
}

#[tokio::test]
async fn the_same_request_of_an_earlier_generation_is_charged() {
    let (vault, alice, device) = vault_of_alice().await;
    let guess = Guess::new(&alice, RIGHT);
    evaluated(&vault, &guess).await;
    replace(&vault, &device, 1, RIGHT).await;
    let answer = evaluated(&vault, &guess).await;
    assert_eq!((answer.generation, answer.attempts_remaining), (2, 9));
}

/// Fails when `wait_after` is asked one failure too early or too late.
#[tokio::test]
async fn the_default_policy_waits_after_the_fifth_failure_and_longer_each_time() {
    let vault = TestVault::start(Policy::default()).await;
    let alice = vault.account("alice");
    register(&vault, &alice, RIGHT).await;
    for _ in 0..4 {
        fail(&vault, &alice).await;
        assert_eq!(vault.status(&alice).await.state, AccountState::Active);
    }
    let mut now = 0;
    for (failures, wait) in (5..).zip([300, 900, 3_600, 14_400, 86_400]) {
        let expected = Problem::WrongPassword {
            attempts_remaining: 10 - failures,
            retry_at: Some(at(now + wait)),
        };
        assert_eq!(fail(&vault, &alice).await, expected);
        assert_waiting(&vault, &alice, now + wait, wait).await;
        vault.advance_seconds(wait - 1);
        assert_waiting(&vault, &alice, now + wait, 1).await;
        assert_eq!(remaining(&vault, &alice).await, 10 - failures);
        vault.advance_seconds(1);
        now += wait;
    }
    let expected = Problem::Destroyed {
        destroyed_at: at(now),
        reason: DestructionReason::Exhausted,
        generation: 1,
    };
    assert_eq!(fail(&vault, &alice).await, expected);
    assert_eq!(
        start(&vault, &Guess::new(&alice, RIGHT)).await.problem(),
        expected
    );
}

/// The wait counts from the charge, not from the failure.
#[tokio::test]
async fn the_wait_begins_with_the_charge() {
    let vault = TestVault::start(Policy::new(3, 3, vec![300, 300]).unwrap()).await;
    let alice = vault.account("alice");
    register(&vault, &alice, RIGHT).await;
    let started = charge(&vault, &alice).await;
    assert_waiting(&vault, &alice, 300, 300).await;
    vault.advance_seconds(200);
    let message = false_finish(&started.retrieval_ticket);
    let expected = Problem::WrongPassword {
        attempts_remaining: 2,
        retry_at: Some(at(300)),
    };
    assert_eq!(finish(&vault, &alice, &message).await.problem(), expected);
    assert_waiting(&vault, &alice, 300, 100).await;
}

#[tokio::test]
async fn an_open_attempt_is_answered_again_during_the_wait_that_it_began() {
    let vault = TestVault::start(Policy::new(3, 3, vec![300, 300]).unwrap()).await;
    let alice = vault.account("alice");
    register(&vault, &alice, RIGHT).await;
    let guess = Guess::new(&alice, RIGHT);
    evaluated(&vault, &guess).await;
    assert_waiting(&vault, &alice, 300, 300).await;
    let again = evaluated(&vault, &guess).await;
    assert!(guess.evaluated(&again).is_ok());
}

#[tokio::test]
async fn a_success_ends_the_wait() {
    let vault = TestVault::start(Policy::new(3, 3, vec![300, 300]).unwrap()).await;
    let alice = vault.account("alice");
    let device = register(&vault, &alice, RIGHT).await;
    retrieve(&vault, &device, RIGHT).await;
    assert_eq!(vault.status(&alice).await.state, AccountState::Active);
    retrieve(&vault, &device, RIGHT).await;
}

/// Fails when exhaustion destroys at once: the owner's last attempt would be lost to a guess that
/// raced it.
#[tokio::test]
async fn an_exhausted_record_waits_for_its_last_open_attempt() {
    let vault = TestVault::start(policy(3, 3)).await;
    let alice = vault.account("alice");
    let device = register(&vault, &alice, RIGHT).await;
    charge(&vault, &alice).await;
    vault.advance_seconds(60);
    let last = log_in(&vault, &alice, RIGHT).await;
    vault.advance_seconds(60);
    fail(&vault, &alice).await;
    assert_waiting(&vault, &alice, 60 + OPEN_SECONDS, OPEN_SECONDS - 60).await;
    vault.advance_seconds(OPEN_SECONDS - 120);
    // The first has expired by now, the one of the owner has not.
    assert_waiting(&vault, &alice, 60 + OPEN_SECONDS, 60).await;
    let released = finish(&vault, &alice, &last.message).await;
    let key = last.open(&released.read(StatusCode::OK)).unwrap();
    assert!(key.is_same(device.key()));
    assert_eq!(remaining(&vault, &alice).await, 1);
}

/// Fails when a success refunds failures of the generation: someone with a stolen login would get
/// `limit - 1` guesses after every success of the owner.
#[tokio::test]
async fn successes_do_not_refill_the_total_budget() {
    let vault = TestVault::start(policy(3, 5)).await;
    let alice = vault.account("alice");
    let device = register(&vault, &alice, RIGHT).await;
    for left_in_all in [3, 1] {
        fail(&vault, &alice).await;
        fail(&vault, &alice).await;
        retrieve(&vault, &device, RIGHT).await;
        assert_eq!(remaining(&vault, &alice).await, left_in_all);
    }
    let last = fail(&vault, &alice).await;
    assert!(matches!(
        last,
        Problem::Destroyed {
            reason: DestructionReason::Exhausted,
            ..
        }
    ));
}

#[tokio::test]
async fn a_wrong_password_shows_in_ke2_and_has_been_charged_by_then() {
    let (vault, alice, _) = vault_of_alice().await;
    let guess = Guess::new(&alice, WRONG);
    let answer: RetrievalStarted = evaluated(&vault, &guess).await;
    assert_eq!(guess.evaluated(&answer).err(), Some(WrongPassword));
    assert_eq!(remaining(&vault, &alice).await, 9);
}
