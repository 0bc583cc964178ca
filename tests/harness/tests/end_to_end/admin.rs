//! Administration: the same commands to a vault that runs, over its socket, and to one that is
//! stopped.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use vault_tests::process::calls::Calls;
use vault_tests::process::server::{ServerOptions, VaultFolder};

use crate::support::{PASSWORD, start};

/// Everything that works whether the vault runs or not.
fn administer(vault: &VaultFolder, tenant: &str) -> anyhow::Result<()> {
    let unknown = "there is no tenant of that name: see `tenant list`";
    assert_eq!(vault.refused(["tenant", "remove", tenant])?, unknown);
    let token = vault.done(["tenant", "add", tenant, "--limit", "2", "--waits", "7"])?;
    assert!(token.starts_with(&format!("bkv1_{tenant}_")), "{token}");
    vault.refused(["tenant", "add", tenant])?;

    let second = vault.done(["tenant", "rotate-token", tenant, "--scopes", "status,reset"])?;
    assert_ne!(token, second);
    let list = vault.done(["tenant", "list"])?;
    let lines: Vec<&str> = list
        .lines()
        .skip_while(|line| *line != tenant)
        .take(6)
        .collect();
    assert_eq!(lines[1], "  live records  0");
    assert_eq!(lines[2], "  limit         2 in a row, 100 in all");
    assert_eq!(lines[3], "  waits         [7] s");
    assert!(
        lines[4].starts_with("  token 1       use, since 20"),
        "{list}"
    );
    assert!(
        lines[5].starts_with("  token 2       status,reset, since 20"),
        "{list}"
    );
    for secret in [token, second] {
        assert!(!list.contains(secret.trim()));
    }
    vault.done(["tenant", "rotate-token", tenant, "--revoke", "1"])?;
    vault.refused(["tenant", "rotate-token", tenant, "--revoke", "1"])?;
    vault.done(["check"])?;
    vault.done(["tenant", "remove", tenant])?;
    assert!(
        !vault
            .done(["tenant", "list"])?
            .lines()
            .any(|line| line == tenant)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_is_administered_running_and_stopped() -> anyhow::Result<()> {
    let mut server = start(ServerOptions::default())?;
    let socket = fs::metadata(server.vault().file("data/admin.sock"))?;
    assert_eq!(socket.permissions().mode() & 0o7777, 0o600);
    administer(server.vault(), "first")?;
    let running = server.vault().done(["fingerprint"])?;
    server.terminate()?;
    assert!(!server.vault().file("data/admin.sock").exists());
    administer(server.vault(), "second")?;
    assert_eq!(server.vault().done(["fingerprint"])?, running);
    Ok(())
}

/// A killed server leaves its socket behind; that is not taken for a server.
#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_was_killed_is_administered_as_a_stopped_one() -> anyhow::Result<()> {
    let mut server = start(ServerOptions::default())?;
    server.kill()?;
    assert!(server.vault().file("data/admin.sock").exists());
    administer(server.vault(), "later")?;
    server.restart()?;
    administer(server.vault(), "last")
}

/// Fails if the count of live records is not kept with the accounts.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_with_a_live_record_stays_until_the_record_is_reset() -> anyhow::Result<()> {
    let mut server = start(ServerOptions::default())?;
    Calls::connect(&server, "alice")
        .await?
        .register(PASSWORD)
        .await?;
    let vault = server.vault();
    assert_eq!(
        vault.refused(["tenant", "remove", "app"])?,
        "users of the tenant still have 1 live record(s): they would lose their keys; it can be removed when \
         they have deleted them or were reset"
    );
    let shown = vault.done(["account", "show", "app", "alice"])?;
    for line in [
        "state               active",
        "generation          1",
        "attempts remaining  10",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{shown}");
    }
    assert!(
        shown.trim_end().ends_with("generation 1  registered"),
        "{shown}"
    );
    vault.refused(["account", "reset", "app", "alice", "--generation", "2"])?;

    server.terminate()?;
    let vault = server.vault();
    vault.refused(["tenant", "remove", "app"])?;
    vault.done(["account", "reset", "app", "alice", "--generation", "1"])?;
    let shown = vault.done(["account", "show", "app", "alice"])?;
    for line in ["state               destroyed", "reason              reset"] {
        assert!(shown.lines().any(|shown| shown == line), "{shown}");
    }
    vault.done(["tenant", "remove", "app"])?;
    Ok(())
}
