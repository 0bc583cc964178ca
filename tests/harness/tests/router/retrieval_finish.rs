//! `POST …/retrieval/finish`: which tickets are good for what (PROTOCOL.md section 7 step 4).

use http::StatusCode;
use vault_protocol::messages::{DestructionReason, RetrievalFinish, RetrievalFinished};
use vault_protocol::{Problem, Ticket};
use vault_tests::device::false_finish;
use vault_tests::in_process::TestVault;

use crate::support::{
    OPEN_SECONDS, RIGHT, at, charge, fail, finish, log_in, policy, register, remaining, replace,
    retrieve, vault_of_alice, without_waits,
};

const EXPIRED: Problem = Problem::TicketExpired;

#[tokio::test]
async fn a_ke3_that_does_not_verify_is_a_wrong_password() {
    let (vault, alice, _) = vault_of_alice().await;
    let expected = |attempts_remaining| Problem::WrongPassword {
        attempts_remaining,
        retry_at: None,
    };
    assert_eq!(fail(&vault, &alice).await, expected(9));
    assert_eq!(fail(&vault, &alice).await, expected(8));
}

/// Fails when the failure that destroys is answered as any other one.
#[tokio::test]
async fn the_failure_that_destroys_says_so() {
    let vault = TestVault::start(policy(2, 2)).await;
    let alice = vault.account("alice");
    register(&vault, &alice, RIGHT).await;
    fail(&vault, &alice).await;
    vault.advance_seconds(3);
    let expected = Problem::Destroyed {
        destroyed_at: at(3),
        reason: DestructionReason::Exhausted,
        generation: 1,
    };
    assert_eq!(fail(&vault, &alice).await, expected);
    let status = vault.status(&alice).await;
    assert_eq!(status.destroyed_at, Some(at(3)));
}

/// Fails when a failed attempt stays open: its ticket could test another KE3.
#[tokio::test]
async fn a_failed_attempt_has_ended_also_for_the_right_ke3() {
    let (vault, alice, _) = vault_of_alice().await;
    let login = log_in(&vault, &alice, RIGHT).await;
    let wrong = false_finish(&login.message.retrieval_ticket);
    finish(&vault, &alice, &wrong).await;
    for message in [&login.message, &wrong] {
        let refused = finish(&vault, &alice, message).await;
        assert_eq!(refused.problem(), EXPIRED);
    }
    assert_eq!(remaining(&vault, &alice).await, 9);
}

/// Fails when a ticket's seal is not checked over all of its bytes.
#[tokio::test]
async fn an_altered_ticket_is_expired_wherever_it_is_altered() {
    let (vault, alice, _) = vault_of_alice().await;
    let login = log_in(&vault, &alice, RIGHT).await;
    let ticket = &login.message.retrieval_ticket.0;
    for position in 0..ticket.len() {
        let mut altered = ticket.clone();
        altered[position] ^= 1;
        assert_eq!(
            with_ticket(&vault, &login.message, altered).await,
            EXPIRED,
            "{position}"
        );
    }
    for length in [1, 4, 5, 17, 33, ticket.len() - 1] {
        let cut = ticket[..length].to_vec();
        assert_eq!(
            with_ticket(&vault, &login.message, cut).await,
            EXPIRED,
            "{length}"
        );
    }
    let longer = [ticket.as_slice(), &[0]].concat();
    assert_eq!(with_ticket(&vault, &login.message, longer).await, EXPIRED);
    let released = finish(&vault, &alice, &login.message).await;
    assert_eq!(released.status, StatusCode::OK);
}

/// Both have an open attempt of the same number. Fails when the ticket's account key is not
/// compared with the path's: the other one's key would be released to this login.
#[tokio::test]
async fn a_ticket_of_another_account_tenant_or_vault_is_expired() {
    let (mut vault, alice, _) = vault_of_alice().await;
    let login = log_in(&vault, &alice, RIGHT).await;
    let bob = vault.account("bob");
    register(&vault, &bob, RIGHT).await;
    charge(&vault, &bob).await;
    let refused = finish(&vault, &bob, &login.message).await;
    assert_eq!(refused.problem(), EXPIRED, "another account");
    let other = vault.add_tenant("other", without_waits()).await;
    let app = std::mem::replace(&mut vault.app, other);
    let namesake = vault.account("alice");
    register(&vault, &namesake, RIGHT).await;
    charge(&vault, &namesake).await;
    let refused = finish(&vault, &namesake, &login.message).await;
    assert_eq!(refused.problem(), EXPIRED, "another tenant");
    vault.app = app;
    let (elsewhere, her_there, _) = vault_of_alice().await;
    charge(&elsewhere, &her_there).await;
    let refused = finish(&elsewhere, &her_there, &login.message).await;
    assert_eq!(refused.problem(), EXPIRED, "another vault");
    let released = finish(&vault, &alice, &login.message).await;
    assert_eq!(released.status, StatusCode::OK);
}

#[tokio::test]
async fn a_ticket_expires_after_fifteen_minutes_and_not_a_second_earlier() {
    let (vault, alice, _) = vault_of_alice().await;
    let late = log_in(&vault, &alice, RIGHT).await;
    vault.advance_seconds(1);
    let in_time = log_in(&vault, &alice, RIGHT).await;
    vault.advance_seconds(OPEN_SECONDS - 1);
    let refused = finish(&vault, &alice, &late.message).await;
    assert_eq!(refused.problem(), EXPIRED);
    let released = finish(&vault, &alice, &in_time.message).await;
    assert_eq!(released.status, StatusCode::OK);
}

#[tokio::test]
async fn a_ticket_of_a_replaced_record_is_expired() {
    let (vault, alice, device) = vault_of_alice().await;
    let login = log_in(&vault, &alice, RIGHT).await;
    replace(&vault, &device, 1, RIGHT).await;
    for message in [
        &login.message,
        &false_finish(&login.message.retrieval_ticket),
    ] {
        let refused = finish(&vault, &alice, message).await;
        assert_eq!(refused.problem(), EXPIRED);
    }
    assert_eq!(remaining(&vault, &alice).await, 10);
}

#[tokio::test]
async fn every_ticket_of_a_destroyed_record_says_destroyed() {
    let (vault, alice, device) = vault_of_alice().await;
    let open = log_in(&vault, &alice, RIGHT).await;
    let ended = charge(&vault, &alice).await;
    finish(&vault, &alice, &false_finish(&ended.retrieval_ticket)).await;
    let deleted = vault.post(&alice, "deletion", &device.deletion(1)).await;
    assert_eq!(deleted.status, StatusCode::OK);
    let expected = Problem::Destroyed {
        destroyed_at: at(0),
        reason: DestructionReason::Deleted,
        generation: 1,
    };
    for message in [&open.message, &false_finish(&ended.retrieval_ticket)] {
        assert_eq!(finish(&vault, &alice, message).await.problem(), expected);
    }
    register(&vault, &alice, RIGHT).await;
    let refused = finish(&vault, &alice, &open.message).await;
    assert_eq!(
        refused.problem(),
        EXPIRED,
        "the account has registered anew"
    );
}

/// A right KE3 with the ticket of another attempt proves nothing: the attempt of the ticket fails.
#[tokio::test]
async fn a_ke3_belongs_to_its_own_ticket() {
    let (vault, alice, _) = vault_of_alice().await;
    let first = log_in(&vault, &alice, RIGHT).await;
    let second = log_in(&vault, &alice, RIGHT).await;
    let mixed = RetrievalFinish {
        retrieval_ticket: second.message.retrieval_ticket.clone(),
        credential_finalization: first.message.credential_finalization,
    };
    let refused = finish(&vault, &alice, &mixed).await.problem();
    assert!(matches!(
        refused,
        Problem::WrongPassword {
            attempts_remaining: 8,
            ..
        }
    ));
    assert_eq!(
        finish(&vault, &alice, &second.message).await.problem(),
        EXPIRED
    );
    let released = finish(&vault, &alice, &first.message).await;
    assert_eq!(released.status, StatusCode::OK);
}

/// Fails when a repetition moves `last_success` again: repeating a finish would refill the budget
/// without end.
#[tokio::test]
async fn a_repeated_finish_gives_the_same_counters_and_refills_nothing() {
    let (vault, alice, device) = vault_of_alice().await;
    fail(&vault, &alice).await;
    fail(&vault, &alice).await;
    let login = log_in(&vault, &alice, RIGHT).await;
    let first: RetrievalFinished = finish(&vault, &alice, &login.message)
        .await
        .read(StatusCode::OK);
    assert_eq!(first.failures_since_success, 2);
    assert_eq!(first.failures_in_generation, 2);
    assert_eq!(first.last_success_at, None);
    vault.advance_seconds(60);
    for left in [9, 8, 7] {
        fail(&vault, &alice).await;
        let again = finish(&vault, &alice, &login.message).await;
        let again: RetrievalFinished = again.read(StatusCode::OK);
        assert_eq!(again.failures_since_success, 2);
        assert_eq!(again.failures_in_generation, 2);
        assert_eq!(again.last_success_at, None);
        assert!(login.open(&again).unwrap().is_same(device.key()));
        assert_eq!(remaining(&vault, &alice).await, left);
    }
}

/// Fails when a success refunds every charge so far and not only those up to its own.
#[tokio::test]
async fn a_success_does_not_refund_a_guess_that_raced_it() {
    let (vault, alice, _) = vault_of_alice().await;
    let owner = log_in(&vault, &alice, RIGHT).await;
    charge(&vault, &alice).await;
    charge(&vault, &alice).await;
    let released = finish(&vault, &alice, &owner.message).await;
    assert_eq!(released.status, StatusCode::OK);
    assert_eq!(remaining(&vault, &alice).await, 8);
}

#[tokio::test]
async fn a_false_ke3_for_a_remembered_success_changes_nothing() {
    let (vault, alice, _) = vault_of_alice().await;
    let login = log_in(&vault, &alice, RIGHT).await;
    finish(&vault, &alice, &login.message).await;
    charge(&vault, &alice).await;
    let wrong = false_finish(&login.message.retrieval_ticket);
    let expected = Problem::WrongPassword {
        attempts_remaining: 9,
        retry_at: None,
    };
    for _ in 0..3 {
        assert_eq!(finish(&vault, &alice, &wrong).await.problem(), expected);
    }
    let again = finish(&vault, &alice, &login.message).await;
    assert_eq!(again.status, StatusCode::OK);
}

#[tokio::test]
async fn a_success_is_remembered_until_its_attempt_would_have_expired() {
    let (vault, alice, _) = vault_of_alice().await;
    let login = log_in(&vault, &alice, RIGHT).await;
    finish(&vault, &alice, &login.message).await;
    vault.advance_seconds(OPEN_SECONDS - 1);
    let again = finish(&vault, &alice, &login.message).await;
    assert_eq!(again.status, StatusCode::OK);
    vault.advance_seconds(1);
    assert_eq!(
        finish(&vault, &alice, &login.message).await.problem(),
        EXPIRED
    );
}

#[tokio::test]
async fn eight_successes_are_remembered_and_the_oldest_gives_way() {
    let (vault, alice, _) = vault_of_alice().await;
    let mut logins = Vec::new();
    for _ in 0..9 {
        let login = log_in(&vault, &alice, RIGHT).await;
        let released = finish(&vault, &alice, &login.message).await;
        assert_eq!(released.status, StatusCode::OK);
        logins.push(login.message);
    }
    assert_eq!(finish(&vault, &alice, &logins[0]).await.problem(), EXPIRED);
    for message in &logins[1..] {
        let again = finish(&vault, &alice, message).await;
        assert_eq!(again.status, StatusCode::OK);
    }
    assert_eq!(remaining(&vault, &alice).await, 10);
}

/// Fails when a record is destroyed while an attempt is open.
#[tokio::test]
async fn the_last_attempt_can_still_succeed() {
    let vault = TestVault::start(policy(3, 3)).await;
    let alice = vault.account("alice");
    let device = register(&vault, &alice, RIGHT).await;
    fail(&vault, &alice).await;
    fail(&vault, &alice).await;
    let released = retrieve(&vault, &device, RIGHT).await;
    assert_eq!(released.failures_since_success, 2);
}

#[tokio::test]
async fn the_owner_is_told_of_failures_that_were_not_theirs() {
    let (vault, alice, device) = vault_of_alice().await;
    retrieve(&vault, &device, RIGHT).await;
    vault.advance_seconds(3_600);
    fail(&vault, &alice).await;
    charge(&vault, &alice).await;
    let released = retrieve(&vault, &device, RIGHT).await;
    assert_eq!(released.failures_since_success, 2);
    assert_eq!(released.failures_in_generation, 2);
    assert_eq!(released.last_success_at, Some(at(0)));
    vault.advance_seconds(5);
    let released = retrieve(&vault, &device, RIGHT).await;
    assert_eq!(released.failures_since_success, 0);
    assert_eq!(released.failures_in_generation, 2);
    assert_eq!(released.last_success_at, Some(at(3_600)));
}

/// The released key opens only for the login that it was released to.
#[tokio::test]
async fn a_released_key_opens_only_for_its_own_login() {
    let (vault, alice, _) = vault_of_alice().await;
    let first = log_in(&vault, &alice, RIGHT).await;
    let second = log_in(&vault, &alice, RIGHT).await;
    let released = finish(&vault, &alice, &first.message).await;
    let released: RetrievalFinished = released.read(StatusCode::OK);
    assert!(second.open(&released).is_err());
    assert!(first.open(&released).is_ok());
}

async fn with_ticket(vault: &TestVault, message: &RetrievalFinish, ticket: Vec<u8>) -> Problem {
    let message = RetrievalFinish {
        retrieval_ticket: Ticket(ticket),
        ..message.clone()
    };
    let alice = vault.account("alice");
    finish(vault, &alice, &message).await.problem()
}
