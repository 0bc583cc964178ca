//! Tenants and their tokens: one never reaches another's accounts.

use http::StatusCode;
use vault_protocol::messages::{AccountState, Reset, Status};
use vault_protocol::{Policy, Problem, TenantId};
use vault_server::admin::{Answer, Request as AdminRequest, TenantSummary};
use vault_server::tenants::token::TokenScope;
use vault_tests::device::{Device, Guess, InnerMessage};
use vault_tests::in_process::{TestTenant, TestVault, token};

use crate::support::{
    OPEN_SECONDS, RIGHT, WRONG, charge, policy, prepare_registration, register, remaining, replace,
    vault_of_alice, without_waits,
};

async fn tenants(vault: &TestVault) -> Vec<TenantSummary> {
    match vault.admin(AdminRequest::ListTenants).await {
        Answer::Tenants { tenants } => tenants,
        _ => panic!("no list"),
    }
}

async fn live_records(vault: &TestVault) -> u64 {
    tenants(vault).await[0].live_records
}

async fn remove(vault: &TestVault, tenant: &TenantId) -> Result<(), String> {
    let tenant = tenant.clone();
    match vault.admin(AdminRequest::RemoveTenant { tenant }).await {
        Answer::Done => Ok(()),
        Answer::Refused { reason } => Err(reason),
        _ => panic!("another answer"),
    }
}

async fn reset(vault: &TestVault, tenant: &TestTenant, account: &str, generation: u64) {
    let path = format!("{}/reset", vault.account_of(tenant, account).path());
    let body = serde_json::to_vec(&Reset { generation }).unwrap();
    let answer = vault
        .post_outside(&path, Some(&tenant.reset_token), body)
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
}

/// The status for a relay with this token, or the problem.
async fn status_with(vault: &TestVault, token: &str) -> Result<Status, Problem> {
    let alice = vault.account("alice");
    let inner = InnerMessage::request("GET", &alice.path()).encode();
    let as_relay = TestTenant {
        name: vault.app.name.clone(),
        use_token: token.to_owned(),
        status_token: String::new(),
        reset_token: String::new(),
    };
    let answer = vault.sealed(&as_relay, "alice", &inner).await;
    match answer.inner {
        Some(inner) => Ok(inner.read(StatusCode::OK)),
        None => Err(answer.outer.problem()),
    }
}

/// Fails when the path's tenant is not compared with the token's.
#[tokio::test]
async fn one_tenant_never_reaches_another_ones_accounts() {
    let (vault, alice, device) = vault_of_alice().await;
    let other = vault.add_tenant("other", without_waits()).await;
    let relay = async |method: &str, endpoint: &str, body: &[u8]| {
        let path = format!("{}{endpoint}", alice.path());
        let inner = match body {
            [] => InnerMessage::request(method, &path),
            body => InnerMessage::json(method, &path, body),
        };
        let answer = vault.sealed(&other, "alice", &inner.encode()).await;
        answer.opened().problem()
    };
    let guess = serde_json::to_vec(&Guess::new(&alice, RIGHT).message).unwrap();
    let deletion = serde_json::to_vec(&device.deletion(1)).unwrap();
    assert_eq!(relay("GET", "", b"").await, Problem::AccountMismatch);
    assert_eq!(
        relay("POST", "/retrieval/start", &guess).await,
        Problem::AccountMismatch
    );
    assert_eq!(
        relay("POST", "/deletion", &deletion).await,
        Problem::AccountMismatch
    );
    let outside = vault.get(&alice.path(), Some(&other.status_token)).await;
    assert_eq!(outside.problem(), Problem::Forbidden);
    assert_eq!(remaining(&vault, &alice).await, 10);
}

#[tokio::test]
async fn the_same_account_name_of_two_tenants_is_two_accounts() {
    let (vault, alice, _) = vault_of_alice().await;
    let other = vault.add_tenant("other", policy(3, 3)).await;
    let namesake = vault.account_of(&other, "alice");
    assert_eq!(
        vault.status_as(&other, &namesake).await.state,
        AccountState::Absent
    );
    let guess = Guess::new(&namesake, WRONG).message;
    let refused = vault
        .post_as(&other, &namesake, "retrieval/start", &guess)
        .await;
    assert_eq!(refused.problem(), Problem::NotRegistered);
    assert_eq!(remaining(&vault, &alice).await, 10);
}

/// Names that would be one string if tenant and account were written without a separator.
#[tokio::test]
async fn tenant_and_account_do_not_run_into_each_other() {
    let vault = TestVault::start(without_waits()).await;
    let (ab, a) = (
        vault.add_tenant("ab", without_waits()).await,
        vault.add_tenant("a", without_waits()).await,
    );
    let registered = Device::new(&vault.account_of(&ab, "c"));
    let scope = registered.scope();
    let started = registered.register(RIGHT);
    let answer = vault
        .post_as(&ab, scope, "registration/start", &started.message)
        .await;
    let finish = registered
        .evaluated(&started, &answer.read(StatusCode::OK))
        .message;
    let finished = vault
        .post_as(&ab, scope, "registration/finish", &finish)
        .await;
    assert_eq!(finished.status, StatusCode::CREATED);
    let similar = vault.account_of(&a, "bc");
    assert_eq!(
        vault.status_as(&a, &similar).await.state,
        AccountState::Absent
    );
}

/// Fails when the tokens in memory are not taken over from the commit.
#[tokio::test]
async fn a_revoked_token_is_refused_at_once_and_the_new_one_goes_on() {
    let (mut vault, _, _) = vault_of_alice().await;
    let tenant = vault.app.name.clone();
    let old = vault.app.use_token.clone();
    let id = tenants(&vault).await[0].tokens[0].id;
    let request = AdminRequest::AddToken {
        tenant: tenant.clone(),
        scopes: Some(vec![TokenScope::Use]),
    };
    let new = token(vault.admin(request).await);
    assert!(status_with(&vault, &old).await.is_ok());
    assert!(status_with(&vault, &new).await.is_ok());
    let revoke = AdminRequest::RevokeToken { tenant, id };
    assert!(matches!(vault.admin(revoke).await, Answer::Done));
    assert_eq!(
        status_with(&vault, &old).await.err(),
        Some(Problem::Unauthenticated)
    );
    assert!(status_with(&vault, &new).await.is_ok());
    vault.restart(vault.now()).await;
    assert_eq!(
        status_with(&vault, &old).await.err(),
        Some(Problem::Unauthenticated)
    );
    assert!(status_with(&vault, &new).await.is_ok());
}

/// Fails when the count of live records is not kept by the same commit, for example when
/// `count_live_record` is not called.
#[tokio::test]
async fn a_tenant_with_live_records_is_not_removed() {
    let (mut vault, alice, device) = vault_of_alice().await;
    let bob = vault.account("bob");
    register(&vault, &bob, RIGHT).await;
    replace(&vault, &device, 1, RIGHT).await;
    assert_eq!(live_records(&vault).await, 2);
    let app = vault.app.name.clone();
    assert!(
        remove(&vault, &app)
            .await
            .unwrap_err()
            .contains("2 live record")
    );
    reset(&vault, &vault.app, "bob", 1).await;
    reset(&vault, &vault.app, "bob", 1).await;
    assert_eq!(live_records(&vault).await, 1);
    vault.restart(vault.now()).await;
    assert!(remove(&vault, &app).await.is_err());
    let deleted = vault.post(&alice, "deletion", &device.deletion(2)).await;
    assert_eq!(deleted.status, StatusCode::OK);
    assert_eq!(live_records(&vault).await, 0);
    assert_eq!(remove(&vault, &app).await, Ok(()));
}

#[tokio::test]
async fn an_exhausted_record_stops_counting_when_it_is_destroyed() {
    let vault = TestVault::start(policy(1, 1)).await;
    let alice = vault.account("alice");
    register(&vault, &alice, RIGHT).await;
    charge(&vault, &alice).await;
    assert_eq!(live_records(&vault).await, 1);
    vault.advance_seconds(OPEN_SECONDS);
    vault.sweep().await;
    assert_eq!(live_records(&vault).await, 0);
}

#[tokio::test]
async fn the_tokens_of_a_removed_tenant_are_refused() {
    let vault = TestVault::start(without_waits()).await;
    assert_eq!(remove(&vault, &vault.app.name).await, Ok(()));
    let refused = status_with(&vault, &vault.app.use_token).await;
    assert_eq!(refused.err(), Some(Problem::Unauthenticated));
    assert!(tenants(&vault).await.is_empty());
    assert!(remove(&vault, &vault.app.name).await.is_err(), "twice");
}

/// Fails when a removal takes the tombstones too: a generation would be used a second time.
#[tokio::test]
async fn generations_go_on_when_a_tenant_comes_back() {
    let (mut vault, alice, _) = vault_of_alice().await;
    reset(&vault, &vault.app, "alice", 1).await;
    let old = vault.app.use_token.clone();
    assert_eq!(remove(&vault, &vault.app.name).await, Ok(()));
    vault.app = vault.add_tenant("app", policy(3, 3)).await;
    assert_eq!(
        status_with(&vault, &old).await.err(),
        Some(Problem::Unauthenticated)
    );
    let status = vault.status(&alice).await;
    assert_eq!(
        (status.state, status.generation),
        (AccountState::Destroyed, 1)
    );
    register(&vault, &alice, RIGHT).await;
    assert_eq!(vault.status(&alice).await.generation, 2);
    assert_eq!(live_records(&vault).await, 1);
}

#[tokio::test]
async fn a_name_is_taken_once_and_unknown_ones_are_refused() {
    let vault = TestVault::start(without_waits()).await;
    let unknown = TenantId::new("unknown").unwrap();
    let requests = [
        AdminRequest::AddTenant {
            tenant: vault.app.name.clone(),
            policy: Policy::default(),
            scopes: vec![TokenScope::Use],
        },
        AdminRequest::AddToken {
            tenant: unknown.clone(),
            scopes: Some(vec![TokenScope::Use]),
        },
        AdminRequest::RevokeToken {
            tenant: unknown.clone(),
            id: 1,
        },
        AdminRequest::RevokeToken {
            tenant: vault.app.name.clone(),
            id: 99,
        },
        AdminRequest::RemoveTenant { tenant: unknown },
    ];
    for request in requests {
        let what = format!("{request:?}");
        let answer = vault.admin(request).await;
        assert!(matches!(answer, Answer::Refused { .. }), "{what}");
    }
    assert_eq!(tenants(&vault).await[0].tokens.len(), 3);
}

#[tokio::test]
async fn a_pending_registration_does_not_count_as_a_record() {
    let vault = TestVault::start(without_waits()).await;
    let device = Device::new(&vault.account("alice"));
    prepare_registration(&vault, &device, RIGHT).await;
    assert_eq!(live_records(&vault).await, 0);
}
