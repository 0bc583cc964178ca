//! The ways to open the ledger of a configured vault.

use std::path::{Path, PathBuf};

use vault_ledger::{Ledger, MasterKey, OpenError, Options, Removed, VaultIdentity};

use crate::config::Config;
use crate::keyring::Keyring;
use crate::stored::keys;

/// Opens the ledger of the configured data folder.
pub(crate) fn open(config: &Config, keyring: &Keyring) -> Result<Ledger, OpenError> {
    Ledger::open(options(config), identity(keyring))
}

/// Opens it also where it is damaged, as a new database of everything that can be read.
pub(crate) fn open_damaged(config: &Config, keyring: &Keyring) -> Result<Ledger, OpenError> {
    let mut options = options(config);
    options.accept_damage = true;
    Ledger::open(options, identity(keyring))
}

/// Makes the ledger of the configured data folder.
pub(crate) fn create(config: &Config, keyring: &Keyring) -> Result<Ledger, OpenError> {
    Ledger::create(options(config), identity(keyring))
}

/// Makes a further anchor, and takes it into the vault. No process may have the vault open.
pub(crate) fn add_anchor(config: &Config, keyring: &Keyring, path: &Path) -> Result<(), OpenError> {
    let mut options = options(config);
    // It may be in the configuration already.
    options.anchors.retain(|other| other != path);
    Ledger::add_anchor(&options, &identity(keyring), path)
}

/// Takes anchors, there or lost, out of the vault. No process may have the vault open. Returns the
/// end of each.
pub(crate) fn remove_anchors(
    config: &Config,
    keyring: &Keyring,
    paths: &[PathBuf],
) -> Result<Vec<Removed>, OpenError> {
    Ledger::remove_anchors(&options(config), &identity(keyring), paths)
}

/// Opens the ledger that belongs to this keyring, and no other.
pub fn identity(keyring: &Keyring) -> VaultIdentity {
    VaultIdentity {
        vault_id: keyring.vault_id().as_str().to_owned(),
        keyring_fingerprint: keyring.fingerprint(),
        master_key: MasterKey::new(keyring.master_key()),
    }
}

fn options(config: &Config) -> Options {
    let mut options = Options::new(&config.data_folder, &config.anchor.path);
    options.anchors.extend_from_slice(&config.anchor.mirrors);
    options.queue_capacity = config.limits.queue_capacity as usize;
    options.batch_limit = config.limits.batch_limit as usize;
    options.needed = keys::own().to_vec();
    options
}
