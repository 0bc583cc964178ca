//! Many requests at once on one account.

use std::sync::Arc;

use vault_protocol::messages::AccountState;
use vault_protocol::{Policy, Problem};
use vault_tests::device::Guess;
use vault_tests::in_process::TestVault;

use crate::support::{
    OPEN_SECONDS, RIGHT, WRONG, at, evaluated, register, remaining, retrieve, start,
    vault_of_alice, without_waits,
};

/// Sends 200 different guesses at once; returns how many were evaluated, and asserts that all
/// others wait until then.
async fn evaluations_of_200(policy: Policy, until: u64) -> usize {
    let vault = Arc::new(TestVault::start(policy).await);
    let alice = vault.account("alice");
    register(&vault, &alice, RIGHT).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let (vault, guess) = (Arc::clone(&vault), Guess::new(&alice, WRONG));
        tasks.spawn(async move { start(&vault, &guess).await });
    }
    let answers = tasks.join_all().await;
    let (evaluated, refused): (Vec<_>, Vec<_>) = answers
        .iter()
        .partition(|answer| answer.status.is_success());
    for answer in refused {
        let retry_at = at(until);
        assert_eq!(answer.problem(), Problem::Waiting { retry_at });
    }
    assert_eq!(vault.status(&alice).await.state, AccountState::Waiting);
    evaluated.len()
}

/// Fails when the budget is read before the writer's turn, or the charge is not stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_200_guesses_at_once_exactly_ten_are_evaluated() {
    let evaluated = evaluations_of_200(without_waits(), OPEN_SECONDS).await;
    assert_eq!(evaluated, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_200_guesses_at_once_the_default_policy_evaluates_exactly_five() {
    let evaluated = evaluations_of_200(Policy::default(), 300).await;
    assert_eq!(evaluated, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_guess_200_times_at_once_is_charged_once() {
    let vault = Arc::new(TestVault::start(without_waits()).await);
    let alice = vault.account("alice");
    register(&vault, &alice, RIGHT).await;
    let guess = Arc::new(Guess::new(&alice, WRONG));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let (vault, guess) = (Arc::clone(&vault), Arc::clone(&guess));
        tasks.spawn(async move { evaluated(&vault, &guess).await.attempts_remaining });
    }
    assert_eq!(tasks.join_all().await, vec![9; 200]);
    assert_eq!(remaining(&vault, &alice).await, 9);
}

/// Fails when a full queue is taken for anything else than `overloaded`, or a start that was not
/// taken into it is evaluated.
#[tokio::test]
async fn a_full_queue_is_overloaded_and_charges_nothing() {
    let (mut vault, alice, device) = vault_of_alice().await;
    vault.queue_capacity = 1;
    vault.restart(vault.now()).await;
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (started, has_started) = std::sync::mpsc::channel();
    let ledger = vault.ledger().clone();
    let held = tokio::spawn(async move {
        let hold = ledger.commit(move |_| {
            started.send(()).unwrap();
            released.recv().unwrap();
            Ok(())
        });
        hold.await.unwrap();
    });
    tokio::task::yield_now().await;
    has_started.recv().unwrap();
    let ledger = vault.ledger().clone();
    let waits = tokio::spawn(async move { ledger.commit(|_| Ok(())).await.unwrap() });
    tokio::task::yield_now().await;

    let guess = Guess::new(&alice, RIGHT);
    let refused = start(&vault, &guess).await;
    assert_eq!(refused.problem(), Problem::Overloaded);
    assert!(refused.retry_after().is_some());

    release.send(()).unwrap();
    held.await.unwrap();
    waits.await.unwrap();
    assert_eq!(remaining(&vault, &alice).await, 10);
    retrieve(&vault, &device, RIGHT).await;
}
