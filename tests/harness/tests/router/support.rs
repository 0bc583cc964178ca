//! The steps that most tests begin with.

use http::StatusCode;
use vault_protocol::messages::{
    RegistrationFinish, RegistrationStarted, RetrievalFinish, RetrievalFinished, RetrievalStarted,
};
use vault_protocol::{AccountScope, Policy, Problem, Timestamp};
use vault_tests::device::{Device, EvaluatedRegistration, Guess, Login, false_finish};
use vault_tests::in_process::{Answered, START, TestVault};

pub const RIGHT: &str = "correct horse battery staple";
pub const WRONG: &str = "incorrect horse";

/// An attempt stays open for so many seconds (PROTOCOL.md section 7), and a started registration
/// too (section 6).
pub const OPEN_SECONDS: u64 = 15 * 60;

/// Ten failures in a row, a hundred in all, no waits.
pub fn without_waits() -> Policy {
    policy(10, 100)
}

pub fn policy(limit: u64, total_limit: u64) -> Policy {
    let waits = (1..limit).map(|_| 0).collect();
    Policy::new(limit, total_limit, waits).unwrap()
}

/// So many seconds after the beginning of every test.
pub fn at(seconds: u64) -> Timestamp {
    START.plus_seconds(seconds)
}

/// A vault without waits where `alice` has registered.
pub async fn vault_of_alice() -> (TestVault, AccountScope, Device) {
    let vault = TestVault::start(without_waits()).await;
    let alice = vault.account("alice");
    let device = register(&vault, &alice, RIGHT).await;
    (vault, alice, device)
}

/// Registers an account without a live record, with a new K.
pub async fn register(vault: &TestVault, scope: &AccountScope, password: &str) -> Device {
    let device = Device::new(scope);
    let prepared = prepare_registration(vault, &device, password).await;
    let finished = finish_registration(vault, scope, &prepared.message).await;
    assert_eq!(finished.status, StatusCode::CREATED, "{}", finished.text());
    device
}

/// All of a registration but its finish.
pub async fn prepare_registration(
    vault: &TestVault,
    device: &Device,
    password: &str,
) -> EvaluatedRegistration {
    let started = device.register(password);
    let scope = device.scope();
    let answer = vault
        .post(scope, "registration/start", &started.message)
        .await;
    let answer: RegistrationStarted = answer.read(StatusCode::OK);
    device.evaluated(&started, &answer)
}

pub async fn finish_registration(
    vault: &TestVault,
    scope: &AccountScope,
    message: &RegistrationFinish,
) -> Answered {
    vault.post(scope, "registration/finish", message).await
}

/// Replaces the record of this generation; the device holds its K, and the new record has it too.
pub async fn replace(vault: &TestVault, device: &Device, generation: u64, password: &str) {
    let prepared = prepare_registration(vault, device, password).await;
    let proven = device.proven(&prepared.message, generation);
    let finished = finish_registration(vault, device.scope(), &proven).await;
    assert_eq!(finished.status, StatusCode::CREATED, "{}", finished.text());
}

pub async fn start(vault: &TestVault, guess: &Guess) -> Answered {
    vault
        .post(guess.scope(), "retrieval/start", &guess.message)
        .await
}

/// A start that is answered with KE2.
pub async fn evaluated(vault: &TestVault, guess: &Guess) -> RetrievalStarted {
    start(vault, guess).await.read(StatusCode::OK)
}

/// A wrong guess that is charged and stays open.
pub async fn charge(vault: &TestVault, scope: &AccountScope) -> RetrievalStarted {
    evaluated(vault, &Guess::new(scope, WRONG)).await
}

pub async fn finish(
    vault: &TestVault,
    scope: &AccountScope,
    message: &RetrievalFinish,
) -> Answered {
    vault.post(scope, "retrieval/finish", message).await
}

/// A wrong guess, from the charge to its end.
pub async fn fail(vault: &TestVault, scope: &AccountScope) -> Problem {
    let started = charge(vault, scope).await;
    let message = false_finish(&started.retrieval_ticket);
    finish(vault, scope, &message).await.problem()
}

/// The right guess, up to its finish.
pub async fn log_in(vault: &TestVault, scope: &AccountScope, password: &str) -> Login {
    let guess = Guess::new(scope, password);
    let answer = evaluated(vault, &guess).await;
    guess.evaluated(&answer).expect("the right password")
}

/// The right guess, from the charge to its end.
pub async fn retrieve(vault: &TestVault, device: &Device, password: &str) -> RetrievalFinished {
    let scope = device.scope();
    let login = log_in(vault, scope, password).await;
    let answer = finish(vault, scope, &login.message).await;
    let answer: RetrievalFinished = answer.read(StatusCode::OK);
    let key = login.open(&answer).expect("released to this login");
    assert!(key.is_same(device.key()));
    answer
}

/// Attempts that are left, by the status.
pub async fn remaining(vault: &TestVault, scope: &AccountScope) -> u64 {
    vault.status(scope).await.attempts_remaining
}
