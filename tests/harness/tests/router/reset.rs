//! `POST …/reset`: for backends, outside the sealed channel.

use axum::body::Body;
use http::{Method, StatusCode};
use vault_protocol::inner_http::decode_response;
use vault_protocol::messages::{AccountState, DestructionReason, Removed, Reset};
use vault_protocol::problem::InvalidRequest;
use vault_protocol::{AccountScope, Problem};
use vault_server::admin::Request as AdminRequest;
use vault_server::tenants::token::TokenScope;
use vault_tests::device::{Device, InnerMessage, seal};
use vault_tests::in_process::{Answered, TestVault, outer_request, relayed, token};

use crate::support::{
    RIGHT, at, prepare_registration, register, remaining, replace, vault_of_alice, without_waits,
};

async fn reset(vault: &TestVault, scope: &AccountScope, generation: u64) -> Answered {
    let token = Some(vault.app.reset_token.as_str());
    reset_with(vault, scope, token, generation).await
}

async fn reset_with(
    vault: &TestVault,
    scope: &AccountScope,
    token: Option<&str>,
    generation: u64,
) -> Answered {
    let body = serde_json::to_vec(&Reset { generation }).unwrap();
    let path = format!("{}/reset", scope.path());
    vault.post_outside(&path, token, body).await
}

/// Fails when the handler asks for another scope than `reset`.
#[tokio::test]
async fn a_token_of_the_tenant_with_the_scope_reset_is_needed() {
    let (vault, alice, _) = vault_of_alice().await;
    let other = vault.add_tenant("other", without_waits()).await;
    let app = &vault.app;
    let attempts = [
        (None, Problem::Unauthenticated),
        (Some(app.use_token.as_str()), Problem::Forbidden),
        (Some(app.status_token.as_str()), Problem::Forbidden),
        (Some(other.reset_token.as_str()), Problem::Forbidden),
    ];
    for (token, expected) in attempts {
        let refused = reset_with(&vault, &alice, token, 1).await;
        assert_eq!(refused.problem(), expected, "{token:?}");
    }
    assert_eq!(vault.status(&alice).await.state, AccountState::Active);
}

#[tokio::test]
async fn an_absent_account_is_not_registered() {
    let vault = TestVault::start(without_waits()).await;
    let alice = vault.account("alice");
    prepare_registration(&vault, &Device::new(&alice), RIGHT).await;
    for generation in [0, 1] {
        let refused = reset(&vault, &alice, generation).await;
        assert_eq!(refused.problem(), Problem::NotRegistered);
    }
}

/// Fails when the generation is not compared: a backend that acts on what it saw earlier would
/// hit a registration it knows nothing of.
#[tokio::test]
async fn another_live_generation_is_not_destroyed() {
    let (vault, alice, device) = vault_of_alice().await;
    replace(&vault, &device, 1, RIGHT).await;
    for generation in [0, 1, 3] {
        let refused = reset(&vault, &alice, generation).await;
        let expected = Problem::AlreadyRegistered { generation: 2 };
        assert_eq!(refused.problem(), expected);
    }
    assert_eq!(remaining(&vault, &alice).await, 10);
}

#[tokio::test]
async fn the_generation_named_is_destroyed_and_its_tombstone_answers_the_same() {
    let (vault, alice, _) = vault_of_alice().await;
    vault.advance_seconds(4);
    for _ in 0..2 {
        let removed: Removed = reset(&vault, &alice, 1).await.read(StatusCode::OK);
        assert_eq!(removed.generation, 1);
        vault.advance_seconds(1);
    }
    let status = vault.status(&alice).await;
    assert_eq!(status.state, AccountState::Destroyed);
    assert_eq!(status.reason, Some(DestructionReason::Reset));
    assert_eq!(status.destroyed_at, Some(at(4)));
    let refused = reset(&vault, &alice, 2).await;
    assert!(matches!(
        refused.problem(),
        Problem::Destroyed { generation: 1, .. }
    ));
    register(&vault, &alice, RIGHT).await;
    assert_eq!(vault.status(&alice).await.generation, 2);
}

/// Fails when the inner router has the route: a relay's token could reset, and a token with both
/// scopes would make every device a backend.
#[tokio::test]
async fn the_scope_is_ignored_inside_the_sealed_channel() {
    let (vault, alice, _) = vault_of_alice().await;
    let request = AdminRequest::AddToken {
        tenant: vault.app.name.clone(),
        scopes: Some(vec![TokenScope::Use, TokenScope::Status, TokenScope::Reset]),
    };
    let token = token(vault.admin(request).await);
    let body = serde_json::to_vec(&Reset { generation: 1 }).unwrap();
    let inner = InnerMessage::json("POST", &format!("{}/reset", alice.path()), &body).encode();
    let (sealed, key) = seal(&vault.key_list().await, &inner);
    let answer = vault.call(relayed(&token, "alice", sealed)).await;
    assert_eq!(answer.status, StatusCode::OK);
    let inner = key.decapsulate(&answer.body).unwrap();
    let inner = decode_response(&inner).unwrap();
    assert_eq!(inner.status, 404);
    assert_eq!(vault.status(&alice).await.state, AccountState::Active);
}

#[tokio::test]
async fn a_token_with_the_scope_reset_alone_relays_nothing() {
    let (vault, alice, _) = vault_of_alice().await;
    let inner = InnerMessage::request("GET", &alice.path()).encode();
    let (sealed, _) = seal(&vault.key_list().await, &inner);
    let refused = vault
        .call(relayed(&vault.app.reset_token, "alice", sealed))
        .await;
    assert_eq!(refused.problem(), Problem::Forbidden);
}

#[tokio::test]
async fn another_method_is_refused() {
    let (vault, alice, _) = vault_of_alice().await;
    let path = format!("{}/reset", alice.path());
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let token = Some(vault.app.reset_token.as_str());
        let request = outer_request(method, &path, token, Body::empty());
        let expected = Problem::InvalidRequest {
            kind: InvalidRequest::Method,
            field: None,
        };
        assert_eq!(vault.call(request).await.problem(), expected);
    }
}
