//! The steps of registrations and logins, and their required outcomes.

use anyhow::Context;
use vault_protocol::messages::{
    RegistrationFinish, RegistrationFinished, RegistrationStarted, RetrievalFinished,
};
use vault_tests::device::{Device, EvaluatedRegistration, Guess, Login};
use vault_tests::process::calls::{Calls, Said};
use vault_tests::process::server::ServerProcess;

use crate::expect::granted;
use crate::gate::holds;

/// Failures in a row that destroy a record.
pub(super) const LIMIT: usize = 10;

/// All of a registration but its finish.
pub(super) async fn prepare(
    calls: &Calls,
    device: &Device,
    password: &str,
) -> anyhow::Result<EvaluatedRegistration> {
    let started = device.register(password);
    let said: Said<RegistrationStarted> =
        calls.post("registration/start", &started.message).await?;
    Ok(device.evaluated(&started, &granted(said, "registration/start")?))
}

pub(super) async fn finish(
    calls: &Calls,
    message: &RegistrationFinish,
) -> anyhow::Result<Said<RegistrationFinished>> {
    calls.post("registration/finish", message).await
}

/// Replaces the record of this generation, as its owner can.
pub(super) async fn replace(
    calls: &Calls,
    device: &Device,
    generation: u64,
    password: &str,
) -> anyhow::Result<()> {
    let prepared = prepare(calls, device, password).await?;
    let proven = device.proven(&prepared.message, generation);
    let finished = granted(finish(calls, &proven).await?, "a replacement with proof")?;
    Ok(holds(finished.generation == generation + 1, || {
        format!("generation {} after {generation}", finished.generation)
    })?)
}

/// A charged attempt with the right password, up to its finish.
pub(super) async fn log_in(calls: &Calls, password: &str) -> anyhow::Result<Login> {
    let guess = Guess::new(calls.scope(), password);
    let started = granted(calls.start(&guess).await?, "a start")?;
    let login = guess.evaluated(&started).ok();
    login.with_context(|| format!("{password:?} is not the record's password"))
}

/// The record is the one that this device has registered with this password, and no other.
pub(super) async fn is_the_record_of(
    calls: &Calls,
    device: &Device,
    password: &str,
) -> anyhow::Result<()> {
    let guess = Guess::new(calls.scope(), password);
    let started = granted(calls.start(&guess).await?, "a start")?;
    let login = guess.evaluated(&started).ok();
    holds(login.is_some(), || {
        format!("{password:?} is not the password of the record that won")
    })?;
    let login = login.context("checked above")?;
    let said: Said<RetrievalFinished> = calls.post("retrieval/finish", &login.message).await?;
    let finished = granted(said, "the owner's finish")?;
    let key = login.open(&finished).ok();
    let is_its_key = key.is_some_and(|key| key.is_same(device.key()));
    Ok(holds(is_its_key, || "another key was released".to_owned())?)
}

/// This password does not open the record.
pub(super) async fn is_not_the_password(calls: &Calls, password: &str) -> anyhow::Result<()> {
    let guess = Guess::new(calls.scope(), password);
    let started = granted(calls.start(&guess).await?, "a start")?;
    Ok(holds(guess.evaluated(&started).is_err(), || {
        format!("{password:?}, of a registration that lost, opens the record")
    })?)
}

pub(super) async fn connections(
    server: &ServerProcess,
    account: &str,
    count: usize,
) -> anyhow::Result<Vec<Calls>> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(Calls::connect(server, account).await?);
    }
    Ok(all)
}
