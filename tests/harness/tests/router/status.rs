//! `GET …`: the status, inside the sealed channel for devices and outside for backends.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use vault_protocol::messages::Status;
use vault_protocol::{AccountScope, Policy, Problem};
use vault_tests::device::Device;
use vault_tests::in_process::TestVault;

use crate::support::{
    OPEN_SECONDS, RIGHT, charge, policy, prepare_registration, register, vault_of_alice,
    without_waits,
};

/// The status as JSON, the same from both sides.
async fn both(vault: &TestVault, scope: &AccountScope) -> Value {
    let token = Some(vault.app.status_token.as_str());
    let outside: Value = vault.get(&scope.path(), token).await.read(StatusCode::OK);
    let inside = vault
        .sealed_call(scope.account.as_str(), "GET", &scope.path(), b"")
        .await;
    let inside: Value = inside.opened().read(StatusCode::OK);
    assert_eq!(inside, outside);
    outside
}

#[tokio::test]
async fn a_backend_needs_a_token_with_the_scope_status() {
    let (vault, alice, _) = vault_of_alice().await;
    let other = vault.add_tenant("other", without_waits()).await;
    let app = &vault.app;
    let attempts = [
        (None, Problem::Unauthenticated),
        (Some("bkv1_app_AAAA"), Problem::Unauthenticated),
        (Some(app.use_token.as_str()), Problem::Forbidden),
        (Some(app.reset_token.as_str()), Problem::Forbidden),
        (Some(other.use_token.as_str()), Problem::Forbidden),
        (Some(other.status_token.as_str()), Problem::Forbidden),
    ];
    for (token, expected) in attempts {
        let refused = vault.get(&alice.path(), token).await;
        assert_eq!(refused.problem(), expected, "{token:?}");
    }
}

#[tokio::test]
async fn names_that_cannot_be_are_invalid() {
    let vault = TestVault::start(without_waits()).await;
    let token = Some(vault.app.status_token.as_str());
    for (path, field) in [
        ("/v1/tenants/App/accounts/alice", "tenant"),
        ("/v1/tenants/app/accounts/alice!", "account"),
        ("/v1/tenants/app/accounts/..", "account"),
        (
            &format!("/v1/tenants/app/accounts/{}", "a".repeat(129)),
            "account",
        ),
    ] {
        let refused = vault.get(path, token).await;
        assert_eq!(refused.problem(), Problem::invalid_field(field), "{path}");
    }
    let refused = vault.get("/v1/tenants/app/accounts/%61lice", token).await;
    assert_eq!(refused.problem(), Problem::malformed());
}

#[tokio::test]
async fn an_absent_account_has_the_tenants_policy_and_no_attempts() {
    let vault = TestVault::start(policy(2, 3)).await;
    let alice = vault.account("alice");
    let expected = json!({
        "state": "absent",
        "generation": 0,
        "attempts_remaining": 0,
        "policy": {"limit": 2, "total_limit": 3, "waits": [0]},
    });
    assert_eq!(both(&vault, &alice).await, expected);
    prepare_registration(&vault, &Device::new(&alice), RIGHT).await;
    assert_eq!(
        both(&vault, &alice).await,
        expected,
        "also when one is pending"
    );
}

#[tokio::test]
async fn an_active_account_tells_its_budget_profile_and_policy() {
    let vault = TestVault::start(policy(3, 3)).await;
    let alice = vault.account("alice");
    register(&vault, &alice, RIGHT).await;
    charge(&vault, &alice).await;
    let expected = json!({
        "state": "active",
        "generation": 1,
        "attempts_remaining": 2,
        "stretching_profile": 1,
        "policy": {"limit": 3, "total_limit": 3, "waits": [0, 0]},
    });
    assert_eq!(both(&vault, &alice).await, expected);
}

/// Fails when `retry_at` is rounded down: a device that waits until then would be refused again.
#[tokio::test]
async fn a_waiting_account_tells_until_when_rounded_up() {
    let vault = TestVault::start(Policy::new(2, 2, vec![300]).unwrap()).await;
    let alice = vault.account("alice");
    register(&vault, &alice, RIGHT).await;
    vault.advance(Duration::from_millis(1));
    charge(&vault, &alice).await;
    let expected = json!({
        "state": "waiting",
        "generation": 1,
        "attempts_remaining": 1,
        "retry_at": "2027-01-15T08:05:01Z",
        "stretching_profile": 1,
        "policy": {"limit": 2, "total_limit": 2, "waits": [300]},
    });
    assert_eq!(both(&vault, &alice).await, expected);
    vault.advance(Duration::from_millis(299_999));
    assert_eq!(both(&vault, &alice).await["state"], "waiting");
    vault.advance(Duration::from_millis(1));
    assert_eq!(both(&vault, &alice).await["state"], "active");
}

#[tokio::test]
async fn an_exhausted_account_waits_until_the_last_open_attempt_expires() {
    let vault = TestVault::start(policy(1, 1)).await;
    let alice = vault.account("alice");
    register(&vault, &alice, RIGHT).await;
    charge(&vault, &alice).await;
    let status = both(&vault, &alice).await;
    assert_eq!(status["state"], "waiting");
    assert_eq!(status["attempts_remaining"], 0);
    assert_eq!(status["retry_at"], "2027-01-15T08:15:00Z");
}

/// Fails when the status does not apply due changes before it looks.
#[tokio::test]
async fn a_destroyed_account_tells_when_and_why_and_the_tenants_policy() {
    let vault = TestVault::start(policy(1, 1)).await;
    let alice = vault.account("alice");
    register(&vault, &alice, RIGHT).await;
    charge(&vault, &alice).await;
    vault.advance_seconds(OPEN_SECONDS);
    let expected = json!({
        "state": "destroyed",
        "generation": 1,
        "attempts_remaining": 0,
        "destroyed_at": "2027-01-15T08:15:00Z",
        "reason": "exhausted",
        "policy": {"limit": 1, "total_limit": 1, "waits": []},
    });
    assert_eq!(both(&vault, &alice).await, expected);
}

#[tokio::test]
async fn asking_costs_nothing() {
    let (vault, alice, _) = vault_of_alice().await;
    charge(&vault, &alice).await;
    for _ in 0..30 {
        let status: Status = vault.status(&alice).await;
        assert_eq!(status.attempts_remaining, 9);
    }
}
