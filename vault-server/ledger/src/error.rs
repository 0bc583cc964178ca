//! What can go wrong: at opening, for one change, and for the disk.

use std::error::Error;
use std::path::PathBuf;

use thiserror::Error;

/// Why a ledger was not created or opened. Each message says what to do next.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process, or another part of this one, has the vault open.
    #[error(
        "another process has the vault in {folder:?} open; stop it first, or ask it to do this for you"
    )]
    Locked {
        /// The data folder.
        folder: PathBuf,
    },
    /// There is no database in the folder.
    #[error("there is no vault in {folder:?}; run `vault-server init` to make one")]
    NotFound {
        /// The data folder.
        folder: PathBuf,
    },
    /// There is a database already. It is never overwritten.
    #[error(
        "there is a vault in {folder:?} already, it is never overwritten; choose another folder"
    )]
    AlreadyExists {
        /// The data folder.
        folder: PathBuf,
    },
    /// Group or others may read or write a file or folder that belongs to the owner alone.
    #[error("{path:?} is open to others (mode {mode:04o}); run `chmod {wanted:04o}` on it")]
    Exposed {
        /// The file or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The permission bits it should have.
        wanted: u32,
    },
    /// A name in the data folder is not what it has to be, for example a symbolic link.
    #[error("{path:?} is not a plain file or folder; put the vault's own one there")]
    WrongKind {
        /// The name.
        path: PathBuf,
    },
    /// The database was written by a newer program.
    #[error(
        "the database has version {found}, this program knows versions up to {known}; use the newer vault-server"
    )]
    NewerDatabase {
        /// The database's version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The database has a format of rows that this program does not know.
    #[error(
        "the database has format {found}, this program knows format {known}; use the vault-server that made it"
    )]
    OtherFormat {
        /// The database's format.
        found: i64,
        /// The format that this program knows.
        known: i64,
    },
    /// The database belongs to another vault.
    #[error(
        "the database belongs to vault {found:?}, not to {expected:?}; correct the vault id or the folder in the configuration"
    )]
    OtherVault {
        /// The id in the database.
        found: String,
        /// The id that was asked for.
        expected: String,
    },
    /// The database was made with another keyring.
    #[error("the database was made with another keyring; configure the keyring that belongs to it")]
    OtherKeyring,
    /// SQLite did not take over a setting that durability or secrecy needs.
    #[error(
        "SQLite refused the setting {name}: wanted {wanted}, got {got}; the vault does not run without it"
    )]
    PragmaRefused {
        /// The setting.
        name: &'static str,
        /// The value that reading it back must give.
        wanted: &'static str,
        /// The value it has.
        got: String,
    },
    /// A table, index, trigger, or view is not as this program makes it.
    #[error(
        "the database's schema was changed, at {object:?}; this program did not do that: find out who wrote to the file, and restore it"
    )]
    SchemaDiffers {
        /// The name of the first object that differs.
        object: String,
    },
    /// The disk or SQLite failed.
    #[error("the vault's storage failed")]
    Storage(#[from] StorageError),
}

/// Why a change was not committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CommitError {
    /// The queue is full. The change was not taken; try again later.
    #[error("too many changes are waiting")]
    Overloaded,
    /// A leaf that the change needs cannot be opened. The change left nothing behind.
    #[error("a leaf that the change needs cannot be opened")]
    Unavailable,
    /// The ledger stopped, by a storage error or because it was closed. Whether the change is on the
    /// disk is unknown until the next start.
    #[error("the ledger has stopped; whether the change was stored is unknown")]
    Stopped,
}

/// A leaf, or an event of it, cannot be opened: altered, moved, or of an unknown version.
///
/// It is never the same as absent. A change may also return it for a leaf whose plaintext its user
/// cannot read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a leaf cannot be opened")]
pub struct LeafUnavailable;

/// The ledger had stopped with a storage error before it could be closed in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the ledger stopped with a storage error; the next start decides from what is on the disk")]
pub struct LedgerFailed;

/// The disk, SQLite, or the operating system failed.
///
/// The text says during what; the reason is its [`source`](Error::source). Neither ever contains a
/// leaf's key or content.
#[derive(Debug, Error)]
#[error("storage failed while {during}")]
pub struct StorageError {
    during: &'static str,
    #[source]
    source: Box<dyn Error + Send + Sync>,
}

impl StorageError {
    pub(crate) fn new(
        during: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> StorageError {
        StorageError {
            during,
            source: source.into(),
        }
    }
}

/// Says during what an error happened, where it happens.
pub(crate) trait During<T> {
    fn during(self, during: &'static str) -> Result<T, StorageError>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> During<T> for Result<T, E> {
    fn during(self, during: &'static str) -> Result<T, StorageError> {
        self.map_err(|source| StorageError::new(during, source))
    }
}
