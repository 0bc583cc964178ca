//! The asynchronous client retrieving a key over a relay that loses, changes and refuses.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "each test file uses its part of the common vault")]
mod common;

use crate::common::one_call::OneCall as _;
use common::wire::{Fault, Wire};
use common::{NOW, Outcome, RIGHT, UNKNOWN_PROFILE, WRONG, key, password, registered};
use vault_client::Policy;
use vault_client::client::MAX_REPEATS;
use vault_client::error::{Error, NoAnswer, Refusal};
use vault_protocol::Problem;
use vault_protocol::messages::{AccountState, DestructionReason};
use vault_protocol::statement::{LIFETIME_SECONDS, StatementRefused};

fn outcomes(wire: &Wire) -> Vec<Outcome> {
    let state = wire.state();
    let attempts = &state.vault.record.as_ref().unwrap().attempts;
    attempts.iter().map(|attempt| attempt.1).collect()
}

fn bodies(wire: &Wire, endpoint: &str) -> Vec<Vec<u8>> {
    let state = wire.state();
    let calls = state.vault.calls.iter();
    calls
        .filter(|call| call.1 == endpoint)
        .map(|call| call.2.clone())
        .collect()
}

#[tokio::test]
async fn nothing_is_sent_to_a_vault_that_is_not_trusted() {
    let wire = Wire::new(registered());
    let mut client = wire.client();
    wire.state().vault.identity_seed = 99;
    let error = client.retrieve(password(RIGHT)).await.unwrap_err();
    assert!(matches!(
        error,
        Error::StatementRefused(StatementRefused::NotPinned)
    ));
    assert!(wire.state().sealed.is_empty());
}

// Fails if `verified_vault` keeps a statement without looking at the clock.
#[tokio::test]
async fn a_statement_that_expires_meanwhile_is_not_used_any_more() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    let wire = Wire::new(registered());
    let time = Arc::new(AtomicU64::new(NOW.millis()));
    let clock = Arc::clone(&time);
    let mut client = wire.client_at(Box::new(move || {
        vault_client::Timestamp::from_millis(clock.load(Ordering::SeqCst))
    }));
    client.status().await.unwrap();
    let later = NOW.plus_seconds(LIFETIME_SECONDS);
    time.store(later.millis(), Ordering::SeqCst);
    let error = client.status().await.unwrap_err();
    assert!(matches!(
        error,
        Error::StatementRefused(StatementRefused::Expired)
    ));
    assert_eq!(wire.state().sealed.len(), 1);
}

#[tokio::test]
async fn an_unknown_profile_or_a_looser_policy_sends_no_start() {
    let wire = Wire::new(registered());
    let loose = Policy::new(32, 1000, vec![0; 31]).unwrap();
    wire.state().vault.record.as_mut().unwrap().policy = loose.clone();
    let mut client = wire.client();
    let error = client.retrieve(password(RIGHT)).await.unwrap_err();
    assert!(matches!(error, Error::PolicyTooLoose { .. }));

    let mut client = wire.client().with_maximum_policy(loose);
    let change = |vault: &mut common::TestVault| {
        vault.record.as_mut().unwrap().finish.stretching_profile = UNKNOWN_PROFILE;
    };
    change(&mut wire.state().vault);
    let error = client.retrieve(password(RIGHT)).await.unwrap_err();
    assert!(matches!(error, Error::UnsupportedStretching(_)));
    assert_eq!(wire.state().vault.count("retrieval/start"), 0);
}

// Fails if `MAX_REPEATS` is 0, or if the client begins a new retrieval for a repeat.
#[tokio::test]
async fn lost_answers_cost_one_attempt_and_the_same_bytes_are_sealed_anew() {
    let wire = Wire::new(registered());
    wire.on("retrieval/start", Fault::LoseAnswer);
    wire.on("retrieval/start", Fault::Tamper);
    wire.on("retrieval/finish", Fault::LoseAnswer);
    wire.on("retrieval/finish", Fault::LoseRequest);
    let retrieved = wire.client().retrieve(password(RIGHT)).await.unwrap();
    assert!(retrieved.key.is_same(&key(7)));
    assert_eq!(outcomes(&wire), [Outcome::Succeeded]);

    let starts = bodies(&wire, "retrieval/start");
    assert_eq!(starts.len(), 3);
    assert!(starts.iter().all(|body| *body == starts[0]));
    let mut sealed = wire.state().sealed.clone();
    let count = sealed.len();
    sealed.sort();
    sealed.dedup();
    assert_eq!(sealed.len(), count);
}

#[tokio::test]
async fn an_attempt_whose_outcome_is_unknown_goes_on_later_without_a_second_charge() {
    let wire = Wire::new(registered());
    let mut client = wire.client();
    let attempt = client.begin(password(RIGHT)).await.unwrap();
    for _ in 0..=MAX_REPEATS {
        wire.on("retrieval/start", Fault::LoseAnswer);
    }
    let failed = client.run(attempt).await.unwrap_err();
    assert!(matches!(failed.error, Error::UnknownOutcome(_)));
    assert_eq!(
        wire.state().vault.count("retrieval/start"),
        1 + MAX_REPEATS as usize
    );

    wire.on("retrieval/finish", Fault::Unreachable);
    let failed = client.run(failed.attempt.unwrap()).await.unwrap_err();
    assert!(matches!(
        failed.error,
        Error::Network(NoAnswer::Unreachable(_))
    ));
    let retrieved = client.run(failed.attempt.unwrap()).await.unwrap();
    assert!(retrieved.key.is_same(&key(7)));
    assert_eq!(outcomes(&wire), [Outcome::Succeeded]);
}

#[tokio::test]
async fn a_wrong_password_is_tried_once_and_abandoned() {
    let wire = Wire::new(registered());
    let error = wire.client().retrieve(password(WRONG)).await.unwrap_err();
    assert!(matches!(
        error,
        Error::WrongPassword {
            attempts_remaining: 9,
            state: Some(AccountState::Active),
            ..
        }
    ));
    assert_eq!(outcomes(&wire), [Outcome::Failed]);

    // Nothing comes back any more: the guess was wrong all the same. Fails if it is sent again.
    wire.on("retrieval/abandon", Fault::LoseRequest);
    let error = wire.client().retrieve(password(WRONG)).await.unwrap_err();
    assert!(matches!(
        error,
        Error::WrongPassword {
            attempts_remaining: 8,
            state: None,
            ..
        }
    ));
    assert_eq!(outcomes(&wire), [Outcome::Failed, Outcome::Open]);
}

// Fails if outer problems are mapped as inner ones are.
#[tokio::test]
async fn what_a_relay_says_is_never_taken_for_an_outcome() {
    let destroyed = Problem::Destroyed {
        destroyed_at: NOW,
        reason: DestructionReason::Exhausted,
        generation: 1,
    };
    let wrong = Problem::WrongPassword {
        attempts_remaining: 0,
        retry_at: None,
    };
    for (problem, refusal) in [
        (destroyed, Refusal::Status(410)),
        (wrong, Refusal::Forbidden),
        (Problem::NotRegistered, Refusal::Status(404)),
        (Problem::Unauthenticated, Refusal::Unauthenticated),
    ] {
        let wire = Wire::new(registered());
        let details = serde_json::to_vec(&problem.details()).unwrap();
        wire.on("retrieval/start", Fault::Outer(problem.status(), details));
        let error = wire.client().retrieve(password(RIGHT)).await.unwrap_err();
        assert!(
            matches!(&error, Error::UnknownOutcome(NoAnswer::Refused(r)) if *r == refusal),
            "{error:?}"
        );
        // A refusal is no reason to try again.
        assert!(bodies(&wire, "retrieval/start").is_empty());
    }
}

// Fails if `run` reads the finish's answer before it asks whether the vault could answer at all.
#[tokio::test]
async fn a_right_password_is_not_given_up_because_the_vault_is_busy() {
    let busy = [Problem::Overloaded, Problem::Unavailable];
    let details = |problem: &Problem| serde_json::to_vec(&problem.details()).unwrap();
    let inner = busy.iter().map(|p| Fault::Inner(p.clone()));
    let outer = busy.iter().map(|p| Fault::Outer(503, details(p)));
    for fault in inner.chain(outer) {
        let wire = Wire::new(registered());
        let mut client = wire.client();
        let attempt = client.begin(password(RIGHT)).await.unwrap();
        assert!(!attempt.may_be_charged());
        wire.on("retrieval/finish", fault);
        let failed = client.run(attempt).await.unwrap_err();
        let same = failed.attempt.unwrap();
        assert!(same.may_be_charged());
        let retrieved = client.run(same).await.unwrap();
        assert!(retrieved.key.is_same(&key(7)));
        assert_eq!(outcomes(&wire), [Outcome::Succeeded]);
    }
}

#[tokio::test]
async fn a_busy_vault_at_the_start_costs_no_second_attempt() {
    let wire = Wire::new(registered());
    let mut client = wire.client();
    let mut attempt = client.begin(password(RIGHT)).await.unwrap();
    for problem in [Problem::Overloaded, Problem::Unavailable] {
        wire.on("retrieval/start", Fault::Inner(problem));
        attempt = client.run(attempt).await.unwrap_err().attempt.unwrap();
    }
    wire.on("retrieval/start", Fault::OuterAfter(401, vec![]));
    attempt = client.run(attempt).await.unwrap_err().attempt.unwrap();
    client.run(attempt).await.unwrap();
    assert_eq!(outcomes(&wire), [Outcome::Succeeded]);
}

// Fails if `no_outcome` leaves `AccountMismatch` out: the relay could end any attempt so.
#[tokio::test]
async fn an_attempt_survives_a_relay_that_names_another_account() {
    for (endpoint, is_lost) in [
        ("retrieval/start", true),
        ("retrieval/start", false),
        ("retrieval/finish", true),
        ("retrieval/finish", false),
    ] {
        let wire = Wire::new(registered());
        let mut client = wire.client();
        let attempt = client.begin(password(RIGHT)).await.unwrap();
        if is_lost {
            wire.on(endpoint, Fault::LoseAnswer);
        }
        wire.on(endpoint, Fault::Inner(Problem::AccountMismatch));
        let failed = client.run(attempt).await.unwrap_err();
        let error = failed.error;
        assert!(matches!(error, Error::UnknownOutcome(_)), "{error:?}");
        let same = failed.attempt.unwrap();
        assert!(same.may_be_charged());
        let retrieved = client.run(same).await.unwrap();
        assert!(retrieved.key.is_same(&key(7)));
        assert_eq!(outcomes(&wire), [Outcome::Succeeded]);
    }
}

// Fails if `send` does not look at the time: the vault charges the same request anew then.
#[tokio::test]
async fn a_stale_attempt_is_not_sent_again() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    let wire = Wire::new(registered());
    let time = Arc::new(AtomicU64::new(NOW.millis()));
    let clock = Arc::clone(&time);
    let mut client = wire.client_at(Box::new(move || {
        vault_client::Timestamp::from_millis(clock.load(Ordering::SeqCst))
    }));
    let mut attempt = client.begin(password(RIGHT)).await.unwrap();
    // Begun long ago, but sent only now.
    for (seconds, is_sent) in [(3600, true), (3600 + 599, true), (3600 + 600, false)] {
        time.store(NOW.plus_seconds(seconds).millis(), Ordering::SeqCst);
        let before = wire.state().vault.count("retrieval/start");
        wire.on("retrieval/start", Fault::OuterAfter(401, vec![]));
        let failed = client.run(attempt).await.unwrap_err();
        assert_eq!(
            wire.state().vault.count("retrieval/start") > before,
            is_sent
        );
        match failed.attempt {
            Some(same) if is_sent => attempt = same,
            None if !is_sent => {
                assert!(matches!(failed.error, Error::TicketExpired));
                return;
            }
            other => panic!("{other:?} after {seconds} seconds"),
        }
    }
}

// Fails if `send` looks at the time of the first sending alone, or if `is_stale` takes a clock that
// went back for a fresh attempt.
#[tokio::test]
async fn a_device_that_slept_or_lost_the_time_does_not_send_again() {
    let start = NOW.plus_seconds(3600);
    let before = vault_client::Timestamp::from_millis(start.millis() - 1);
    for (later, sendings) in [
        (start.plus_seconds(599), 2),
        (start.plus_seconds(600), 1),
        (before, 1),
    ] {
        let wire = Wire::new(registered());
        let vault = wire.clone();
        // The time passes while the first answer is on its way.
        let mut client = wire.client_at(Box::new(move || {
            match vault.state().vault.count("retrieval/start") {
                0 => start,
                _ => later,
            }
        }));
        let attempt = client.begin(password(RIGHT)).await.unwrap();
        wire.on("retrieval/start", Fault::LoseAnswer);
        let result = client.run(attempt).await;
        assert_eq!(wire.state().vault.count("retrieval/start"), sendings);
        match result {
            Ok(_) => assert_eq!(sendings, 2),
            Err(failed) => {
                assert_eq!(sendings, 1, "{:?}", failed.error);
                assert!(matches!(failed.error, Error::TicketExpired));
                assert!(failed.attempt.is_none());
            }
        }
    }
}

#[tokio::test]
async fn a_failing_relay_leaves_the_outcome_unknown() {
    let wire = Wire::new(registered());
    let mut client = wire.client();
    let attempt = client.begin(password(RIGHT)).await.unwrap();
    wire.on("retrieval/start", Fault::LoseAnswer);
    wire.on("retrieval/start", Fault::Outer(502, vec![]));
    // A refusal after that does not undo what may have happened before.
    wire.on("retrieval/start", Fault::Outer(401, vec![]));
    let failed = client.run(attempt).await.unwrap_err();
    assert!(matches!(
        failed.error,
        Error::UnknownOutcome(NoAnswer::Refused(Refusal::Unauthenticated))
    ));
    assert!(failed.attempt.is_some());
}

#[tokio::test]
async fn after_an_unknown_key_the_statement_is_fetched_again_once() {
    let wire = Wire::new(registered());
    let mut client = wire.client();
    client.status().await.unwrap();
    assert_eq!(wire.state().statements, 1);
    wire.on("", Fault::NewKeys);
    client.status().await.unwrap();
    assert_eq!(wire.state().statements, 2);
    assert_eq!(client.trust_memory().unwrap().seen.serial, 2);

    wire.on("", Fault::NewKeys);
    wire.on("", Fault::NewKeys);
    let error = client.status().await.unwrap_err();
    assert!(matches!(error, Error::Network(NoAnswer::UnknownKey)));
    assert_eq!(wire.state().statements, 3);
}

// As a vault says it that has other keys of the same ids. Fails if the client keeps the statement: it
// would seal to the wrong keys until that has expired.
#[tokio::test]
async fn after_a_message_that_the_vault_cannot_open_the_statement_is_fetched_again() {
    let wire = Wire::new(registered());
    let mut client = wire.client();
    client.status().await.unwrap();
    assert_eq!(wire.state().statements, 1);
    for (status, fetched) in [(400, 2), (502, 2), (404, 2)] {
        wire.on("", Fault::Outer(status, vec![]));
        let _ = client.status().await;
        client.status().await.unwrap();
        assert_eq!(wire.state().statements, fetched, "{status}");
    }
}

#[tokio::test]
async fn an_older_statement_is_refused_when_keys_are_fetched_again() {
    let wire = Wire::new(registered());
    wire.state().vault.serial = 5;
    let mut client = wire.client();
    client.status().await.unwrap();
    wire.on(
        "",
        Fault::Outer(
            400,
            serde_json::to_vec(&Problem::OhttpKey.details()).unwrap(),
        ),
    );
    wire.state().vault.serial = 4;
    let error = client.status().await.unwrap_err();
    assert!(matches!(
        error,
        Error::StatementRefused(StatementRefused::Replayed)
    ));
}
