//! Registrations that meet: two devices, a login under way, a repetition, a kill, a record that waits.
//! The record that loses must be worth nothing afterwards, and who holds neither K nor an account
//! without record must get none.
//!
//! | file | what |
//! |---|---|
//! | `at_once` | several devices register, or replace, at the same moment |
//! | `replaced` | what was begun under the record that gave way |
//! | `refused` | replacements without proof, in every state of the record |
//! | `killed` | the vault killed at every step, and while it works |

mod at_once;
mod killed;
mod refused;
mod replaced;

use anyhow::Context;
use vault_protocol::messages::{
    RegistrationFinish, RegistrationFinished, RegistrationStarted, RetrievalFinished,
};
use vault_tests::device::{Device, EvaluatedRegistration, Guess, Login};
use vault_tests::process::calls::{Calls, Said};
use vault_tests::process::server::{ServerOptions, ServerProcess};

use crate::expect::granted;
use crate::gate::{Arena, Control, Gate, Tried, holds};
use crate::patch::Patch;

/// The gate.
pub const GATE: Gate = Gate {
    name: "registration races",
    property: "two devices at once, finish during retrieval, repeated finish, killed at each step, \
               replacement while `waiting`: one generation wins, the other is told, an old record is \
               never attemptable, no replacement without proof",
    run: |arena| Box::pin(run(arena)),
    controls: &[
        Control::Patch(&WITHOUT_PROOF),
        Control::Patch(&OTHERS_STAY_PENDING),
        Control::Patch(&ATTEMPTS_STAY),
        Control::Patch(&REPETITION_REGISTERS),
    ],
};

/// With this a stolen login takes the owner's record away.
pub const WITHOUT_PROOF: Patch = Patch {
    name: "any proof replaces a record",
    file: "vault-server/rules/src/registration.rs",
    text: "(!is_allowed).then_some(Refusal::Forbidden)",
    instead: "(!is_allowed && !(FAULT)).then_some(Refusal::Forbidden)",
};

/// With this a registration that was begun before another one was completed still replaces it.
pub const OTHERS_STAY_PENDING: Patch = Patch {
    name: "a completed registration leaves the others pending",
    file: "vault-server/rules/src/registration.rs",
    text: "account.pending.clear();",
    instead: "if !(FAULT) { account.pending.clear(); }",
};

/// With this a guess at the former record is one at the new record, and has been paid for.
pub const ATTEMPTS_STAY: Patch = Patch {
    name: "a replacement takes the attempts over",
    file: "vault-server/rules/src/registration.rs",
    text: "attempts: Attempts::default(),",
    instead: "attempts: match &mut account.slot {\n\
              RecordSlot::Live(former) if FAULT => std::mem::take(&mut former.attempts),\n\
              _ => Attempts::default(),\n\
              },",
};

/// With this a repeated finish is another registration, with a new budget.
pub const REPETITION_REGISTERS: Patch = Patch {
    name: "a repeated finish is not known",
    file: "vault-server/rules/src/registration.rs",
    text: "&& record.finish_digest == digest\n",
    instead: "&& !(FAULT) && record.finish_digest == digest\n",
};

const LIMIT: usize = 10;

async fn run(arena: Arena) -> anyhow::Result<Tried> {
    let server = arena.start(ServerOptions::default().without_waits(LIMIT))?;
    let mut races = at_once::run(&arena, &server).await?;
    races += replaced::run(&arena, &server).await?;
    races += refused::run(&arena).await?;
    races += killed::run(&arena, server).await?;
    Ok(Tried::new(races, "races and interrupted registrations"))
}

/// All of a registration but its finish.
async fn prepare(
    calls: &Calls,
    device: &Device,
    password: &str,
) -> anyhow::Result<EvaluatedRegistration> {
    let started = device.register(password);
    let said: Said<RegistrationStarted> =
        calls.post("registration/start", &started.message).await?;
    Ok(device.evaluated(&started, &granted(said, "registration/start")?))
}

async fn finish(
    calls: &Calls,
    message: &RegistrationFinish,
) -> anyhow::Result<Said<RegistrationFinished>> {
    calls.post("registration/finish", message).await
}

/// Replaces the record of this generation, as its owner can.
async fn replace(
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
async fn log_in(calls: &Calls, password: &str) -> anyhow::Result<Login> {
    let guess = Guess::new(calls.scope(), password);
    let started = granted(calls.start(&guess).await?, "a start")?;
    let login = guess.evaluated(&started).ok();
    login.with_context(|| format!("{password:?} is not the record's password"))
}

/// The record is the one that this device has registered with this password, and no other.
async fn is_the_record_of(calls: &Calls, device: &Device, password: &str) -> anyhow::Result<()> {
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
async fn is_not_the_password(calls: &Calls, password: &str) -> anyhow::Result<()> {
    let guess = Guess::new(calls.scope(), password);
    let started = granted(calls.start(&guess).await?, "a start")?;
    Ok(holds(guess.evaluated(&started).is_err(), || {
        format!("{password:?}, of a registration that lost, opens the record")
    })?)
}

async fn connections(
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
