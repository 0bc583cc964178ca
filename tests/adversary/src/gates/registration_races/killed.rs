//! The vault is killed before, during and after each step of a registration and of a replacement. The
//! identical finish gets the same answer again if the first one took effect. The other device is told.

use std::sync::{Arc, Mutex};
use vault_tests::process::one_call::OneCall as _;

use anyhow::{bail, ensure};
use rand::rngs::OsRng;
use vault_client::{BackupKey, Password};
use vault_protocol::Problem;
use vault_protocol::messages::RegistrationFinish;
use vault_tests::device::Device;
use vault_tests::process::calls::Calls;
use vault_tests::process::lossy::{Fault, SharedServer, connect};
use vault_tests::process::server::ServerProcess;

use super::steps::{finish, is_not_the_password, is_the_record_of, prepare};
use crate::expect::{granted, refused, same};
use crate::gate::{GateContext, Violation, holds};

const FIRST: &str = "the first password";
const SECOND: &str = "the second password";

/// How often an app repeats a call that it has begun.
const PATIENCE: usize = 8;

/// All of it.
pub async fn run(context: &GateContext, mut server: ServerProcess) -> anyhow::Result<usize> {
    let in_flight = context.scaled(3, 10, 300);
    for round in 0..in_flight {
        killed_while_it_works(&mut server, &format!("in-flight-{round}")).await?;
    }
    let server: SharedServer = Arc::new(Mutex::new(server));
    let killed = [Fault::KilledAfter, Fault::LostAnswer, Fault::KilledBefore];
    let finishes = context.scaled(vec![killed.to_vec()], pairs(), pairs());
    let beginnings = context.scaled(vec![vec![Fault::KilledAfter]], before(), before());
    let beginnings = beginnings.into_iter().map(|plan| (plan, Vec::new()));
    let plans = beginnings.chain(finishes.into_iter().map(|plan| (Vec::new(), plan)));
    let plans: Vec<_> = plans.collect();
    for (number, plan) in plans.iter().enumerate() {
        the_library_goes_on(&server, &format!("library-{number}"), plan).await?;
    }
    Ok(in_flight + plans.len())
}

/// The outcome of a finish on its way is unknown. Its repetition takes effect, or it did.
async fn killed_while_it_works(server: &mut ServerProcess, account: &str) -> anyhow::Result<()> {
    let calls = Calls::connect(server, account).await?;
    let owner = Device::new(calls.scope());
    let first = prepare(&calls, &owner, FIRST).await?.message;
    let rival = Device::new(calls.scope());
    let of_rival = prepare(&calls, &rival, "the rival's password")
        .await?
        .message;
    let second = survives(server, account, &first, 1).await?;
    refused(
        finish(&second, &of_rival).await?,
        &Problem::TicketExpired,
        "the other device's finish after a kill",
    )?;
    is_the_record_of(&second, &owner, FIRST).await?;

    let replacement = prepare(&second, &owner, SECOND).await?.message;
    let replacement = owner.proven(&replacement, 1);
    let last = survives(server, account, &replacement, 2).await?;
    is_not_the_password(&last, FIRST).await?;
    is_the_record_of(&last, &owner, SECOND).await
}

/// Sends a finish, kills the vault at once, and repeats it to the vault's next life.
async fn survives(
    server: &mut ServerProcess,
    account: &str,
    message: &RegistrationFinish,
    generation: u64,
) -> anyhow::Result<Calls> {
    let calls = Calls::connect(server, account).await?;
    // The connection is there before it is needed.
    calls.status().await?;
    let (sent, message_sent) = (calls.clone(), message.clone());
    let sending = tokio::spawn(async move { finish(&sent, &message_sent).await });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    server.kill()?;
    // Answered or not: an answer holds.
    let answered = matches!(sending.await?, Ok(Ok(_)));
    server.restart()?;
    let calls = Calls::connect(server, account).await?;
    let before = calls.status().await?.generation;
    holds(!answered || before == generation, || {
        format!("generation {before} where {generation} was answered before the kill")
    })?;
    let finished = granted(finish(&calls, message).await?, "the repeated finish")?;
    same(&finished.generation, &generation, "its generation")?;
    Ok(calls)
}

/// The faults of a registration's messages before its finish, and of its finish.
type Faults = (Vec<Fault>, Vec<Fault>);

/// Begins anew until it is prepared, and then repeats the one finish.
async fn the_library_goes_on(
    server: &SharedServer,
    account: &str,
    plan: &Faults,
) -> anyhow::Result<()> {
    let key = BackupKey::generate(&mut OsRng);
    for (password, current) in [(FIRST, None), (SECOND, Some(&key))] {
        let (mut device, faults) = connect(server, account)?;
        faults.set(&plan.0);
        let mut beginnings = PATIENCE;
        let prepared = loop {
            beginnings -= 1;
            match device
                .prepare(Password::prepare(password)?, &key, current)
                .await
            {
                Ok(prepared) => break prepared,
                Err(error) if beginnings == 0 => bail!("{plan:?}, {password}: {error}"),
                Err(_) => {}
            }
        };
        ensure!(faults.is_over(), "{plan:?}: not all of it happened");
        faults.set(&plan.1);
        let mut answer = device.commit(&prepared).await;
        for _ in 0..PATIENCE {
            if answer.is_ok() {
                break;
            }
            answer = device.commit(&prepared).await;
        }
        let registered =
            answer.map_err(|error| Violation::new(format!("{plan:?}, {password}: {error}")))?;
        let expected = if current.is_none() { 1 } else { 2 };
        same(
            &registered.registration.generation,
            &expected,
            "the generation",
        )?;
    }
    let (mut device, _) = connect(server, account)?;
    let retrieved = device.retrieve(Password::prepare(SECOND)?).await?;
    Ok(holds(retrieved.key.is_same(&key), || {
        "another key".to_owned()
    })?)
}

/// A kill around the status that is asked first, and around the start.
fn before() -> Vec<Vec<Fault>> {
    let kills = [Fault::KilledBefore, Fault::KilledAfter];
    let plans = kills.map(|kill| [vec![kill], vec![Fault::None, kill]]);
    plans.into_iter().flatten().collect()
}

fn pairs() -> Vec<Vec<Fault>> {
    let faults = Fault::ALL.into_iter();
    let pairs = faults.flat_map(|first| Fault::ALL.map(|second| vec![first, second]));
    pairs.collect()
}
