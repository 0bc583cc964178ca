//! Every endpoint against every kind of body that is not what it must be. Each gets the problem of
//! PROTOCOL.md section 8, with the field at fault where there is one; nothing is charged, changed
//! or destroyed; and the right message is still accepted afterwards.

use serde_json::{Value, json};
use vault_protocol::binary::{from_base64url, to_base64url};
use vault_protocol::messages::{RegistrationFinish, Reset};
use vault_protocol::problem::InvalidRequest;
use vault_protocol::{MAX_BODY_LEN, Problem};
use vault_tests::device::{Device, Guess, InnerMessage, abandon};
use vault_tests::in_process::{Answered, TestVault};

use crate::support::{RIGHT, charge, log_in, prepare_registration, vault_of_alice};

/// RFC 9496, appendix A.3: canonical, and no element.
const NON_SQUARE: &str = "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371";

/// The type of a field.
#[derive(Clone, Copy)]
enum Kind {
    /// Exactly so many bytes.
    Bytes(usize),
    /// The same, or absent, or null.
    OptionalBytes(usize),
    /// 1 to 1024 bytes; what they mean only the vault knows.
    Ticket,
    /// A small integer.
    Integer,
}

use Kind::{Bytes, Integer, OptionalBytes, Ticket};

/// An endpoint with a message that it accepts.
struct Endpoint {
    name: &'static str,
    fields: &'static [(&'static str, Kind)],
    valid: Value,
}

/// A body and the problem it must get.
struct Case {
    what: String,
    body: Vec<u8>,
    expected: Expected,
}

enum Expected {
    /// Exactly this field.
    Field(&'static str),
    /// No field.
    NoField,
    /// The place may be inside a field or between two.
    AnyField,
    TooLarge,
}

/// All endpoints that take a body. Those that destroy come last.
async fn endpoints(vault: &TestVault, device: &Device) -> Vec<Endpoint> {
    let scope = device.scope();
    let prepared = prepare_registration(vault, device, RIGHT).await.message;
    let finish = device.proven(&prepared, 1);
    let abandoned = abandon(&charge(vault, scope).await.retrieval_ticket);
    let login = log_in(vault, scope, RIGHT).await.message;
    vec![
        Endpoint {
            name: "retrieval/start",
            fields: &[("credential_request", Bytes(96))],
            valid: value(&Guess::new(scope, RIGHT).message),
        },
        Endpoint {
            name: "retrieval/abandon",
            fields: &[("retrieval_ticket", Ticket)],
            valid: value(&abandoned),
        },
        Endpoint {
            name: "retrieval/finish",
            fields: &[
                ("retrieval_ticket", Ticket),
                ("credential_finalization", Bytes(64)),
            ],
            valid: value(&login),
        },
        Endpoint {
            name: "registration/start",
            fields: &[("registration_request", Bytes(32))],
            valid: value(&device.register(RIGHT).message),
        },
        Endpoint {
            name: "registration/finish",
            fields: &[
                ("registration_ticket", Bytes(32)),
                ("registration_record", Bytes(192)),
                ("wrapped_key", Bytes(60)),
                ("stretching_profile", Integer),
                ("management_key", Bytes(32)),
                ("replace_proof", OptionalBytes(64)),
            ],
            valid: value::<RegistrationFinish>(&finish),
        },
        Endpoint {
            name: "deletion",
            fields: &[("proof", Bytes(64))],
            valid: value(&device.deletion(2)),
        },
        Endpoint {
            name: "reset",
            fields: &[("generation", Integer)],
            valid: value(&Reset { generation: 2 }),
        },
    ]
}

async fn send(vault: &TestVault, endpoint: &str, body: &[u8]) -> Answered {
    let path = format!("{}/{endpoint}", vault.account("alice").path());
    send_to(vault, &path, body).await
}

/// The reset is for backends, everything else is sealed.
async fn send_to(vault: &TestVault, path: &str, body: &[u8]) -> Answered {
    if path.ends_with("/reset") {
        let token = Some(vault.app.reset_token.as_str());
        return vault.post_outside(path, token, body.to_vec()).await;
    }
    // An empty body has a media type too.
    let inner = InnerMessage::json("POST", path, body).encode();
    vault.sealed(&vault.app, "alice", &inner).await.opened()
}

/// Fails, for example, when unknown fields are ignored, a list of values is taken for an object,
/// opaque-ke's decoders are asked without a length, or a field is not in the list of those a
/// problem may name.
#[tokio::test]
async fn a_body_that_is_not_what_it_must_be_gets_its_problem_and_changes_nothing() {
    let (vault, alice, device) = vault_of_alice().await;
    for endpoint in endpoints(&vault, &device).await {
        let before = serde_json::to_value(vault.status(&alice).await).unwrap();
        for case in cases(&endpoint) {
            let answer = send(&vault, endpoint.name, &case.body).await;
            assert!(
                !answer.status.is_success(),
                "{}: {}",
                endpoint.name,
                case.what
            );
            check(&answer.problem(), &case, endpoint.name);
        }
        let after = serde_json::to_value(vault.status(&alice).await).unwrap();
        assert_eq!(after, before, "{}", endpoint.name);
        let valid = serde_json::to_vec(&endpoint.valid).unwrap();
        let padded = [valid.clone(), vec![b' '; MAX_BODY_LEN - valid.len()]].concat();
        let answer = send(&vault, endpoint.name, &padded).await;
        assert!(
            answer.status.is_success(),
            "{}: {}",
            endpoint.name,
            answer.text()
        );
    }
}

/// Fails when `refuse_percent` is left out of one of the two routers.
#[tokio::test]
async fn a_percent_sign_in_a_path_is_malformed_at_every_endpoint() {
    let (vault, alice, device) = vault_of_alice().await;
    let endpoints = endpoints(&vault, &device).await;
    let before = serde_json::to_value(vault.status(&alice).await).unwrap();
    for endpoint in endpoints {
        let body = serde_json::to_vec(&endpoint.valid).unwrap();
        for account in ["%61lice", "alic%65", "alice%", "alice%2F", "%"] {
            let path = format!("/v1/tenants/app/accounts/{account}/{}", endpoint.name);
            let refused = send_to(&vault, &path, &body).await;
            assert_eq!(refused.problem(), Problem::malformed(), "{path}");
        }
    }
    let after = serde_json::to_value(vault.status(&alice).await).unwrap();
    assert_eq!(after, before);
}

fn check(problem: &Problem, case: &Case, endpoint: &str) {
    let is_expected = match (problem, &case.expected) {
        (Problem::TooLarge, Expected::TooLarge) => true,
        (
            Problem::InvalidRequest {
                kind: InvalidRequest::Malformed,
                field,
            },
            expected,
        ) => match expected {
            Expected::Field(name) => field.as_deref() == Some(name),
            Expected::NoField => field.is_none(),
            Expected::AnyField => true,
            Expected::TooLarge => false,
        },
        _ => false,
    };
    assert!(is_expected, "{endpoint}, {}: {problem:?}", case.what);
}

fn cases(endpoint: &Endpoint) -> Vec<Case> {
    let mut cases = forms(endpoint);
    for &(field, kind) in endpoint.fields {
        cases.extend(presence(endpoint, field, kind));
        for (what, wrong) in wrong_types(kind).into_iter().chain(wrong_values(kind)) {
            let body = with(&endpoint.valid, field, wrong);
            cases.push(case(
                format!("{field}: {what}"),
                body,
                Expected::Field(field),
            ));
        }
        for (what, wrong) in wrong_elements(&endpoint.valid, field) {
            let body = with(&endpoint.valid, field, json!(to_base64url(&wrong)));
            cases.push(case(
                format!("{field}: {what}"),
                body,
                Expected::Field(field),
            ));
        }
    }
    cases
}

/// Bodies that are wrong as a whole.
fn forms(endpoint: &Endpoint) -> Vec<Case> {
    let valid = serde_json::to_vec(&endpoint.valid).unwrap();
    let values: Vec<&Value> = endpoint
        .fields
        .iter()
        .map(|(field, _)| &endpoint.valid[*field])
        .collect();
    let deep = |open: &str, close: &str, depth| [open.repeat(depth), close.repeat(depth)].concat();
    let mut with_unknown = endpoint.valid.clone();
    with_unknown["unknown"] = json!(1);
    let mut with_canary = endpoint.valid.clone();
    with_canary["<script>"] = json!({"a": [1, 2, 3]});
    let mut unknown_and_deep = valid.clone();
    unknown_and_deep.pop();
    unknown_and_deep.extend_from_slice(b",\"a\":");
    unknown_and_deep.extend_from_slice(deep("[", "]", 500).as_bytes());
    unknown_and_deep.push(b'}');
    let whole = [
        ("empty", Vec::new()),
        ("white space", b" \n".to_vec()),
        ("not JSON", b"registration".to_vec()),
        ("not UTF-8", b"{\"\xff\":1}".to_vec()),
        ("zeros", vec![0; 100]),
        ("null", b"null".to_vec()),
        ("a number", b"1".to_vec()),
        ("a text", b"\"{}\"".to_vec()),
        ("an empty list", b"[]".to_vec()),
        (
            "the values without names",
            serde_json::to_vec(&values).unwrap(),
        ),
        ("a list around it", [b"[", valid.as_slice(), b"]"].concat()),
        ("two of it", [valid.as_slice(), &valid].concat()),
        ("something behind it", [valid.as_slice(), b"x"].concat()),
        ("a zero behind it", [valid.as_slice(), &[0]].concat()),
        (
            "a byte order mark",
            ["\u{feff}".as_bytes(), &valid].concat(),
        ),
        (
            "an unknown field",
            serde_json::to_vec(&with_unknown).unwrap(),
        ),
        (
            "an unknown field with markup",
            serde_json::to_vec(&with_canary).unwrap(),
        ),
        ("an unknown deep field", unknown_and_deep),
        ("deep lists", deep("[", "]", 4000).into_bytes()),
        ("deep objects", deep("{\"a\":", "}", 1300).into_bytes()),
        ("lists without end", "[".repeat(MAX_BODY_LEN).into_bytes()),
    ];
    let mut cases: Vec<Case> = whole
        .into_iter()
        .map(|(what, body)| case(what, body, Expected::NoField))
        .collect();
    for length in (1..valid.len()).step_by(valid.len() / 8 + 1) {
        let cut = valid[..length].to_vec();
        cases.push(case(format!("cut to {length}"), cut, Expected::AnyField));
    }
    let longest = MAX_BODY_LEN + 1 - valid.len();
    let too_large = [valid.clone(), vec![b' '; longest]].concat();
    cases.push(case("one byte too large", too_large, Expected::TooLarge));
    cases.push(case(
        "much too large",
        vec![b'['; MAX_BODY_LEN + 3000],
        Expected::TooLarge,
    ));
    cases
}

/// The field missing and twice.
fn presence(endpoint: &Endpoint, field: &'static str, kind: Kind) -> Vec<Case> {
    let mut cases = Vec::new();
    if !matches!(kind, OptionalBytes(_)) {
        let mut without = endpoint.valid.clone();
        without.as_object_mut().unwrap().remove(field);
        let body = serde_json::to_vec(&without).unwrap();
        cases.push(case(
            format!("without {field}"),
            body,
            Expected::Field(field),
        ));
    }
    let valid = serde_json::to_string(&endpoint.valid).unwrap();
    let again = json!({ field: endpoint.valid[field] }).to_string();
    let twice = format!("{},{}", &valid[..valid.len() - 1], &again[1..]);
    cases.push(case(
        format!("{field} twice"),
        twice.into_bytes(),
        Expected::Field(field),
    ));
    cases
}

fn wrong_types(kind: Kind) -> Vec<(&'static str, Value)> {
    let deep = (0..60).fold(json!([]), |inner, _| json!([inner]));
    let mut types = vec![
        ("a truth value", json!(true)),
        ("a list", json!([])),
        ("a list of bytes", json!(vec![1; 32])),
        ("an object", json!({})),
        ("a deep list", deep),
        ("a fraction", json!(1.5)),
    ];
    match kind {
        Integer => types.push(("a text", json!("1"))),
        Bytes(_) | OptionalBytes(_) | Ticket => types.push(("a number", json!(1))),
    }
    if !matches!(kind, OptionalBytes(_)) {
        types.push(("null", Value::Null));
    }
    types
}

fn wrong_values(kind: Kind) -> Vec<(&'static str, Value)> {
    let bytes = |length| json!(to_base64url(&vec![7; length]));
    match kind {
        Bytes(length) | OptionalBytes(length) => {
            let right = to_base64url(&vec![7; length]);
            let mut values = vec![
                ("nothing", json!("")),
                ("one byte too few", bytes(length - 1)),
                ("one byte too many", bytes(length + 1)),
                ("twice as long", bytes(2 * length)),
                ("with padding", json!(format!("{right}="))),
                ("with a space", json!(format!("{right} "))),
                ("another alphabet", json!(right.replacen("Bw", "+/", 1))),
                ("hexadecimal", json!("07".repeat(length))),
                (
                    "a letter beyond ASCII",
                    json!(right.replacen('B', "\u{e9}", 1)),
                ),
            ];
            if length % 3 != 0 {
                let mut loose = right.clone();
                loose.replace_range(right.len() - 1.., "x");
                values.push(("bits behind the last byte", json!(loose)));
            }
            values
        }
        Ticket => vec![
            ("nothing", json!("")),
            ("longer than any", bytes(1025)),
            ("not base64url", json!("a+b/")),
        ],
        Integer => vec![
            ("negative", json!(-1)),
            (
                "beyond 64 bits",
                serde_json::from_str("18446744073709551616").unwrap(),
            ),
            ("2^53", json!(1_u64 << 53)),
            ("one with an exponent", serde_json::from_str("1e0").unwrap()),
        ],
    }
}

/// Encodings that are no element of ristretto255, or the identity, wherever the message has one.
fn wrong_elements(valid: &Value, field: &str) -> Vec<(String, Vec<u8>)> {
    let positions: &[usize] = match field {
        "registration_request" => &[0],
        // The blinded element and the ephemeral key; a nonce is between them.
        "credential_request" => &[0, 64],
        // The client's public key.
        "registration_record" => &[0],
        _ => &[],
    };
    let mut prime = [0xff; 32];
    (prime[0], prime[31]) = (0xed, 0x7f);
    let mut negative = [0; 32];
    negative[0] = 1;
    let mut off_the_curve = [0; 32];
    base16ct::lower::decode(NON_SQUARE, &mut off_the_curve).unwrap();
    let elements = [
        ("the identity", [0; 32]),
        ("the field's prime", prime),
        ("a negative element", negative),
        ("more than 255 bits", [0xff; 32]),
        ("not on the curve", off_the_curve),
    ];
    let right = || from_base64url(valid[field].as_str().unwrap()).unwrap();
    let mut all = Vec::new();
    for &position in positions {
        for (what, element) in elements {
            let mut bytes = right();
            bytes[position..position + 32].copy_from_slice(&element);
            all.push((format!("{what} at {position}"), bytes));
        }
    }
    all
}

fn case(what: impl Into<String>, body: Vec<u8>, expected: Expected) -> Case {
    Case {
        what: what.into(),
        body,
        expected,
    }
}

fn with(valid: &Value, field: &str, wrong: Value) -> Vec<u8> {
    let mut message = valid.clone();
    message[field] = wrong;
    serde_json::to_vec(&message).unwrap()
}

fn value<T: serde::Serialize>(message: &T) -> Value {
    serde_json::to_value(message).unwrap()
}

/// A stretching profile is stored as it comes: the client refuses unknown ones.
#[tokio::test]
async fn the_stretching_profile_has_16_bits_and_is_otherwise_the_devices_business() {
    let (vault, alice, device) = vault_of_alice().await;
    let mut finish = prepare_registration(&vault, &device, RIGHT).await.message;
    let too_large = with(&value(&finish), "stretching_profile", json!(65_536));
    let refused = send(&vault, "registration/finish", &too_large).await;
    assert_eq!(
        refused.problem(),
        Problem::invalid_field("stretching_profile")
    );
    finish.stretching_profile.0 = 65_535;
    let body = value(&device.proven(&finish, 1)).to_string();
    let finished = send(&vault, "registration/finish", body.as_bytes()).await;
    assert_eq!(finished.status.as_u16(), 201);
    let profile = vault.status(&alice).await.stretching_profile;
    assert_eq!(profile.map(|profile| profile.0), Some(65_535));
}
