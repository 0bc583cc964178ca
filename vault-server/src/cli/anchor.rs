//! `anchor`: takes an anchor into the vault or out of it; and where the anchors are, for `serve` and
//! `check`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{bail, ensure};

use super::{AnchorCommand, unlock};
use crate::admin::Request;
use crate::admin_socket;
use crate::config::Config;
use crate::vault;

/// What is said of an anchor that [`on_the_data_volume`] names.
pub const ON_THE_DATA_VOLUME: &str =
    "is on the same file system as the data folder: a snapshot of that volume takes both";

/// `anchor …`
pub fn run(config: &Config, command: AnchorCommand) -> anyhow::Result<ExitCode> {
    match command {
        AnchorCommand::Add { path } => add(config, &checked(path)?)?,
        AnchorCommand::Remove { path } => remove(config, &checked(path)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The anchors that a snapshot of the data folder's volume would take with it. What cannot be
/// looked at is left out: the ledger says what is wrong with it.
pub fn on_the_data_volume(config: &Config) -> impl Iterator<Item = &Path> {
    let volume = |path: &Path| fs::metadata(path).ok().map(|file| file.dev());
    let data = volume(&config.data_folder);
    let all = config.anchor.all();
    all.filter(move |anchor| data.is_some() && volume(anchor) == data)
}

fn add(config: &Config, path: &Path) -> anyhow::Result<()> {
    let mut anchors = config.anchor.clone();
    let is_configured = anchors.all().any(|anchor| anchor == path);
    if !is_configured {
        anchors.mirrors.push(path.to_owned());
    }
    if let Some((_, reason)) = anchors.refusal(&config.data_folder) {
        bail!(reason);
    }
    refuse_while_serving(config)?;
    vault::add_anchor(config, &unlock::keyring(config)?, path)?;
    println!("Added the anchor {}.", path.display());
    println!(
        "{}",
        if is_configured {
            "The configuration names it already. Next: `vault-server serve`."
        } else {
            "Now write it into anchor.mirrors of the configuration: the vault does not open without it."
        }
    );
    Ok(())
}

fn remove(config: &Config, path: &Path) -> anyhow::Result<()> {
    let anchors = &config.anchor;
    ensure!(
        anchors.all().any(|anchor| anchor != path),
        "{} is the only anchor that the configuration names, and without any no key comes back: \
         first add another (`vault-server anchor add`) and write it into the configuration",
        path.display()
    );
    refuse_while_serving(config)?;
    let is_there = fs::symlink_metadata(path).is_ok();
    vault::remove_anchor(config, &unlock::keyring(config)?, path)?;
    println!("Removed the anchor {}.", path.display());
    println!(
        "{}",
        if is_there {
            "Delete its file: it opens nothing that is written from now on."
        } else {
            "Its file was not there, so what it held is not erased: with the keyring it still opens a copy of the database of the moment at which it was lost. If it turns up again, the vault refuses it; destroy it."
        }
    );
    println!(
        "{}",
        if anchors.path == path {
            "Now set anchor.path of the configuration to another of them: the vault does not open before."
        } else if anchors.mirrors.iter().any(|mirror| mirror == path) {
            "Now take it out of anchor.mirrors of the configuration: the vault does not open before."
        } else {
            "The configuration does not name it. Next: `vault-server serve`."
        }
    );
    Ok(())
}

/// In the one spelling that the configuration has.
fn checked(path: PathBuf) -> anyhow::Result<PathBuf> {
    ensure!(
        path.is_absolute(),
        "{} is not an absolute path",
        path.display()
    );
    Ok(path.components().collect())
}

/// The ledger's locks refuse it too; this says which server it is.
fn refuse_while_serving(config: &Config) -> anyhow::Result<()> {
    let socket = &config.admin_socket;
    let answer = admin_socket::ask(socket, &config.data_folder, &Request::Fingerprint)?;
    ensure!(
        answer.is_none(),
        "a server runs and answers on {}: stop it first",
        socket.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails when the paths are compared instead of what they are on.
    #[test]
    fn an_anchor_on_the_data_folders_volume_is_named_and_others_are_not() {
        let folder = tempfile::TempDir::new().unwrap();
        let data = folder.path().join("data");
        let anchor = folder.path().join("anchor");
        fs::create_dir(&data).unwrap();
        fs::write(&anchor, "").unwrap();
        // The kernel's own file system, and one that is not there.
        let text = format!(
            "data_folder = '{}'\n[anchor]\npath = '/proc/self/stat'\nmirrors = ['{}', '/nowhere/anchor']",
            data.display(),
            anchor.display()
        );
        let none: [(&str, &str); 0] = [];
        let config = Config::from_sources(Some((Path::new("/v"), &text)), none).unwrap();
        assert_eq!(on_the_data_volume(&config).collect::<Vec<_>>(), [anchor]);
    }
}
