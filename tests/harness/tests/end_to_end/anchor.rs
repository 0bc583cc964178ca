//! The anchor: without it nothing opens, with it nothing but the newest database does. And the
//! commands that make, add, remove and check anchors.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use rusqlite::Connection;
use vault_server::stored::keys;
use vault_tests::device::Guess;
use vault_tests::process::calls::{Calls, granted};
use vault_tests::process::server::{ServerOptions, VaultFolder};

use crate::support::{PASSWORD, programs, start};

const ANCHOR: &str = "anchor/anchor";
const MIRROR: &str = "mirror/anchor";

/// Every anchor has this size (two slots of a page).
const ANCHOR_LEN: u64 = 8192;

fn vault() -> anyhow::Result<VaultFolder> {
    VaultFolder::create(&programs(), ServerOptions::default())
}

/// Copies a folder's files, as a backup would.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn assert_contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

/// Fails when a start makes the anchor that it does not find.
#[test]
fn without_its_anchor_a_vault_does_not_open_and_nothing_is_made_in_its_place() -> anyhow::Result<()>
{
    let vault = vault()?;
    let anchor = vault.file(ANCHOR);
    fs::rename(&anchor, vault.file("kept"))?;
    let refusal = vault.refuses_to_serve()?;
    assert_contains(&refusal, &[&format!("the anchor {anchor:?} is missing")]);
    for command in [&["check"][..], &["tenant", "list"]] {
        assert_eq!(vault.refused(command)?, refusal);
    }
    vault.refused(["init", "--vault-id", "another"])?;
    assert!(!anchor.exists(), "another anchor was made");

    fs::rename(vault.file("kept"), &anchor)?;
    vault.serve()?;
    Ok(())
}

/// Two things stand against it: fails when every root has the same key (`Keys::draw` without
/// chance) and `latest_tree` takes a root of another batch than the anchor's.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_database_that_is_put_back_is_refused_and_gives_no_guess_back()
-> anyhow::Result<()> {
    let mut server = start(ServerOptions::default())?;
    let calls = Calls::connect(&server, "alice").await?;
    calls.register(PASSWORD).await?;
    server.kill()?;
    let [data, older, newest] = ["data", "older", "newest"].map(|name| server.vault().file(name));
    copy(&data, &older)?;
    server.restart()?;
    let calls = Calls::connect(&server, "alice").await?;
    granted(calls.start(&Guess::new(calls.scope(), "a guess")).await?)?;
    server.kill()?;

    fs::rename(&data, &newest)?;
    copy(&older, &data)?;
    let refusal = server.vault().refuses_to_serve()?;
    assert_contains(&refusal, &["the database is not the latest one"]);
    for command in [&["check"][..], &["account", "show", "app", "alice"]] {
        assert_eq!(server.vault().refused(command)?, refusal);
    }

    fs::remove_dir_all(&data)?;
    fs::rename(&newest, &data)?;
    server.restart()?;
    let calls = Calls::connect(&server, "alice").await?;
    assert_eq!(calls.status().await?.attempts_remaining, 9);
    Ok(())
}

/// Fails without the lock of the anchor's file: the two would count the same guesses separately.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_a_cloned_folder_with_the_same_anchor_is_refused() -> anyhow::Result<()>
{
    let server = start(ServerOptions::default())?;
    let vault = server.vault();
    copy(&vault.file("data"), &vault.file("clone"))?;
    vault.configure_places("clone", &[ANCHOR])?;
    let refusal = vault.refuses_to_serve()?;
    assert_contains(
        &refusal,
        &[&format!(
            "another process has the anchor {:?} open",
            vault.file(ANCHOR)
        )],
    );

    // The first one is as it was.
    vault.configure_places("data", &[ANCHOR])?;
    vault.done(["tenant", "list"])?;
    let calls = Calls::connect(&server, "alice").await?;
    calls.register(PASSWORD).await?;
    Ok(())
}

/// Fails without `refuse_difference` in the ledger's `open`.
#[test]
fn an_anchor_is_added_and_removed_and_the_configuration_has_to_follow() -> anyhow::Result<()> {
    let vault = vault()?;
    let [anchor, mirror] = [ANCHOR, MIRROR].map(|name| vault.file(name));
    let mirror_text = mirror.to_str().context("a path of this test")?;

    let added = vault.done(["anchor", "add", mirror_text])?;
    assert_contains(&added, &[mirror_text, "write it into anchor.mirrors"]);
    assert_eq!(fs::metadata(&mirror)?.len(), ANCHOR_LEN);
    let expected = format!(
        "the vault's anchor {mirror:?} is not configured; name it in anchor.path or anchor.mirrors, or, \
         if it is lost or shall go, run `vault-server anchor remove` with the paths of all that are"
    );
    assert_eq!(vault.refuses_to_serve()?, expected);
    vault.configure_places("data", &[ANCHOR, MIRROR])?;
    vault.serve()?;

    let removed = vault.done(["anchor", "remove", mirror_text])?;
    let said = [
        "It is erased. Delete its file",
        "take it out of anchor.mirrors",
    ];
    assert_contains(&removed, &said);
    assert_contains(&removed, &[mirror_text]);
    let refusal = vault.refuses_to_serve()?;
    assert_contains(
        &refusal,
        &[&format!(
            "{mirror:?} is no anchor of this vault, or was removed"
        )],
    );
    vault.configure_places("data", &[ANCHOR])?;
    vault.serve()?;
    assert_eq!(fs::metadata(&anchor)?.len(), ANCHOR_LEN);
    Ok(())
}

/// A disk broke, and the anchor on it was `anchor.path`. Fails as the test before.
#[test]
fn a_lost_anchor_is_removed_and_refused_when_it_turns_up_again() -> anyhow::Result<()> {
    let vault = vault()?;
    let [anchor, mirror] = [ANCHOR, MIRROR].map(|name| vault.file(name).display().to_string());
    vault.configure_places("data", &[ANCHOR, MIRROR])?;
    vault.done(["anchor", "add", &mirror])?;
    fs::rename(&anchor, vault.file("lost"))?;
    assert_contains(&vault.refuses_to_serve()?, &[&anchor]);

    let removed = vault.done(["anchor", "remove", &anchor])?;
    assert_contains(&removed, &["It is not erased", "set anchor.path"]);
    vault.configure_places("data", &[MIRROR])?;
    vault.done(["tenant", "add", "app"])?;
    vault.serve()?;

    fs::rename(vault.file("lost"), &anchor)?;
    vault.configure_places("data", &[MIRROR, ANCHOR])?;
    assert_contains(
        &vault.refuses_to_serve()?,
        &[&anchor, "is no anchor of this vault, or was removed"],
    );
    vault.configure_places("data", &[ANCHOR])?;
    assert_contains(
        &vault.refuses_to_serve()?,
        &["the database is not the latest one"],
    );
    Ok(())
}

/// Fails when one path at a time is removed, or when what is there is said to be erased.
#[test]
fn lost_and_damaged_anchors_are_removed_at_once_and_their_files_named_as_not_erased()
-> anyhow::Result<()> {
    let vault = vault()?;
    let [anchor, mirror, third] =
        [ANCHOR, MIRROR, "third/anchor"].map(|name| vault.file(name).display().to_string());
    vault.done(["anchor", "add", &mirror])?;
    vault.configure_places("data", &[ANCHOR, MIRROR])?;
    vault.done(["anchor", "add", &third])?;
    vault.configure_places("data", &[ANCHOR, MIRROR, "third/anchor"])?;
    fs::remove_file(&anchor)?;
    fs::write(&third, [0; 8192])?;

    let refusal = vault.refused(["anchor", "remove", &anchor])?;
    assert_contains(&refusal, &[&third, "or it is damaged"]);
    let refusal = vault.refused(["anchor", "remove", &third])?;
    let hint = "run `vault-server anchor remove` with the paths of all that are lost";
    assert_contains(&refusal, &[&anchor, hint]);
    let refusal = vault.refused(["anchor", "remove", &anchor, &mirror, &third])?;
    assert_contains(&refusal, &["would leave none of the anchors"]);
    assert_eq!(vault.run(["anchor", "remove"])?.status.code(), Some(2));

    // A path that is named twice is one.
    let removed = vault.done(["anchor", "remove", &third, &anchor, &third])?;
    let said = "It is not erased: its file is not there, or cannot be used.";
    assert_eq!(removed.matches(said).count(), 2, "{removed}");
    assert_contains(&removed, &["take them out of anchor.mirrors", "destroy it"]);
    vault.configure_places("data", &[MIRROR])?;
    vault.serve()?;
    Ok(())
}

#[test]
fn the_last_anchor_is_not_removed_and_impossible_ones_are_not_added() -> anyhow::Result<()> {
    let vault = vault()?;
    let [anchor, inside, relative] = [
        vault.file(ANCHOR).display().to_string(),
        vault.file("data/anchor").display().to_string(),
        "anchor".to_owned(),
    ];
    let refusal = vault.refused(["anchor", "remove", &anchor])?;
    assert_contains(
        &refusal,
        &["would leave none of the anchors that the configuration names"],
    );
    let stranger = vault.file("stranger").display().to_string();
    let refusal = vault.refused(["anchor", "remove", &stranger])?;
    assert_contains(&refusal, &["is no anchor of this vault"]);
    let refusal = vault.refused(["anchor", "add", &inside])?;
    assert_contains(&refusal, &["is inside the data folder"]);
    let refusal = vault.refused(["anchor", "add", &relative])?;
    assert_eq!(refusal, "anchor is not an absolute path");
    // It is there already.
    vault.refused(["anchor", "add", &anchor])?;
    vault.serve()?;
    Ok(())
}

/// Fails without `refuse_while_serving`: the ledger's lock refuses it then, in other words.
#[tokio::test(flavor = "multi_thread")]
async fn while_a_server_runs_no_anchor_is_added_or_removed() -> anyhow::Result<()> {
    let server = start(ServerOptions::default())?;
    let vault = server.vault();
    vault.configure_places("data", &[ANCHOR, MIRROR])?;
    let socket = vault.file("data/admin.sock");
    let expected = format!(
        "a server runs and answers on {}: stop it first",
        socket.display()
    );
    let [anchor, mirror] = [ANCHOR, MIRROR].map(|name| vault.file(name).display().to_string());
    assert_eq!(vault.refused(["anchor", "add", &mirror])?, expected);
    assert_eq!(vault.refused(["anchor", "remove", &anchor])?, expected);
    assert!(!vault.file(MIRROR).exists());
    Ok(())
}

#[test]
fn init_makes_every_configured_anchor_and_says_what_they_are() -> anyhow::Result<()> {
    let vault = VaultFolder::new(&programs(), ServerOptions::default())?;
    vault.configure_places("data", &[ANCHOR, MIRROR])?;
    let printed = vault.done(["init", "--vault-id", "v"])?;
    for name in [ANCHOR, MIRROR] {
        let path = vault.file(name);
        assert_contains(&printed, &[&format!("  anchor    {}\n", path.display())]);
        let metadata = fs::metadata(path)?;
        assert_eq!(metadata.len(), ANCHOR_LEN);
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    }
    assert_contains(
        &printed,
        &["never copy it, never back it up together with the data folder"],
    );
    Ok(())
}

#[test]
fn serve_and_check_warn_of_an_anchor_that_a_snapshot_of_the_data_would_take() -> anyhow::Result<()>
{
    const WARNING: &str =
        "is on the same file system as the data folder: a snapshot of that volume takes both";
    let vault = vault()?;
    let (mut running, _) = vault.serve()?;
    running.terminate()?;
    assert_contains(&running.text(), &[&format!("the anchor {WARNING}")]);
    let checked = vault.done(["check"])?;
    let anchor = vault.file(ANCHOR);
    let anchor = anchor.display();
    assert_contains(
        &checked,
        &[
            &format!("ok   anchor {anchor}\n"),
            &format!("warn anchor {anchor} {WARNING}\n"),
        ],
    );
    Ok(())
}

/// Changes the stopped vault's database, and returns what `check` then says and its exit code.
fn tampered(vault: &VaultFolder, sql: &str) -> anyhow::Result<(String, Option<i32>)> {
    let database = Connection::open(vault.file("data/ledger.db"))?;
    database.execute_batch(sql)?;
    database.close().map_err(|(_, error)| error)?;
    let checked = vault.run(["check"])?;
    let said = String::from_utf8([checked.stdout, checked.stderr].concat())?;
    Ok((said, checked.status.code()))
}

/// Fails when `check` does not call `verify`, or its result does not count for the exit code.
#[tokio::test(flavor = "multi_thread")]
async fn check_names_what_is_wrong_with_a_tampered_database_and_exits_with_1() -> anyhow::Result<()>
{
    let mut server = start(ServerOptions::default())?;
    for number in 0..8 {
        let calls = Calls::connect(&server, &format!("user-{number}")).await?;
        calls.register(PASSWORD).await?;
    }
    server.terminate()?;
    let vault = server.vault();
    let sound = vault.done(["check"])?;
    assert_contains(&sound, &["ok   8 accounts can be read"]);

    // The numbers of the nodes below the root are 64 to 127: a 1 and six bits.
    let stray = "INSERT INTO node (id, sealed) VALUES (5, x'00')";
    let (said, code) = tampered(vault, stray)?;
    assert_contains(&said, &["BAD  rows that nothing leads to: 1"]);
    assert_eq!(code, Some(1));

    let gap = "DELETE FROM event WHERE id = (SELECT min(id) FROM event)";
    let (said, code) = tampered(vault, gap)?;
    assert_contains(&said, &["BAD  accounts with gaps in their events: 1"]);
    assert_eq!(code, Some(1));

    // Without what is in those rows the vault does not open at all.
    let own = keys::own().map(|leaf| (64 | i64::from(leaf.0[0] >> 2)).to_string());
    let others = format!(
        "FROM node WHERE id BETWEEN 64 AND 127 AND id NOT IN ({})",
        own.join(",")
    );
    let altered = format!(
        "UPDATE node SET sealed = zeroblob(length(sealed)) WHERE id = (SELECT min(id) {others})"
    );
    let (said, code) = tampered(vault, &altered)?;
    assert_contains(&said, &["BAD  parts of the key tree that do not open: 1"]);
    assert_eq!(code, Some(1));

    let removed = format!("DELETE FROM node WHERE id = (SELECT max(id) {others})");
    let (said, code) = tampered(vault, &removed)?;
    assert_contains(&said, &["BAD  parts of the key tree that are missing: 1"]);
    assert_eq!(code, Some(1));

    let (said, code) = tampered(vault, "DELETE FROM node WHERE id = 1")?;
    assert_contains(&said, &["the database is not the latest one"]);
    assert_eq!(code, Some(1));
    Ok(())
}
