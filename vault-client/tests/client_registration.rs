//! The asynchronous client registering, replacing, checking and deleting.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "each test file uses its part of the common vault")]
mod common;

use crate::common::one_call::OneCall as _;
use common::wire::{Fault, Wire};
use common::{RIGHT, TestVault, key, password, registered};
use vault_client::client::MAX_REPEATS;
use vault_client::error::{Error, NoAnswer, Refusal};
use vault_client::protection::{Protection, Reason, RegistrationRef};
use vault_protocol::Problem;
use vault_protocol::messages::{AccountState, DestructionReason};
use vault_protocol::statement::StatementRefused;

const NEW: &str = "another horse battery";

fn reference(wire: &Wire, generation: u64) -> RegistrationRef {
    let scope = wire.state().vault.scope.clone();
    RegistrationRef {
        vault: scope.vault,
        tenant: scope.tenant,
        account: scope.account,
        generation,
    }
}

#[tokio::test]
async fn a_key_is_enabled_changed_retrieved_and_disabled() {
    let wire = Wire::new(TestVault::new());
    let mut client = wire.client();
    assert!(matches!(
        client.retrieve(password(RIGHT)).await.unwrap_err(),
        Error::NotRegistered
    ));
    let first = client.enable(password(RIGHT), &key(7)).await.unwrap();
    assert_eq!(first.registration, reference(&wire, 1));

    let second = client
        .change_password(password(NEW), &key(7))
        .await
        .unwrap();
    assert_eq!(second.registration.generation, 2);
    let retrieved = wire.client().retrieve(password(NEW)).await.unwrap();
    assert!(retrieved.key.is_same(&key(7)));
    assert_eq!(retrieved.registration, second.registration);
    assert_eq!(
        client.check(&second.registration).await.unwrap(),
        Protection::Protected
    );
    assert_eq!(
        client.check(&first.registration).await.unwrap(),
        Protection::NeedsRegistration(Reason::Replaced)
    );

    client.disable(&key(7)).await.unwrap();
    client.disable(&key(7)).await.unwrap();
    assert_eq!(wire.state().vault.count("deletion"), 2);
    assert_eq!(
        client.status().await.unwrap().state,
        AccountState::Destroyed
    );
    assert_eq!(
        client.check(&second.registration).await.unwrap(),
        Protection::NeedsRegistration(Reason::Destroyed(DestructionReason::Deleted))
    );
}

// Fails if `prepare` does not call `check_registrable`.
#[tokio::test]
async fn nothing_is_registered_that_was_not_asked_for() {
    let live = Wire::new(registered());
    let error = live.client().enable(password(NEW), &key(8)).await;
    assert!(matches!(
        error.unwrap_err(),
        Error::AlreadyRegistered { generation: 1 }
    ));

    let absent = Wire::new(TestVault::new());
    let error = absent
        .client()
        .change_password(password(NEW), &key(7))
        .await;
    assert!(matches!(error.unwrap_err(), Error::NotRegistered));
    let error = absent.client().disable(&key(7)).await;
    assert!(matches!(error.unwrap_err(), Error::NotRegistered));

    let destroyed = Wire::new(registered());
    destroyed.state().vault.delete(&key(7));
    let mut client = destroyed.client();
    let error = client.change_password(password(RIGHT), &key(7)).await;
    assert!(matches!(error.unwrap_err(), Error::Destroyed { .. }));
    for wire in [live, absent, destroyed] {
        assert_eq!(wire.state().vault.count("registration/start"), 0);
    }
}

/// Another device's registration, between the status and the deletion.
fn registered_meanwhile(wire: &Wire, endpoint: &'static str) {
    wire.on(
        endpoint,
        Fault::Before(Box::new(|vault| vault.generation += 1)),
    );
}

// Fails if `disable` does not ask again, takes a newer record for another key's, or asks for ever.
#[tokio::test]
async fn a_password_changed_meanwhile_does_not_keep_the_record_alive() {
    for changes in 1..=3 {
        let wire = Wire::new(registered());
        for _ in 0..changes {
            registered_meanwhile(&wire, "deletion");
        }
        let ended = wire.client().disable(&key(7)).await;
        if changes < 3 {
            ended.unwrap();
            assert!(wire.state().vault.record.is_none());
        } else {
            assert!(matches!(ended, Err(Error::TicketExpired)), "{ended:?}");
            assert!(wire.state().vault.record.is_some());
        }
        assert_eq!(wire.state().vault.count("deletion"), 3.min(changes + 1));
    }
}

// Fails if `still_unknown` passes its errors on, or `was_sent` is forgotten: a newer record would be
// deleted, or a deletion that may have been made would be called unchanged.
#[tokio::test]
async fn a_deletion_that_may_have_been_made_stays_unknown_whatever_the_next_question_comes_to() {
    let wire = Wire::new(registered());
    let mut client = wire.client();
    let again = |vault: &mut TestVault| {
        vault.record = registered().record;
        vault.generation = 2;
    };
    wire.on("deletion", Fault::LoseAnswer);
    wire.on("deletion", Fault::Before(Box::new(again)));
    // The question before the deletion is answered, the one after it is refused by the relay.
    wire.on("", Fault::Before(Box::new(|_| {})));
    wire.on("", Fault::Outer(401, Vec::new()));
    let error = client.disable(&key(7)).await.unwrap_err();
    assert!(matches!(error, Error::UnknownOutcome(_)), "{error:?}");
    let error = client.disable(&key(7)).await.unwrap_err();
    assert!(matches!(error, Error::TicketExpired), "{error:?}");
    assert!(wire.state().vault.record.is_some());

    // The first call's deletion arrives, and another device registers, just before the second's.
    let wire = Wire::new(registered());
    let mut client = wire.client();
    for _ in 0..=MAX_REPEATS {
        wire.on("deletion", Fault::LoseRequest);
    }
    let error = client.disable(&key(7)).await.unwrap_err();
    assert!(matches!(error, Error::UnknownOutcome(_)), "{error:?}");
    wire.on("deletion", Fault::Before(Box::new(again)));
    let error = client.disable(&key(7)).await.unwrap_err();
    assert!(matches!(error, Error::TicketExpired), "{error:?}");
    assert!(wire.state().vault.record.is_some());
}

// Fails if `disable` sends nothing where the status shows no record.
#[tokio::test]
async fn a_finish_that_was_held_back_registers_nothing_after_the_password_was_switched_off() {
    for had_record in [false, true] {
        let wire = Wire::new(if had_record {
            registered()
        } else {
            TestVault::new()
        });
        if had_record {
            wire.client().disable(&key(7)).await.unwrap();
        }
        let mut client = wire.client();
        let held = client.prepare(password(RIGHT), &key(7), None).await;
        let held = held.unwrap();
        let ended = client.disable(&key(7)).await;
        match ended {
            Ok(()) => assert!(had_record),
            Err(Error::NotRegistered) => assert!(!had_record),
            Err(error) => panic!("{error:?}"),
        }
        let error = client.commit(&held).await.unwrap_err();
        assert!(matches!(error, Error::TicketExpired), "{error:?}");
        assert!(wire.state().vault.record.is_none());
    }
}

// Fails if `disable` stops at a proof for a generation without a record.
#[tokio::test]
async fn a_finish_that_is_delivered_while_the_password_is_switched_off_does_not_last() {
    let wire = Wire::new(TestVault::new());
    let mut client = wire.client();
    let held = client.prepare(password(RIGHT), &key(7), None).await;
    let call = held.unwrap().request();
    let deliver = Fault::Before(Box::new(move |vault| drop(vault.call(&call))));
    wire.on("deletion", deliver);
    client.disable(&key(7)).await.unwrap();
    let state = wire.state();
    assert_eq!(state.vault.generation, 1);
    assert!(state.vault.record.is_none());
}

// Fails if `delete` does not remember what it began, or `status_to_delete` does not look.
#[tokio::test]
async fn a_record_made_after_a_deletion_without_an_answer_is_left_alone() {
    // The answer is lost once and the repetition refused; or it never comes.
    for losses in [1, 1 + MAX_REPEATS] {
        let wire = Wire::new(registered());
        let mut client = wire.client();
        for _ in 0..losses {
            wire.on("deletion", Fault::LoseAnswer);
        }
        let again = |vault: &mut TestVault| {
            vault.record = registered().record;
            vault.generation = 2;
        };
        if losses == 1 {
            wire.on("deletion", Fault::Before(Box::new(again)));
        } else {
            let error = client.disable(&key(7)).await.unwrap_err();
            assert!(matches!(error, Error::UnknownOutcome(_)), "{error:?}");
            again(&mut wire.state().vault);
        }
        let error = client.disable(&key(7)).await.unwrap_err();
        assert!(matches!(error, Error::TicketExpired), "{error:?}");
        assert!(wire.state().vault.record.is_some());
        // Asked for once more, it is this one that is meant.
        client.disable(&key(7)).await.unwrap();
        assert!(wire.state().vault.record.is_none());
    }
}

#[tokio::test]
async fn a_deletion_that_was_answered_at_last_is_not_remembered() {
    let wire = Wire::new(registered());
    let mut client = wire.client();
    wire.on("deletion", Fault::LoseAnswer);
    client.disable(&key(7)).await.unwrap();
    client.enable(password(NEW), &key(7)).await.unwrap();
    client.disable(&key(7)).await.unwrap();
    assert!(wire.state().vault.record.is_none());
}

// Fails if a replacement's finish carries no proof.
#[tokio::test]
async fn a_password_is_not_changed_into_a_new_registration() {
    let wire = Wire::new(registered());
    let deleted = Fault::Before(Box::new(|vault| drop(vault.delete(&key(7)))));
    wire.on("registration/start", deleted);
    let changed = wire.client().change_password(password(NEW), &key(7)).await;
    assert!(matches!(changed.unwrap_err(), Error::TicketExpired));
    assert!(wire.state().vault.record.is_none());
}

// Fails if `disable` signs again although nothing moved.
#[tokio::test]
async fn the_record_of_another_key_stays() {
    let wire = Wire::new(registered());
    let error = wire.client().disable(&key(8)).await.unwrap_err();
    assert!(matches!(error, Error::NotThisKey), "{error:?}");
    assert_eq!(wire.state().vault.count("deletion"), 1);
    assert!(wire.state().vault.record.is_some());

    registered_meanwhile(&wire, "deletion");
    let error = wire.client().disable(&key(8)).await.unwrap_err();
    assert!(matches!(error, Error::NotThisKey), "{error:?}");
    assert!(wire.state().vault.record.is_some());
}

#[tokio::test]
async fn a_record_that_appears_meanwhile_is_not_replaced() {
    let wire = Wire::new(TestVault::new());
    wire.on(
        "registration/finish",
        Fault::Before(Box::new(|vault| {
            let other = registered();
            vault.record = other.record;
            vault.generation = 1;
        })),
    );
    let error = wire.client().enable(password(NEW), &key(8)).await;
    assert!(matches!(
        error.unwrap_err(),
        Error::AlreadyRegistered { generation: 1 }
    ));
}

// Fails if `commit` prepares anew, or if the finish's bytes differ from one sending to the next.
#[tokio::test]
async fn after_an_unknown_outcome_the_identical_finish_is_repeated_and_nothing_else() {
    let wire = Wire::new(TestVault::new());
    let mut client = wire.client();
    let prepared = client
        .prepare(password(RIGHT), &key(7), None)
        .await
        .unwrap();
    wire.on("registration/finish", Fault::LoseRequest);
    for _ in 0..MAX_REPEATS {
        wire.on("registration/finish", Fault::LoseAnswer);
    }
    let error = client.commit(&prepared).await.unwrap_err();
    assert!(matches!(error, Error::UnknownOutcome(_)));
    let registered = client.commit(&prepared).await.unwrap();
    assert_eq!(registered.registration.generation, 1);

    let state = wire.state();
    assert_eq!(state.vault.generation, 1);
    assert_eq!(state.vault.count("registration/start"), 1);
    let finishes = state.vault.calls.iter();
    let finishes: Vec<_> = finishes.filter(|c| c.1 == "registration/finish").collect();
    assert_eq!(finishes.len(), 1 + MAX_REPEATS as usize);
    assert!(finishes.iter().all(|call| call.2 == finishes[0].2));
}

#[tokio::test]
async fn without_its_key_a_record_cannot_be_deleted() {
    let wire = Wire::new(registered());
    let error = wire.client().disable(&key(8)).await.unwrap_err();
    assert!(matches!(error, Error::NotThisKey));
    assert!(wire.state().vault.record.is_some());
}

#[tokio::test]
async fn a_device_learns_that_the_vault_lost_its_record_or_moved() {
    let wire = Wire::new(TestVault::new());
    let mut client = wire.client();
    let mut before = reference(&wire, 3);
    assert_eq!(
        client.check(&before).await.unwrap(),
        Protection::NeedsRegistration(Reason::Lost)
    );
    before.vault = "former-vault".parse().unwrap();
    assert_eq!(
        client.check(&before).await.unwrap(),
        Protection::NeedsRegistration(Reason::Moved)
    );
    let mut other = reference(&wire, 3);
    other.account = "bob".parse().unwrap();
    assert_eq!(
        client.check(&other).await.unwrap(),
        Protection::NeedsRegistration(Reason::Moved)
    );
}

// Fails if `call` takes an outer refusal of a message with an effect for what happened.
#[tokio::test]
async fn a_refusal_outside_the_seal_does_not_show_that_nothing_was_changed() {
    let details = |p: Problem| (p.status(), serde_json::to_vec(&p.details()).unwrap());
    for (status, content) in [
        (401, vec![]),
        (404, vec![]),
        (429, vec![]),
        details(Problem::Unavailable),
    ] {
        let wire = Wire::new(TestVault::new());
        let mut client = wire.client();
        let prepared = client
            .prepare(password(RIGHT), &key(7), None)
            .await
            .unwrap();
        wire.on(
            "registration/finish",
            Fault::OuterAfter(status, content.clone()),
        );
        let error = client.commit(&prepared).await.unwrap_err();
        assert!(matches!(error, Error::UnknownOutcome(_)), "{error:?}");
        assert_eq!(wire.state().vault.generation, 1);
        let registered = client.commit(&prepared).await.unwrap();
        assert_eq!(registered.registration, reference(&wire, 1));

        wire.on("deletion", Fault::OuterAfter(status, content));
        let error = client.disable(&key(7)).await.unwrap_err();
        assert!(matches!(error, Error::UnknownOutcome(_)), "{error:?}");
        assert!(wire.state().vault.record.is_none());
        client.disable(&key(7)).await.unwrap();
    }
}

// Fails if a busy vault's answer to the repetition is taken for that to the first sending.
#[tokio::test]
async fn what_was_lost_stays_unknown_when_the_vault_is_busy_afterwards() {
    let wire = Wire::new(TestVault::new());
    let mut client = wire.client();
    let prepared = client
        .prepare(password(RIGHT), &key(7), None)
        .await
        .unwrap();
    wire.on("registration/finish", Fault::LoseAnswer);
    wire.on("registration/finish", Fault::Inner(Problem::Overloaded));
    let error = client.commit(&prepared).await.unwrap_err();
    assert!(matches!(error, Error::UnknownOutcome(_)), "{error:?}");
    wire.on("registration/finish", Fault::Inner(Problem::Overloaded));
    let error = client.commit(&prepared).await.unwrap_err();
    assert!(matches!(error, Error::Overloaded), "{error:?}");
    client.commit(&prepared).await.unwrap();
    assert_eq!(wire.state().vault.generation, 1);
}

// Fails if `no_outcome` leaves `AccountMismatch` out, or if `call_while` believes the first one: the
// relay may have delivered another copy of the finish before.
#[tokio::test]
async fn a_relay_that_names_another_account_does_not_make_an_outcome() {
    for is_lost in [true, false] {
        let wire = Wire::new(TestVault::new());
        let mut client = wire.client();
        let prepared = client.prepare(password(RIGHT), &key(7), None).await;
        let prepared = prepared.unwrap();
        if is_lost {
            wire.on("registration/finish", Fault::LoseAnswer);
        } else {
            wire.state().vault.call(&prepared.request());
        }
        let mismatch = Fault::Inner(Problem::AccountMismatch);
        wire.on("registration/finish", mismatch);
        let error = client.commit(&prepared).await.unwrap_err();
        assert!(
            matches!(
                error,
                Error::UnknownOutcome(NoAnswer::Refused(Refusal::AccountMismatch))
            ),
            "{error:?}"
        );
        let registered = client.commit(&prepared).await.unwrap();
        assert_eq!(registered.registration, reference(&wire, 1));
    }
}

#[tokio::test]
async fn a_question_for_another_account_is_a_refusal() {
    let wire = Wire::new(TestVault::new());
    wire.on("", Fault::Inner(Problem::AccountMismatch));
    let error = wire.client().status().await.unwrap_err();
    assert!(matches!(error, Error::Refused(Refusal::AccountMismatch)));
}

// Fails if `after_a_loss` gives the reason of the loss only.
#[tokio::test]
async fn an_older_statement_is_reported_although_an_outcome_is_unknown() {
    let wire = Wire::new(TestVault::new());
    wire.state().vault.serial = 5;
    let mut client = wire.client();
    let prepared = client.prepare(password(RIGHT), &key(7), None).await;
    let prepared = prepared.unwrap();
    let unknown = serde_json::to_vec(&Problem::OhttpKey.details()).unwrap();
    wire.on("registration/finish", Fault::Outer(400, unknown));
    wire.state().vault.serial = 4;
    let error = client.commit(&prepared).await.unwrap_err();
    let refused = StatementRefused::Replayed;
    assert!(
        matches!(&error, Error::UnknownOutcome(NoAnswer::StatementRefused(r)) if *r == refused),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_refused_question_is_a_refusal() {
    let wire = Wire::new(TestVault::new());
    for endpoint in ["", "registration/start"] {
        wire.on(endpoint, Fault::Outer(401, vec![]));
        let error = wire.client().enable(password(RIGHT), &key(7)).await;
        assert!(matches!(
            error.unwrap_err(),
            Error::Refused(Refusal::Unauthenticated)
        ));
    }
    assert_eq!(wire.state().vault.count("registration/finish"), 0);
}
