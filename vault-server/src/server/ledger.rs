//! Which ledger belongs to a configured vault.

use vault_ledger::{MasterKey, Options, VaultIdentity};

use crate::config::Config;
use crate::keyring::Keyring;
use crate::stored::keys;

/// Fits the ledger that belongs to this keyring, and no other.
pub fn identity(keyring: &Keyring) -> VaultIdentity {
    VaultIdentity {
        vault_id: keyring.vault_id().as_str().to_owned(),
        keyring_fingerprint: keyring.fingerprint(),
        master_key: MasterKey::new(keyring.master_key()),
    }
}

/// The ledger of the configured data folder.
pub(crate) fn options(config: &Config) -> Options {
    let mut options = Options::new(&config.data_folder, &config.anchor.path);
    options.anchors.extend_from_slice(&config.anchor.mirrors);
    options.queue_capacity = config.limits.queue_capacity as usize;
    options.batch_limit = config.limits.batch_limit as usize;
    options.needed = keys::own().to_vec();
    options
}
