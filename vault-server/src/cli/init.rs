//! `init`: makes a vault, and never overwrites one.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use rand::rngs::OsRng;
use rustix::process::geteuid;
use vault_ledger::{Ledger, OpenError};
use vault_protocol::VaultId;

use super::{keyring_secret, output};
use crate::config::Config;
use crate::keyring::Keyring;
use crate::process::secret_file;
use crate::server::ledger;

pub(crate) fn run(config: &Config, vault_id: VaultId) -> anyhow::Result<ExitCode> {
    let file = &config.keyring.file;
    // The keyring first: anchors and database are sealed with it, and a former `init` that ended
    // between the two is gone on with.
    let goes_on = file.exists();
    let keyring = if goes_on {
        left_by_former_init(config, &vault_id)?
    } else {
        // A new one would hide that the right one is missing. It is never removed again: another
        // `init` at the same time may have sealed a vault with it.
        Ledger::refuse_existing(&config.data_folder)?;
        refuse_foreign(&config.data_folder)?;
        let unlock = keyring_secret::for_new_keyring(config)?;
        // The keyring's default place is in it, and the ledger would make it later.
        let folder = &config.data_folder;
        Ledger::make_folder(folder)
            .with_context(|| format!("cannot make the data folder {}", folder.display()))?;
        let keyring = Keyring::generate(vault_id, &mut OsRng);
        secret_file::create(file, &keyring.seal(&unlock, &mut OsRng))?;
        keyring
    };
    Ledger::create(ledger::options(config), ledger::identity(&keyring))?.close()?;
    let printed = print(config, &keyring);
    if goes_on {
        output::note(went_on_with(file));
    }
    printed.context("the vault is made; `vault-server fingerprint` prints what devices pin")?;
    Ok(ExitCode::SUCCESS)
}

/// The ledger refuses it too, but only when there are a keyring and a key file of the wrong user,
/// in the way of the right one's `init`.
fn refuse_foreign(data_folder: &Path) -> Result<(), OpenError> {
    let us = geteuid().as_raw();
    match fs::metadata(data_folder) {
        Ok(folder) if folder.uid() != us => Err(OpenError::ForeignOwner {
            path: data_folder.to_owned(),
            owner: folder.uid(),
            us,
        }),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The keyring that is there already. Whether there is a database or an anchor that lives on it is
/// for the ledger to say, which overwrites neither.
fn left_by_former_init(config: &Config, vault_id: &VaultId) -> anyhow::Result<Keyring> {
    let keyring = keyring_secret::keyring(config)?;
    ensure!(
        keyring.vault_id() == vault_id,
        "there is the keyring of the vault {} at {} already, and it is never overwritten: to make another vault, configure other paths",
        keyring.vault_id(),
        config.keyring.file.display()
    );
    Ok(keyring)
}

/// `init` cannot tell whether a vault with this keyring was in use and lost its database.
fn went_on_with(keyring: &Path) -> String {
    format!(
        "Went on with the keyring {}. If a vault was in use with it and its database is lost, make one with another vault id and a new keyring instead: this one counts the generations of accounts from 1 again, and a device that asks whether its key is still protected cannot tell another device's record from its own.",
        keyring.display()
    )
}

fn print(config: &Config, keyring: &Keyring) -> anyhow::Result<()> {
    let fingerprint = keyring.identity().identity_key().fingerprint();
    output::line(format_args!("Made the vault {}.", keyring.vault_id()))?;
    let file = config.keyring.file.display();
    output::line(format_args!("  keyring   {file}"))?;
    output::line(format_args!("  database  {}", config.data_folder.display()))?;
    for anchor in config.anchor.all() {
        output::line(format_args!("  anchor    {}", anchor.display()))?;
    }
    output::line("Its fingerprint, which devices pin:")?;
    output::line(format_args!("  {fingerprint}"))?;
    output::line(
        "Keep the keyring and what unseals it in two places: without either, no key comes back.",
    )?;
    output::line(
        "An anchor holds the key that opens the database as it is now: never copy it, never back it up together with the data folder; mirrors on other disks protect from losing it, and with it every key.",
    )?;
    output::line("Next: `vault-server tenant add APP`, then `vault-server serve`.")
}
