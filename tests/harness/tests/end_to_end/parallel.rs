//! Guessing at once instead of one after the other gains nothing.

use std::collections::HashSet;

use tokio::task::JoinSet;
use vault_protocol::Problem;
use vault_protocol::messages::{AccountState, RetrievalAbandoned, RetrievalStarted};
use vault_tests::device::{Guess, abandon};
use vault_tests::process::calls::{Calls, granted};
use vault_tests::process::server::{ServerOptions, ServerProcess};

use crate::support::{PASSWORD, app_password, backend, start};

const GUESSES: usize = 200;
const CONNECTIONS: usize = 8;

/// Over 8 connections to the vault itself.
async fn guess_in_parallel(server: &ServerProcess) -> anyhow::Result<Vec<RetrievalStarted>> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Calls::connect(server, "alice").await?);
    }
    guess_over(&connections).await
}

/// Over 8 connections and sessions to the app's backend.
async fn guess_through_relay(server: &ServerProcess) -> anyhow::Result<Vec<RetrievalStarted>> {
    let backend = backend(server)?;
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let session = backend.login("alice", &app_password("alice")).await?;
        connections.push(Calls::relayed(server, &backend, &session, "alice").await?);
    }
    guess_over(&connections).await
}

/// Sends 200 different credential requests for one account at once; returns the evaluations. Every
/// other answer has to be `waiting`.
async fn guess_over(connections: &[Calls]) -> anyhow::Result<Vec<RetrievalStarted>> {
    connections[0].register(PASSWORD).await?;
    let mut running = JoinSet::new();
    for number in 0..GUESSES {
        let calls = connections[number % CONNECTIONS].clone();
        let guess = Guess::new(calls.scope(), &format!("guess {number}"));
        running.spawn(async move { calls.start(&guess).await });
    }
    let mut evaluations = Vec::new();
    while let Some(said) = running.join_next().await {
        match said?? {
            Ok(started) => evaluations.push(started),
            Err(Problem::Waiting { .. }) => {}
            Err(other) => anyhow::bail!("neither an evaluation nor a wait: {other:?}"),
        }
    }
    let responses = evaluations
        .iter()
        .map(|started| started.credential_response.0);
    assert_eq!(responses.collect::<HashSet<_>>().len(), evaluations.len());
    Ok(evaluations)
}

/// Fails if `StartRetrieval` does not look at the open attempts before it charges (`exhausted` in
/// vault-rules), or if the charge is made after the evaluation.
#[tokio::test(flavor = "multi_thread")]
async fn of_200_parallel_guesses_exactly_10_are_evaluated_without_waits() -> anyhow::Result<()> {
    let options = ServerOptions::default().without_waits(10);
    let server = start(options)?;
    let evaluations = guess_in_parallel(&server).await?;
    assert_eq!(evaluations.len(), 10);

    let mut remaining: Vec<u64> = evaluations.iter().map(|e| e.attempts_remaining).collect();
    remaining.sort_unstable();
    assert_eq!(remaining, Vec::from_iter(0..10));
    let calls = Calls::connect(&server, "alice").await?;
    let mut states = Vec::new();
    for started in &evaluations {
        let message = abandon(&started.retrieval_ticket);
        let said = calls.post("retrieval/abandon", &message).await?;
        states.push(granted::<RetrievalAbandoned>(said)?.state);
    }
    // The last attempt could have succeeded until it ended.
    assert_eq!(states[..9], [AccountState::Waiting; 9]);
    assert_eq!(states[9], AccountState::Destroyed);
    Ok(())
}

/// Fails if an attempt that is still open does not count as a failure for the waits.
#[tokio::test(flavor = "multi_thread")]
async fn of_200_parallel_guesses_exactly_5_are_evaluated_by_default() -> anyhow::Result<()> {
    let server = start(ServerOptions::default())?;
    assert_eq!(guess_in_parallel(&server).await?.len(), 5);
    let status = Calls::connect(&server, "alice").await?.status().await?;
    assert_eq!(
        (status.state, status.attempts_remaining),
        (AccountState::Waiting, 5)
    );
    Ok(())
}

/// Fails as the two above do; what the backend relays is counted like everything else.
#[tokio::test(flavor = "multi_thread")]
async fn through_the_relay_it_is_exactly_10_and_exactly_5_too() -> anyhow::Result<()> {
    let server = start(ServerOptions::default().without_waits(10))?;
    assert_eq!(guess_through_relay(&server).await?.len(), 10);
    let server = start(ServerOptions::default())?;
    assert_eq!(guess_through_relay(&server).await?.len(), 5);
    Ok(())
}
