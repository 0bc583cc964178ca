//! Damage to the database while the server is stopped, by a disk or by an attacker.

use std::fs;
use std::path::PathBuf;

use rusqlite::{Connection, params};
use vault_ledger::LeafKey;
use vault_server::stored::keys;
use vault_tests::process::calls::Calls;
use vault_tests::process::server::{ServerOptions, ServerProcess};

use crate::support::{PASSWORD, start};

/// So many accounts divide the key tree's root into buckets.
const ACCOUNTS: usize = 12;
const PAGE: usize = 4096;

/// The row of the root's child above a leaf: a 1, then the first 6 bits of its key.
fn row_above(leaf: &LeafKey) -> i64 {
    64 | i64::from(leaf.0[0] >> 2)
}

fn row_of(server: &ServerProcess, name: &str) -> anyhow::Result<i64> {
    let scope = server.account(name);
    let keyring = server.vault().keyring()?;
    let leaf = keyring.account_key(&scope.tenant, &scope.account);
    Ok(row_above(&LeafKey(leaf)))
}

/// The leaves that every request needs, and the tenant.
fn own_rows(server: &ServerProcess) -> [i64; 5] {
    let tenant = keys::tenant(&server.account("any").tenant);
    let [list, tickets, channel, serial] = keys::own();
    [list, tickets, channel, serial, tenant].map(|leaf| row_above(&leaf))
}

/// A server that was stopped, with accounts in it.
async fn stopped() -> anyhow::Result<(ServerProcess, Vec<String>)> {
    let mut server = start(ServerOptions::default())?;
    let names: Vec<String> = (0..ACCOUNTS)
        .map(|number| format!("user-{number}"))
        .collect();
    for name in &names {
        Calls::connect(&server, name)
            .await?
            .register(PASSWORD)
            .await?;
    }
    server.terminate()?;
    Ok((server, names))
}

fn database(server: &ServerProcess) -> PathBuf {
    server.vault().file("data/ledger.db")
}

/// Fails when `vault::ledger_options` names no leaf as needed: then the start fails later, and the right
/// database does not open any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_the_vaults_own_keys_is_refused_and_the_right_one_still_opens()
-> anyhow::Result<()> {
    let (mut server, names) = stopped().await?;
    let whole = fs::read(database(&server))?;
    for own in keys::own() {
        let connection = Connection::open(database(&server))?;
        let removed =
            connection.execute("DELETE FROM node WHERE id = ?", params![row_above(&own)])?;
        assert_eq!(removed, 1);
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
        drop(connection);
        for flag in [&["serve"][..], &["serve", "--accept-damage"], &["check"]] {
            let refused = server.vault().run(flag)?;
            let said = String::from_utf8(refused.stderr)?;
            assert_eq!(refused.status.code(), Some(1), "{said}");
            assert!(
                said.contains("put back the ledger.db and ledger.db-wal"),
                "{said}"
            );
        }
        fs::write(database(&server), &whole)?;
    }
    server.restart()?;
    Calls::connect(&server, &names[0])
        .await?
        .retrieve(PASSWORD)
        .await?;
    Ok(())
}

/// Fails when a start under the flag does not rebuild the database: registrations fail then.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_database_goes_on_as_a_new_one_without_what_was_lost() -> anyhow::Result<()> {
    let (mut server, names) = stopped().await?;
    let own = own_rows(&server);
    let rows: Vec<i64> = names
        .iter()
        .map(|name| row_of(&server, name))
        .collect::<Result<_, _>>()?;
    let lost = rows
        .iter()
        .position(|row| !own.contains(row))
        .expect("one is apart");
    let other = rows
        .iter()
        .position(|row| *row != rows[lost])
        .expect("they are divided");
    let connection = Connection::open(database(&server))?;
    connection.execute("DELETE FROM node WHERE id = ?", params![rows[lost]])?;
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'due'";
    let root: usize = connection.query_row(root, [], |row| row.get(0))?;
    drop(connection);
    let mut bytes = fs::read(database(&server))?;
    bytes[(root - 1) * PAGE..][..PAGE].fill(0);
    fs::write(database(&server), bytes)?;
    let refused = server.vault().refuses_to_serve()?;
    assert!(
        refused.contains("`vault-server serve --accept-damage`"),
        "{refused}"
    );

    server.restart_below(|command| {
        command.arg("--accept-damage");
    })?;
    Calls::connect(&server, &names[other])
        .await?
        .retrieve(PASSWORD)
        .await?;
    Calls::connect(&server, "newcomer")
        .await?
        .register(PASSWORD)
        .await?;
    let unavailable = Calls::connect(&server, &names[lost])
        .await?
        .ask_status()
        .await?;
    assert_eq!(unavailable.err().map(|problem| problem.status()), Some(503));
    server.terminate()?;
    let checked = server.vault().run(["check"])?;
    let said = String::from_utf8(checked.stdout)?;
    assert!(
        said.contains("parts of the key tree that are missing: 1"),
        "{said}"
    );
    server.restart()
}
