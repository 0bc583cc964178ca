//! `anchor`: takes an anchor into the vault or out of it; and where the anchors are, for `serve`
//! and `check`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use vault_ledger::{Ledger, Removed};

use super::arguments::AnchorCommand;
use super::{keyring_secret, output};
use crate::admin::Request;
use crate::admin::socket;
use crate::config::{AnchorConfig, Config};
use crate::server::ledger;

/// The warning for an anchor that [`on_the_data_volume`] names.
pub(crate) const ON_THE_DATA_VOLUME: &str =
    "is on the same file system as the data folder: a snapshot of that volume takes both";

/// `anchor …`
pub(crate) fn run(config: &Config, command: AnchorCommand) -> anyhow::Result<ExitCode> {
    match command {
        AnchorCommand::Add { path } => add(config, &checked(path)?)?,
        AnchorCommand::Remove { paths } => remove(config, &all_checked(paths)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The anchors that a snapshot of the data folder's volume would take with it. An anchor
/// without metadata is left out: the ledger reports its fault.
pub(crate) fn on_the_data_volume(config: &Config) -> impl Iterator<Item = &Path> {
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
    let mut options = ledger::options(config);
    // The configuration may name it already.
    options.anchors.retain(|other| other != path);
    let identity = ledger::identity(&keyring_secret::keyring(config)?);
    Ledger::add_anchor(&options, &identity, path)?;
    let next = if is_configured {
        "The configuration names it already. Next: `vault-server serve`."
    } else {
        "Now write it into anchor.mirrors of the configuration: the vault does not open without it."
    };
    output::line(format_args!("Added the anchor {}.\n{next}", path.display()))
        .context("the anchor is added")
}

fn remove(config: &Config, paths: &[PathBuf]) -> anyhow::Result<()> {
    ensure!(
        config.anchor.all().any(|anchor| !is_in(paths, anchor)),
        "{} would leave none of the anchors that the configuration names, and without any no key \
         comes back: first add another (`vault-server anchor add`) and write it into the configuration",
        list(paths)
    );
    refuse_while_serving(config)?;
    let identity = ledger::identity(&keyring_secret::keyring(config)?);
    let removed = Ledger::remove_anchors(&ledger::options(config), &identity, paths)?;
    let removed = paths.iter().zip(removed);
    let said: String = removed
        .map(|(path, removed)| {
            let about = about_its_file(removed);
            format!("Removed the anchor {}.\n{about}\n", path.display())
        })
        .collect();
    output::line(said + next_step(&config.anchor, paths)).context("the anchors are removed")
}

fn about_its_file(removed: Removed) -> &'static str {
    match removed {
        Removed::Erased => "It is erased. Delete its file: it opens nothing.",
        Removed::NotErased => {
            "It is not erased: its file is not there, or cannot be used. Where the file still exists, it \
             opens, together with the keyring, a copy of the database of the moment at which it was \
             lost: destroy it. The vault refuses it from now on."
        }
    }
}

fn next_step(anchors: &AnchorConfig, removed: &[PathBuf]) -> &'static str {
    let is_path = is_in(removed, &anchors.path);
    let is_mirror = anchors.mirrors.iter().any(|mirror| is_in(removed, mirror));
    match (is_path, is_mirror) {
        (true, false) => {
            "Now set anchor.path of the configuration to another of them: the vault does not open before."
        }
        (false, true) => {
            "Now take it out of anchor.mirrors of the configuration: the vault does not open before."
        }
        (true, true) => {
            "Now take them out of anchor.mirrors of the configuration, and set anchor.path to one that \
             is left: the vault does not open before."
        }
        (false, false) => "The configuration does not name it. Next: `vault-server serve`.",
    }
}

fn is_in(paths: &[PathBuf], path: &Path) -> bool {
    paths.iter().any(|other| other == path)
}

fn list(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths.iter().map(|path| path.to_string_lossy()).collect();
    paths.join(", ")
}

/// Each in the one spelling that the configuration has, and once.
fn all_checked(paths: Vec<PathBuf>) -> anyhow::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in paths {
        let path = checked(path)?;
        if !all.contains(&path) {
            all.push(path);
        }
    }
    Ok(all)
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
    let answer = socket::ask(socket, &config.data_folder, &Request::Fingerprint)
        .with_context(|| format!("the server at {}", socket.display()))?;
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

    /// Fails when the paths are compared instead of their file systems.
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
