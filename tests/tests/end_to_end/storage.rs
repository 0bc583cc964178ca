//! A disk that fails.

use rustix::process::{Resource, Rlimit, prlimit};
use vault_tests::device::Guess;
use vault_tests::process_calls::Calls;
use vault_tests::process_server::ServerOptions;

use crate::support::{PASSWORD, start};

/// A write beyond RLIMIT_FSIZE fails with EFBIG, for who ignores the signal that comes with it.
const WITHOUT_THE_SIGNAL: &[&str] = &["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"];

/// Fails if `serve` does not watch `ledger.failed()`: the process then lives on.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_storage_failure_nothing_is_evaluated_and_the_process_ends_with_1()
-> anyhow::Result<()> {
    let options = ServerOptions {
        launcher: WITHOUT_THE_SIGNAL,
        ..ServerOptions::default()
    };
    let mut server = start(options)?;
    let calls = Calls::connect(&server, "alice").await?;
    calls.register(PASSWORD).await?;

    let nothing = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    prlimit(Some(server.process().pid()), Resource::Fsize, nothing)?;
    let guess = Guess::new(calls.scope(), PASSWORD);
    let evaluated = matches!(calls.start(&guess).await, Ok(Ok(_)));
    assert!(!evaluated, "KE2 left after the charge could not be stored");
    assert_eq!(server.process().wait()?.code(), Some(1), "{}", server.log());
    let log = server.log();
    assert!(log.contains("storage failed: stopping"), "{log}");

    server.restart()?;
    let calls = Calls::connect(&server, "alice").await?;
    assert!(calls.status().await?.attempts_remaining >= 9);
    calls.retrieve(PASSWORD).await?;
    Ok(())
}
