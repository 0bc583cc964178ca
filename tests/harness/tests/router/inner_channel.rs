//! What the sealed channel carries: which inner messages are taken for requests (PROTOCOL.md
//! sections 2 and 5).

use http::StatusCode;
use vault_protocol::Problem;
use vault_protocol::inner_http::{InnerResponse, encode_response};
use vault_protocol::problem::InvalidRequest;
use vault_tests::device::{Guess, InnerMessage, Padding};
use vault_tests::in_process::{Answered, TestVault};

use crate::support::{RIGHT, remaining, vault_of_alice};

/// The inner answer to an inner message; outside it is always 200.
async fn sent(vault: &TestVault, inner: &[u8]) -> Answered {
    vault.sealed(&vault.app, "alice", inner).await.opened()
}

fn invalid(kind: InvalidRequest) -> Problem {
    Problem::InvalidRequest { kind, field: None }
}

/// Fails when the inner headers are not looked at: a device that sends a token gets used to
/// having one.
#[tokio::test]
async fn credentials_inside_are_refused() {
    let (vault, alice, _) = vault_of_alice().await;
    let bearer = format!("Bearer {}", vault.app.use_token);
    let headers = [
        ("authorization", bearer.as_str()),
        ("Authorization", ""),
        ("cookie", "a=b"),
        ("proxy-authorization", "Basic eA"),
        ("vault-account", "alice"),
        ("VAULT-ACCOUNT", "bob"),
    ];
    for (name, value) in headers {
        let message = InnerMessage::request("GET", &alice.path()).header(name, value);
        let refused = sent(&vault, &message.encode()).await;
        assert_eq!(refused.problem(), Problem::malformed(), "{name}");
    }
    let trailer = InnerMessage::request("GET", &alice.path()).trailer("authorization", &bearer);
    let refused = sent(&vault, &trailer.encode()).await;
    assert_eq!(refused.problem(), Problem::malformed());
}

/// Fails when one of the spellings is brought into the form of another one before it is compared.
#[tokio::test]
async fn a_path_has_one_spelling() {
    let (vault, alice, _) = vault_of_alice().await;
    let path = alice.path();
    let malformed = [
        path.replace("alice", "%61lice"),
        path.replace("/accounts", "%2Faccounts"),
        format!("{path}%00"),
        format!("{path}?"),
        format!("{path}?a=b"),
        format!("{path}#"),
        format!("{path}#fragment"),
        format!("https://vault{path}"),
        path[1..].to_owned(),
        String::new(),
        "*".to_owned(),
        format!("{path} "),
    ];
    for path in malformed {
        let message = InnerMessage::request("GET", &path);
        let refused = sent(&vault, &message.encode()).await;
        assert_eq!(refused.problem(), Problem::malformed(), "{path}");
    }
    let unknown = [
        format!("{path}/"),
        format!("/{path}"),
        path.replace("/accounts/", "//accounts/"),
        path.replace("/v1/", "/V1/"),
        path.replace("/accounts/", "/accounts/../accounts/"),
    ];
    for path in unknown {
        let message = InnerMessage::request("GET", &path);
        let refused = sent(&vault, &message.encode()).await;
        assert_eq!(refused.problem(), invalid(InvalidRequest::Route), "{path}");
    }
    for name in ["alice.", "alic", "Alice", ".", "alic\u{e9}"] {
        let path = path.replace("alice", name);
        let message = InnerMessage::request("GET", &path);
        let refused = sent(&vault, &message.encode()).await.problem();
        let field = Problem::invalid_field("account");
        assert!(
            refused == Problem::AccountMismatch || refused == field,
            "{path}"
        );
    }
}

#[tokio::test]
async fn routes_of_the_outside_are_unknown_inside() {
    let (vault, alice, _) = vault_of_alice().await;
    let reset = format!("{}/reset", alice.path());
    let nothing = format!("{}/retrieval", alice.path());
    let paths = [
        "/",
        "/v1/vault",
        "/v1/ohttp-keys",
        "/v1/ohttp",
        "/healthz",
        "/readyz",
    ];
    for path in paths.into_iter().chain([reset.as_str(), nothing.as_str()]) {
        let message = InnerMessage::request("GET", path);
        let refused = sent(&vault, &message.encode()).await;
        assert_eq!(refused.problem(), invalid(InvalidRequest::Route), "{path}");
    }
}

#[tokio::test]
async fn other_methods_are_refused() {
    let (vault, alice, _) = vault_of_alice().await;
    let endpoints = [
        "registration/start",
        "registration/finish",
        "retrieval/start",
        "retrieval/finish",
        "retrieval/abandon",
        "deletion",
    ];
    let posts = endpoints.map(|endpoint| format!("{}/{endpoint}", alice.path()));
    let tried = |method, path: &str| InnerMessage::request(method, path).encode();
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "post", "X"] {
        for path in &posts {
            let refused = sent(&vault, &tried(method, path)).await;
            assert_eq!(
                refused.problem(),
                invalid(InvalidRequest::Method),
                "{method}"
            );
        }
    }
    for method in ["POST", "PUT", "DELETE", "get"] {
        let refused = sent(&vault, &tried(method, &alice.path())).await;
        assert_eq!(
            refused.problem(),
            invalid(InvalidRequest::Method),
            "{method}"
        );
    }
    for method in ["", "GE T", "G\u{e9}T"] {
        let refused = sent(&vault, &tried(method, &alice.path())).await;
        assert_eq!(refused.problem(), Problem::malformed(), "{method}");
    }
}

#[tokio::test]
async fn other_media_types_are_refused() {
    let (vault, alice, _) = vault_of_alice().await;
    let body = serde_json::to_vec(&Guess::new(&alice, RIGHT).message).unwrap();
    let path = format!("{}/retrieval/start", alice.path());
    let without = InnerMessage::request("POST", &path).body(&body);
    let refused = sent(&vault, &without.encode()).await;
    assert_eq!(refused.problem(), invalid(InvalidRequest::MediaType));
    for media_type in ["text/plain", "application/jsonx", "application/cbor", ""] {
        let message = InnerMessage::request("POST", &path)
            .header("content-type", media_type)
            .body(&body);
        let refused = sent(&vault, &message.encode()).await;
        assert_eq!(
            refused.problem(),
            invalid(InvalidRequest::MediaType),
            "{media_type}"
        );
    }
    let twice = InnerMessage::json("POST", &path, &body).header("content-type", "text/plain");
    let refused = sent(&vault, &twice.encode()).await;
    assert_eq!(refused.problem(), invalid(InvalidRequest::MediaType));
    assert_eq!(remaining(&vault, &alice).await, 10);
    let with_parameter = InnerMessage::request("POST", &path)
        .header("Content-Type", "Application/JSON; charset=utf-8")
        .body(&body);
    assert_eq!(
        sent(&vault, &with_parameter.encode()).await.status,
        StatusCode::OK
    );
}

/// Fails when the bytes behind the message are not looked at.
#[tokio::test]
async fn padding_that_is_not_zero_is_refused() {
    let (vault, alice, _) = vault_of_alice().await;
    let message = InnerMessage::request("GET", &alice.path()).padding(Padding::NotZero);
    let refused = sent(&vault, &message.encode()).await;
    assert_eq!(refused.problem(), Problem::malformed());
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let (vault, alice, _) = vault_of_alice().await;
    let answer = encode_response(&InnerResponse {
        status: 200,
        headers: Vec::new(),
        content: Vec::new(),
    });
    let request = InnerMessage::request("GET", &alice.path()).padding(Padding::None);
    let request = request.encode();
    let http = format!("GET {} HTTP/1.1\r\n\r\n", alice.path());
    let mut messages = vec![
        ("an answer", answer),
        ("text", http.into_bytes()),
        ("nothing", Vec::new()),
        ("zeros", vec![0; 64]),
        ("ones", vec![0xff; 64]),
        ("informational", vec![1; 64]),
    ];
    // RFC 9292 lets a message end after a complete part, so not every length is a truncation.
    for length in [1, 2, 5, 10, 20, 30] {
        messages.push(("cut off", request[..length].to_vec()));
    }
    for (what, inner) in messages {
        let refused = sent(&vault, &inner).await;
        assert_eq!(refused.problem(), Problem::malformed(), "{what}");
    }
}

#[tokio::test]
async fn unpadded_messages_and_other_authorities_are_accepted() {
    let (vault, alice, _) = vault_of_alice().await;
    for padding in [Padding::None, Padding::Zeros] {
        let message = InnerMessage::request("GET", &alice.path()).padding(padding);
        assert_eq!(sent(&vault, &message.encode()).await.status, StatusCode::OK);
    }
}

/// Registration and retrieval are only served inside (PROTOCOL.md section 5).
#[tokio::test]
async fn routes_of_the_inside_are_unknown_outside() {
    let (vault, alice, _) = vault_of_alice().await;
    let body = serde_json::to_vec(&Guess::new(&alice, RIGHT).message).unwrap();
    for endpoint in ["registration/start", "retrieval/start", "deletion"] {
        let path = format!("{}/{endpoint}", alice.path());
        let token = Some(vault.app.use_token.as_str());
        let refused = vault.post_outside(&path, token, body.clone()).await;
        assert_eq!(refused.problem(), invalid(InvalidRequest::Route));
    }
    assert_eq!(remaining(&vault, &alice).await, 10);
}
