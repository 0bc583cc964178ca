//! Several devices at the same moment, each over connections of its own.

use tokio::task::JoinSet;
use vault_protocol::messages::{RegistrationFinish, RegistrationFinished};
use vault_protocol::{BackupKey, Problem};
use vault_tests::device::Device;
use vault_tests::process::calls::{Calls, Said};
use vault_tests::process::server::ServerProcess;

use super::steps::{connections, finish, is_not_the_password, is_the_record_of, prepare, replace};
use crate::expect::{refused, same};
use crate::gate::{GateContext, holds};

/// As many as can be pending at a time.
const PENDING: usize = 4;

/// All races, as often as the scale says.
pub async fn run(context: &GateContext, server: &ServerProcess) -> anyhow::Result<usize> {
    let rounds = context.scaled(2, 20, 500);
    for round in 0..rounds {
        finishes(server, &format!("finishes-{round}")).await?;
        replacements(server, &format!("replacements-{round}")).await?;
        whole_registrations(server, &format!("whole-{round}")).await?;
    }
    Ok(3 * rounds)
}

/// All have started; all finish at once. One wins, and no other can finish later.
async fn finishes(server: &ServerProcess, account: &str) -> anyhow::Result<()> {
    let calls = connections(server, account, PENDING).await?;
    let mut devices = Vec::new();
    for (number, calls) in calls.iter().enumerate() {
        let device = Device::new(calls.scope());
        let prepared = prepare(calls, &device, &password(number)).await?;
        devices.push((device, prepared.message));
    }
    let messages: Vec<_> = devices.iter().map(|(_, message)| message.clone()).collect();
    let winner = one_winner(&calls, messages, 1).await?;
    for (number, (device, message)) in devices.iter().enumerate() {
        if number == winner {
            is_the_record_of(&calls[number], device, &password(number)).await?;
            continue;
        }
        is_not_the_password(&calls[number], &password(number)).await?;
        for again in [message.clone(), device.proven(message, 1)] {
            let said = finish(&calls[number], &again).await?;
            refused(said, &Problem::TicketExpired, "the loser's finish")?;
        }
    }
    Ok(())
}

/// All devices hold K of the live record, and prove it. The losers' registrations are of no use for
/// the record that won either, whatever they prove.
async fn replacements(server: &ServerProcess, account: &str) -> anyhow::Result<()> {
    let calls = connections(server, account, PENDING).await?;
    let owner = calls[0].register("the first password").await?;
    let mut messages = Vec::new();
    for (number, calls) in calls.iter().enumerate() {
        let device = Device::with_key(calls.scope(), copy_of(owner.key())?);
        let prepared = prepare(calls, &device, &password(number)).await?;
        messages.push(device.proven(&prepared.message, 1));
    }
    let winner = one_winner(&calls, messages.clone(), 2).await?;
    is_the_record_of(&calls[winner], &owner, &password(winner)).await?;
    is_not_the_password(&calls[winner], "the first password").await?;
    for (number, message) in messages.iter().enumerate() {
        if number != winner {
            for again in [message.clone(), owner.proven(message, 2)] {
                let said = finish(&calls[number], &again).await?;
                refused(said, &Problem::TicketExpired, "the loser's finish")?;
            }
        }
    }
    replace(&calls[0], &owner, 2, "the third password").await
}

/// More devices than can be pending, from start to finish, and none waits for another.
async fn whole_registrations(server: &ServerProcess, account: &str) -> anyhow::Result<()> {
    let calls = connections(server, account, 2 * PENDING).await?;
    let mut running = JoinSet::new();
    for (number, calls) in calls.iter().cloned().enumerate() {
        running.spawn(async move {
            let device = Device::new(calls.scope());
            let prepared = prepare(&calls, &device, &password(number)).await?;
            let said = finish(&calls, &prepared.message).await?;
            anyhow::Ok((number, device, said))
        });
    }
    let mut winners = Vec::new();
    while let Some(ended) = running.join_next().await {
        let (number, device, said) = ended??;
        match said {
            Ok(finished) => winners.push((number, device, finished.generation)),
            Err(Problem::TicketExpired | Problem::AlreadyRegistered { generation: 1 }) => {}
            Err(other) => holds(false, || format!("a loser was told {other:?}"))?,
        }
    }
    holds(matches!(winners.as_slice(), [(_, _, 1)]), || {
        format!("{} registrations won", winners.len())
    })?;
    for (number, device, _) in winners {
        is_the_record_of(&calls[number], &device, &password(number)).await?;
    }
    Ok(())
}

/// Sends all at once; the index of the one that began this generation. The others are told that
/// their tickets are no good any more.
async fn one_winner(
    calls: &[Calls],
    messages: Vec<RegistrationFinish>,
    generation: u64,
) -> anyhow::Result<usize> {
    let mut running = JoinSet::new();
    for (number, message) in messages.into_iter().enumerate() {
        let calls = calls[number].clone();
        running.spawn(async move { (number, finish(&calls, &message).await) });
    }
    let mut winners = Vec::new();
    while let Some(ended) = running.join_next().await {
        let (number, said) = ended?;
        let said: Said<RegistrationFinished> = said?;
        match said {
            Ok(finished) => {
                same(&finished.generation, &generation, "the winner's generation")?;
                winners.push(number);
            }
            said => refused(said, &Problem::TicketExpired, "a loser's finish")?,
        }
    }
    holds(winners.len() == 1, || {
        format!("{} registrations won", winners.len())
    })?;
    Ok(winners[0])
}

fn password(number: usize) -> String {
    format!("the password of device {number}")
}

pub fn copy_of(key: &BackupKey) -> anyhow::Result<BackupKey> {
    Ok(key.digits().parse()?)
}
