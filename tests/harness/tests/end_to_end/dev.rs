//! `vault-server dev`: the printed commands work as printed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use vault_tests::process::Running;
use vault_tests::programs::Program;

use crate::support::programs;

/// The commands for a second terminal: the indented lines, in order.
fn printed_commands(dev: &Running) -> anyhow::Result<Vec<String>> {
    dev.line_after(0, |line| line.contains("/v1/tenants/"))?;
    let text = dev.text();
    let indented = text.lines().filter_map(|line| line.strip_prefix("  "));
    let mut commands = Vec::new();
    let mut command = String::new();
    for line in indented {
        command.push_str(line.trim_end_matches('\\'));
        if !line.ends_with('\\') {
            commands.push(std::mem::take(&mut command));
        }
    }
    Ok(commands)
}

/// A folder with a program `vault-client` in it, which is ours.
fn path_with_client(folder: &Path) -> anyhow::Result<String> {
    let command = programs().command(Program::VaultClient);
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    let words: Vec<_> = words.map(|word| format!("'{}'", word.display())).collect();
    let script = folder.join("vault-client");
    fs::write(
        &script,
        format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" ")),
    )?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Ok(format!("{}:{}", folder.display(), std::env::var("PATH")?))
}

/// Fails when an option that `dev` prints is not one of `vault-client`'s.
#[test]
fn the_commands_that_dev_prints_work_as_printed() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let password = folder.path().join("password");
    fs::write(&password, "purple elephants juggle nine teacups")?;
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600))?;
    let mut command = programs().command(Program::VaultServer);
    command
        .args(["dev", "--listen", "127.0.0.1:0"])
        .env_remove("CARGO");
    let mut dev = Running::start(command)?;
    let printed = printed_commands(&dev)?;
    let [export, enable, status, backup, ..] = printed.as_slice() else {
        anyhow::bail!("it printed other commands: {printed:?}");
    };
    // The password is not typed here.
    let enable = format!("{enable} --password-file {}", password.display());
    let script = [export, &enable, status, backup]
        .map(String::as_str)
        .join(" && ");
    let output = Command::new("sh")
        .args(["-c", &script])
        .env("PATH", path_with_client(folder.path())?)
        .current_dir(folder.path())
        .output()
        .context("a shell")?;
    ensure!(
        output.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let state = export.split_once('=').context("an assignment")?.1;
    let thrown_away = Path::new(state.trim_matches('\'')).parent();
    let thrown_away = thrown_away.context("a file in a folder")?;
    for name in ["data/ledger.db", "anchor/anchor"] {
        ensure!(thrown_away.join(name).is_file(), "{name} is elsewhere");
    }
    ensure!(dev.terminate()?.success(), "dev did not end in order");
    assert!(!thrown_away.exists(), "what was thrown away is still there");
    Ok(())
}
