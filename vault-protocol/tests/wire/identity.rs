//! The identity key, its fingerprint, and the statement it signs (PROTOCOL.md section 5).

use vault_protocol::binary::Binary;
use vault_protocol::identity::{Fingerprint, IdentityKey, IdentitySigner};
use vault_protocol::statement::{SignedStatement, Statement};
use vault_protocol::{Timestamp, VaultId};
use zeroize::Zeroizing;

use crate::support::{bytes, hex, list, number, text, to_hex, vectors};

#[test]
fn malformed_fingerprints_are_refused() {
    for spelling in list(&vectors("identity.json")["refused"]) {
        assert!(text(spelling).parse::<Fingerprint>().is_err(), "{spelling}");
    }
}

#[test]
fn a_key_has_the_published_fingerprint() {
    let file = vectors("identity.json");
    let signer = IdentitySigner::from_seed(&Zeroizing::new(bytes(&file["seed"])));
    let key = signer.identity_key();
    assert_eq!(to_hex(&key.0.0), text(&file["identity_key"]));
    for vector in list(&file["more"]).iter().chain([&file]) {
        let key = IdentityKey(Binary(bytes(&vector["identity_key"])));
        let published = text(&vector["fingerprint"]);
        assert_eq!(key.fingerprint().to_string(), published);
        assert_eq!(published.parse(), Ok(key.fingerprint()));
        assert_eq!(
            published.replace(' ', "-").parse(),
            Ok(key.fingerprint()),
            "hyphens are forgiven"
        );
    }
}

fn published() -> (IdentitySigner, Statement) {
    let file = vectors("statement.json");
    let fields = &file["fields"];
    let statement = Statement {
        vault_id: VaultId::new(text(&fields["vault_id"])).expect("a vault id"),
        protocol: number(&fields["protocol"]),
        serial: number(&fields["serial"]),
        expires_at: Timestamp::from_rfc3339(text(&fields["expires_at"])).expect("a time"),
        ohttp_keys: hex(&fields["ohttp_keys"]),
        opaque_server_public_key: Binary(bytes(&fields["opaque_server_public_key"])),
    };
    let seed = Zeroizing::new(bytes(&file["identity_seed"]));
    (IdentitySigner::from_seed(&seed), statement)
}

#[test]
fn a_statement_is_signed_to_the_published_bytes() {
    let file = vectors("statement.json");
    let (signer, statement) = published();
    let signed = statement.sign(&signer);
    assert_eq!(signed.statement, text(&file["text"]));
    assert_eq!(to_hex(&signed.signature.0), text(&file["signature"]));
    assert_eq!(
        serde_json::to_string(&signed).unwrap(),
        text(&file["json"]),
        "the answer of GET /v1/vault"
    );
}

#[test]
fn the_published_statement_is_read_and_verified() {
    let file = vectors("statement.json");
    let (signer, expected) = published();
    let signed: SignedStatement = serde_json::from_str(text(&file["json"])).unwrap();
    let pins = [signer.identity_key().fingerprint()];
    let now = Timestamp::from_millis(number(&file["now_milliseconds"]));
    let (statement, seen) = signed
        .verify(&pins, Some(&expected.vault_id), None, now)
        .unwrap();
    assert_eq!(statement.vault_id, expected.vault_id);
    assert_eq!(statement.serial, expected.serial);
    assert_eq!(statement.expires_at, expected.expires_at);
    assert_eq!(statement.ohttp_keys, expected.ohttp_keys);
    assert_eq!(
        statement.opaque_server_public_key,
        expected.opaque_server_public_key
    );
    assert_eq!(seen.serial, expected.serial);
    assert_eq!(to_hex(&seen.digest.0), text(&file["digest"]));
}

#[test]
fn unknown_fields_of_a_statement_are_ignored() {
    let (signer, expected) = published();
    let text = expected
        .sign(&signer)
        .statement
        .replacen('{', r#"{"later":[{}],"#, 1);
    let statement: Statement = serde_json::from_str(&text).unwrap();
    assert_eq!(statement.serial, expected.serial);
    let answer = vectors("statement.json")["json"]
        .as_str()
        .map(|json| json.replacen('{', r#"{"later":null,"#, 1));
    assert!(serde_json::from_str::<SignedStatement>(&answer.unwrap()).is_ok());
}
