//! `vault-client` against a real vault: a person's commands, on two devices.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use tempfile::TempDir;
use vault_tests::process::server::{ServerOptions, ServerProcess};
use vault_tests::programs::Program;

use crate::support::{app_password, backend, programs, start, three_attempts};

const RIGHT: &str = "purple elephants juggle nine teacups";

/// Files that a person has.
struct Desk(TempDir);

impl Desk {
    fn new() -> anyhow::Result<Self> {
        let desk = Self(tempfile::tempdir()?);
        fs::create_dir_all(desk.file("photos/2026"))?;
        fs::write(desk.file("photos/2026/cat.jpg"), [7; 100_000])?;
        fs::write(desk.file("photos/list.txt"), "one cat\n")?;
        desk.secret("right", RIGHT)?;
        desk.secret("wrong", "yellow crocodiles sing at midnight")?;
        Ok(desk)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn secret(&self, name: &str, content: &str) -> anyhow::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        fs::write(self.file(name), content)?;
        Ok(fs::set_permissions(
            self.file(name),
            fs::Permissions::from_mode(0o600),
        )?)
    }

    /// Runs `vault-client` in this folder as a device; returns its exit code and its JSON.
    fn run(&self, device: &str, arguments: &str) -> anyhow::Result<(i32, serde_json::Value)> {
        let mut command = programs().command(Program::VaultClient);
        command
            .current_dir(self.0.path())
            .args(["--json", "--state", device]);
        let words = arguments
            .split('|')
            .flat_map(|part| match part.strip_prefix('\'') {
                Some(one) => vec![one],
                None => part.split_whitespace().collect(),
            });
        let output = command.args(words).output()?;
        let code = output.status.code().context("it was killed")?;
        let json = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        Ok((code, json))
    }

    fn done(&self, device: &str, arguments: &str) -> anyhow::Result<serde_json::Value> {
        let (code, json) = self.run(device, arguments)?;
        ensure!(code == 0, "{arguments}: exit code {code}: {json}");
        Ok(json)
    }

    fn is_restored(&self, to: &str) -> anyhow::Result<bool> {
        let same = |name: &str| -> anyhow::Result<bool> {
            let original = fs::read(self.file("photos").join(name))?;
            Ok(fs::read(self.file(to).join(name))? == original)
        };
        Ok(same("2026/cat.jpg")? && same("list.txt")?)
    }
}

/// The connection options, the fingerprint in one word.
fn connection(server: &ServerProcess, way: &str) -> String {
    let fingerprint = server.fingerprint();
    format!("{way} --tenant app --account alice --fingerprint|'{fingerprint}|")
}

fn only_backup(folder: &Path) -> anyhow::Result<String> {
    let names =
        fs::read_dir(folder)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut backups = names.filter(|name| name.starts_with("backup-"));
    backups.next().context("no backup was written")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_phones_backup_is_restored_until_too_many_wrong_passwords() -> anyhow::Result<()> {
    let server = start(three_attempts())?;
    let backend = backend(&server)?;
    let desk = Desk::new()?;
    desk.secret(
        "session",
        &backend.login("alice", &app_password("alice")).await?,
    )?;
    let relay = connection(
        &server,
        &format!("--relay {} --session-file session", backend.url()),
    );

    desk.done("phone", &format!("enable --password-file right {relay}"))?;
    desk.done("phone", "backup photos")?;
    let backup = only_backup(desk.0.path())?;
    let restore = format!("restore {backup} {relay} --password-file");

    let (code, _) = desk.run("new-phone", &format!("{restore} wrong --to refused"))?;
    assert_eq!(code, 3);
    assert!(!desk.file("refused").exists());
    desk.done("new-phone", &format!("{restore} right --to restored"))?;
    assert!(desk.is_restored("restored")?);

    for code in [3, 3, 5] {
        let guessed = desk.run("thief", &format!("{restore} wrong --to stolen"))?;
        assert_eq!(guessed.0, code, "{}", guessed.1);
    }
    let (code, _) = desk.run("other-phone", &format!("{restore} right --to too-late"))?;
    assert_eq!(code, 5);
    desk.done(
        "new-phone",
        &format!("restore {backup} --to with-the-key-it-holds"),
    )?;
    assert!(desk.is_restored("with-the-key-it-holds")?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_talks_to_the_vault_itself_too() -> anyhow::Result<()> {
    let mut server = start(three_attempts())?;
    let (desk, enable) = desk_of(&server)?;
    desk.done("phone", &enable)?;
    let status = desk.done("phone", "status")?.to_string();
    assert!(status.contains("active"), "{status}");
    server.kill()?;
    assert_eq!(desk.run("phone", "status")?.0, 7);
    Ok(())
}

/// The exit codes are what scripts rely on: each of these names another one in its failure.
#[tokio::test(flavor = "multi_thread")]
async fn a_keys_whole_life_from_the_command_line() -> anyhow::Result<()> {
    let server = start(ServerOptions::default().with_waits(&[3600, 3600]))?;
    let desk = Desk::new()?;
    desk.secret("token", server.token())?;
    desk.secret("second", "a heron waits under the old bridge")?;
    desk.secret("third", "forty lanterns over quiet water")?;
    fs::write(desk.file("ca.pem"), server.root_certificate())?;
    let url = format!("--url {} --ca-file ca.pem --token-file token", server.url());
    let direct = connection(&server, &url);

    assert_eq!(desk.run("phone", "status")?.0, 15, "no key yet");
    let other_pin = format!(
        "{url} --tenant app --account alice --fingerprint {}",
        "1".repeat(60)
    );
    let foreign = desk.run(
        "phone",
        &format!("enable --password-file right {other_pin}"),
    )?;
    assert_eq!(foreign.0, 11, "another vault: {}", foreign.1);
    desk.done("phone", &format!("enable --password-file right {direct}"))?;
    desk.done("phone", "fingerprint")?;
    desk.done("phone", "backup photos")?;
    let backup = only_backup(desk.0.path())?;
    let restore = format!("restore {backup} {direct} --password-file");
    let bob = restore.replace("--account alice", "--account bob");
    assert_eq!(
        desk.run("bobs", &format!("{bob} right --to x"))?.0,
        6,
        "bob never registered"
    );

    desk.done("phone", "change-password --password-file second")?;
    assert_eq!(
        desk.run("new", &format!("{restore} right --to x"))?.0,
        3,
        "the old password"
    );
    assert_eq!(
        desk.run("new", &format!("{restore} second --to x"))?.0,
        4,
        "there is a wait"
    );
    desk.done("phone", "change-password --password-file third")?;
    desk.done("new", &format!("{restore} third --to restored"))?;
    assert!(desk.is_restored("restored")?);

    desk.done("phone", "enable --key-only --yes")?;
    assert_eq!(
        desk.run("newer", &format!("{restore} third --to x"))?.0,
        5,
        "deleted"
    );
    // It asks the vault once more, where a registration may be under way.
    desk.done("phone", "disable --yes")?;
    let unasked = desk.run("phone", &format!("enable --password-file right {direct}"))?;
    assert_eq!(
        unasked.0, 5,
        "destroyed records are not replaced unasked: {}",
        unasked.1
    );
    desk.done(
        "phone",
        &format!("enable --after-destroyed --password-file right {direct}"),
    )?;
    desk.done("newest", &format!("{restore} right --to again"))?;
    assert!(desk.is_restored("again")?);
    desk.done("phone", "disable --yes")?;
    Ok(())
}

/// Fails if `enable` moves on while a record may be at the former account, or if a device that was not
/// first cannot go back to its digits.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_is_refused_while_a_record_may_be_at_the_former_place() -> anyhow::Result<()> {
    let server = start(three_attempts())?;
    let (desk, enable) = desk_of(&server)?;
    desk.done("phone", &enable)?;
    desk.done("tablet", "enable --key-only")?;
    assert_eq!(desk.run("tablet", &enable)?.0, 13, "the phone was first");
    lose_an_answer(&desk, "tablet")?;
    let status = desk.done("tablet", "status")?.to_string();
    assert!(status.contains("unsettled") && status.contains("active"));

    let elsewhere = enable.replace("--account alice", "--account bob");
    assert_eq!(desk.run("tablet", &elsewhere)?.0, 13, "one is pending");
    let disabled = desk.done("tablet", "disable --yes")?;
    assert_eq!(records(&disabled), [("alice", "of-another-key")]);
    desk.done("tablet", &elsewhere)?;
    assert_eq!(desk.run("tablet", &enable)?.0, 13, "one is registered");
    let disabled = desk.done("tablet", "disable --yes")?;
    assert_eq!(records(&disabled), [("bob", "deleted")]);
    let status = desk.done("phone", "status")?.to_string();
    assert!(status.contains("active"), "the phone's record: {status}");
    Ok(())
}

/// Fails if `--leave-record` forgets the place, or if `disable` asks the present one alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_left_behind_stays_named_until_it_is_deleted() -> anyhow::Result<()> {
    let server = start(three_attempts())?;
    let (desk, enable) = desk_of(&server)?;
    desk.done("phone", &enable)?;
    // As if the vault were gone.
    desk.secret("token", "not-the-token")?;
    assert_eq!(desk.run("phone", "disable --yes")?.0, 14);
    let left = desk.done("phone", "disable --leave-record --yes")?;
    assert_eq!(records(&left), [("alice", "left")]);
    let status = desk.done("phone", "status")?;
    assert_eq!(status["elsewhere"][0]["account"], "alice", "{status}");
    assert_ne!(desk.run("phone", "disable --forget --yes")?.0, 0);
    assert!(desk.file("phone").exists(), "the record is still named");

    desk.secret("token", server.token())?;
    desk.done("phone", &enable.replace("--account alice", "--account bob"))?;
    let status = desk.done("phone", "status")?;
    assert_eq!(status["elsewhere"][0]["account"], "alice", "{status}");
    let disabled = desk.done("phone", "disable --yes")?;
    let expected = [("bob", "deleted"), ("alice", "deleted")];
    assert_eq!(records(&disabled), expected);
    let status = desk.done("phone", "status")?;
    assert_eq!(status["elsewhere"], serde_json::Value::Null);
    Ok(())
}

/// An account, and the outcome for its record.
fn records(disabled: &serde_json::Value) -> Vec<(&str, &str)> {
    let records = disabled["records"].as_array().into_iter().flatten();
    let both = records.map(|record| (record["account"].as_str(), record["record"].as_str()));
    both.filter_map(|(account, record)| account.zip(record))
        .collect()
}

/// Fails if `disable` ends at a record of another key, or at a vault that does not answer whatever the
/// user says.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_can_be_removed_whatever_became_of_its_record() -> anyhow::Result<()> {
    let mut server = start(three_attempts())?;
    let (desk, enable) = desk_of(&server)?;
    desk.done("phone", &enable)?;
    for device in ["tablet", "laptop"] {
        desk.done(device, "enable --key-only")?;
        assert_eq!(desk.run(device, &enable)?.0, 13, "the phone was first");
        lose_an_answer(&desk, device)?;
    }
    let forgotten = desk.done("tablet", "disable --forget --yes")?;
    assert_eq!(records(&forgotten), [("alice", "of-another-key")]);
    assert!(!desk.file("tablet").exists());

    server.terminate()?;
    assert_ne!(desk.run("laptop", "disable --forget --yes")?.0, 0);
    assert!(
        desk.file("laptop").exists(),
        "the user has not said to go on without"
    );
    let forgotten = desk.done("laptop", "disable --forget --leave-record --yes")?;
    assert_eq!(records(&forgotten), [("alice", "left")]);
    assert!(!desk.file("laptop").exists());
    Ok(())
}

/// A desk without a backend, and the command that registers alice there.
fn desk_of(server: &ServerProcess) -> anyhow::Result<(Desk, String)> {
    let desk = Desk::new()?;
    desk.secret("token", server.token())?;
    fs::write(desk.file("ca.pem"), server.root_certificate())?;
    let url = format!("--url {} --ca-file ca.pem --token-file token", server.url());
    let enable = format!("enable --password-file right {}", connection(server, &url));
    Ok((desk, enable))
}

/// As it is when the vault's answer to a registration is lost.
fn lose_an_answer(desk: &Desk, device: &str) -> anyhow::Result<()> {
    let text = fs::read_to_string(desk.file(device))?;
    let mut state: serde_json::Value = serde_json::from_str(&text)?;
    state["record"] = serde_json::json!({"registering": {"former": null}});
    Ok(fs::write(desk.file(device), state.to_string())?)
}
