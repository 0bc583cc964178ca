//! What a device believes of a vault's statement, and what the seal keeps apart.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "each test file uses its part of the common vault")]
mod common;

use common::{NOW, TestVault};
use proptest::prelude::*;
use vault_client::call::InnerAnswer;
use vault_client::error::{Error, NoAnswer};
use vault_client::flows::StatusQuery;
use vault_client::outer::OuterAnswer;
use vault_client::trust::Trust;
use vault_client::{Fingerprint, VaultId};
use vault_protocol::Binary;
use vault_protocol::identity::IdentityKey;
use vault_protocol::inner_http::{InnerResponse, MAX_SEALED_LEN, encode_response};
use vault_protocol::statement::{LIFETIME_SECONDS, StatementRefused};

fn refusal(trust: &mut Trust, body: &[u8], now: vault_client::Timestamp) -> StatementRefused {
    match trust.accept(body, now) {
        Err(Error::StatementRefused(refused)) => refused,
        other => panic!("{other:?}"),
    }
}

fn foreign_pin() -> Fingerprint {
    IdentityKey(Binary([9; 32])).fingerprint()
}

#[test]
fn a_vault_that_is_not_pinned_is_refused() {
    let vault = TestVault::new();
    for mut trust in [Trust::new([]), Trust::new([foreign_pin()])] {
        assert_eq!(
            refusal(&mut trust, &vault.statement(), NOW),
            StatementRefused::NotPinned
        );
        assert!(trust.memory().is_none());
    }
}

#[test]
fn one_of_several_pins_is_enough() {
    let vault = TestVault::new();
    let own = vault.identity().identity_key().fingerprint();
    let mut trust = Trust::new([foreign_pin(), own]);
    assert!(trust.accept(&vault.statement(), NOW).is_ok());
}

#[test]
fn an_expired_statement_is_refused_and_one_that_expires_meanwhile_is_not_used() {
    let vault = TestVault::new();
    let later = NOW.plus_seconds(LIFETIME_SECONDS);
    assert_eq!(
        refusal(&mut vault.trust(), &vault.statement(), later),
        StatementRefused::Expired
    );
    let verified = vault.verified();
    assert!(verified.is_current(NOW));
    assert!(!verified.is_current(later));
}

// Fails if `accept` passes `None` for what was seen, or does not set it.
#[test]
fn an_older_statement_is_refused_also_after_a_restart() {
    let mut vault = TestVault::new();
    let old = vault.statement();
    vault.serial += 1;
    let mut trust = vault.trust();
    trust.accept(&vault.statement(), NOW).unwrap();
    assert_eq!(refusal(&mut trust, &old, NOW), StatementRefused::Replayed);

    let stored = serde_json::to_string(&trust.memory().unwrap()).unwrap();
    let memory = serde_json::from_str(&stored).unwrap();
    let mut restarted = vault.trust().remembering(memory);
    assert_eq!(
        refusal(&mut restarted, &old, NOW),
        StatementRefused::Replayed
    );
    assert!(restarted.accept(&vault.statement(), NOW).is_ok());
}

#[test]
fn another_vault_than_the_expected_one_is_refused() {
    let vault = TestVault::new();
    let mut other = vault.clone();
    other.scope.vault = VaultId::new("other").unwrap();
    let mut trust = vault.trust().expecting(vault.scope.vault.clone());
    assert_eq!(
        refusal(&mut trust, &other.statement(), NOW),
        StatementRefused::OtherVault
    );
    // Without an expectation the first statement decides.
    let mut trust = vault.trust();
    trust.accept(&vault.statement(), NOW).unwrap();
    assert_eq!(
        refusal(&mut trust, &other.statement(), NOW),
        StatementRefused::OtherVault
    );
}

#[test]
fn what_is_remembered_of_another_vault_is_left_aside() {
    let mut old = TestVault::new();
    old.serial = 1000;
    let mut trust = old.trust();
    trust.accept(&old.statement(), NOW).unwrap();
    let memory = trust.memory().unwrap();

    let mut new = old.clone();
    new.scope.vault = VaultId::new("new").unwrap();
    new.serial = 1;
    let mut moved = new
        .trust()
        .expecting(new.scope.vault.clone())
        .remembering(memory.clone());
    assert!(moved.accept(&new.statement(), NOW).is_ok());
    // Fails if `expecting` keeps what is remembered.
    let mut moved = new
        .trust()
        .remembering(memory.clone())
        .expecting(new.scope.vault.clone());
    assert!(moved.accept(&new.statement(), NOW).is_ok());
    // Of the same vault it is kept.
    let mut same = old
        .trust()
        .remembering(memory)
        .expecting(old.scope.vault.clone());
    old.serial = 1;
    assert_eq!(
        refusal(&mut same, &old.statement(), NOW),
        StatementRefused::Replayed
    );
}

#[test]
fn what_is_no_statement_is_refused() {
    let vault = TestVault::new();
    for body in [&b""[..], b"{}", b"<html>", &[0xff; 100]] {
        assert_eq!(
            refusal(&mut vault.trust(), body, NOW),
            StatementRefused::Malformed
        );
    }
}

/// The vault's side of one sealed exchange, with this answer.
fn answer_sealed(vault: &TestVault, message: &[u8], content: &[u8]) -> Vec<u8> {
    let server = ohttp::Server::new(vault.ohttp_config()).unwrap();
    let (_, response) = server.decapsulate(message).unwrap();
    let inner = encode_response(&InnerResponse {
        status: 200,
        headers: vec![],
        content: content.to_vec(),
    });
    response.encapsulate(&inner).unwrap()
}

fn is_not_sealed(opened: Result<InnerAnswer, NoAnswer>) -> bool {
    matches!(opened, Err(NoAnswer::NotSealed))
}

#[test]
fn a_changed_cut_or_endless_answer_does_not_open() {
    let vault = TestVault::new();
    let call = StatusQuery::new(vault.account()).request();
    let seal = || {
        let (message, key) = vault.verified().seal(&call, NOW).unwrap();
        let answer = answer_sealed(&vault, &message, b"{}");
        (answer, key)
    };
    let (answer, key) = seal();
    assert_eq!(key.open(&answer).unwrap().content, b"{}");
    for index in [0, 16, answer.len() - 1] {
        let (mut answer, key) = seal();
        answer[index] ^= 1;
        assert!(is_not_sealed(key.open(&answer)));
    }
    for length in [0, 1, 16, answer.len() - 1] {
        let (answer, key) = seal();
        assert!(is_not_sealed(key.open(&answer[..length])));
    }
    let (_, key) = seal();
    assert!(matches!(
        key.open(&vec![0; MAX_SEALED_LEN + 1]),
        Err(NoAnswer::TooLarge)
    ));
}

#[test]
fn a_relay_cannot_give_one_request_another_ones_answer() {
    let vault = TestVault::new();
    let verified = vault.verified();
    let call = StatusQuery::new(vault.account()).request();
    let (first, first_key) = verified.seal(&call, NOW).unwrap();
    let (second, second_key) = verified.seal(&call, NOW).unwrap();
    // The same call twice: the seals share nothing.
    assert_ne!(first[..200], second[..200]);
    let (to_first, to_second) = (
        answer_sealed(&vault, &first, b"1"),
        answer_sealed(&vault, &second, b"2"),
    );
    assert!(is_not_sealed(first_key.open(&to_second)));
    assert!(is_not_sealed(second_key.open(&to_first)));
}

// Fails if `seal` does not look at the time: only `VaultClient` would.
#[test]
fn nothing_is_sealed_to_a_statement_that_has_expired() {
    let vault = TestVault::new();
    let verified = vault.verified();
    let call = StatusQuery::new(vault.account()).request();
    let expiry = NOW.plus_seconds(LIFETIME_SECONDS);
    let last = vault_client::Timestamp::from_millis(expiry.millis() - 1);
    assert!(verified.seal(&call, last).is_ok());
    let refused = verified.seal(&call, expiry).err();
    assert!(matches!(
        refused,
        Some(Error::StatementRefused(StatementRefused::Expired))
    ));
}

#[test]
fn all_sealed_requests_have_the_same_length() {
    let vault = TestVault::new();
    let verified = vault.verified();
    let password = common::password("x");
    let registration =
        vault_client::flows::Registration::begin(vault.account(), password, &mut rand::rngs::OsRng);
    let (status, _) = verified
        .seal(&StatusQuery::new(vault.account()).request(), NOW)
        .unwrap();
    let (start, _) = verified.seal(&registration.request(), NOW).unwrap();
    assert_eq!(status.len(), start.len());
}

proptest! {
    #[test]
    fn no_bytes_crash_the_readers(
        status in 100_u16..600,
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        text in "[{}\\[\\]\",:a-z0-9_]{0,200}",
    ) {
        for content in [bytes, text.into_bytes()] {
            let vault = TestVault::new();
            let _ = vault.trust().accept(&content, NOW);
            let (_, key) = vault.verified().seal(&StatusQuery::new(vault.account()).request(), NOW).unwrap();
            prop_assert!(key.open(&content).is_err());
            let answer = InnerAnswer { status, content: content.clone() };
            let _ = StatusQuery::new(vault.account()).answered(&answer);
            let _ = OuterAnswer { status, content }.into_content();
        }
    }
}
