//! JSON, text, and OPAQUE's messages.

use std::fmt::Display;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use vault_client::trust::Trust;
use vault_client_cli::shown_in;
use vault_protocol::binary::{from_base64url, to_base64url};
use vault_protocol::identity::{Fingerprint, IdentitySigner};
use vault_protocol::labelled::Labelled;
use vault_protocol::messages::{
    Deletion, RegistrationFinish, RegistrationFinished, RegistrationStart, RegistrationStarted,
    Removed, Reset, RetrievalAbandon, RetrievalAbandoned, RetrievalFinish, RetrievalFinished,
    RetrievalStart, RetrievalStarted, Status,
};
use vault_protocol::password::Password;
use vault_protocol::problem::ProblemDetails;
use vault_protocol::statement::SignedStatement;
use vault_protocol::{
    AccountId, BackupKey, KeyId, Policy, Problem, TenantId, Ticket, Timestamp, VaultId, suite,
};
use vault_server::tenants::token::Token;
use zeroize::Zeroizing;

use super::common::NOW;

pub(super) fn requests(json: &[u8]) -> bool {
    let finish = serde_json::from_slice::<RegistrationFinish>(json);
    let _ = finish.map(|finish| finish.digest());
    [
        is_read_again::<RegistrationStart>(json),
        is_read_again::<RegistrationFinish>(json),
        is_read_again::<RetrievalStart>(json),
        is_read_again::<RetrievalFinish>(json),
        is_read_again::<RetrievalAbandon>(json),
        is_read_again::<Deletion>(json),
        is_read_again::<Reset>(json),
        is_read_again::<Policy>(json),
    ]
    .contains(&true)
}

pub(super) fn answers(json: &[u8]) -> bool {
    [
        is_read_again::<RegistrationStarted>(json),
        is_read_again::<RegistrationFinished>(json),
        is_read_again::<RetrievalStarted>(json),
        is_read_again::<RetrievalFinished>(json),
        is_read_again::<RetrievalAbandoned>(json),
        is_read_again::<Removed>(json),
        is_read_again::<Status>(json),
        is_read_again::<Ticket>(json),
    ]
    .contains(&true)
}

pub(super) fn problem(json: &[u8]) -> bool {
    let details = serde_json::from_slice::<ProblemDetails>(json).ok();
    let Some(problem) = details.as_ref().and_then(Problem::from_details) else {
        return false;
    };
    // Whatever else was written beside it: the problem has one form of its own.
    assert_eq!(Problem::from_details(&problem.details()), Some(problem));
    true
}

pub(super) fn text(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let binary = from_base64url(text);
    if let Some(bytes) = &binary {
        assert_eq!(to_base64url(bytes), text, "one spelling");
    }
    let time = Timestamp::from_rfc3339(text);
    if let Some(time) = time {
        assert_eq!(time.to_rfc3339(), text, "one spelling");
    }
    [
        is_one_spelling::<VaultId>(text),
        is_one_spelling::<TenantId>(text),
        is_one_spelling::<AccountId>(text),
        is_spelled_again::<KeyId>(text),
        is_spelled_again::<Fingerprint>(text),
        is_backup_key(text),
        is_token(text),
        is_password(text),
        binary.is_some(),
        time.is_some(),
    ]
    .contains(&true)
}

/// The first byte chooses the message.
pub(super) fn opaque(bytes: &[u8]) -> bool {
    let Some((kind, message)) = bytes.split_first() else {
        return false;
    };
    let written = match kind % 6 {
        0 => exact(message)
            .and_then(|bytes| suite::registration_request(bytes).ok())
            .map(|read| read.serialize().to_vec()),
        1 => exact(message)
            .and_then(|bytes| suite::registration_response(bytes).ok())
            .map(|read| read.serialize().to_vec()),
        2 => exact(message)
            .and_then(|bytes| suite::registration_record(bytes).ok())
            .map(|read| read.serialize().to_vec()),
        3 => exact(message)
            .and_then(|bytes| suite::credential_request(bytes).ok())
            .map(|read| read.serialize().to_vec()),
        4 => exact(message)
            .and_then(|bytes| suite::credential_response(bytes).ok())
            .map(|read| read.serialize().to_vec()),
        _ => exact(message)
            .and_then(|bytes| suite::credential_finalization(bytes).ok())
            .map(|read| read.serialize().to_vec()),
    };
    if let Some(written) = &written {
        assert_eq!(written, message, "one encoding");
    }
    written.is_some()
}

pub(super) fn statement(json: &[u8]) -> bool {
    let mut trust = Trust::new([signer().identity_key().fingerprint()]);
    if trust.accept(json, NOW).is_err() {
        assert!(trust.memory().is_none(), "remembered, but not believed");
        return false;
    }
    let memory = trust.memory().expect("it was believed");
    assert!(trust.accept(json, NOW).is_ok(), "the same once more");
    assert_eq!(trust.memory(), Some(memory));
    true
}

pub(super) fn statement_text(bytes: &[u8]) -> bool {
    let Ok(statement) = String::from_utf8(bytes.to_vec()) else {
        return false;
    };
    // A longer one cannot be signed.
    if u16::try_from(statement.len()).is_err() {
        return false;
    }
    let signed = Labelled::new("backup-key-vault/v1 statement").bytes(statement.as_bytes());
    let signed = SignedStatement {
        signature: signer().sign(&signed),
        identity_key: signer().identity_key(),
        statement,
    };
    self::statement(&serde_json::to_vec(&signed).expect("it has only string keys"))
}

/// People compare it with what is pinned: of a statement that is believed it has to be the signer.
pub(super) fn shown_identity(json: &[u8]) -> bool {
    let shown = shown_in(json).ok();
    let pin = signer().identity_key().fingerprint();
    if Trust::new([pin]).accept(json, NOW).is_ok() {
        assert_eq!(shown, Some(pin), "signed by one, shows another");
    }
    shown.is_some_and(|shown| is_one_spelling::<Fingerprint>(&shown.to_string()))
}

/// The vault's identity of the published vectors.
pub(super) fn signer() -> IdentitySigner {
    const SEED: [u8; 32] = [
        0xb7, 0x5b, 0x87, 0xbe, 0x16, 0x2d, 0xe3, 0xad, 0x47, 0xa9, 0xf1, 0xa1, 0xcd, 0xd5, 0x9a,
        0x8e, 0x46, 0xde, 0x4f, 0xd7, 0xea, 0xda, 0xc2, 0xe1, 0x51, 0xe6, 0x1e, 0x10, 0xb5, 0x77,
        0xf9, 0x5f,
    ];
    IdentitySigner::from_seed(&Zeroizing::new(SEED))
}

pub(super) fn is_read_again<T: Serialize + DeserializeOwned>(json: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice::<T>(json) else {
        return false;
    };
    let write = |value: &T| serde_json::to_vec(value).expect("messages have only string keys");
    let written = write(&value);
    let again = serde_json::from_slice(&written).expect("what was written is read");
    assert_eq!(write(&again), written);
    true
}

fn is_one_spelling<T: FromStr + Display>(text: &str) -> bool {
    let read = text.parse::<T>().ok();
    if let Some(read) = &read {
        assert_eq!(read.to_string(), text);
    }
    read.is_some()
}

/// People write these, with spaces as they like.
fn is_spelled_again<T: FromStr + Display>(text: &str) -> bool {
    let read = text.parse::<T>().ok();
    if let Some(read) = &read {
        let written = read.to_string();
        assert!(is_one_spelling::<T>(&written), "{written}");
    }
    read.is_some()
}

fn is_backup_key(text: &str) -> bool {
    let read = text.parse::<BackupKey>().ok();
    if let Some(key) = &read {
        for digits in [key.digits(), key.grouped_digits()] {
            let again = digits.parse::<BackupKey>().expect("its digits");
            assert!(again.is_same(key));
        }
    }
    read.is_some()
}

fn is_token(text: &str) -> bool {
    let read = text.parse::<Token>().ok();
    if let Some(token) = &read {
        assert_eq!(token.expose_secret().as_str(), text);
    }
    read.is_some()
}

/// On another device the same text must be the same password, also if it was prepared before.
fn is_password(text: &str) -> bool {
    let read = Password::prepare(text).ok();
    if let Some(password) = &read {
        let prepared = password.expose_secret();
        let again = Password::prepare(prepared).expect("a prepared password");
        assert_eq!(again.expose_secret(), prepared);
    }
    read.is_some()
}

fn exact<const N: usize>(bytes: &[u8]) -> Option<&[u8; N]> {
    bytes.try_into().ok()
}
