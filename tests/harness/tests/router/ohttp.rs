//! `POST /v1/ohttp` from outside: what a relay is told, in which order, and that it learns nothing
//! once the message could be opened (PROTOCOL.md section 5).

use axum::body::Body;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use ohttp::ClientResponse;
use vault_protocol::inner_http::{MAX_SEALED_LEN, decode_response};
use vault_protocol::problem::InvalidRequest;
use vault_protocol::{Policy, Problem};
use vault_tests::device::{Guess, InnerMessage, abandon, false_finish, seal};
use vault_tests::in_process::{Answered, TestVault, outer_request, relayed};

use crate::support::{
    RIGHT, WRONG, charge, log_in, policy, prepare_registration, register, remaining,
    vault_of_alice, without_waits,
};

fn other_media_type() -> Problem {
    invalid(InvalidRequest::MediaType)
}

fn invalid(kind: InvalidRequest) -> Problem {
    Problem::InvalidRequest { kind, field: None }
}

/// A sealed request for alice's status.
async fn sealed_status(vault: &TestVault) -> Vec<u8> {
    let path = vault.account("alice").path();
    let inner = InnerMessage::request("GET", &path).encode();
    seal(&vault.key_list().await, &inner).0
}

#[tokio::test]
async fn without_a_valid_token_nobody_relays() {
    let (vault, _, _) = vault_of_alice().await;
    let sealed = sealed_status(&vault).await;
    let right = &vault.app.use_token;
    let mut altered = right.clone();
    let replacement = if altered.ends_with('A') { "Q" } else { "A" };
    altered.replace_range(altered.len() - 1.., replacement);
    let middle = altered.len() - 20;
    let replacement = if right[middle..].starts_with('A') {
        "B"
    } else {
        "A"
    };
    let mut altered_within = right.clone();
    altered_within.replace_range(middle..=middle, replacement);
    let of_another_name = right.replacen("app", "apq", 1);
    let tokens = [
        String::new(),
        "x".to_owned(),
        altered,
        altered_within,
        of_another_name,
        right[..right.len() - 1].to_owned(),
        format!("{right}A"),
    ];
    for token in tokens {
        let refused = vault.call(relayed(&token, "alice", sealed.clone())).await;
        assert_eq!(refused.problem(), Problem::Unauthenticated, "{token}");
    }
    let mut without = relayed(right, "alice", sealed.clone());
    without.headers_mut().remove(AUTHORIZATION);
    assert_eq!(
        vault.call(without).await.problem(),
        Problem::Unauthenticated
    );
    for value in [right.clone(), format!("Basic {right}")] {
        let mut other = relayed(right, "alice", sealed.clone());
        let value = HeaderValue::from_str(&value).unwrap();
        other.headers_mut().insert(AUTHORIZATION, value);
        assert_eq!(vault.call(other).await.problem(), Problem::Unauthenticated);
    }
    let mut twice = relayed(right, "alice", sealed);
    let value = twice.headers()[AUTHORIZATION].clone();
    twice.headers_mut().append(AUTHORIZATION, value);
    assert_eq!(vault.call(twice).await.problem(), Problem::Unauthenticated);
}

#[tokio::test]
async fn a_token_without_the_scope_use_is_forbidden() {
    let (vault, _, _) = vault_of_alice().await;
    let sealed = sealed_status(&vault).await;
    for token in [&vault.app.status_token, &vault.app.reset_token] {
        let refused = vault.call(relayed(token, "alice", sealed.clone())).await;
        assert_eq!(refused.problem(), Problem::Forbidden);
    }
}

#[tokio::test]
async fn the_account_must_be_vouched_for_once_and_validly() {
    let (vault, _, _) = vault_of_alice().await;
    let sealed = sealed_status(&vault).await;
    let request = || relayed(&vault.app.use_token, "alice", sealed.clone());
    let expected = Problem::invalid_field("vault-account");
    let mut missing = request();
    missing.headers_mut().remove("vault-account");
    assert_eq!(vault.call(missing).await.problem(), expected);
    for second in ["alice", "bob"] {
        let mut twice = request();
        let value = HeaderValue::from_static(second);
        twice.headers_mut().append("vault-account", value);
        assert_eq!(vault.call(twice).await.problem(), expected);
    }
    let too_long = "a".repeat(129);
    for account in [
        "",
        ".",
        "..",
        "a/b",
        "a b",
        "al%69ce",
        "alice,bob",
        &too_long,
    ] {
        let mut invalid = request();
        let value = HeaderValue::from_str(account).unwrap();
        invalid.headers_mut().insert("vault-account", value);
        assert_eq!(vault.call(invalid).await.problem(), expected, "{account}");
    }
}

/// Fails when the inner path is not compared with what the relay vouches for: every user of an
/// app could guess at every other one's key.
#[tokio::test]
async fn a_message_for_another_account_or_tenant_is_a_mismatch_inside() {
    let (vault, alice, _) = vault_of_alice().await;
    let other = vault.add_tenant("other", without_waits()).await;
    let guess = Guess::new(&alice, RIGHT).message;
    let body = json(&guess);
    let path = format!("{}/retrieval/start", alice.path());
    let start = InnerMessage::json("POST", &path, &body).encode();
    let status = InnerMessage::request("GET", &alice.path()).encode();
    for inner in [start, status] {
        for (tenant, account) in [
            (&vault.app, "bob"),
            (&other, "alice"),
            (&vault.app, "Alice"),
        ] {
            let answer = vault.sealed(tenant, account, &inner).await;
            assert_eq!(answer.outer.status, StatusCode::OK);
            assert_eq!(answer.opened().problem(), Problem::AccountMismatch);
        }
    }
    assert_eq!(remaining(&vault, &alice).await, 10);
}

#[tokio::test]
async fn other_media_types_and_methods_are_refused() {
    let (vault, _, _) = vault_of_alice().await;
    let sealed = sealed_status(&vault).await;
    for media_type in [
        "application/json",
        "message/ohttp-res",
        "message/ohttp-req2",
        "",
    ] {
        let mut request = relayed(&vault.app.use_token, "alice", sealed.clone());
        let value = HeaderValue::from_static(media_type);
        request.headers_mut().insert(CONTENT_TYPE, value);
        assert_eq!(vault.call(request).await.problem(), other_media_type());
    }
    let mut without = relayed(&vault.app.use_token, "alice", sealed);
    without.headers_mut().remove(CONTENT_TYPE);
    assert_eq!(vault.call(without).await.problem(), other_media_type());
    for method in [Method::GET, Method::PUT] {
        let token = Some(vault.app.use_token.as_str());
        let request = outer_request(method, "/v1/ohttp", token, Body::empty());
        let refused = vault.call(request).await.problem();
        assert_eq!(refused, invalid(InvalidRequest::Method));
    }
}

#[tokio::test]
async fn what_is_too_large_is_not_read() {
    let (vault, _, _) = vault_of_alice().await;
    for length in [MAX_SEALED_LEN + 1, 1 << 20] {
        let refused = vault.relay(&vault.app, "alice", vec![0; length]).await;
        assert_eq!(refused.problem(), Problem::TooLarge);
    }
    let at_the_limit = vault
        .relay(&vault.app, "alice", vec![0; MAX_SEALED_LEN])
        .await;
    assert_ne!(at_the_limit.problem(), Problem::TooLarge);
}

/// RFC 9458, section 5.3: upon which a client fetches the statement again.
#[tokio::test]
async fn an_unknown_key_id_is_the_problem_of_rfc_9458() {
    let (vault, _, _) = vault_of_alice().await;
    let mut sealed = sealed_status(&vault).await;
    sealed[0] = 77;
    let refused = vault.relay(&vault.app, "alice", sealed).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let type_uri = "https://iana.org/assignments/http-problem-types#ohttp-key";
    assert!(refused.text().contains(type_uri));
    assert_eq!(refused.problem(), Problem::OhttpKey);
}

#[tokio::test]
async fn a_message_sealed_for_another_vault_does_not_open() {
    let (vault, alice, _) = vault_of_alice().await;
    let (elsewhere, _, _) = vault_of_alice().await;
    let inner = InnerMessage::request("GET", &alice.path()).encode();
    let (sealed, _) = seal(&elsewhere.key_list().await, &inner);
    let refused = vault.relay(&vault.app, "alice", sealed).await;
    assert_eq!(refused.problem(), Problem::malformed());
}

#[tokio::test]
async fn tampered_and_truncated_messages_do_not_open_and_charge_nothing() {
    let (vault, alice, _) = vault_of_alice().await;
    let sealed = sealed_start(&vault).await.0;
    // Key id, KEM, KDF and AEAD in the first seven bytes, then the encapsulated key.
    let positions = [
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        100,
        1126,
        1127,
        1128,
        sealed.len() - 1,
    ];
    for position in positions {
        let mut tampered = sealed.clone();
        tampered[position] ^= 1;
        let refused = vault.relay(&vault.app, "alice", tampered).await;
        assert_eq!(refused.problem(), Problem::malformed(), "{position}");
    }
    for length in [1, 6, 7, 8, 500, 1127, 1128, 1143, sealed.len() - 1] {
        let cut = sealed[..length].to_vec();
        let refused = vault.relay(&vault.app, "alice", cut).await;
        assert_eq!(refused.problem(), Problem::malformed(), "{length}");
    }
    let empty = vault.relay(&vault.app, "alice", Vec::new()).await;
    assert_eq!(empty.status, StatusCode::BAD_REQUEST);
    let longer = [sealed.as_slice(), &[0]].concat();
    let refused = vault.relay(&vault.app, "alice", longer).await;
    assert_eq!(refused.problem(), Problem::malformed());
    assert_eq!(remaining(&vault, &alice).await, 10);
}

/// Fails when every opened start is charged: an attacker with recorded messages would burn attempts.
#[tokio::test]
async fn a_replayed_start_is_not_charged_twice() {
    let (vault, alice, _) = vault_of_alice().await;
    let (sealed, key) = sealed_start(&vault).await;
    let first = vault.relay(&vault.app, "alice", sealed.clone()).await;
    assert_eq!(first.status, StatusCode::OK);
    assert!(key.decapsulate(&first.body).is_ok());
    for _ in 0..3 {
        let again = vault.relay(&vault.app, "alice", sealed.clone()).await;
        assert_eq!(again.status, StatusCode::OK);
        assert_ne!(again.body, first.body, "sealed anew");
    }
    assert_eq!(remaining(&vault, &alice).await, 9);
}

#[tokio::test]
async fn a_message_replayed_for_another_account_is_a_mismatch() {
    let (vault, _, _) = vault_of_alice().await;
    let bob = vault.account("bob");
    register(&vault, &bob, RIGHT).await;
    let (sealed, key) = sealed_start(&vault).await;
    let answer = vault.relay(&vault.app, "bob", sealed).await;
    let inner = key.decapsulate(&answer.body).unwrap();
    let inner = decode_response(&inner).unwrap();
    assert_eq!(inner.status, 400);
    assert_eq!(remaining(&vault, &bob).await, 10);
}

/// Fails when the permit is not taken, or is given back before the answer.
#[tokio::test]
async fn without_a_free_permit_the_vault_is_overloaded() {
    let vault = TestVault::start_with(without_waits(), |options| options.in_flight = 1).await;
    let alice = vault.account("alice");
    register(&vault, &alice, RIGHT).await;
    let permits = vault.vault().permits();
    let held = permits.try_acquire().unwrap();
    let (sealed, _) = sealed_start(&vault).await;
    let refused = vault.relay(&vault.app, "alice", sealed.clone()).await;
    assert_eq!(refused.problem(), Problem::Overloaded);
    assert_eq!(refused.retry_after(), Some(1));
    drop(held);
    assert_eq!(remaining(&vault, &alice).await, 10);
    let answered = vault.relay(&vault.app, "alice", sealed).await;
    assert_eq!(answered.status, StatusCode::OK);
    assert_eq!(permits.available_permits(), 1);
}

/// Each step puts right what the one before was refused for. Fails when any two checks change
/// places.
#[tokio::test]
async fn token_header_media_type_size_load_and_key_are_checked_in_this_order() {
    let vault = TestVault::start_with(without_waits(), |options| options.in_flight = 1).await;
    let permits = vault.vault().permits();
    let held = permits.try_acquire().unwrap();
    let mut body = vec![77; MAX_SEALED_LEN + 1];
    let mut head = Request::new(());
    *head.method_mut() = Method::POST;
    *head.uri_mut() = "/v1/ohttp".parse().unwrap();

    let mut headers = head.headers().clone();
    let send = async |headers: &HeaderMap, body: &[u8]| {
        let mut request = head.clone().map(|()| Body::from(body.to_vec()));
        *request.headers_mut() = headers.clone();
        vault.call(request).await.problem()
    };
    assert_eq!(send(&headers, &body).await, Problem::Unauthenticated);
    let bearer = |token: &str| HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    headers.insert(AUTHORIZATION, bearer(&vault.app.status_token));
    assert_eq!(send(&headers, &body).await, Problem::Forbidden);
    headers.insert(AUTHORIZATION, bearer(&vault.app.use_token));
    let expected = Problem::invalid_field("vault-account");
    assert_eq!(send(&headers, &body).await, expected);
    headers.insert("vault-account", HeaderValue::from_static("alice"));
    assert_eq!(send(&headers, &body).await, other_media_type());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("message/ohttp-req"));
    assert_eq!(send(&headers, &body).await, Problem::TooLarge);
    body.truncate(MAX_SEALED_LEN);
    assert_eq!(send(&headers, &body).await, Problem::Overloaded);
    drop(held);
    assert_eq!(send(&headers, &body).await, Problem::OhttpKey);
}

/// Fails when inner answers are not padded, or an inner status shows outside: the relay would
/// learn from it whether a guess was right.
#[tokio::test]
async fn all_outcomes_look_the_same_from_outside() {
    let vault = TestVault::start(Policy::new(4, 9, vec![0, 0, 300]).unwrap()).await;
    let alice = vault.account("alice");
    let device = register(&vault, &alice, RIGHT).await;
    let doomed = vault.add_tenant("doomed", policy(1, 1)).await;
    let bob = vault.account_of(&doomed, "bob");
    let prepared = prepare_registration(&vault, &device, RIGHT).await.message;
    let login = log_in(&vault, &alice, RIGHT).await;
    let wrong = charge(&vault, &alice).await.retrieval_ticket;
    let messages = [
        (
            "registration/start",
            json(&device.register(RIGHT).message),
            200,
        ),
        ("registration/finish", json(&prepared), 409),
        (
            "registration/finish",
            json(&device.proven(&prepared, 1)),
            201,
        ),
        ("retrieval/finish", json(&login.message), 409),
        ("retrieval/abandon", json(&abandon(&wrong)), 409),
        (
            "retrieval/start",
            json(&Guess::new(&alice, RIGHT).message),
            200,
        ),
        (
            "retrieval/start",
            json(&Guess::new(&alice, WRONG).message),
            200,
        ),
        (
            "retrieval/start",
            json(&Guess::new(&alice, WRONG).message),
            200,
        ),
        (
            "retrieval/start",
            json(&Guess::new(&alice, RIGHT).message),
            429,
        ),
        ("deletion", json(&device.deletion(1)), 403),
        ("deletion", b"{".to_vec(), 400),
        ("deletion", json(&device.deletion(2)), 200),
        (
            "retrieval/start",
            json(&Guess::new(&alice, RIGHT).message),
            410,
        ),
        ("nothing", b"{}".to_vec(), 404),
    ];
    let mut outer = Vec::new();
    for (endpoint, body, expected) in messages {
        let path = format!("{}/{endpoint}", alice.path());
        let answer = vault.sealed_call("alice", "POST", &path, &body).await;
        outer.push(look_of(&answer.outer));
        assert_eq!(answer.opened().status.as_u16(), expected, "{endpoint}");
    }
    let status = vault.sealed_call("alice", "GET", &alice.path(), b"").await;
    outer.push(look_of(&status.outer));
    let inner = InnerMessage::request("GET", &bob.path()).encode();
    outer.push(look_of(&vault.sealed(&doomed, "bob", &inner).await.outer));
    outer.dedup();
    assert_eq!(outer.len(), 1, "{outer:?}");
}

#[tokio::test]
async fn a_released_key_and_a_wrong_password_look_the_same_from_outside() {
    let (vault, alice, _) = vault_of_alice().await;
    let right = log_in(&vault, &alice, RIGHT).await.message;
    let wrong = false_finish(&charge(&vault, &alice).await.retrieval_ticket);
    let mut looks = Vec::new();
    for (message, expected) in [(right, 200), (wrong, 403)] {
        let path = format!("{}/retrieval/finish", alice.path());
        let body = json(&message);
        let answer = vault.sealed_call("alice", "POST", &path, &body).await;
        looks.push(look_of(&answer.outer));
        assert_eq!(answer.opened().status.as_u16(), expected);
    }
    assert_eq!(looks[0], looks[1]);
}

/// Status, headers but the request's id, and the length of the body.
fn look_of(answer: &Answered) -> (u16, Vec<(String, String)>, usize) {
    let headers = answer.headers.iter().map(|(name, value)| {
        let value = value.to_str().unwrap_or_default().to_owned();
        let value = if name == "x-request-id" {
            value.len().to_string()
        } else {
            value
        };
        (name.to_string(), value)
    });
    (answer.status.as_u16(), headers.collect(), answer.body.len())
}

fn json(message: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(message).unwrap()
}

/// A sealed wrong guess at alice's key.
async fn sealed_start(vault: &TestVault) -> (Vec<u8>, ClientResponse) {
    let alice = vault.account("alice");
    let body = json(&Guess::new(&alice, WRONG).message);
    let path = format!("{}/retrieval/start", alice.path());
    let inner = InnerMessage::json("POST", &path, &body).encode();
    seal(&vault.key_list().await, &inner)
}
