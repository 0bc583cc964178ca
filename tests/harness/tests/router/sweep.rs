//! What time alone decides is carried out without requests (PROTOCOL.md section 7 step 5). The
//! tests look at what lies in the ledger: asking for the status would itself do what is due.

use http::StatusCode;
use vault_protocol::messages::DestructionReason;
use vault_protocol::{AccountScope, Problem};
use vault_server::admin::{Answer, Request as AdminRequest};
use vault_tests::device::Device;
use vault_tests::in_process::{Stored, TestVault};

use crate::support::{
    OPEN_SECONDS, RIGHT, at, charge, finish, finish_registration, log_in, policy,
    prepare_registration, register, without_waits,
};

const LIVE: Option<Stored> = Some(Stored {
    generation: 1,
    is_live: true,
});
const DESTROYED: Option<Stored> = Some(Stored {
    generation: 1,
    is_live: false,
});

/// An exhausted record with one open attempt.
async fn exhausted() -> (TestVault, AccountScope) {
    let vault = TestVault::start(policy(1, 1)).await;
    let alice = vault.account("alice");
    register(&vault, &alice, RIGHT).await;
    charge(&vault, &alice).await;
    (vault, alice)
}

#[tokio::test]
async fn nothing_is_destroyed_before_the_last_attempt_has_expired() {
    let vault = TestVault::start(policy(2, 2)).await;
    let alice = vault.account("alice");
    register(&vault, &alice, RIGHT).await;
    charge(&vault, &alice).await;
    vault.advance_seconds(10);
    let last = log_in(&vault, &alice, RIGHT).await;
    vault.advance_seconds(OPEN_SECONDS - 1);
    vault.sweep().await;
    assert_eq!(vault.stored(&alice).await, LIVE);
    let released = finish(&vault, &alice, &last.message).await;
    assert_eq!(released.status, StatusCode::OK);
}

/// Fails when the sweep does nothing (return early in `Service::sweep`), or the account is not
/// scheduled in `account::apply`.
#[tokio::test]
async fn an_exhausted_record_is_destroyed_without_any_request() {
    let (vault, alice) = exhausted().await;
    vault.advance_seconds(OPEN_SECONDS - 1);
    vault.sweep().await;
    assert_eq!(vault.stored(&alice).await, LIVE);
    vault.advance_seconds(1);
    vault.sweep().await;
    assert_eq!(vault.stored(&alice).await, DESTROYED);
    vault.advance_seconds(1_000);
    let status = vault.status(&alice).await;
    assert_eq!(status.destroyed_at, Some(at(OPEN_SECONDS)));
    assert_eq!(status.reason, Some(DestructionReason::Exhausted));
}

/// The vault was down while the attempt expired; its time counts from the start at the earliest.
/// Fails when a start forgets due accounts.
#[tokio::test]
async fn an_exhausted_record_is_destroyed_after_a_restart_without_any_request() {
    let (mut vault, alice) = exhausted().await;
    vault.restart(at(10 * OPEN_SECONDS)).await;
    assert_eq!(
        vault.stored(&alice).await,
        LIVE,
        "a phone may still be at it"
    );
    vault.advance_seconds(OPEN_SECONDS - 1);
    vault.sweep().await;
    assert_eq!(vault.stored(&alice).await, LIVE);
    vault.advance_seconds(1);
    vault.sweep().await;
    assert_eq!(vault.stored(&alice).await, DESTROYED);
}

/// Fails when the sweep stops after its first batch of accounts.
#[tokio::test]
async fn one_sweep_destroys_all_that_are_due() {
    let vault = TestVault::start(policy(1, 1)).await;
    let mut accounts = Vec::new();
    for number in 0..70 {
        let account = vault.account(&format!("user{number}"));
        register(&vault, &account, RIGHT).await;
        charge(&vault, &account).await;
        accounts.push(account);
    }
    vault.advance_seconds(OPEN_SECONDS);
    vault.sweep().await;
    for account in &accounts {
        assert_eq!(vault.stored(account).await, DESTROYED);
    }
}

/// Fails when states of generation 0 without pending registrations stay: strangers' names would
/// fill the disk.
#[tokio::test]
async fn abandoned_registrations_expire_and_leave_nothing() {
    let vault = TestVault::start(without_waits()).await;
    let alice = vault.account("alice");
    let device = Device::new(&alice);
    let first = prepare_registration(&vault, &device, RIGHT).await;
    vault.advance_seconds(1);
    prepare_registration(&vault, &device, RIGHT).await;
    vault.advance_seconds(OPEN_SECONDS - 1);
    vault.sweep().await;
    let pending = Some(Stored {
        generation: 0,
        is_live: false,
    });
    assert_eq!(vault.stored(&alice).await, pending, "the second one");
    vault.advance_seconds(1);
    vault.sweep().await;
    assert_eq!(vault.stored(&alice).await, None);
    let refused = finish_registration(&vault, &alice, &first.message).await;
    assert_eq!(refused.problem(), Problem::TicketExpired);
    assert_eq!(
        vault.stored(&alice).await,
        None,
        "a refusal leaves nothing either"
    );
}

#[tokio::test]
async fn a_status_of_an_account_that_never_was_leaves_nothing() {
    let vault = TestVault::start(without_waits()).await;
    let alice = vault.account("alice");
    vault.status(&alice).await;
    assert_eq!(vault.stored(&alice).await, None);
}

#[tokio::test]
async fn the_events_tell_what_the_sweep_did() {
    let (vault, alice) = exhausted().await;
    vault.advance_seconds(OPEN_SECONDS);
    vault.sweep().await;
    let request = AdminRequest::ShowAccount {
        tenant: alice.tenant.clone(),
        account: alice.account.clone(),
    };
    let Answer::Account { events, .. } = vault.admin(request).await else {
        panic!("no account");
    };
    let told: Vec<_> = events
        .iter()
        .flatten()
        .map(|event| (event.at.seconds_since(at(0)), event.event.as_str()))
        .collect();
    let expected = [
        (0, "registered"),
        (0, "charged: attempt 1"),
        (0, "exhausted"),
        (OPEN_SECONDS, "failed: attempt 1, expired"),
        (OPEN_SECONDS, "destroyed: exhausted"),
    ];
    assert_eq!(told, expected);
}
