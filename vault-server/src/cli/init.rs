//! `init`: makes a vault, and never overwrites one.

use std::process::ExitCode;

use anyhow::bail;
use rand::rngs::OsRng;
use vault_protocol::VaultId;

use super::unlock;
use crate::config::Config;
use crate::keyring::Keyring;
use crate::secret_file;
use crate::vault;

pub fn run(config: &Config, vault_id: VaultId) -> anyhow::Result<ExitCode> {
    let file = &config.keyring.file;
    if file.exists() {
        bail!(
            "there is a keyring at {} already, and it is never overwritten: to make another vault, configure other paths; if a former `init` was interrupted before it made a database in {}, remove the keyring first",
            file.display(),
            config.data_folder.display()
        );
    }
    let unlock = unlock::for_new_keyring(config)?;
    let keyring = Keyring::generate(vault_id, &mut OsRng);
    // The database first: it refuses to be made twice, and without a keyring it holds nothing.
    vault::create_ledger(config, &keyring)?.close()?;
    secret_file::create(file, &keyring.seal(&unlock, &mut OsRng))?;
    let fingerprint = keyring.identity().identity_key().fingerprint();
    println!("Made the vault {}.", keyring.vault_id());
    println!("  keyring   {}", file.display());
    println!("  database  {}", config.data_folder.display());
    println!("Its fingerprint, which devices pin:");
    println!("  {fingerprint}");
    println!("Keep the keyring and what unseals it in two places: without either, no key comes back.");
    println!("Next: `vault-server tenant add APP`, then `vault-server serve`.");
    Ok(ExitCode::SUCCESS)
}
