//! Many requests at once on one account.

use std::sync::Arc;

use vault_protocol::messages::AccountState;
use vault_protocol::{Policy, Problem};
use vault_tests::device::Guess;
use vault_tests::in_process::TestVault;

use crate::support::{
    OPEN_SECONDS, RIGHT, WRONG, at, evaluated, register, remaining, start, without_waits,
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
