//! Where the keyring's passphrase or key comes from: a file, a systemd credential or a prompt;
//! never an argument, never the environment.

use std::io;
use std::path::PathBuf;

use anyhow::{Context, bail};
use rand::RngCore;
use rand::rngs::OsRng;
use zeroize::Zeroizing;

use super::output;
use crate::config::Config;
use crate::keyring::Keyring;
use crate::keyring::file::MAX_SEALED_LEN;
use crate::keyring::unlock::{CREDENTIAL_NAME, Unlock, UnlockError, UnlockSource};
use crate::process::secret_file;

/// The shortest passphrase that a new keyring takes, in characters.
const MIN_PASSPHRASE_CHARS: usize = 12;

/// Unseals the configured keyring.
pub(crate) fn keyring(config: &Config) -> anyhow::Result<Keyring> {
    let path = &config.keyring.file;
    if !path.exists() {
        bail!(
            "there is no keyring at {}: make the vault with `vault-server init`, or correct keyring.file",
            path.display()
        );
    }
    let sealed = secret_file::read(path, MAX_SEALED_LEN)?;
    let unlock = existing(&config.keyring.unlock)?;
    Keyring::unseal(&sealed, &unlock).with_context(|| path.display().to_string())
}

/// The secret that seals a new keyring.
pub(crate) fn for_new_keyring(config: &Config) -> anyhow::Result<Unlock> {
    match &config.keyring.unlock {
        UnlockSource::KeyFile(path) if !path.exists() => {
            let mut key = Zeroizing::new([0; 32]);
            OsRng.fill_bytes(key.as_mut());
            secret_file::create(path, key.as_slice())?;
            output::note(format_args!(
                "Made the key file {}. Keep a copy away from this machine.",
                path.display()
            ));
            Ok(Unlock::KeyFile(key))
        }
        UnlockSource::CredentialOrPrompt if !has_credential() => prompt_twice(),
        source => long_enough(existing(source)?),
    }
}

fn long_enough(unlock: Unlock) -> anyhow::Result<Unlock> {
    if let Unlock::Passphrase(passphrase) = &unlock {
        check_length(passphrase)?;
    }
    Ok(unlock)
}

fn check_length(passphrase: &str) -> anyhow::Result<()> {
    if passphrase.chars().count() < MIN_PASSPHRASE_CHARS {
        bail!(
            "the passphrase is too short: use at least {MIN_PASSPHRASE_CHARS} characters, better several random words"
        );
    }
    Ok(())
}

fn existing(source: &UnlockSource) -> anyhow::Result<Unlock> {
    Ok(Unlock::read(
        source,
        credentials_folder().as_deref(),
        || prompt("Keyring passphrase: "),
    )?)
}

fn credentials_folder() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

fn has_credential() -> bool {
    credentials_folder().is_some_and(|folder| folder.join(CREDENTIAL_NAME).exists())
}

fn prompt(text: &str) -> io::Result<Zeroizing<String>> {
    rpassword::prompt_password(text).map(Zeroizing::new)
}

fn prompt_twice() -> anyhow::Result<Unlock> {
    output::note(
        "This passphrase seals the vault's long-term secrets. Without it no key comes back.",
    );
    let first = prompt("New keyring passphrase: ").map_err(UnlockError::Prompt)?;
    check_length(&first)?;
    if *prompt("The same again: ")? != *first {
        bail!("the two passphrases differ: run the command again");
    }
    Ok(Unlock::Passphrase(first))
}
