//! K and what is made of it: digits, key id, management key, wrappings (PROTOCOL.md sections 2, 3
//! and 6).

use serde_json::Value;
use vault_protocol::backup_key::{BackupKey, InvalidDigits, KeyId};
use vault_protocol::binary::Binary;
use vault_protocol::labelled::Labelled;
use vault_protocol::management::{
    ManagementSigner, is_valid_key, verify_deletion, verify_replacement,
};
use vault_protocol::sealing;
use vault_protocol::wrapping::{open_released_key, release_key, unwrap_key, wrap_key};
use zeroize::Zeroizing;

use crate::support::{Script, bytes, hex, list, number, scope, text, to_hex, vectors};

fn key(value: &Value) -> BackupKey {
    BackupKey::from_bytes(&Zeroizing::new(bytes(value)))
}

#[test]
fn malformed_digits_are_refused_for_the_published_reason() {
    for vector in list(&vectors("backup_key.json")["refused"]) {
        let refusal = text(&vector["typed"]).parse::<BackupKey>().unwrap_err();
        let reason = match refusal {
            InvalidDigits::Character => "character",
            InvalidDigits::Length(_) => "length",
        };
        assert_eq!(reason, text(&vector["reason"]), "{}", vector["typed"]);
    }
}

#[test]
fn a_key_has_the_published_digits_and_key_id() {
    let file = vectors("backup_key.json");
    for vector in list(&file["keys"]) {
        let key = key(&vector["key"]);
        assert_eq!(key.digits().as_str(), text(&vector["digits"]));
        assert_eq!(key.grouped_digits().as_str(), text(&vector["grouped"]));
        assert_eq!(key.key_id().to_string(), text(&vector["key_id"]));
        let id: KeyId = text(&vector["key_id"]).parse().unwrap();
        assert_eq!(id, key.key_id());
        let read: BackupKey = text(&vector["grouped"]).parse().unwrap();
        assert!(read.is_same(&key));
    }
    let same = key(&file["read_as"]["key"]);
    for spelling in list(&file["read_as"]["spellings"]) {
        let read: BackupKey = text(spelling).parse().unwrap();
        assert!(read.is_same(&same), "{spelling}");
    }
}

// Made to fail by writing a field's length in little-endian order in `Labelled::bytes`.
#[test]
fn labelled_bytes_are_the_published_ones() {
    for vector in list(&vectors("labelled.json")["vectors"]) {
        let start = Labelled::new(text(&vector["label"]));
        let encoded = list(&vector["fields"]).iter().fold(start, append);
        assert_eq!(to_hex(encoded.as_slice()), text(&vector["encoded"]));
        if let Some(hash) = vector.get("sha256") {
            assert_eq!(to_hex(&encoded.sha256()), text(hash));
        }
        if let Some(hash) = vector.get("sha512") {
            assert_eq!(to_hex(&encoded.sha512()), text(hash));
        }
    }
}

fn append(labelled: Labelled, field: &Value) -> Labelled {
    if let Some(value) = field.get("integer") {
        labelled.integer(number(value))
    } else if let Some(value) = field.get("text") {
        labelled.bytes(text(value).as_bytes())
    } else {
        labelled.bytes(&hex(&field["hex"]))
    }
}

#[test]
fn keys_that_could_not_manage_a_record_are_refused() {
    let file = vectors("management.json");
    for vector in list(&file["refused_keys"]) {
        assert!(!is_valid_key(&bytes(&vector["key"])), "{vector}");
    }
    assert!(is_valid_key(&bytes(&file["management_key"])));
}

// Made to fail by replacing `verify_strict` with `verify` in management.rs: the last signature is
// one that every message has under the identity element.
#[test]
fn proofs_for_anything_else_are_refused() {
    let file = vectors("management.json");
    let (key, scope) = (bytes(&file["management_key"]), scope(&file["scope"]));
    let proof = bytes(&file["deletion"]["proof"]);
    let generation = number(&file["deletion"]["generation"]);
    let mut others = [scope.clone(), scope.clone(), scope.clone()];
    others[0].vault = "another".parse().unwrap();
    others[1].tenant = "another".parse().unwrap();
    others[2].account = "another".parse().unwrap();
    for other in others {
        assert!(!verify_deletion(&key, &other, generation, &proof));
    }
    assert!(!verify_deletion(&key, &scope, generation + 1, &proof));
    let digest = bytes(&file["replacement"]["finish_digest"]);
    assert!(!verify_replacement(
        &key, &scope, generation, &digest, &proof
    ));
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut universal = [0; 64];
    universal[0] = 1;
    assert!(!verify_deletion(&identity, &scope, generation, &universal));
}

#[test]
fn the_management_key_and_its_proofs_are_the_published_ones() {
    let file = vectors("management.json");
    let (backup_key, scope) = (key(&file["key"]), scope(&file["scope"]));
    let seed = sealing::derive_key(backup_key.expose_secret(), "backup-key-vault/v1 manage");
    assert_eq!(to_hex(seed.as_slice()), text(&file["seed"]));
    let signer = ManagementSigner::new(&backup_key);
    let public = signer.management_key().0;
    assert_eq!(to_hex(&public), text(&file["management_key"]));

    let vector = &file["deletion"];
    let generation = number(&vector["generation"]);
    let proof = signer.sign_deletion(&scope, generation).0;
    assert_eq!(to_hex(&proof), text(&vector["proof"]));
    assert!(verify_deletion(&public, &scope, generation, &proof));

    let vector = &file["replacement"];
    let (generation, digest) = (
        number(&vector["generation"]),
        bytes(&vector["finish_digest"]),
    );
    let proof = signer.sign_replacement(&scope, generation, &digest).0;
    assert_eq!(to_hex(&proof), text(&vector["proof"]));
    assert!(verify_replacement(
        &public, &scope, generation, &digest, &proof
    ));
}

#[test]
fn a_key_is_wrapped_to_the_published_bytes_and_back() {
    let file = vectors("wrapping.json");
    let (key, scope, vector) = (key(&file["key"]), scope(&file["scope"]), &file["wrap"]);
    let export_key = hex(&vector["export_key"]);
    let derived = sealing::derive_key(&export_key, "backup-key-vault/v1 wrap");
    assert_eq!(to_hex(derived.as_slice()), text(&vector["derived_key"]));
    let mut rng = Script::new(&[&hex(&vector["nonce"])]);
    let wrapped = wrap_key(&export_key, &scope, &key, &mut rng);
    assert_eq!(to_hex(&wrapped.0), text(&vector["wrapped_key"]));
    let opened = unwrap_key(&export_key, &scope, &wrapped).unwrap();
    assert!(opened.is_same(&key));
    // The associated data of the vector is what was authenticated.
    let data = hex(&vector["associated_data"]);
    let plain = sealing::open(&derived, &data, &wrapped.0).unwrap();
    assert_eq!(plain.as_slice(), key.expose_secret());
}

#[test]
fn a_wrapped_key_is_released_as_the_published_bytes_and_back() {
    let file = vectors("wrapping.json");
    let (scope, vector) = (scope(&file["scope"]), &file["release"]);
    let generation = number(&file["generation"]);
    let session_key = hex(&vector["session_key"]);
    let wrapped = bytes(&file["wrap"]["wrapped_key"]);
    let derived = sealing::derive_key(&session_key, "backup-key-vault/v1 release");
    assert_eq!(to_hex(derived.as_slice()), text(&vector["derived_key"]));
    let mut rng = Script::new(&[&hex(&vector["nonce"])]);
    let released = release_key(&session_key, &scope, generation, &wrapped, &mut rng);
    assert_eq!(to_hex(&released.0), text(&vector["released_key"]));
    let opened = open_released_key(&session_key, &scope, generation, &released).unwrap();
    assert_eq!(opened, Binary(wrapped));
    let data = hex(&vector["associated_data"]);
    let plain = sealing::open(&derived, &data, &released.0).unwrap();
    assert_eq!(plain.as_slice(), wrapped);
}
