//! The secret that unseals a keyring, and its source: never an argument or the environment, which
//! other processes can read.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::process::secret_file::{self, SecretFileError};

/// The systemd credential that is looked for (`LoadCredential=vault-passphrase:/path`).
pub(crate) const CREDENTIAL_NAME: &str = "vault-passphrase";

/// Where the keyring's passphrase or key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UnlockSource {
    /// A secret file with the passphrase.
    PassphraseFile(PathBuf),
    /// A secret file with a 32-byte key.
    KeyFile(PathBuf),
    /// The systemd credential `vault-passphrase` if there is one, else a prompt.
    CredentialOrPrompt,
}

/// The secret that unseals a keyring.
pub enum Unlock {
    /// A passphrase, stretched with Argon2id.
    Passphrase(Zeroizing<String>),
    /// 32 random bytes.
    KeyFile(Zeroizing<[u8; 32]>),
}

/// No passphrase or key could be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnlockError {
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// Asking for it failed, mostly because there is no terminal.
    #[error(
        "the keyring's passphrase could not be asked for ({0}); set keyring.passphrase_file or keyring.key_file, or the systemd credential {CREDENTIAL_NAME}"
    )]
    Prompt(#[source] io::Error),
    #[error("the passphrase is empty")]
    Empty,
}

impl Unlock {
    /// Reads it from the configured source. `credentials_folder` is `$CREDENTIALS_DIRECTORY`, which
    /// systemd sets; `prompt` asks on the terminal and is called only if nothing else is there.
    pub(crate) fn read(
        source: &UnlockSource,
        credentials_folder: Option<&Path>,
        prompt: impl FnOnce() -> io::Result<Zeroizing<String>>,
    ) -> Result<Self, UnlockError> {
        match source {
            UnlockSource::PassphraseFile(path) => {
                Ok(Self::Passphrase(secret_file::read_passphrase(path)?))
            }
            UnlockSource::KeyFile(path) => Ok(Self::KeyFile(secret_file::read_key(path)?)),
            UnlockSource::CredentialOrPrompt => {
                let credential = credentials_folder.map(|folder| folder.join(CREDENTIAL_NAME));
                match credential.filter(|path| path.exists()) {
                    Some(path) => Ok(Self::Passphrase(secret_file::read_passphrase(&path)?)),
                    None => prompted(prompt),
                }
            }
        }
    }
}

fn prompted(prompt: impl FnOnce() -> io::Result<Zeroizing<String>>) -> Result<Unlock, UnlockError> {
    let passphrase = prompt().map_err(UnlockError::Prompt)?;
    if passphrase.is_empty() {
        return Err(UnlockError::Empty);
    }
    Ok(Unlock::Passphrase(passphrase))
}

impl fmt::Debug for Unlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passphrase(_) => "Passphrase(…)",
            Self::KeyFile(_) => "KeyFile(…)",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;

    fn secret(folder: &TempDir, name: &str, content: &str, mode: u32) -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn no_prompt() -> io::Result<Zeroizing<String>> {
        panic!("no prompt is due")
    }

    fn passphrase(unlock: Unlock) -> String {
        match unlock {
            Unlock::Passphrase(passphrase) => passphrase.to_string(),
            Unlock::KeyFile(_) => panic!("a passphrase was expected"),
        }
    }

    #[test]
    fn a_refused_file_is_not_replaced_by_a_prompt() {
        let folder = TempDir::new().unwrap();
        let path = secret(&folder, CREDENTIAL_NAME, "open to all", 0o644);
        for (source, credentials) in [
            (UnlockSource::PassphraseFile(path.clone()), None),
            (UnlockSource::KeyFile(path), None),
            (UnlockSource::CredentialOrPrompt, Some(folder.path())),
        ] {
            let error = Unlock::read(&source, credentials, no_prompt).unwrap_err();
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn an_empty_answer_and_a_missing_terminal_are_told_apart() {
        let source = UnlockSource::CredentialOrPrompt;
        let empty = Unlock::read(&source, None, || Ok(Zeroizing::default()));
        assert!(matches!(empty, Err(UnlockError::Empty)));
        let no_terminal = Unlock::read(&source, None, || Err(io::ErrorKind::NotFound.into()));
        let message = no_terminal.unwrap_err().to_string();
        assert!(message.contains("set keyring.passphrase_file"), "{message}");
    }

    #[test]
    fn the_credential_comes_before_the_prompt_and_a_configured_file_before_both() {
        let folder = TempDir::new().unwrap();
        let file = secret(&folder, "other", "from the file\n", 0o600);
        let credentials = Some(folder.path());
        let source = UnlockSource::CredentialOrPrompt;
        let typed = || Ok(Zeroizing::new("typed".to_owned()));
        let unlock = Unlock::read(&source, credentials, typed).unwrap();
        assert_eq!(passphrase(unlock), "typed");
        secret(&folder, CREDENTIAL_NAME, "from systemd\n", 0o400);
        let unlock = Unlock::read(&source, credentials, no_prompt).unwrap();
        assert_eq!(passphrase(unlock), "from systemd");
        let source = UnlockSource::PassphraseFile(file);
        let unlock = Unlock::read(&source, credentials, no_prompt).unwrap();
        assert_eq!(passphrase(unlock), "from the file");
    }

    #[test]
    fn neither_passphrase_nor_key_is_printed() {
        let unlock = Unlock::Passphrase(Zeroizing::new("canary".to_owned()));
        assert_eq!(format!("{unlock:?}"), "Passphrase(…)");
        let unlock = Unlock::KeyFile(Zeroizing::new([7; 32]));
        assert_eq!(format!("{unlock:?}"), "KeyFile(…)");
    }
}
