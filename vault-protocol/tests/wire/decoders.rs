//! No bytes from outside crash a decoder, and none lets a bad group element through.
//!
//! Random bytes alone stop at the first check, so most cases start from a published vector and
//! damage it.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use vault_protocol::binary::{Binary, from_base64url, to_base64url};
use vault_protocol::identity::{Fingerprint, IdentityKey};
use vault_protocol::inner_http::{decode_request, decode_response};
use vault_protocol::labelled::Labelled;
use vault_protocol::messages::{
    Deletion, RegistrationFinish, RegistrationFinished, RegistrationStart, RegistrationStarted,
    Removed, Reset, RetrievalAbandon, RetrievalAbandoned, RetrievalFinish, RetrievalFinished,
    RetrievalStart, RetrievalStarted, Status,
};
use vault_protocol::password::Password;
use vault_protocol::problem::{Problem, ProblemDetails};
use vault_protocol::statement::{SeenStatement, SignedStatement, Statement};
use vault_protocol::suite::{
    KE1_LEN, KE2_LEN, KE3_LEN, Malformed, REGISTRATION_RECORD_LEN, REGISTRATION_REQUEST_LEN,
    REGISTRATION_RESPONSE_LEN,
};
use vault_protocol::wrapping::{open_released_key, unwrap_key};
use vault_protocol::{
    AccountId, BackupKey, KeyId, Policy, StretchingProfile, TenantId, Ticket, Timestamp, VaultId,
};
use vault_protocol::{management, ohttp_keys, sealing, suite};

use crate::support::{bytes, hex, list, scope, text, vectors};

/// One change to some bytes: replaced, inserted, removed, cut, or a part repeated.
#[derive(Clone, Debug)]
enum Damage {
    Replace(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index),
    Cut(Index),
    Repeat(Index, Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Replace(at, byte)),
        (any::<Index>(), vec(any::<u8>(), 1..9)).prop_map(|(at, new)| Damage::Insert(at, new)),
        any::<Index>().prop_map(Damage::Remove),
        any::<Index>().prop_map(Damage::Cut),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Damage::Repeat(from, to)),
    ]
}

fn apply(mut bytes: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        let end = bytes.len();
        match damage {
            Damage::Insert(at, new) => {
                let at = at.index(end + 1);
                bytes.splice(at..at, new.iter().copied());
            }
            _ if end == 0 => {}
            Damage::Replace(at, byte) => bytes[at.index(end)] = *byte,
            Damage::Remove(at) => drop(bytes.remove(at.index(end))),
            Damage::Cut(at) => bytes.truncate(at.index(end)),
            Damage::Repeat(from, to) => {
                let (from, to) = (from.index(end), to.index(end));
                bytes.extend_from_within(from.min(to)..from.max(to));
            }
        }
    }
    bytes
}

/// One of these, with up to three changes.
fn damaged(originals: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (select(originals), vec(damage(), 0..4)).prop_map(|(bytes, damages)| apply(bytes, &damages))
}

/// Every JSON text of the published vectors.
fn published_json() -> Vec<Vec<u8>> {
    let mut texts = Vec::new();
    for (file, part) in [
        ("messages.json", "messages"),
        ("messages.json", "refused"),
        ("problems.json", "problems"),
        ("policy.json", "accepted"),
    ] {
        let vectors = vectors(file);
        let json = list(&vectors[part]).iter().map(|v| text(&v["json"]));
        texts.extend(json.map(|json| json.as_bytes().to_vec()));
    }
    let statement = vectors("statement.json");
    for part in ["json", "text"] {
        texts.push(text(&statement[part]).as_bytes().to_vec());
    }
    texts
}

/// Times, digits, fingerprints, names and passwords.
fn published_text() -> Vec<Vec<u8>> {
    let (times, keys) = (vectors("times.json"), vectors("backup_key.json"));
    let (identity, names) = (vectors("identity.json"), vectors("names.json"));
    let passwords = vectors("password.json");
    let values = [
        &times["written"][5]["text"],
        &keys["keys"][1]["grouped"],
        &keys["keys"][1]["key_id"],
        &identity["fingerprint"],
        &names["scope"]["vault"],
        &names["scope"]["tenant"],
        &names["scope"]["account"],
        &passwords["prepared"][1]["typed"],
        &passwords["prepared"][12]["typed"],
    ];
    let texts = values.map(|value| text(value).as_bytes().to_vec());
    texts.to_vec()
}

fn published_bytes(file: &str, parts: &[&str], name: &str) -> Vec<Vec<u8>> {
    let vectors = vectors(file);
    let values = parts.iter().flat_map(|part| list(&vectors[*part]));
    values.map(|value| hex(&value[name])).collect()
}

/// Every decoder of JSON; whatever comes out is looked at as far as its receiver would.
fn decode_json(json: &[u8]) {
    let _ = serde_json::from_slice::<RegistrationStart>(json);
    let _ = serde_json::from_slice::<RegistrationStarted>(json);
    let _ = serde_json::from_slice::<RegistrationFinish>(json).map(|finish| finish.digest());
    let _ = serde_json::from_slice::<RegistrationFinished>(json);
    let _ = serde_json::from_slice::<RetrievalStart>(json);
    let _ = serde_json::from_slice::<RetrievalStarted>(json);
    let _ = serde_json::from_slice::<RetrievalFinish>(json);
    let _ = serde_json::from_slice::<RetrievalFinished>(json);
    let _ = serde_json::from_slice::<RetrievalAbandon>(json);
    let _ = serde_json::from_slice::<RetrievalAbandoned>(json);
    let _ = serde_json::from_slice::<Deletion>(json);
    let _ = serde_json::from_slice::<Reset>(json);
    let _ = serde_json::from_slice::<Removed>(json);
    let _ = serde_json::from_slice::<Status>(json);
    let _ = serde_json::from_slice::<Policy>(json).map(|policy| policy.wait_after(u64::MAX));
    let _ = serde_json::from_slice::<Ticket>(json);
    let _ = serde_json::from_slice::<Timestamp>(json).map(Timestamp::to_rfc3339);
    let _ = serde_json::from_slice::<StretchingProfile>(json).map(StretchingProfile::function);
    let _ = serde_json::from_slice::<ProblemDetails>(json)
        .map(|details| Problem::from_details(&details).map(|problem| problem.details()));
    let _ = serde_json::from_slice::<SeenStatement>(json);
    let _ = serde_json::from_slice::<Statement>(json);
    let _ = serde_json::from_slice::<SignedStatement>(json).map(|signed| {
        let pins = [signed.identity_key.fingerprint()];
        let _ = signed.verify(&pins, None, None, Timestamp::from_millis(1_800_000_000_000));
    });
}

/// Every decoder of text that people or other programs write.
fn decode_text(text: &str) {
    let _ = text.parse::<BackupKey>();
    let _ = text.parse::<KeyId>();
    let _ = text.parse::<Fingerprint>();
    let _ = text.parse::<VaultId>();
    let _ = text.parse::<TenantId>();
    let _ = text.parse::<AccountId>();
    let _ = Timestamp::from_rfc3339(text).map(Timestamp::to_rfc3339);
    let _ = from_base64url(text);
    let _ = Password::prepare(text);
}

/// The first `N` bytes, with zeros behind them if there are fewer.
fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut exact = [0; N];
    let length = bytes.len().min(N);
    exact[..length].copy_from_slice(&bytes[..length]);
    exact
}

/// Every decoder of OPAQUE messages, sealed values, keys and signatures.
fn decode_binary(bytes: &[u8]) {
    let _ = suite::registration_request(&first(bytes));
    let _ = suite::registration_response(&first(bytes));
    let _ = suite::registration_record(&first(bytes));
    let _ = suite::credential_request(&first(bytes));
    let _ = suite::credential_response(&first(bytes));
    let _ = suite::credential_finalization(&first(bytes));
    let scope = scope(&vectors("names.json")["scope"]);
    let _ = sealing::open(&first(bytes), b"", bytes);
    let _ = unwrap_key(bytes, &scope, &Binary(first(bytes)));
    let _ = open_released_key(bytes, &scope, 1, &Binary(first(bytes)));
    let _ = management::is_valid_key(&first(bytes));
    let _ = management::verify_deletion(&first(bytes), &scope, 1, &first(bytes));
    let key = IdentityKey(Binary(first(bytes)));
    let _ = key.verify(&Labelled::new("label"), &Binary(first(bytes)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_bytes_crash_the_decoders_of_json(json in damaged(published_json())) {
        decode_json(&json);
    }

    #[test]
    fn no_random_bytes_crash_any_decoder(bytes in vec(any::<u8>(), 0..400)) {
        decode_json(&bytes);
        decode_binary(&bytes);
        let _ = decode_request(&bytes);
        let _ = decode_response(&bytes);
        let _ = ohttp_keys::select(&bytes);
    }

    #[test]
    fn no_text_crashes_the_decoders_of_text(text in any::<String>()) {
        decode_text(&text);
        decode_json(&serde_json::to_vec(&text).unwrap());
    }

    #[test]
    fn no_damaged_text_crashes_the_decoders_of_text(bytes in damaged(published_text())) {
        decode_text(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_bytes_crash_the_decoders_of_opaque_messages(
        bytes in damaged(opaque_messages().into_iter().map(|(_, bytes, _)| bytes).collect()),
    ) {
        decode_binary(&bytes);
    }

    #[test]
    fn no_bytes_crash_the_decoders_of_inner_messages(
        bytes in damaged(published_bytes(
            "inner_messages.json",
            &["requests", "answers", "accepted_requests", "refused_requests"],
            "bytes",
        )),
    ) {
        let _ = decode_request(&bytes);
        let _ = decode_response(&bytes);
    }

    // What is chosen is used: a key that is no key must be an error, not a crash.
    #[test]
    fn no_bytes_crash_the_choice_of_a_key(
        list in damaged(published_bytes("ohttp_keys.json", &["chosen", "refused"], "list")),
    ) {
        if let Ok(request) = ohttp_keys::select(&list) {
            let _ = request.encapsulate(b"x");
        }
    }

    #[test]
    fn base64url_has_one_spelling(bytes in vec(any::<u8>(), 0..100), damages in vec(damage(), 0..3)) {
        let written = to_base64url(&bytes);
        prop_assert_eq!(from_base64url(&written), Some(bytes));
        let other = apply(written.into_bytes(), &damages);
        if let Some(read) = std::str::from_utf8(&other).ok().and_then(from_base64url) {
            prop_assert_eq!(to_base64url(&read).into_bytes(), other);
        }
    }

    #[test]
    fn a_sealed_value_opens_only_unchanged(damages in vec(damage(), 1..4)) {
        let vector = &vectors("wrapping.json")["wrap"];
        let sealed = hex(&vector["wrapped_key"]);
        let (key, data) = (bytes(&vector["derived_key"]), hex(&vector["associated_data"]));
        let changed = apply(sealed.clone(), &damages);
        let opens = sealing::open(&key, &data, &changed).is_ok();
        prop_assert_eq!(opens, changed == sealed);
    }
}

type Decoder = fn(&[u8]) -> Result<(), Malformed>;

/// The published OPAQUE messages, where their group elements stand, and their decoders.
fn opaque_messages() -> Vec<(Vec<usize>, Vec<u8>, Decoder)> {
    let file = vectors("opaque.json");
    let message = |name: &str| hex(&file["outputs"][name]);
    vec![
        (vec![0], message("registration_request"), |bytes| {
            suite::registration_request(exact::<REGISTRATION_REQUEST_LEN>(bytes)).map(|_| ())
        }),
        (vec![0, 32], message("registration_response"), |bytes| {
            suite::registration_response(exact::<REGISTRATION_RESPONSE_LEN>(bytes)).map(|_| ())
        }),
        // Behind the client's public key: masking key and envelope.
        (vec![0], message("registration_upload"), |bytes| {
            suite::registration_record(exact::<REGISTRATION_RECORD_LEN>(bytes)).map(|_| ())
        }),
        // Blinded element, nonce, key share.
        (vec![0, 64], message("KE1"), |bytes| {
            suite::credential_request(exact::<KE1_LEN>(bytes)).map(|_| ())
        }),
        // Evaluated element, masking nonce, masked response (128), nonce, key share, MAC.
        (vec![0, 224], message("KE2"), |bytes| {
            suite::credential_response(exact::<KE2_LEN>(bytes)).map(|_| ())
        }),
        // A MAC: any 64 bytes are one.
        (vec![], message("KE3"), |bytes| {
            suite::credential_finalization(exact::<KE3_LEN>(bytes)).map(|_| ())
        }),
    ]
}

/// The suite's decoders take arrays, so bytes of another length do not even reach them
/// (opaque-ke's own accept trailing bytes).
fn exact<const N: usize>(bytes: &[u8]) -> &[u8; N] {
    bytes.try_into().expect("a published message")
}

// RFC 9496, appendix A.2, and the identity, under which a blinded password or a key share would be
// the same for everybody. It is opaque-ke that refuses them: this notices a version that does not.
#[test]
fn non_canonical_and_identity_group_elements_are_refused_wherever_they_stand() {
    let file = vectors("ristretto255_refused.json");
    let bad = list(&file["refused"]);
    assert_eq!(bad.len(), 30);
    for (places, message, decode) in opaque_messages() {
        for place in places {
            let with = |encoding: &[u8]| {
                let mut changed = message.clone();
                changed[place..place + 32].copy_from_slice(encoding);
                decode(&changed)
            };
            // The control: an element there is taken, so the place is right.
            assert_eq!(with(&GENERATOR), Ok(()));
            for vector in bad {
                let decoded = with(&hex(&vector["encoding"]));
                let length = message.len();
                assert_eq!(decoded, Err(Malformed), "{length} bytes, {place}: {vector}");
            }
        }
    }
}

/// RFC 9496, appendix A.1.
const GENERATOR: [u8; 32] = [
    0xe2, 0xf2, 0xae, 0x0a, 0x6a, 0xbc, 0x4e, 0x71, 0xa8, 0x84, 0xa9, 0x61, 0xc5, 0x00, 0x51, 0x5f,
    0x58, 0xe3, 0x0b, 0x6a, 0xa5, 0x82, 0xdd, 0x8d, 0xb6, 0xa6, 0x59, 0x45, 0xe0, 0x8d, 0x2d, 0x76,
];
