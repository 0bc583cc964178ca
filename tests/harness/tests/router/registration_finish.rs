//! `POST …/registration/finish`: the order of its checks is part of the contract.

use http::StatusCode;
use vault_protocol::messages::{
    AccountState, RegistrationFinish, RegistrationFinished, Reset, RetrievalFinished,
};
use vault_protocol::{BackupKey, Binary, Policy, Problem};
use vault_server::admin::{Answer, Request as AdminRequest};
use vault_tests::device::{Device, Guess};
use vault_tests::in_process::{TestTenant, TestVault};

use crate::support::{
    OPEN_SECONDS, RIGHT, WRONG, charge, evaluated, finish, finish_registration, log_in, policy,
    prepare_registration, register, remaining, replace, retrieve, vault_of_alice, without_waits,
};

const EXPIRED: Problem = Problem::TicketExpired;

#[tokio::test]
async fn an_unknown_ticket_is_expired() {
    let vault = TestVault::start(without_waits()).await;
    let alice = vault.account("alice");
    let prepared = prepare_registration(&vault, &Device::new(&alice), RIGHT).await;
    let mut message = prepared.message;
    message.registration_ticket.0[31] ^= 1;
    let refused = finish_registration(&vault, &alice, &message).await;
    assert_eq!(refused.problem(), EXPIRED);
    assert_eq!(vault.status(&alice).await.state, AccountState::Absent);
}

/// Fails when pending registrations are not dropped before a command looks at them.
#[tokio::test]
async fn a_ticket_expires_after_fifteen_minutes_and_not_a_second_earlier() {
    let vault = TestVault::start(without_waits()).await;
    let alice = vault.account("alice");
    let device = Device::new(&alice);
    let late = prepare_registration(&vault, &device, RIGHT).await;
    vault.advance_seconds(1);
    let in_time = prepare_registration(&vault, &device, RIGHT).await;
    vault.advance_seconds(OPEN_SECONDS - 1);
    let refused = finish_registration(&vault, &alice, &late.message).await;
    assert_eq!(refused.problem(), EXPIRED);
    let finished = finish_registration(&vault, &alice, &in_time.message).await;
    assert_eq!(finished.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_ticket_of_another_account_is_expired() {
    let vault = TestVault::start(without_waits()).await;
    let [alice, bob] = ["alice", "bob"].map(|name| vault.account(name));
    let of_alice = prepare_registration(&vault, &Device::new(&alice), RIGHT).await;
    let refused = finish_registration(&vault, &bob, &of_alice.message).await;
    assert_eq!(refused.problem(), EXPIRED);
}

#[tokio::test]
async fn a_completed_registration_drops_every_other_pending_one() {
    let vault = TestVault::start(without_waits()).await;
    let alice = vault.account("alice");
    let device = Device::new(&alice);
    let [first, second] = [
        prepare_registration(&vault, &device, RIGHT).await,
        prepare_registration(&vault, &device, RIGHT).await,
    ];
    let finished = finish_registration(&vault, &alice, &second.message).await;
    assert_eq!(finished.status, StatusCode::CREATED);
    let proven = device.proven(&first.message, 1);
    let refused = finish_registration(&vault, &alice, &proven).await;
    assert_eq!(refused.problem(), EXPIRED);
}

#[tokio::test]
async fn a_used_ticket_is_no_good_for_another_record() {
    let vault = TestVault::start(without_waits()).await;
    let alice = vault.account("alice");
    let device = Device::new(&alice);
    let prepared = prepare_registration(&vault, &device, RIGHT).await;
    let finished = finish_registration(&vault, &alice, &prepared.message).await;
    assert_eq!(finished.status, StatusCode::CREATED);
    let mut other = prepared.message;
    other.wrapped_key.0[0] ^= 1;
    let refused = finish_registration(&vault, &alice, &device.proven(&other, 1)).await;
    assert_eq!(refused.problem(), EXPIRED);
}

/// Fails when every destruction does not clear the pending registrations.
#[tokio::test]
async fn a_destruction_drops_pending_registrations() {
    let (vault, alice, device) = vault_of_alice().await;
    let prepared = prepare_registration(&vault, &device, RIGHT).await;
    let deleted = vault.post(&alice, "deletion", &device.deletion(1)).await;
    assert_eq!(deleted.status, StatusCode::OK);
    let refused = finish_registration(&vault, &alice, &prepared.message).await;
    assert_eq!(refused.problem(), EXPIRED);
}

/// Fails when a record that waits, or is exhausted, counts as none: a stolen login could refill
/// its budget by registering anew.
#[tokio::test]
async fn without_a_proof_no_live_record_is_replaced_whatever_its_state() {
    let vault = TestVault::start(Policy::new(2, 2, vec![300]).unwrap()).await;
    let alice = vault.account("alice");
    register(&vault, &alice, RIGHT).await;
    let thief = Device::new(&alice);
    let expected = Problem::AlreadyRegistered { generation: 1 };
    for attempts_before in 0..=2 {
        let prepared = prepare_registration(&vault, &thief, WRONG).await;
        let refused = finish_registration(&vault, &alice, &prepared.message).await;
        assert_eq!(refused.problem(), expected, "after {attempts_before}");
        if attempts_before < 2 {
            charge(&vault, &alice).await;
            // Leaves the wait in place, or the second attempt open.
            vault.advance_seconds(if attempts_before == 0 { 300 } else { 0 });
        }
    }
    assert_eq!(vault.status(&alice).await.state, AccountState::Waiting);
}

/// Fails when `verify_replacement` is not asked.
#[tokio::test]
async fn a_proof_that_does_not_verify_is_forbidden_and_changes_nothing() {
    let (vault, alice, device) = vault_of_alice().await;
    let thief = Device::new(&alice);
    let bob = Device::with_key(&vault.account("bob"), copy_of(device.key()));
    let prepared = prepare_registration(&vault, &thief, WRONG).await.message;
    let mut other_finish = prepared.clone();
    other_finish.wrapped_key.0[0] ^= 1;
    let mut altered = device.proven(&prepared, 1);
    altered.replace_proof.as_mut().unwrap().0[0] ^= 1;
    let mut moved = prepared.clone();
    moved.replace_proof = device.proven(&other_finish, 1).replace_proof;
    let deletion = Some(device.deletion(1).proof);
    let attempts = [
        ("by another key", thief.proven(&prepared, 1)),
        ("for another account", bob.proven(&prepared, 1)),
        ("for generation 0", device.proven(&prepared, 0)),
        ("for generation 2", device.proven(&prepared, 2)),
        ("for another finish", moved),
        ("altered", altered),
        ("of a deletion", with_proof(&prepared, deletion)),
        ("zeros", with_proof(&prepared, Some(Binary([0; 64])))),
    ];
    for (what, message) in attempts {
        let refused = finish_registration(&vault, &alice, &message).await;
        assert_eq!(refused.problem(), Problem::Forbidden, "{what}");
    }
    retrieve(&vault, &device, RIGHT).await;
}

/// Fails when `FinishRegistration` looks at the proof of a live record only: the owner was not asked
/// whether a destroyed record is to be made again.
#[tokio::test]
async fn a_replacement_registers_nothing_where_there_is_no_record_any_more() {
    let (vault, alice, device) = vault_of_alice().await;
    vault.post(&alice, "deletion", &device.deletion(1)).await;
    let prepared = prepare_registration(&vault, &device, RIGHT).await.message;
    let replacing = device.proven(&prepared, 1);
    let refused = finish_registration(&vault, &alice, &replacing).await;
    assert_eq!(refused.problem(), EXPIRED);
    assert_eq!(vault.status(&alice).await.state, AccountState::Destroyed);
    // As a new registration it is granted: the ticket was not used up.
    let finished = finish_registration(&vault, &alice, &prepared).await;
    assert_eq!(finished.status, StatusCode::CREATED);

    let bob = vault.account("bob");
    let device = Device::new(&bob);
    let prepared = prepare_registration(&vault, &device, RIGHT).await.message;
    let refused = finish_registration(&vault, &bob, &device.proven(&prepared, 0)).await;
    assert_eq!(refused.problem(), EXPIRED);
}

/// The ticket is looked at before the proof, and the repetition before the ticket.
#[tokio::test]
async fn the_checks_come_in_the_order_of_the_contract() {
    let (vault, alice, device) = vault_of_alice().await;
    let thief = Device::new(&alice);
    let prepared = prepare_registration(&vault, &thief, WRONG).await.message;
    let mut unknown = prepared.clone();
    unknown.registration_ticket = Binary([1; 32]);
    let bad_proof = thief.proven(&unknown, 1);
    for message in [unknown, bad_proof] {
        let refused = finish_registration(&vault, &alice, &message).await;
        assert_eq!(refused.problem(), EXPIRED);
    }
    let refused = finish_registration(&vault, &alice, &thief.proven(&prepared, 1)).await;
    assert_eq!(refused.problem(), Problem::Forbidden);
    let replacing = device.proven(&prepared, 1);
    for _ in 0..2 {
        let finished = finish_registration(&vault, &alice, &replacing).await;
        let finished: RegistrationFinished = finished.read(StatusCode::CREATED);
        assert_eq!(finished.generation, 2);
    }
    // The repetition is known by its content: its ticket is used up, its proof of no account.
    let repeated = finish_registration(&vault, &alice, &prepared).await;
    assert_eq!(repeated.status, StatusCode::CREATED);
}

/// Fails when a repeated finish makes the record again: it would refill the budget.
#[tokio::test]
async fn an_identical_repetition_gives_the_same_answer_and_refills_nothing() {
    let vault = TestVault::start(without_waits()).await;
    let alice = vault.account("alice");
    let device = Device::new(&alice);
    let prepared = prepare_registration(&vault, &device, RIGHT).await;
    let first = finish_registration(&vault, &alice, &prepared.message).await;
    for _ in 0..3 {
        charge(&vault, &alice).await;
    }
    vault.advance_seconds(OPEN_SECONDS + 1);
    let again = finish_registration(&vault, &alice, &prepared.message).await;
    assert_eq!(again.status, StatusCode::CREATED);
    assert_eq!(again.text(), first.text());
    assert_eq!(remaining(&vault, &alice).await, 7);
}

#[tokio::test]
async fn a_repetition_never_brings_a_record_back() {
    let vault = TestVault::start(without_waits()).await;
    let alice = vault.account("alice");
    let device = Device::new(&alice);
    let first = prepare_registration(&vault, &device, RIGHT).await.message;
    let finished = finish_registration(&vault, &alice, &first).await;
    assert_eq!(finished.status, StatusCode::CREATED);
    replace(&vault, &device, 1, "another password").await;
    let refused = finish_registration(&vault, &alice, &first).await;
    assert_eq!(refused.problem(), EXPIRED, "after a replacement");
    let reset = serde_json::to_vec(&Reset { generation: 2 }).unwrap();
    let path = format!("{}/reset", alice.path());
    let token = Some(vault.app.reset_token.as_str());
    assert_eq!(
        vault.post_outside(&path, token, reset).await.status,
        StatusCode::OK
    );
    let refused = finish_registration(&vault, &alice, &first).await;
    assert_eq!(refused.problem(), EXPIRED, "after a destruction");
}

#[tokio::test]
async fn a_replacement_with_proof_begins_the_next_generation() {
    let (vault, alice, device) = vault_of_alice().await;
    let open = log_in(&vault, &alice, RIGHT).await;
    for _ in 0..3 {
        charge(&vault, &alice).await;
    }
    replace(&vault, &device, 1, "another password").await;
    let status = vault.status(&alice).await;
    assert_eq!((status.generation, status.attempts_remaining), (2, 10));
    let refused = finish(&vault, &alice, &open.message).await;
    assert_eq!(refused.problem(), EXPIRED, "a login of the former record");
    retrieve(&vault, &device, "another password").await;
    let guess = Guess::new(&alice, RIGHT);
    let answer = evaluated(&vault, &guess).await;
    assert!(guess.evaluated(&answer).is_err(), "the former password");
}

/// A device that still holds K registers it again, with a new proof.
#[tokio::test]
async fn a_waiting_record_can_be_replaced_by_who_holds_k() {
    let vault = TestVault::start(Policy::new(2, 2, vec![300]).unwrap()).await;
    let alice = vault.account("alice");
    let device = register(&vault, &alice, RIGHT).await;
    charge(&vault, &alice).await;
    assert_eq!(vault.status(&alice).await.state, AccountState::Waiting);
    replace(&vault, &device, 1, RIGHT).await;
    assert_eq!(vault.status(&alice).await.state, AccountState::Active);
}

#[tokio::test]
async fn after_a_destruction_the_account_registers_anew_without_proof() {
    let (vault, alice, device) = vault_of_alice().await;
    let deleted = vault.post(&alice, "deletion", &device.deletion(1)).await;
    assert_eq!(deleted.status, StatusCode::OK);
    let device = register(&vault, &alice, "another password").await;
    assert_eq!(vault.status(&alice).await.generation, 2);
    let released: RetrievalFinished = retrieve(&vault, &device, "another password").await;
    assert_eq!(released.generation, 2);
}

/// Fails when the finish takes the tenant's present policy in place of the pending copy.
#[tokio::test]
async fn the_policy_is_the_one_of_the_start() {
    let mut vault = TestVault::start(policy(3, 3)).await;
    let alice = vault.account("alice");
    let device = Device::new(&alice);
    let prepared = prepare_registration(&vault, &device, RIGHT).await;
    vault.app = with_other_policy(&vault, policy(20, 20)).await;
    let finished = finish_registration(&vault, &alice, &prepared.message).await;
    let finished: RegistrationFinished = finished.read(StatusCode::CREATED);
    assert_eq!(finished.policy, policy(3, 3));
    assert_eq!(vault.status(&alice).await.policy, policy(3, 3));
    assert_eq!(remaining(&vault, &alice).await, 3);
    let bob = vault.account("bob");
    assert_eq!(vault.status(&bob).await.policy, policy(20, 20));
}

/// Fails when a management key is stored for which every signature is valid.
#[tokio::test]
async fn a_management_key_of_small_order_is_refused() {
    let vault = TestVault::start(without_waits()).await;
    let alice = vault.account("alice");
    let prepared = prepare_registration(&vault, &Device::new(&alice), RIGHT).await;
    let mut identity = [0; 32];
    identity[0] = 1;
    let no_point = [2; 32];
    for key in [identity, [0; 32], no_point] {
        let mut message = prepared.message.clone();
        message.management_key = Binary(key);
        let refused = finish_registration(&vault, &alice, &message).await;
        let expected = Problem::invalid_field("management_key");
        assert_eq!(refused.problem(), expected, "{key:?}");
    }
    let finished = finish_registration(&vault, &alice, &prepared.message).await;
    assert_eq!(finished.status, StatusCode::CREATED);
}

async fn with_other_policy(vault: &TestVault, policy: Policy) -> TestTenant {
    let tenant = vault.app.name.clone();
    let removed = vault.admin(AdminRequest::RemoveTenant { tenant }).await;
    assert!(matches!(removed, Answer::Done));
    vault.add_tenant(vault.app.name.as_str(), policy).await
}

fn with_proof(
    message: &RegistrationFinish,
    replace_proof: Option<Binary<64>>,
) -> RegistrationFinish {
    RegistrationFinish {
        replace_proof,
        ..message.clone()
    }
}

fn copy_of(key: &BackupKey) -> BackupKey {
    key.digits().parse().unwrap()
}
