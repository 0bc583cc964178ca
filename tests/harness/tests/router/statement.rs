//! `GET /v1/vault` and `GET /v1/ohttp-keys`: the pinned identity, and the replacement of keys.

use http::StatusCode;
use http::header::CONTENT_TYPE;
use vault_protocol::identity::Fingerprint;
use vault_protocol::messages::RegistrationStarted;
use vault_protocol::statement::{LIFETIME_SECONDS, SeenStatement, SignedStatement, Statement};
use vault_protocol::{AccountScope, Problem, Timestamp, VaultId};
use vault_server::admin::{Answer, Request as AdminRequest};
use vault_tests::device::{Device, InnerMessage, seal};
use vault_tests::in_process::{CHANNEL, DAY, START, TestVault, VAULT_ID};

use crate::support::{RIGHT, register, remaining, vault_of_alice, without_waits};

async fn fingerprint(vault: &TestVault) -> Fingerprint {
    match vault.admin(AdminRequest::Fingerprint).await {
        Answer::Fingerprint { fingerprint } => fingerprint,
        _ => panic!("no fingerprint"),
    }
}

async fn signed(vault: &TestVault) -> SignedStatement {
    vault.get("/v1/vault", None).await.read(StatusCode::OK)
}

/// The statement, checked as a device does that has seen this one before.
async fn verified(vault: &TestVault, seen: Option<&SeenStatement>) -> (Statement, SeenStatement) {
    let pins = [fingerprint(vault).await];
    let vault_id = VaultId::new(VAULT_ID).unwrap();
    let signed = signed(vault).await;
    signed
        .verify(&pins, Some(&vault_id), seen, vault.now())
        .unwrap()
}

/// Whether a status sealed for this list is answered; otherwise the outer problem.
async fn opens(vault: &TestVault, scope: &AccountScope, key_list: &[u8]) -> Result<(), Problem> {
    let inner = InnerMessage::request("GET", &scope.path()).encode();
    let (sealed, key) = seal(key_list, &inner);
    let answer = vault.relay(&vault.app, "alice", sealed).await;
    if answer.status != StatusCode::OK {
        return Err(answer.problem());
    }
    assert!(key.decapsulate(&answer.body).is_ok());
    Ok(())
}

#[tokio::test]
async fn an_altered_statement_does_not_verify() {
    let vault = TestVault::start(without_waits()).await;
    let pins = [fingerprint(&vault).await];
    let mut altered = signed(&vault).await;
    altered.statement = altered
        .statement
        .replace("\"protocol\":1", "\"protocol\":2");
    assert!(altered.verify(&pins, None, None, vault.now()).is_err());
    let other = TestVault::start(without_waits()).await;
    let of_another = signed(&other).await;
    assert!(of_another.verify(&pins, None, None, vault.now()).is_err());
}

#[tokio::test]
async fn the_statement_says_what_a_device_needs_and_holds_for_thirty_days() {
    let vault = TestVault::start(without_waits()).await;
    let (statement, _) = verified(&vault, None).await;
    assert_eq!(statement.vault_id.as_str(), VAULT_ID);
    assert_eq!(statement.protocol, 1);
    assert_eq!(statement.serial, START.millis());
    assert_eq!(statement.expires_at, START.plus_seconds(LIFETIME_SECONDS));
    let list = vault.get("/v1/ohttp-keys", None).await;
    assert_eq!(list.headers[CONTENT_TYPE], "application/ohttp-keys");
    assert_eq!(statement.ohttp_keys, list.body);
}

/// Key id, KEM, public key, HKDF-SHA256 with AES-128-GCM (PROTOCOL.md section 5).
#[tokio::test]
async fn the_key_list_offers_x_wing_and_x25519_under_distinct_ids() {
    let vault = TestVault::start(without_waits()).await;
    let list = vault.key_list().await;
    let suites = [0, 4, 0, 1, 0, 1];
    let (x_wing, rest) = list.split_at(2 + 3 + 1216 + 6);
    assert_eq!(x_wing[..2], 1225_u16.to_be_bytes());
    assert_eq!(x_wing[3..5], [0x64, 0x7a]);
    assert_eq!(x_wing[x_wing.len() - 6..], suites);
    assert_eq!(rest.len(), 2 + 3 + 32 + 6);
    assert_eq!(rest[3..5], [0x00, 0x20]);
    assert_eq!(rest[rest.len() - 6..], suites);
    assert_ne!(x_wing[2], rest[2]);
}

#[tokio::test]
async fn both_offered_keys_open_messages() {
    let (vault, alice, _) = vault_of_alice().await;
    let list = vault.key_list().await;
    let (x_wing, x25519) = list.split_at(2 + 3 + 1216 + 6);
    for list in [x_wing, x25519] {
        assert_eq!(opens(&vault, &alice, list).await, Ok(()));
    }
}

#[tokio::test]
async fn the_statement_names_the_key_that_opaque_answers_with() {
    let vault = TestVault::start(without_waits()).await;
    let (statement, _) = verified(&vault, None).await;
    let alice = vault.account("alice");
    let message = Device::new(&alice).register(RIGHT).message;
    let answer = vault.post(&alice, "registration/start", &message).await;
    let answer: RegistrationStarted = answer.read(StatusCode::OK);
    let key = &answer.registration_response.0[32..];
    assert_eq!(statement.opaque_server_public_key.0, key);
}

/// Fails when the last serial is not kept, or not committed before the statement is published: a
/// device would refuse the vault after a restart with the clock set back.
#[tokio::test]
async fn the_serial_grows_with_every_start_whatever_the_clock_says() {
    let mut vault = TestVault::start(without_waits()).await;
    let pin = fingerprint(&vault).await;
    let (first, mut seen) = verified(&vault, None).await;
    let year = 365 * DAY * 1000;
    let earlier = Timestamp::from_millis(START.millis() - year);
    for (time, expected) in [
        (START, first.serial + 1),
        (earlier, first.serial + 2),
        (START.plus_seconds(10), START.millis() + 10_000),
    ] {
        vault.restart(time).await;
        assert_eq!(fingerprint(&vault).await, pin);
        let (statement, now_seen) = verified(&vault, Some(&seen)).await;
        assert_eq!(statement.serial, expected);
        seen = now_seen;
    }
}

#[tokio::test]
async fn the_statement_stays_the_same_for_a_day_and_is_renewed_by_maintenance() {
    let vault = TestVault::start(without_waits()).await;
    let first = signed(&vault).await.statement;
    vault.advance_seconds(DAY - 1);
    vault.maintain().await;
    assert_eq!(signed(&vault).await.statement, first);
    let (_, seen) = verified(&vault, None).await;
    vault.advance_seconds(1);
    vault.maintain().await;
    let (statement, _) = verified(&vault, Some(&seen)).await;
    assert_eq!(
        statement.expires_at,
        vault.now().plus_seconds(LIFETIME_SECONDS)
    );
    assert_eq!(statement.ohttp_keys, vault.key_list().await);
}

/// Fails when keys are kept for ever: a later thief of the keys opens all recorded traffic.
#[tokio::test]
async fn keys_are_replaced_open_messages_during_the_overlap_and_are_then_forgotten() {
    let mut vault = TestVault::start(without_waits()).await;
    let alice = vault.account("alice");
    register(&vault, &alice, RIGHT).await;
    let old = vault.key_list().await;
    vault.advance_seconds(CHANNEL.period_seconds - 1);
    vault.maintain().await;
    assert_eq!(vault.key_list().await, old);
    // The statement was renewed a second ago, and the next one is due a day later.
    vault.advance_seconds(DAY);
    vault.maintain().await;
    let new = vault.key_list().await;
    assert_ne!(new, old);
    assert_ne!(new[2], old[2], "another id");
    for list in [&old, &new] {
        assert_eq!(opens(&vault, &alice, list).await, Ok(()));
    }
    vault.advance_seconds(CHANNEL.overlap_seconds - 1);
    vault.maintain().await;
    vault.restart(vault.now()).await;
    assert_eq!(
        opens(&vault, &alice, &old).await,
        Ok(()),
        "also after a restart"
    );
    vault.advance_seconds(DAY);
    vault.maintain().await;
    assert_eq!(opens(&vault, &alice, &old).await, Err(Problem::OhttpKey));
    assert_eq!(opens(&vault, &alice, &new).await, Ok(()));
    assert_eq!(remaining(&vault, &alice).await, 10);
}
