//! An operator's troubles: damaged disks, full disks, files in the way, signals at the wrong moment.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Output, Stdio};

use anyhow::Context;
use rusqlite::Connection;
use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::Signal;
use vault_tests::process::calls::Calls;
use vault_tests::process::server::{ServerOptions, ServerProcess, VaultFolder};

use crate::support::{PASSWORD, programs, start, tls_connection};

/// A stopped vault of one account.
async fn vault_of_alice() -> anyhow::Result<ServerProcess> {
    let mut server = start(ServerOptions::default())?;
    let calls = Calls::connect(&server, "alice").await?;
    calls.register(PASSWORD).await?;
    calls.retrieve(PASSWORD).await?;
    server.terminate()?;
    Ok(server)
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Fills the first page of a table with zeros.
fn damage_table(database: &Path, table: &str) -> anyhow::Result<()> {
    let connection = Connection::open(database)?;
    let sql = "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_schema WHERE name = ?1";
    let (page, size): (u64, usize) =
        connection.query_row(sql, [table], |row| Ok((row.get(0)?, row.get(1)?)))?;
    connection.close().map_err(|(_, error)| error)?;
    let file = File::options().write(true).open(database)?;
    file.write_all_at(&vec![0; size], (page - 1) * size as u64)?;
    Ok(())
}

/// Fails when `check` ends at the certificate, or at a page that SQLite can make no sense of.
#[tokio::test(flavor = "multi_thread")]
async fn check_goes_on_behind_what_it_finds() -> anyhow::Result<()> {
    let server = vault_of_alice().await?;
    let vault = server.vault();
    fs::remove_file(vault.file("certificate.pem"))?;
    let output = vault.run(["check"])?;
    assert_eq!(output.status.code(), Some(1));
    let (found, _) = said(&output);
    let missing = format!(
        "BAD  {}: cannot be read",
        vault.file("certificate.pem").display()
    );
    assert!(found.contains(&missing), "{found}");
    assert!(found.contains("ok   1 accounts can be read"), "{found}");

    // SQLite finds nothing in it any more.
    damage_table(&vault.file("data/ledger.db"), "event")?;
    let output = vault.run(["check"])?;
    assert_eq!(output.status.code(), Some(1));
    let (found, _) = said(&output);
    for line in [
        &missing,
        "ok   1 accounts can be read",
        "BAD  accounts with gaps in their events: 1",
        "BAD  database files with damaged pages: 1",
    ] {
        assert!(found.contains(line), "{found}");
    }
    Ok(())
}

/// Fails when `show` gives up with the events.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_with_a_gap_in_its_events_is_shown_without_them() -> anyhow::Result<()> {
    let mut server = vault_of_alice().await?;
    let database = Connection::open(server.vault().file("data/ledger.db"))?;
    let removed = database.execute(
        "DELETE FROM event WHERE id = (SELECT min(id) FROM event)",
        [],
    )?;
    assert_eq!(removed, 1);
    database.close().map_err(|(_, error)| error)?;
    let show = ["account", "show", "app", "alice"];
    let stopped = server.vault().done(show)?;
    server.restart()?;
    for shown in [stopped, server.vault().done(show)?] {
        assert!(shown.starts_with("state               active"), "{shown}");
        assert!(shown.contains("attempts remaining  10"), "{shown}");
        assert!(
            shown.contains("last events         cannot be read"),
            "{shown}"
        );
    }
    Ok(())
}

/// A configuration that was copied, its `admin_socket` too. Fails when the server does not compare
/// data folders: the tenant is added to the other vault.
#[tokio::test(flavor = "multi_thread")]
async fn commands_do_not_reach_another_vault_over_its_socket() -> anyhow::Result<()> {
    let served = start(ServerOptions::default())?;
    let other = VaultFolder::create(&programs(), ServerOptions::default())?;
    let through_socket = |arguments: &[&str]| {
        let socket = served.vault().file("data/admin.sock");
        let mut command = other.command(arguments);
        command.env("VAULT_SERVER_ADMIN_SOCKET", socket).output()
    };
    for arguments in [
        &["tenant", "add", "strayed"][..],
        &["fingerprint"],
        &["anchor", "add", "/nowhere/anchor"],
    ] {
        let output = through_socket(arguments)?;
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let (_, error) = said(&output);
        assert!(error.contains("it serves another vault"), "{error}");
    }
    let tenants = served.vault().done(["tenant", "list"])?;
    assert!(!tenants.contains("strayed"), "{tenants}");

    let output = through_socket(&["check"])?;
    assert_eq!(output.status.code(), Some(1));
    let (found, _) = said(&output);
    assert!(found.contains("BAD  the server at "), "{found}");
    assert!(found.contains("ok   0 accounts can be read"), "{found}");
    Ok(())
}

/// Fails with `println!`: the command panics, and the operator never sees a token that is valid.
#[test]
fn a_token_that_cannot_be_printed_is_an_error_that_says_how_to_get_another() -> anyhow::Result<()> {
    let vault = VaultFolder::create(&programs(), ServerOptions::default())?;
    let (reader, closed) = std::io::pipe()?;
    drop(reader);
    let full = File::options().write(true).open("/dev/full")?;
    for (name, output) in [("full", Stdio::from(full)), ("closed", Stdio::from(closed))] {
        let mut command = vault.command(["tenant", "add", name]);
        let output = command.stdout(output).stderr(Stdio::piped()).spawn()?;
        let output = output.wait_with_output()?;
        assert_eq!(output.status.code(), Some(1), "{name}");
        let (_, error) = said(&output);
        assert!(
            error.contains("make another with `tenant rotate-token`"),
            "{error}"
        );
        assert!(!error.contains("internal error"), "{error}");
        vault.done(["tenant", "rotate-token", name])?;
    }
    Ok(())
}

/// Fails when the scopes have a default: an app's second backend is refused what the first may do.
#[test]
fn a_token_is_rotated_to_one_that_allows_the_same() -> anyhow::Result<()> {
    let vault = VaultFolder::create(&programs(), ServerOptions::default())?;
    let rotate = ["tenant", "rotate-token", "app"];
    vault.done(["tenant", "add", "app", "--scopes", "status,reset"])?;
    vault.done(rotate)?;
    let list = vault.done(["tenant", "list"])?;
    assert_eq!(list.matches("status,reset, since").count(), 2, "{list}");

    vault.done(rotate.iter().chain(&["--scopes", "use"]))?;
    let refusal = vault.refused(rotate)?;
    assert!(refusal.contains("--scopes"), "{refusal}");
    for id in ["1", "2", "3"] {
        vault.done(rotate.iter().chain(&["--revoke", id]))?;
    }
    let refusal = vault.refused(rotate)?;
    assert!(refusal.contains("--scopes"), "{refusal}");
    Ok(())
}

/// Fails when `init` looks at the folder's owner after it made the keyring: the right user's `init`
/// cannot read it.
#[test]
fn init_by_another_user_than_the_folders_leaves_nothing_in_the_way() -> anyhow::Result<()> {
    let vault = VaultFolder::new(&programs(), ServerOptions::default())?;
    let foreign = if rustix::process::geteuid().is_root() {
        let folder = vault.file("foreign");
        fs::create_dir(&folder)?;
        std::os::unix::fs::chown(&folder, Some(4711), None)?;
        folder
    } else {
        "/".into()
    };
    let owner = fs::metadata(&foreign)?.uid();
    let mut command = vault.command(["init", "--vault-id", "v"]);
    let output = command.env("VAULT_SERVER_DATA_FOLDER", &foreign).output()?;
    assert_eq!(output.status.code(), Some(1));
    let (_, error) = said(&output);
    assert!(
        error.contains(&format!("belongs to user {owner}")),
        "{error}"
    );
    for name in ["keyring", "unlock", "anchor"] {
        assert!(!vault.file(name).exists(), "{name}");
    }
    Ok(())
}

/// Puts a pipe in the place of the certificate, and returns the certificate.
fn replace_by_pipe(vault: &VaultFolder) -> anyhow::Result<Vec<u8>> {
    let certificate = vault.file("certificate.pem");
    let former = fs::read(&certificate)?;
    let pipe = vault.file("pipe");
    mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR)?;
    fs::rename(pipe, certificate)?;
    Ok(former)
}

/// Waits for its reader.
fn open_pipe(vault: &VaultFolder) -> anyhow::Result<File> {
    let pipe = File::options()
        .write(true)
        .open(vault.file("certificate.pem"));
    pipe.context("the pipe")
}

/// The pipe is a volume that hangs. Fails when `reload` reads the files itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_cannot_be_read_to_its_end_holds_up_nobody() -> anyhow::Result<()> {
    let mut server = start(ServerOptions::default())?;
    replace_by_pipe(server.vault())?;
    server.process().signal(Signal::HUP)?;
    let _never_written = open_pipe(server.vault())?;
    server.vault().done(["tenant", "list"])?;
    tls_connection(&server, "h2").await?;
    assert_eq!(server.terminate()?.code(), Some(0), "{}", server.log());
    Ok(())
}

/// Fails when the server does not wait for SIGHUP before it reads the certificate.
#[test]
fn a_reload_while_the_server_starts_does_not_end_it() -> anyhow::Result<()> {
    let vault = VaultFolder::create(&programs(), ServerOptions::default())?;
    let certificate = replace_by_pipe(&vault)?;
    let running = vault.start(|_| {})?;
    let mut pipe = open_pipe(&vault)?;
    // The next time it is a file again.
    fs::write(vault.file("regular"), &certificate)?;
    fs::rename(vault.file("regular"), vault.file("certificate.pem"))?;
    running.signal(Signal::HUP)?;
    pipe.write_all(&certificate)?;
    drop(pipe);
    running.line_after(0, |line| line.contains("serving"))?;
    Ok(())
}
