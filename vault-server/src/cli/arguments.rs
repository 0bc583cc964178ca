//! The arguments. Their doc comments are the text of `--help`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use vault_protocol::{AccountId, Policy, TenantId, VaultId};

use crate::tenants::token::TokenScope;

/// A vault for backup keys: it gives a key back for the right password, charges every guess
/// before it can be tested, and destroys the key for good after too many wrong ones.
///
/// First steps:
///
///   vault-server dev                      try it: a throw-away vault on this machine
///
///   vault-server init --vault-id NAME     make a vault
///   vault-server serve                    run it
///   vault-server tenant add APP           let an app use it; prints the token for its backend
///   vault-server fingerprint              print what the app's devices pin
///
/// Configuration: /etc/backup-key-vault/vault.toml or --config, then VAULT_SERVER_… variables.
/// Exit codes: 0 done, 1 failed (the message says why), 2 wrong usage.
#[derive(Parser)]
#[command(name = "vault-server", version, verbatim_doc_comment)]
pub(crate) struct Cli {
    /// The configuration file [default: /etc/backup-key-vault/vault.toml, if there is one]
    #[arg(long, short, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a new vault: its keyring, its database and its anchors. Never overwrites anything.
    ///
    /// Asks for the passphrase that seals the keyring, unless the configuration names a
    /// passphrase file or a key file; a key file that does not exist yet is made. If it could not
    /// finish, run it again: it goes on with the keyring that it made.
    Init {
        /// The vault's name, for ever: 1 to 64 characters of a-z 0-9 . -
        #[arg(long, value_name = "NAME")]
        vault_id: VaultId,
    },
    /// Run the vault.
    ///
    /// SIGTERM or Ctrl-C: answer what is in flight, then exit. SIGHUP: read the certificate again
    /// (that also happens by itself when its files change). A storage error ends the process with
    /// exit code 1; start it again, it decides from the disk.
    Serve {
        /// Go on with a database that a start has called damaged: copy what can be read into a new
        /// file, for which there must be room, and lose the rest for good. Never as a habit: it
        /// also hides that an older database was put back
        #[arg(long)]
        accept_damage: bool,
    },
    /// Run a throw-away vault on this machine and print commands that use it.
    ///
    /// Nothing has to be configured. Everything is in a temporary folder that is removed when the
    /// command ends.
    Dev {
        /// Where to listen
        #[arg(long, default_value = "127.0.0.1:8443", value_name = "ADDRESS")]
        listen: SocketAddr,
    },
    /// Apps that use the vault, and the tokens of their backends.
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Look at one account, or reset it.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Add or remove an anchor: the file with the key that opens the database as it is now.
    #[command(subcommand)]
    Anchor(AnchorCommand),
    /// Check configuration, keyring, anchors and database, and report every fault.
    ///
    /// Reads the whole database. Stop the server first: while one runs, only configuration and
    /// certificate are checked. Lines that begin with BAD are findings. Exits with 1 if anything is
    /// wrong.
    Check,
    /// Print the vault's fingerprint: 60 digits that devices pin.
    Fingerprint,
}

#[derive(Subcommand)]
pub(crate) enum TenantCommand {
    /// Add an app and print the token for its backend. The token is shown only now.
    Add {
        /// The app's name: 1 to 32 characters of a-z 0-9 -
        name: TenantId,
        /// The scopes of the token, separated by commas. `use` relays devices' sealed messages;
        /// `status` asks how accounts stand; `reset` destroys records of users who have neither
        /// password nor key: keep it away from the app's ordinary backends
        #[arg(
            long,
            value_delimiter = ',',
            default_value = "use",
            value_name = "SCOPES"
        )]
        scopes: Vec<ScopeArg>,
        #[command(flatten)]
        policy: PolicyArgs,
    },
    /// List the apps, their policies, tokens and numbers of live records.
    List,
    /// Print a new token; the old ones stay valid until they are revoked.
    ///
    /// To rotate: make a new token, give it to every backend, then revoke the old one:
    /// `tenant rotate-token NAME`, later `tenant rotate-token NAME --revoke ID`.
    RotateToken {
        /// The app's name
        name: TenantId,
        /// The scopes of the token, as with `tenant add` [default: those of the app's other tokens, if
        /// they all have the same]
        #[arg(long, value_delimiter = ',', value_name = "SCOPES")]
        scopes: Option<Vec<ScopeArg>>,
        /// Make no token, but revoke the one with this number (see `tenant list`)
        #[arg(long, value_name = "ID", conflicts_with = "scopes")]
        revoke: Option<u32>,
    },
    /// Remove an app. Refused while any of its users has a record.
    Remove {
        /// The app's name
        name: TenantId,
    },
}

#[derive(Args)]
pub(crate) struct PolicyArgs {
    /// Wrong guesses in a row that destroy a key, 1 to 32
    #[arg(long, value_name = "N", requires = "waits")]
    limit: Option<u64>,
    /// Wrong guesses that destroy a key whatever succeeded in between, up to 1000 [default: 100,
    /// or LIMIT if that is more]
    #[arg(long, value_name = "N")]
    total_limit: Option<u64>,
    /// Seconds to wait after each wrong guess but the last, separated by commas [default:
    /// 0,0,0,0,300,900,3600,14400,86400]
    #[arg(long, value_delimiter = ',', num_args = 0.., value_name = "SECONDS")]
    waits: Option<Vec<u64>>,
}

#[derive(Subcommand)]
pub(crate) enum AccountCommand {
    /// Show an account's state, budgets and last events; never a secret.
    Show {
        /// The app
        tenant: TenantId,
        /// The app's id of its user
        account: AccountId,
    },
    /// Destroy the record of a user who has neither password nor key.
    Reset {
        /// The app
        tenant: TenantId,
        /// The app's id of its user
        account: AccountId,
        /// Exactly the generation to destroy, as `account show` prints it
        #[arg(long)]
        generation: u64,
    },
}

#[derive(Subcommand)]
pub(crate) enum AnchorCommand {
    /// Make a further anchor, a mirror of the others. Stop the server first.
    ///
    /// The file must not be there yet; its folder is made if it is missing. From then on the vault
    /// opens only with all its anchors, so write the path into `anchor.mirrors` of the
    /// configuration afterwards. A mirror belongs on another disk, outside of every backup and
    /// snapshot.
    ///
    /// To move an anchor: add the new one, write it into the configuration in the place of the old
    /// one, and remove the old one.
    Add {
        /// The new anchor's absolute path
        path: PathBuf,
    },
    /// Take anchors out of the vault, also lost or broken ones. Stop the server first.
    ///
    /// Their content is erased, and the others get a new key. Take them out of the configuration
    /// afterwards. If files are lost, or cannot be read or written, this is how to go on without
    /// them: name all of them at once. Nothing can be erased then, but should one turn up again, it
    /// is refused. Before that, see that the others were not replaced by older files: only the one
    /// that is lost could tell. The last anchor cannot be removed: nothing else opens the database.
    Remove {
        /// The anchors' absolute paths, as they were added
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum ScopeArg {
    Use,
    Status,
    Reset,
}

impl PolicyArgs {
    pub(crate) fn policy(self) -> anyhow::Result<Policy> {
        let default = Policy::default();
        let limit = self.limit.unwrap_or(default.limit());
        let total_limit = self.total_limit.unwrap_or(default.total_limit().max(limit));
        let waits = self.waits.unwrap_or_else(|| default.waits().to_vec());
        Ok(Policy::new(limit, total_limit, waits)?)
    }
}

/// Each scope once.
pub(crate) fn distinct(scopes: &[ScopeArg]) -> Vec<TokenScope> {
    let mut distinct: Vec<TokenScope> = Vec::new();
    for scope in scopes {
        let scope = match scope {
            ScopeArg::Use => TokenScope::Use,
            ScopeArg::Status => TokenScope::Status,
            ScopeArg::Reset => TokenScope::Reset,
        };
        if !distinct.contains(&scope) {
            distinct.push(scope);
        }
    }
    distinct
}
