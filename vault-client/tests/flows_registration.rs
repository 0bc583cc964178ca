//! Registering, replacing and deleting, step by step.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "each test file uses its part of the common vault")]
mod common;

use common::{RIGHT, TestVault, changed, key, password, public_key, registered};
use opaque_ke::ServerSetup;
use rand::rngs::OsRng;
use serde_json::json;
use vault_client::error::Error;
use vault_client::flows::{Deletion, EvaluatedRegistration, PreparedRegistration, Registration};
use vault_client::{BackupKey, Policy};
use vault_protocol::binary::to_base64url;
use vault_protocol::messages::DestructionReason;
use vault_protocol::suite::Suite;

fn start(vault: &mut TestVault) -> Result<EvaluatedRegistration, Error> {
    let registration = Registration::begin(vault.account(), password(RIGHT), &mut OsRng);
    let answer = vault.call(&registration.request());
    registration.evaluated(&answer, &Policy::default())
}

fn prepare(
    vault: &mut TestVault,
    key: &BackupKey,
    current: Option<&BackupKey>,
) -> PreparedRegistration {
    let stretched = start(vault).unwrap().stretch(&mut OsRng).unwrap();
    stretched.seal(key, current, &mut OsRng)
}

// Fails if `evaluated` does not call `check_policy`.
#[test]
fn a_looser_policy_is_refused_before_anything_is_registered() {
    let mut vault = TestVault::new();
    vault.policy = Policy::new(11, 100, vec![0; 10]).unwrap();
    let error = start(&mut vault).err().unwrap();
    assert!(matches!(
        error,
        Error::PolicyTooLoose {
            limit: 11,
            total_limit: 100
        }
    ));
    assert_eq!(vault.count("registration/finish"), 0);
}

// Fails if `stretch` does not check the server key.
#[test]
fn a_vault_with_another_server_key_than_its_statement_names_gets_no_record() {
    let mut vault = TestVault::new();
    vault.server_key = public_key(&ServerSetup::<Suite>::new(&mut OsRng));
    let error = start(&mut vault)
        .unwrap()
        .stretch(&mut OsRng)
        .err()
        .unwrap();
    assert!(matches!(error, Error::ForeignVault));
}

#[test]
fn malformed_start_answers_are_not_understood() {
    let mut vault = TestVault::new();
    for (name, length) in [
        ("registration_response", 63),
        ("registration_response", 65),
        ("registration_ticket", 31),
    ] {
        let registration = Registration::begin(vault.account(), password(RIGHT), &mut OsRng);
        let answer = vault.call(&registration.request());
        let bad = changed(&answer, |json| {
            json[name] = json!(to_base64url(&vec![0; length]));
        });
        let error = registration.evaluated(&bad, &Policy::default());
        assert!(matches!(error.err().unwrap(), Error::NotUnderstood));
    }
    // The identity element, and what is no canonical encoding.
    for byte in [0, 0xff] {
        let registration = Registration::begin(vault.account(), password(RIGHT), &mut OsRng);
        let answer = vault.call(&registration.request());
        let bad = changed(&answer, |json| {
            json["registration_response"] = json!(to_base64url(&[byte; 64]));
        });
        let error = registration.evaluated(&bad, &Policy::default());
        assert!(matches!(error.err().unwrap(), Error::NotUnderstood));
    }
}

#[test]
fn a_reflected_element_is_not_understood() {
    let mut vault = TestVault::new();
    let registration = Registration::begin(vault.account(), password(RIGHT), &mut OsRng);
    let request = registration.request();
    let answer = vault.call(&request);
    let sent: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
    let sent = sent["registration_request"].as_str().unwrap().to_owned();
    let mut reflected = vault_protocol::binary::from_base64url(&sent).unwrap();
    reflected.extend_from_slice(&vault.server_key);
    let answer = changed(&answer, |json| {
        json["registration_response"] = json!(to_base64url(&reflected));
    });
    let evaluated = registration.evaluated(&answer, &Policy::default()).unwrap();
    let error = evaluated.stretch(&mut OsRng).err().unwrap();
    assert!(matches!(error, Error::NotUnderstood));
}

#[test]
fn an_unknown_outcome_is_cleared_up_by_the_identical_finish() {
    let mut vault = TestVault::new();
    let prepared = prepare(&mut vault, &key(7), None);
    vault.call(&prepared.request());
    let request = prepared.request();
    assert_eq!(request.body(), vault.calls.last().unwrap().2);
    let answer = vault.call(&request);
    assert_eq!(
        prepared.finished(&answer).unwrap().registration.generation,
        1
    );
    assert_eq!(vault.generation, 1);

    // An answer that is not what the start announced.
    for change in [
        json!({"generation": 2}),
        json!({"generation": 0}),
        json!({"policy": {"limit": 9, "total_limit": 100, "waits": [0, 0, 0, 0, 0, 0, 0, 0]}}),
    ] {
        let (name, value) = change.as_object().unwrap().iter().next().unwrap();
        let bad = changed(&answer, |json| json[name] = value.clone());
        let error = prepared.finished(&bad).err().unwrap();
        assert!(matches!(error, Error::NotUnderstood));
    }
}

#[test]
fn only_who_holds_the_key_replaces_or_deletes_a_live_record() {
    let mut vault = registered();
    let without = prepare(&mut vault, &key(8), None);
    let answer = vault.call(&without.request());
    assert!(matches!(
        without.finished(&answer).err().unwrap(),
        Error::AlreadyRegistered { generation: 1 }
    ));
    let foreign = prepare(&mut vault, &key(8), Some(&key(8)));
    let answer = vault.call(&foreign.request());
    assert!(matches!(
        foreign.finished(&answer).err().unwrap(),
        Error::NotThisKey
    ));
    let deletion = Deletion::begin(vault.account(), 1, &key(8));
    let answer = vault.call(&deletion.request());
    assert!(matches!(
        deletion.finished(&answer).err().unwrap(),
        Error::NotThisKey
    ));
    assert_eq!(vault.generation, 1);

    let changed_key = prepare(&mut vault, &key(8), Some(&key(7)));
    let answer = vault.call(&changed_key.request());
    let registered = changed_key.finished(&answer).unwrap();
    assert_eq!(registered.registration.generation, 2);
    let deletion = Deletion::begin(vault.account(), 2, &key(8));
    let answer = vault.call(&deletion.request());
    assert_eq!(deletion.finished(&answer).unwrap(), 2);
    assert_eq!(vault.tombstone, Some(DestructionReason::Deleted));
}
