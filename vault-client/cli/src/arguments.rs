//! Commands and options. The help is written for a person who sees the program for the first time.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::code;
use crate::connection::ConnectionArguments;
use crate::secrets::{GivenKey, NewPassword};

const ABOUT: &str = "Keeps a backup key safe with a password, and backups encrypted with it

A backup key is 32 random bytes, made on this device. Backups are encrypted with it. To get it back
after this device is lost there are two ways, each of which can be switched on and off:

  a password   the vault keeps the key, and destroys it after too many wrong passwords
  64 digits    written down and kept by you; no vault is needed

The vault and everything in between learn neither the password nor the key.

This device keeps the key in its state file, readable by you alone: another program that can read
that file can read your backups. Passwords, digits and tokens are asked for or read from files, never taken from
arguments or the environment.";

const FIRST_STEPS: &str = "First steps:
  Protect a new key with a password (the app's operator gives you address, fingerprint and token):
    vault-client enable --url https://vault.example --fingerprint '12345 67890 …' \\
      --tenant photos --account alice --token-file token
  Back up a folder, and look how things are:
    vault-client backup ~/Pictures --output /media/disk
    vault-client status
  On a new device, with the same options as for enable and the password:
    vault-client restore backup-….age --to Pictures --url … --fingerprint '…' …
  Without any vault, with the 64 digits:
    vault-client enable --key-only
    vault-client restore backup-….age --to Pictures --by-key

Files:
  The state is --state FILE, or else $VAULT_CLIENT_STATE, or else
  backup-key-vault/device.json in $XDG_CONFIG_HOME or ~/.config.";

#[derive(Parser, Debug)]
#[command(
    name = "vault-client",
    version,
    about = "Keeps a backup key safe with a password, and backups encrypted with it",
    long_about = ABOUT,
    after_help = "See --help for the first steps and the exit codes.",
    after_long_help = after_help(),
)]
pub(crate) struct Arguments {
    /// This device's state file
    #[arg(long, global = true, value_name = "FILE", display_order = 90)]
    pub(crate) state: Option<PathBuf>,

    /// Print one JSON object on standard output, also for errors
    #[arg(long, global = true, display_order = 91)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    Enable(Enable),
    Backup(Backup),
    Restore(Restore),
    /// Show how this device's key is protected; costs no attempt
    Status,
    ChangePassword(ChangePassword),
    ShowKey(ShowKey),
    Disable(Disable),
    /// Show the pinned fingerprints, and compare them with the one that the vault shows
    Fingerprint,
}

/// Protect this device's key: with a password at a vault, or by its 64 digits alone
///
/// The key is made the first time and stays the same from then on, whichever way it is protected.
/// Run it again to switch between the ways, to finish an interrupted run, or to register the key
/// anew after the vault has lost its record. After it has destroyed one, --after-destroyed says that
/// you want that; choose another password if it was destroyed by too many wrong ones. Connection
/// options replace the stored ones once they have worked. For another vault or account, delete the
/// record at the former one first (disable).
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  vault-client enable --url https://vault.example --ca-file ca.pem --fingerprint '12345 67890 …' \\
    --tenant photos --account alice --token-file token
  vault-client enable --relay https://backend.app.example --session-file session \\
    --fingerprint '12345 67890 …' --tenant photos --account alice
  vault-client enable --key-only"
)]
pub(crate) struct Enable {
    /// No password and no vault: show the 64 digits to write down
    #[arg(long, conflicts_with_all = ["ConnectionArguments", "password_file"])]
    pub(crate) key_only: bool,
    /// With --key-only: delete the record at the vault without asking
    #[arg(long, requires = "key_only")]
    pub(crate) yes: bool,
    /// Register the key although the vault has destroyed a record of this account
    #[arg(long, conflicts_with = "key_only")]
    pub(crate) after_destroyed: bool,
    #[command(flatten)]
    pub(crate) key: GivenKey,
    #[command(flatten)]
    pub(crate) password: NewPassword,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

/// Encrypt a folder into a backup file
///
/// The file is a standard age file with a compressed tar archive. Links are kept and not followed;
/// sockets, pipes and devices are left out and listed.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  vault-client backup ~/Pictures
  vault-client backup ~/Pictures --output /media/disk

Without this program: zstd and age open the file, the 64 digits without spaces are the passphrase.
  age --decrypt backup-….age | zstd --decompress | tar --extract"
)]
pub(crate) struct Backup {
    /// The folder to back up
    #[arg(value_name = "SOURCE")]
    pub(crate) source: PathBuf,
    /// A folder, in which the file is named backup-<key id>.age, or a file, which is replaced
    #[arg(long, short, value_name = "DIR|FILE", default_value = ".")]
    pub(crate) output: PathBuf,
}

/// Restore a backup file into a new folder
///
/// With the key this device holds; or else with the password, which gets the key from the vault and
/// is counted there; or with the 64 digits, for which no vault is needed and of which nothing is
/// kept. A new device needs the connection options for the password, and keeps them and the key.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  vault-client restore backup-….age --to Pictures
  vault-client restore backup-….age --to Pictures --by-key
  vault-client restore backup-….age --to Pictures --url https://vault.example --ca-file ca.pem \\
    --fingerprint '12345 67890 …' --tenant photos --account alice --token-file token"
)]
pub(crate) struct Restore {
    /// The backup
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The folder to restore into: a new or an empty one
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    #[command(flatten)]
    pub(crate) key: GivenKey,
    /// Get the key from the vault, whatever this device holds
    #[arg(long, conflicts_with = "GivenKey")]
    pub(crate) by_password: bool,
    /// Take the password from a file (one line break at its end does not count)
    #[arg(long, value_name = "FILE", conflicts_with = "GivenKey")]
    pub(crate) password_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

/// Set another password
///
/// The key and the backups stay as they are; the old password opens nothing any more. The old one is
/// not asked for: this device holds the key.
#[derive(Args, Debug)]
pub(crate) struct ChangePassword {
    #[command(flatten)]
    pub(crate) password: NewPassword,
}

/// Show the 64 digits of this device's key
///
/// They open the backups. Write them down and keep them where only you look.
#[derive(Args, Debug)]
pub(crate) struct ShowKey {
    /// Draw a QR code as well
    #[arg(long, conflicts_with = "json")]
    pub(crate) qr: bool,
}

/// Delete the record at the vault, so that no password opens it any more
///
/// Also deletes records that were left behind earlier; `status` lists them. The key stays on this
/// device, protected by its 64 digits alone: write them down (show-key).
#[derive(Args, Debug)]
pub(crate) struct Disable {
    /// Remove the key from this device too: without the 64 digits all backups are lost
    #[arg(long)]
    pub(crate) forget: bool,
    /// Go on where a record cannot be deleted: its password opens the key, and status goes on naming it
    #[arg(long, alias = "leave-records")]
    pub(crate) leave_record: bool,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

fn after_help() -> String {
    format!(
        "{FIRST_STEPS}\n\nExit codes, with the name that --json gives as `error`:\n{}",
        code::TABLE
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definitions_fit_together() {
        Arguments::command().debug_assert();
    }

    // Fails for any new option such as `--password VALUE`.
    #[test]
    fn no_option_takes_a_secret_as_its_value() {
        let command = Arguments::command();
        let all = command
            .get_subcommands()
            .flat_map(clap::Command::get_arguments)
            .filter(|argument| argument.get_action().takes_values());
        for argument in all {
            let name = argument.get_id().as_str();
            let is_secret = ["password", "key", "token", "session"]
                .iter()
                .any(|word| name.contains(word));
            assert!(!is_secret || name.ends_with("_file"), "{name}");
        }
    }
}
