//! Retrieving K, step by step, against a vault that behaves, and against vaults that do not.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "each test file uses its part of the common vault")]
mod common;

use common::{
    NOW, Outcome, RIGHT, TestVault, UNKNOWN_PROFILE, WRONG, changed, key, password, public_key,
    random, registered,
};
use opaque_ke::ServerSetup;
use rand::rngs::OsRng;
use serde_json::json;
use vault_client::call::InnerAnswer;
use vault_client::error::{Error, Refusal};
use vault_client::flows::{Abandonment, Opening, ProvenRetrieval, Retrieval};
use vault_client::{Policy, VaultId};
use vault_protocol::binary::to_base64url;
use vault_protocol::messages::{AccountState, DestructionReason};
use vault_protocol::suite::Suite;
use vault_protocol::wrapping::release_key;
use vault_protocol::{Problem, StretchingProfile};

fn begin(vault: &mut TestVault, typed: &str) -> Result<Retrieval, Error> {
    let (account, status) = (vault.account(), vault.status());
    Retrieval::begin(
        account,
        &status,
        &Policy::default(),
        password(typed),
        &mut OsRng,
    )
}

fn open(vault: &mut TestVault, typed: &str) -> Result<Opening, Error> {
    let retrieval = begin(vault, typed)?;
    let answer = vault.call(&retrieval.request());
    retrieval.evaluated(&answer)?.open(&mut OsRng)
}

fn right(vault: &mut TestVault) -> ProvenRetrieval {
    match open(vault, RIGHT).unwrap() {
        Opening::Right(proven) => *proven,
        Opening::Wrong(_) => panic!("the password is right"),
    }
}

fn wrong(vault: &mut TestVault) -> Abandonment {
    match open(vault, WRONG).unwrap() {
        Opening::Right(_) => panic!("the password is wrong"),
        Opening::Wrong(abandonment) => abandonment,
    }
}

fn problem(problem: &Problem) -> InnerAnswer {
    InnerAnswer {
        status: problem.status(),
        content: serde_json::to_vec(&problem.details()).unwrap(),
    }
}

// Fails if `check_status` does not ask for the profile's function.
#[test]
fn an_unknown_or_weaker_stretching_profile_stops_before_anything_is_charged() {
    for profile in [UNKNOWN_PROFILE, StretchingProfile(0)] {
        let mut vault = registered();
        vault.record.as_mut().unwrap().finish.stretching_profile = profile;
        let error = begin(&mut vault, RIGHT).err().unwrap();
        assert!(matches!(error, Error::UnsupportedStretching(p) if p == profile));
        assert_eq!((vault.count("retrieval/start"), vault.charged()), (0, 0));
    }
}

// Fails if `check_status` does not call `check_policy`.
#[test]
fn a_looser_policy_stops_before_anything_is_charged() {
    for policy in [
        Policy::new(11, 100, vec![0; 10]),
        Policy::new(10, 101, vec![0; 9]),
    ] {
        let mut vault = registered();
        vault.record.as_mut().unwrap().policy = policy.unwrap();
        let error = begin(&mut vault, RIGHT).err().unwrap();
        assert!(matches!(error, Error::PolicyTooLoose { .. }));
        assert_eq!(vault.charged(), 0);
    }
}

#[test]
fn nothing_is_started_where_there_is_no_attempt_to_have() {
    let error = begin(&mut TestVault::new(), RIGHT).err().unwrap();
    assert!(matches!(error, Error::NotRegistered));

    let mut waiting = registered();
    waiting.retry_at = Some(NOW.plus_seconds(300));
    let error = begin(&mut waiting, RIGHT).err().unwrap();
    assert!(matches!(error, Error::Waiting { retry_at } if retry_at == NOW.plus_seconds(300)));

    let mut destroyed = registered();
    destroyed.delete(&key(7));
    let error = begin(&mut destroyed, RIGHT).err().unwrap();
    assert!(matches!(
        error,
        Error::Destroyed {
            reason: DestructionReason::Deleted,
            generation: 1,
            ..
        }
    ));
}

#[test]
fn a_status_that_contradicts_itself_is_not_understood() {
    for change in [
        json!({"stretching_profile": null}),
        json!({"state": "waiting"}),
        json!({"state": "destroyed"}),
    ] {
        let mut status = serde_json::to_value(registered().status()).unwrap();
        let (name, value) = change.as_object().unwrap().iter().next().unwrap();
        status[name] = value.clone();
        let status = serde_json::from_value(status).unwrap();
        let account = registered().account();
        let maximum = Policy::default();
        let begun = Retrieval::begin(account, &status, &maximum, password(RIGHT), &mut OsRng);
        assert!(matches!(begun.err().unwrap(), Error::NotUnderstood));
    }
}

// Fails if `request` blinds the password anew.
#[test]
fn a_lost_answer_leads_to_the_identical_credential_request_and_no_second_charge() {
    let mut vault = registered();
    let retrieval = begin(&mut vault, WRONG).unwrap();
    let lost = vault.call(&retrieval.request());
    assert_eq!(lost.status, 200);
    let request = retrieval.request();
    assert_eq!(request.body(), vault.calls.last().unwrap().2);
    let answer = vault.call(&request);
    assert_eq!(vault.charged(), 1);
    assert!(retrieval.evaluated(&answer).is_ok());
}

#[test]
fn a_wrong_password_is_abandoned_and_says_what_is_left() {
    let mut vault = registered();
    let abandonment = wrong(&mut vault);
    let answer = vault.call(&abandonment.request());
    assert!(matches!(
        abandonment.outcome(Some(&answer)),
        Error::WrongPassword {
            attempts_remaining: 9,
            retry_at: None,
            state: Some(AccountState::Active),
        }
    ));
    assert_eq!(
        vault.record.as_ref().unwrap().attempts[0].1,
        Outcome::Failed
    );

    // The answer was lost, or it makes no sense: the guess was wrong nevertheless.
    let retrieval = begin(&mut vault, WRONG).unwrap();
    let start = vault.call(&retrieval.request());
    let other = retrieval.evaluated(&start).unwrap();
    let Opening::Wrong(abandonment) = other.open(&mut OsRng).unwrap() else {
        panic!("the password is wrong");
    };
    let answer = problem(&Problem::Overloaded);
    assert!(matches!(
        abandonment.outcome(Some(&answer)),
        Error::WrongPassword {
            attempts_remaining: 8,
            state: None,
            ..
        }
    ));
}

#[test]
fn the_last_wrong_password_says_that_the_record_is_destroyed() {
    let mut vault = registered();
    vault.record.as_mut().unwrap().policy = Policy::new(1, 1, vec![]).unwrap();
    let abandonment = wrong(&mut vault);
    let answer = vault.call(&abandonment.request());
    let error = abandonment.outcome(Some(&answer));
    assert!(error.to_string().contains("destroyed"), "{error}");
    assert!(matches!(
        error,
        Error::WrongPassword {
            attempts_remaining: 0,
            state: Some(AccountState::Destroyed),
            ..
        }
    ));
}

// Fails if `ProvenRetrieval::new` does not check the server key.
#[test]
fn a_vault_with_another_server_key_than_its_statement_names_gets_no_finish() {
    let mut vault = registered();
    vault.server_key = public_key(&ServerSetup::<Suite>::new(&mut OsRng));
    let error = open(&mut vault, RIGHT).err().unwrap();
    assert!(matches!(error, Error::ForeignVault));
}

#[test]
fn a_record_of_another_vault_looks_like_a_wrong_password() {
    let mut vault = registered();
    let retrieval = {
        let mut renamed = vault.clone();
        renamed.scope.vault = VaultId::new("renamed").unwrap();
        begin(&mut renamed, RIGHT).unwrap()
    };
    let answer = vault.call(&retrieval.request());
    let opened = retrieval.evaluated(&answer).unwrap().open(&mut OsRng);
    assert!(matches!(opened.unwrap(), Opening::Wrong(_)));
}

#[test]
fn a_record_that_was_replaced_since_the_status_is_not_tried() {
    let mut vault = registered();
    let retrieval = begin(&mut vault, RIGHT).unwrap();
    let answer = vault.call(&retrieval.request());
    let newer = changed(&answer, |json| json["generation"] = json!(2));
    let error = retrieval.evaluated(&newer).err().unwrap();
    assert!(matches!(error, Error::TicketExpired));
}

#[test]
fn malformed_start_answers_are_not_understood() {
    let bad_lengths = |name: &'static str, length: usize| {
        move |json: &mut serde_json::Value| json[name] = json!(to_base64url(&vec![1; length]))
    };
    let mut vault = registered();
    let retrieval = begin(&mut vault, RIGHT).unwrap();
    let answer = vault.call(&retrieval.request());
    let not_json = InnerAnswer {
        status: 200,
        content: b"{".to_vec(),
    };
    let too_large = InnerAnswer {
        status: 200,
        content: vec![b' '; 8193],
    };
    for bad in [
        changed(&answer, bad_lengths("credential_response", 319)),
        changed(&answer, bad_lengths("credential_response", 321)),
        changed(&answer, bad_lengths("retrieval_ticket", 0)),
        changed(&answer, |json| {
            json["credential_response"] = json!(to_base64url(&[0; 320]));
        }),
        changed(&answer, |json| {
            json.as_object_mut().unwrap().remove("generation");
        }),
        changed(&answer, |json| json["attempts_remaining"] = json!(-1)),
        not_json,
        too_large,
    ] {
        let retrieval = begin(&mut vault, RIGHT).unwrap();
        let error = retrieval.evaluated(&bad).err().unwrap();
        assert!(matches!(error, Error::NotUnderstood), "{bad:?}");
    }
}

#[test]
fn every_problem_becomes_an_error_that_says_what_to_do() {
    let mut vault = registered();
    let mut refused = |p: &Problem| {
        let retrieval = begin(&mut vault, RIGHT).unwrap();
        retrieval.evaluated(&problem(p)).err().unwrap()
    };
    let waiting = Problem::Waiting { retry_at: NOW };
    assert!(matches!(refused(&waiting), Error::Waiting { retry_at } if retry_at == NOW));
    assert!(matches!(
        refused(&Problem::NotRegistered),
        Error::NotRegistered
    ));
    assert!(matches!(
        refused(&Problem::AccountMismatch),
        Error::Refused(Refusal::AccountMismatch)
    ));
    assert!(matches!(refused(&Problem::Overloaded), Error::Overloaded));
    assert!(matches!(refused(&Problem::Unavailable), Error::Unavailable));
    assert!(matches!(
        refused(&Problem::TicketExpired),
        Error::TicketExpired
    ));
    assert!(matches!(
        refused(&Problem::malformed()),
        Error::NotUnderstood
    ));
    // A problem without what it must carry.
    let mut details = waiting.details();
    details.retry_at = None;
    let retrieval = begin(&mut vault, RIGHT).unwrap();
    let answer = InnerAnswer {
        status: 429,
        content: serde_json::to_vec(&details).unwrap(),
    };
    let error = retrieval.evaluated(&answer).err().unwrap();
    assert!(matches!(error, Error::NotUnderstood));
}

// Fails if `finished` opens with the generation of the answer instead of its own.
#[test]
fn a_key_released_to_another_session_or_generation_does_not_open() {
    let mut vault = registered();
    let proven = right(&mut vault);
    let answer = vault.call(&proven.request());

    let other_session = right(&mut vault);
    assert!(matches!(
        other_session.finished(&answer).err().unwrap(),
        Error::DamagedRecord
    ));
    // What a vault that does not know the session key could make up.
    let wrapped = vault.record.as_ref().unwrap().finish.wrapped_key.0;
    let made_up = release_key(&random::<64>(), &vault.scope, 1, &wrapped, &mut OsRng);
    let forged = changed(&answer, |json| {
        json["released_key"] = serde_json::to_value(made_up).unwrap();
    });
    assert!(matches!(
        proven.finished(&forged).err().unwrap(),
        Error::DamagedRecord
    ));

    // Generation 2 with the same record: released there, it does not open here.
    vault.generation = 2;
    let newer = vault.call(&proven.request());
    assert!(matches!(
        proven.finished(&newer).err().unwrap(),
        Error::DamagedRecord
    ));
    assert!(proven.finished(&answer).unwrap().key.is_same(&key(7)));
}

#[test]
fn a_wrapped_key_of_another_record_is_called_damaged() {
    let mut vault = registered();
    vault.record.as_mut().unwrap().finish.wrapped_key.0[20] ^= 1;
    let proven = right(&mut vault);
    let answer = vault.call(&proven.request());
    assert!(matches!(
        proven.finished(&answer).err().unwrap(),
        Error::DamagedRecord
    ));
}

#[test]
fn the_right_password_gives_the_key_and_the_failures_of_others() {
    let mut vault = registered();
    let other = begin(&mut vault, WRONG).unwrap();
    vault.call(&other.request());

    let proven = right(&mut vault);
    let answer = vault.call(&proven.request());
    // Unknown fields of an answer are ignored.
    let answer = changed(&answer, |json| json["novelty"] = json!({"a": [1]}));
    let retrieved = proven.finished(&answer).unwrap();
    assert!(retrieved.key.is_same(&key(7)));
    assert_eq!(retrieved.failures_since_success, 1);
    assert_eq!(retrieved.failures_in_generation, 1);
    assert_eq!(retrieved.registration.generation, 1);
    assert_eq!(retrieved.registration.vault, vault.scope.vault);
    // Its answer lost, the finish is repeated with the same bytes.
    assert_eq!(proven.request().body(), vault.calls.last().unwrap().2);
    let again = vault.call(&proven.request());
    assert!(proven.finished(&again).unwrap().key.is_same(&key(7)));
}

#[test]
fn nothing_secret_is_printed_by_debug() {
    let mut vault = registered();
    let retrieval = begin(&mut vault, RIGHT).unwrap();
    let request = retrieval.request();
    let answer = vault.call(&request);
    let text = format!("{request:?} {answer:?}");
    assert!(!text.contains("alice"));
    assert!(!text.contains("credential"));
}
