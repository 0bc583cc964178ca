//! The real server, killed at every write and sync in turn.

#[path = "../../../vault-server/ledger/tests/disk/shim.rs"]
mod shim;

use std::path::Path;

use vault_protocol::messages::AccountState;
use vault_tests::device::Guess;
use vault_tests::process_calls::{Calls, granted};
use vault_tests::process_server::{ServerOptions, ServerProcess};

use self::shim::{Kill, Layer, Shim};
use crate::support::{PASSWORD, start};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/disk/shim.c");
const LIMIT: u64 = 10;
/// What one life is asked to evaluate.
const GUESSES: u64 = 2;

/// Kills at the first call, at the second one, and so on, until a life is through before that. Fails
/// when `Vault::replace_root` does not run COMMIT: a charge whose evaluation left is gone then.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_write_or_sync_the_server_starts_again_with_every_guess_that_it_evaluated()
-> anyhow::Result<()> {
    let Some(shim) = Shim::get(Path::new(SOURCE), Path::new(env!("CARGO_TARGET_TMPDIR"))) else {
        return Ok(());
    };
    let mut server = start(ServerOptions::default().without_waits(10))?;
    for call in 1_u64.. {
        let account = format!("user-{call}");
        Calls::connect(&server, &account)
            .await?
            .register(PASSWORD)
            .await?;
        server.terminate()?;
        let evaluated = life(&mut server, shim, Kill::Before(call), &account).await?;
        server.restart()?;
        let status = Calls::connect(&server, &account).await?.status().await?;
        assert_eq!(status.state, AccountState::Active, "killed at call {call}");
        let charged = LIMIT - status.attempts_remaining;
        assert!(
            (evaluated..=evaluated + 1).contains(&charged),
            "killed at call {call}: {evaluated} guesses were evaluated, {charged} are charged"
        );
        if evaluated == GUESSES {
            assert!(call > 20, "the server is killed in the course of the sweep");
            return Ok(());
        }
    }
    Ok(())
}

/// Starts the server to be killed; how many guesses it evaluated before that.
async fn life(
    server: &mut ServerProcess,
    shim: Shim,
    kill: Kill,
    account: &str,
) -> anyhow::Result<u64> {
    let folders = ["data", "anchor"].map(|name| server.vault().file(name));
    let layer = Layer {
        folders: folders.to_vec(),
        kill: Some(kill),
        ..Layer::default()
    };
    if server
        .restart_below(|command| shim.put_below(command, &layer))
        .is_err()
    {
        return Ok(0);
    }
    let mut evaluated = 0;
    if let Ok(calls) = Calls::connect(server, account).await {
        while evaluated < GUESSES {
            let guess = Guess::new(calls.scope(), "not the password");
            match calls.start(&guess).await {
                Ok(answer) => drop(granted(answer)?),
                Err(_) => break,
            }
            evaluated += 1;
        }
    }
    server.kill()?;
    Ok(evaluated)
}
