//! Guessing at once instead of one after the other.

use std::collections::HashSet;

use tokio::task::JoinSet;
use vault_protocol::Problem;
use vault_tests::device::Guess;
use vault_tests::process::calls::Calls;
use vault_tests::process::server::ServerOptions;

use crate::gate::{AttackReport, Control, Gate, GateContext, holds};
use crate::patch::Patch;

/// The gate.
pub const GATE: Gate = Gate {
    name: "parallel start",
    property: "of many different starts at once, over several connections, exactly `limit` are \
               evaluated",
    run: |context| Box::pin(run(context)),
    controls: &[Control::Patch(&OPEN_IS_NOT_USED_UP)],
};

/// The count is right, and still a race is won while nothing has ended.
pub const OPEN_IS_NOT_USED_UP: Patch = Patch {
    name: "a record is exhausted only when nothing is open",
    file: "vault-server/rules/src/counting.rs",
    text: "self.remaining(policy) == 0\n",
    instead: "self.remaining(policy) == 0 && !(FAULT && self.any_open())\n",
};

const LIMIT: usize = 10;
const CONNECTIONS: usize = 8;

async fn run(context: GateContext) -> anyhow::Result<AttackReport> {
    let (rounds, starts) = context.scaled((2, 200), (50, 1000), (500, 1000));
    let server = context.start(ServerOptions::default().without_waits(LIMIT))?;
    for round in 0..rounds {
        let account = format!("user-{round}");
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(Calls::connect(&server, &account).await?);
        }
        attack(&connections, starts).await?;
    }
    let what = format!("sealed starts, {starts} at once over {CONNECTIONS} connections");
    Ok(AttackReport::new(rounds * starts, what))
}

/// Sends all at once. A start that is not evaluated has to be refused as `waiting`.
async fn attack(connections: &[Calls], starts: usize) -> anyhow::Result<()> {
    connections[0]
        .register("correct horse battery staple")
        .await?;
    let mut running = JoinSet::new();
    for number in 0..starts {
        let calls = connections[number % CONNECTIONS].clone();
        running.spawn(async move {
            let guess = Guess::new(calls.scope(), &format!("guess {number}"));
            calls.start(&guess).await
        });
    }
    let mut evaluated = HashSet::new();
    let mut strange = None;
    while let Some(said) = running.join_next().await {
        match said?? {
            Ok(started) => drop(evaluated.insert(started.credential_response.0)),
            Err(Problem::Waiting { .. }) => {}
            Err(other) => strange = Some(other),
        }
    }
    // Counted first: one evaluation too many matters most, whatever it did to the others.
    let count = evaluated.len();
    holds(count == LIMIT, || {
        format!("{count} evaluations, limit {LIMIT}")
    })?;
    if let Some(other) = strange {
        anyhow::bail!("neither an evaluation nor a wait: {other:?}");
    }
    Ok(())
}
