//! `init`: makes a vault, and never overwrites one.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
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
    create_private_folder(&config.data_folder)?;
    // The keyring first: a database without it would be of no use and in the way of the next try.
    secret_file::create(file, &keyring.seal(&unlock, &mut OsRng))?;
    if let Err(error) = create_database(config, &keyring) {
        // Made a moment ago, and nothing was ever sealed with it.
        let _ = std::fs::remove_file(file);
        return Err(error);
    }
    let fingerprint = keyring.identity().identity_key().fingerprint();
    println!("Made the vault {}.", keyring.vault_id());
    println!("  keyring   {}", file.display());
    println!("  database  {}", config.data_folder.display());
    println!("Its fingerprint, which devices pin:");
    println!("  {fingerprint}");
    println!(
        "Keep the keyring and what unseals it in two places: without either, no key comes back."
    );
    println!("Next: `vault-server tenant add APP`, then `vault-server serve`.");
    Ok(ExitCode::SUCCESS)
}

fn create_database(config: &Config, keyring: &Keyring) -> anyhow::Result<()> {
    Ok(vault::create_ledger(config, keyring)?.close()?)
}

/// The keyring's default place is in the data folder, which the ledger would make later.
fn create_private_folder(folder: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("cannot make the data folder {}", folder.display()))
}
