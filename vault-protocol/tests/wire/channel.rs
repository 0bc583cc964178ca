//! The sealed channel: key configurations and inner messages (PROTOCOL.md section 5).

use ohttp::KeyConfig;
use serde_json::Value;
use vault_protocol::inner_http::{
    InnerRequest, InnerResponse, decode_request, decode_response, encode_request, encode_response,
};
use vault_protocol::ohttp_keys::{KeyKind, derive_key_config, select};
use zeroize::Zeroizing;

use crate::support::{bytes, hex, list, number, text, to_hex, vectors};

fn config(vector: &Value) -> KeyConfig {
    let id = u8::try_from(number(&vector["id"])).expect("one byte");
    let kind = match text(&vector["kem"]) {
        "x-wing" => KeyKind::XWing,
        "x25519" => KeyKind::X25519,
        other => panic!("{other} is no key encapsulation of ours"),
    };
    derive_key_config(id, kind, &Zeroizing::new(bytes(&vector["seed"])))
}

#[test]
fn lists_without_a_usable_key_are_refused() {
    for vector in list(&vectors("ohttp_keys.json")["refused"]) {
        assert!(
            select(&hex(&vector["list"])).is_err(),
            "{}",
            vector["about"]
        );
    }
}

#[test]
fn a_seed_gives_the_published_configuration() {
    let file = vectors("ohttp_keys.json");
    let mut configs = Vec::new();
    for vector in list(&file["configurations"]) {
        let config = config(vector);
        let encoded = config.encode().unwrap();
        assert_eq!(to_hex(&encoded), text(&vector["configuration"]));
        configs.push(config);
    }
    let encoded = KeyConfig::encode_list(&configs).unwrap();
    assert_eq!(to_hex(&encoded), text(&file["list"]));
}

// A sealed request begins with the key id and the key encapsulation, two bytes.
#[test]
fn the_published_configuration_is_chosen_from_a_list() {
    for vector in list(&vectors("ohttp_keys.json")["chosen"]) {
        let request = select(&hex(&vector["list"])).unwrap();
        let (sealed, _) = request.encapsulate(b"x").unwrap();
        let kem = u64::from(u16::from_be_bytes([sealed[1], sealed[2]]));
        let chosen = (u64::from(sealed[0]), kem);
        let published = (number(&vector["id"]), number(&vector["kem"]));
        assert_eq!(chosen, published, "{}", vector["about"]);
    }
}

/// What is sealed: the vector's bytes and its padding.
fn padded(vector: &Value) -> Vec<u8> {
    let mut bytes = hex(&vector["bytes"]);
    let length = usize::try_from(number(&vector["padded_length"])).expect("a length");
    assert!(length >= bytes.len() && length.is_multiple_of(2048));
    bytes.resize(length, 0);
    bytes
}

// Made to fail by dropping the check of the padding, or of the trailer, in inner_http.rs.
#[test]
fn malformed_inner_requests_are_refused() {
    for vector in list(&vectors("inner_messages.json")["refused_requests"]) {
        let decoded = decode_request(&hex(&vector["bytes"]));
        assert!(decoded.is_err(), "{}", vector["about"]);
    }
}

#[test]
fn inner_requests_are_the_published_bytes_both_ways() {
    for vector in list(&vectors("inner_messages.json")["requests"]) {
        let (method, path) = (text(&vector["method"]), text(&vector["path"]));
        let content = text(&vector["content"]);
        let encoded = encode_request(method, path, content.as_bytes());
        assert_eq!(to_hex(&encoded), to_hex(&padded(vector)));
        let request = decode_request(&encoded).unwrap();
        check_request(&request, vector);
        let types = request.headers.iter().map(|(name, value)| {
            assert_eq!(name, b"content-type");
            value.as_slice()
        });
        let expected = (!content.is_empty()).then_some(b"application/json".as_slice());
        assert!(types.eq(expected));
    }
}

#[test]
fn other_spellings_of_an_inner_request_are_read() {
    for vector in list(&vectors("inner_messages.json")["accepted_requests"]) {
        let request = decode_request(&hex(&vector["bytes"])).unwrap();
        check_request(&request, vector);
    }
}

fn check_request(request: &InnerRequest, vector: &Value) {
    assert_eq!(request.method, text(&vector["method"]).as_bytes());
    assert_eq!(request.path, text(&vector["path"]).as_bytes());
    assert_eq!(request.content, text(&vector["content"]).as_bytes());
}

#[test]
fn inner_answers_are_the_published_bytes_both_ways() {
    for vector in list(&vectors("inner_messages.json")["answers"]) {
        let header = |field: &Value| {
            let (name, value) = (text(&field[0]), text(&field[1]));
            (name.as_bytes().to_vec(), value.as_bytes().to_vec())
        };
        let response = InnerResponse {
            status: u16::try_from(number(&vector["status"])).unwrap(),
            headers: list(&vector["headers"]).iter().map(header).collect(),
            content: text(&vector["content"]).as_bytes().to_vec(),
        };
        let encoded = encode_response(&response);
        assert_eq!(to_hex(&encoded), to_hex(&padded(vector)));
        let decoded = decode_response(&encoded).unwrap();
        assert_eq!(decoded.status, response.status);
        assert_eq!(decoded.headers, response.headers);
        assert_eq!(decoded.content, response.content);
    }
}
