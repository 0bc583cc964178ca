//! `POST …/retrieval/abandon`: ends an attempt at once, and refunds nothing.

use http::StatusCode;
use vault_protocol::messages::{AccountState, RetrievalAbandoned};
use vault_protocol::{AccountScope, Policy, Problem, Ticket};
use vault_tests::device::abandon;
use vault_tests::in_process::TestVault;

use crate::support::{
    OPEN_SECONDS, RIGHT, at, charge, finish, log_in, policy, register, remaining, replace,
    vault_of_alice,
};

async fn abandoned(vault: &TestVault, scope: &AccountScope, ticket: &Ticket) -> RetrievalAbandoned {
    let answer = vault
        .post(scope, "retrieval/abandon", &abandon(ticket))
        .await;
    answer.read(StatusCode::OK)
}

#[tokio::test]
async fn an_altered_foreign_or_replaced_ticket_is_expired() {
    let (vault, alice, device) = vault_of_alice().await;
    let bob = vault.account("bob");
    register(&vault, &bob, RIGHT).await;
    let ticket = charge(&vault, &alice).await.retrieval_ticket;
    let mut altered = ticket.clone();
    altered.0[40] ^= 1;
    for (scope, ticket) in [(&alice, &altered), (&bob, &ticket)] {
        let message = abandon(ticket);
        let refused = vault.post(scope, "retrieval/abandon", &message).await;
        assert_eq!(refused.problem(), Problem::TicketExpired);
    }
    replace(&vault, &device, 1, RIGHT).await;
    let message = abandon(&ticket);
    let refused = vault.post(&alice, "retrieval/abandon", &message).await;
    assert_eq!(refused.problem(), Problem::TicketExpired);
    assert_eq!(remaining(&vault, &bob).await, 10);
}

/// Fails when abandoning takes the charge back: an attacker sees in KE2 that a guess was wrong, and
/// would guess without end.
#[tokio::test]
async fn abandoning_refunds_nothing_and_repeating_it_changes_nothing() {
    let (vault, alice, _) = vault_of_alice().await;
    let ticket = charge(&vault, &alice).await.retrieval_ticket;
    for _ in 0..3 {
        let answer = abandoned(&vault, &alice, &ticket).await;
        assert_eq!(answer.attempts_remaining, 9);
        assert_eq!(answer.retry_at, None);
        assert_eq!(answer.state, AccountState::Active);
        assert_eq!(answer.generation, 1);
    }
    assert_eq!(remaining(&vault, &alice).await, 9);
}

#[tokio::test]
async fn an_abandoned_attempt_can_no_longer_succeed() {
    let (vault, alice, _) = vault_of_alice().await;
    let login = log_in(&vault, &alice, RIGHT).await;
    abandoned(&vault, &alice, &login.message.retrieval_ticket).await;
    let refused = finish(&vault, &alice, &login.message).await;
    assert_eq!(refused.problem(), Problem::TicketExpired);
}

#[tokio::test]
async fn abandoning_an_attempt_that_succeeded_or_expired_tells_the_budgets() {
    let (vault, alice, _) = vault_of_alice().await;
    let login = log_in(&vault, &alice, RIGHT).await;
    let released = finish(&vault, &alice, &login.message).await;
    assert_eq!(released.status, StatusCode::OK);
    let succeeded = &login.message.retrieval_ticket;
    assert_eq!(
        abandoned(&vault, &alice, succeeded)
            .await
            .attempts_remaining,
        10
    );
    let again = finish(&vault, &alice, &login.message).await;
    assert_eq!(again.status, StatusCode::OK);
    let expired = charge(&vault, &alice).await.retrieval_ticket;
    vault.advance_seconds(OPEN_SECONDS);
    assert_eq!(
        abandoned(&vault, &alice, &expired).await.attempts_remaining,
        9
    );
    assert_eq!(
        abandoned(&vault, &alice, succeeded)
            .await
            .attempts_remaining,
        9
    );
}

#[tokio::test]
async fn the_answer_names_the_wait() {
    let vault = TestVault::start(Policy::new(3, 3, vec![300, 300]).unwrap()).await;
    let alice = vault.account("alice");
    register(&vault, &alice, RIGHT).await;
    let ticket = charge(&vault, &alice).await.retrieval_ticket;
    let answer = abandoned(&vault, &alice, &ticket).await;
    assert_eq!(answer.state, AccountState::Waiting);
    assert_eq!(answer.retry_at, Some(at(300)));
    vault.advance_seconds(300);
    let answer = abandoned(&vault, &alice, &ticket).await;
    assert_eq!(answer.state, AccountState::Active);
    assert_eq!(answer.retry_at, None);
}

#[tokio::test]
async fn abandoning_the_last_attempt_destroys_at_once() {
    let vault = TestVault::start(policy(2, 2)).await;
    let alice = vault.account("alice");
    register(&vault, &alice, RIGHT).await;
    let tickets = [
        charge(&vault, &alice).await.retrieval_ticket,
        charge(&vault, &alice).await.retrieval_ticket,
    ];
    let answer = abandoned(&vault, &alice, &tickets[0]).await;
    assert_eq!(answer.state, AccountState::Waiting);
    assert_eq!(answer.retry_at, Some(at(OPEN_SECONDS)));
    // Also when it is repeated, and for the other ticket of the tombstone's generation.
    for ticket in [&tickets[1], &tickets[1], &tickets[0]] {
        let answer = abandoned(&vault, &alice, ticket).await;
        assert_eq!(answer.state, AccountState::Destroyed);
        assert_eq!(answer.attempts_remaining, 0);
        assert_eq!(answer.retry_at, None);
        assert_eq!(answer.generation, 1);
    }
    assert_eq!(vault.status(&alice).await.state, AccountState::Destroyed);
}
