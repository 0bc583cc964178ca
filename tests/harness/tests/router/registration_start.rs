//! `POST …/registration/start`.

use http::StatusCode;
use vault_protocol::Problem;
use vault_protocol::messages::{AccountState, RegistrationStart, RegistrationStarted};
use vault_tests::device::Device;
use vault_tests::in_process::TestVault;

use crate::support::{
    OPEN_SECONDS, RIGHT, at, charge, finish_registration, prepare_registration, remaining,
    retrieve, vault_of_alice, without_waits,
};

async fn started(vault: &TestVault, message: &RegistrationStart) -> RegistrationStarted {
    let alice = vault.account("alice");
    let answer = vault.post(&alice, "registration/start", message).await;
    answer.read(StatusCode::OK)
}

#[tokio::test]
async fn a_fifth_start_drops_the_oldest_pending_registration() {
    let vault = TestVault::start(without_waits()).await;
    let alice = vault.account("alice");
    let device = Device::new(&alice);
    let oldest = prepare_registration(&vault, &device, RIGHT).await;
    let second = prepare_registration(&vault, &device, RIGHT).await;
    for _ in 0..3 {
        prepare_registration(&vault, &device, RIGHT).await;
    }
    let refused = finish_registration(&vault, &alice, &oldest.message).await;
    assert_eq!(refused.problem(), Problem::TicketExpired);
    let finished = finish_registration(&vault, &alice, &second.message).await;
    assert_eq!(finished.status, StatusCode::CREATED);
}

/// Fails when the credential identifier is a constant or depends on the account alone: a destroyed
/// record would stay guessable (PROTOCOL.md section 4).
#[tokio::test]
async fn the_same_request_is_evaluated_under_a_fresh_identifier_each_time() {
    let vault = TestVault::start(without_waits()).await;
    let message = Device::new(&vault.account("alice")).register(RIGHT).message;
    let first = started(&vault, &message).await;
    let second = started(&vault, &message).await;
    let element = |answer: &RegistrationStarted| answer.registration_response.0[..32].to_vec();
    assert_ne!(element(&first), element(&second));
    assert!(first.registration_ticket != second.registration_ticket);
}

#[tokio::test]
async fn a_start_does_not_touch_a_live_record_or_its_budget() {
    let (vault, alice, device) = vault_of_alice().await;
    for _ in 0..3 {
        charge(&vault, &alice).await;
    }
    for _ in 0..6 {
        prepare_registration(&vault, &device, RIGHT).await;
    }
    assert_eq!(remaining(&vault, &alice).await, 7);
    let released = retrieve(&vault, &device, RIGHT).await;
    assert_eq!(released.failures_since_success, 3);
}

#[tokio::test]
async fn a_start_alone_registers_nothing() {
    let vault = TestVault::start(without_waits()).await;
    let alice = vault.account("alice");
    prepare_registration(&vault, &Device::new(&alice), RIGHT).await;
    let status = vault.status(&alice).await;
    assert_eq!(status.state, AccountState::Absent);
    assert_eq!(status.generation, 0);
}

#[tokio::test]
async fn the_answer_names_policy_generation_and_expiry() {
    let vault = TestVault::start(without_waits()).await;
    let message = Device::new(&vault.account("alice")).register(RIGHT).message;
    vault.advance_seconds(7);
    let answer = started(&vault, &message).await;
    assert_eq!(answer.policy, without_waits());
    assert_eq!(answer.generation, 0);
    assert_eq!(answer.expires_at, at(7 + OPEN_SECONDS));
}

#[tokio::test]
async fn the_answer_names_the_generation_that_a_finish_would_replace() {
    let (vault, alice, device) = vault_of_alice().await;
    let message = device.register(RIGHT).message;
    assert_eq!(started(&vault, &message).await.generation, 1);
    let deleted = vault.post(&alice, "deletion", &device.deletion(1)).await;
    assert_eq!(deleted.status, StatusCode::OK);
    assert_eq!(started(&vault, &message).await.generation, 1);
}
