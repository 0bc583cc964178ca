//! Errors: of opening, of one change, and of storage.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a ledger was not created or opened. Each message names the next step.
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
    /// A file or folder belongs to another user, who could change it at any time.
    #[error(
        "{path:?} belongs to user {owner}, and this program runs as user {us}; run it as that user, or find out which process put the file there"
    )]
    ForeignOwner {
        /// The file or folder.
        path: PathBuf,
        /// The user id of its owner.
        owner: u32,
        /// Our user id.
        us: u32,
    },
    /// A name in the data folder is not a plain file or folder, for example a symbolic link.
    #[error("{path:?} is not a plain file or folder; put the vault's own one there")]
    WrongKind {
        /// The name.
        path: PathBuf,
    },
    /// There is a file in the data folder that the store would act on, and that no database of this
    /// program left there.
    #[error(
        "{path:?} does not belong there; find out which process wrote to the data folder, and move it away"
    )]
    NotOurs {
        /// The file.
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
    /// The database was made before there was a key tree.
    #[error(
        "the database was made by an early version, whose copies stay readable for ever; make a new vault with `vault-server init`, and let the devices register again"
    )]
    BeforeTheTree,
    /// No key that an anchor holds opens the root.
    #[error(
        "the database is not the latest one: {}; an older copy of it was put back, it was altered or is damaged, or the anchor is not its own; only the newest database of this vault opens: put that back",
        describe_batches(*database, *anchors)
    )]
    NotTheLatest {
        /// The number of the batch that the database's root claims, if there is a root.
        database: Option<u64>,
        /// The number of the newest batch that an anchor holds a key of, if any does.
        anchors: Option<u64>,
    },
    /// The WAL is the latest one, and much of the database below it does not open.
    #[error(
        "much of the database does not open ({paths} of the paths that a start looks at), while the newest changes wait in its WAL, ledger.db-wal: an older ledger.db was put beside it, or the file is damaged. Nothing was changed: put back the ledger.db that was there when the server stopped, or see \"Older database\" in docs/OPERATIONS.md"
    )]
    Mixture {
        /// On how many of the paths that were looked at a node does not open.
        paths: usize,
    },
    /// The list of due times cannot be read. It decides nothing, but every write to it would fail.
    #[error(
        "a part of ledger.db is damaged that decides nothing, the list of due times; `vault-server serve --accept-damage` copies the readable part of the database into a new file, and goes on with that"
    )]
    DamagedList,
    /// A leaf without which nothing can be done does not open.
    #[error(
        "the vault's own leaves (its tenants, its keys, the number of its last statement) do not open: ledger.db was altered or is damaged, or an older one was put back. Nothing was changed: put back the ledger.db and ledger.db-wal that were there when the server stopped; without them see \"Lost disk\" in docs/OPERATIONS.md"
    )]
    NeededLost,
    /// An anchor is not there.
    #[error(
        "the anchor {path:?} is missing; mount its volume. If it is lost and a mirror is left, run `vault-server anchor remove` with the paths of all that are lost; if none is left, every key in this vault is lost: make a new vault, devices that hold their key register again"
    )]
    AnchorMissing {
        /// The anchor's file.
        path: PathBuf,
    },
    /// Something is where an anchor was to be made. It is never overwritten.
    #[error(
        "there is a file at {path:?} already, it may be the anchor of a vault and is never overwritten; choose another path for the new anchor, or move the file away if an interrupted `vault-server anchor add` left it"
    )]
    AnchorExists {
        /// The file.
        path: PathBuf,
    },
    /// A file is no anchor of this vault and keyring, or it is damaged.
    #[error(
        "{path:?} is the anchor of another vault or keyring, or it is damaged; correct the paths of the anchors, the vault id, or the keyring in the configuration. If it is damaged and a mirror is left, run `vault-server anchor remove` with the paths of all that are damaged or lost"
    )]
    AnchorForeign {
        /// The file.
        path: PathBuf,
    },
    /// Another process, or another part of this one, has the anchor open.
    #[error(
        "another process has the anchor {path:?} open; stop it first. Two servers on copies of one data folder cannot share an anchor"
    )]
    AnchorLocked {
        /// The anchor's file.
        path: PathBuf,
    },
    /// An anchor's file has further names.
    #[error(
        "the anchor {path:?} has another name, a hard link, and a copy of that is a copy of the anchor; find it with `find -samefile` on the anchor's volume, and delete it"
    )]
    AnchorLinked {
        /// The anchor's file.
        path: PathBuf,
    },
    /// Two of the anchors are the same file, or one is a copy of the other.
    #[error(
        "the anchors {first:?} and {second:?} are the same, or one is a copy of the other; take one of them out of the configuration, and make a mirror with `vault-server anchor add`"
    )]
    AnchorTwice {
        /// The one that comes first in the configuration.
        first: PathBuf,
        /// The other one.
        second: PathBuf,
    },
    /// An anchor is inside the data folder.
    #[error(
        "the anchor {path:?} is inside the data folder, and a copy of the folder would have it too; put it on a volume of its own"
    )]
    AnchorInFolder {
        /// The anchor's file.
        path: PathBuf,
    },
    /// No anchor is configured.
    #[error(
        "no anchor is configured, and a vault needs at least one; set anchor.path to a file on a volume of its own"
    )]
    NoAnchor,
    /// There are more anchors than a vault can have.
    #[error("a vault has at most {limit} anchors; take some out of the configuration")]
    TooManyAnchors {
        /// The highest number.
        limit: usize,
    },
    /// The vault has an anchor that the configuration does not name.
    #[error(
        "the vault's anchor {path:?} is not configured; name it in anchor.path or anchor.mirrors, or, if it is lost or shall go, run `vault-server anchor remove` with the paths of all that are"
    )]
    AnchorNotConfigured {
        /// Where it was at the last start.
        path: PathBuf,
    },
    /// The configuration names an anchor that the vault does not have.
    #[error(
        "{path:?} is no anchor of this vault, or was removed from it; take it out of the configuration. If an interrupted `vault-server anchor remove` left it, run that again with its path: it erases what the file still holds. To use the path for a new anchor, move the file away and run `vault-server anchor add`"
    )]
    AnchorUnknown {
        /// The file.
        path: PathBuf,
    },
    /// The store did not take over a setting that durability or secrecy needs.
    #[error(
        "the database refused the setting {name}: wanted {wanted}, got {got}; the vault does not run without it"
    )]
    SettingRefused {
        /// The setting.
        name: &'static str,
        /// The value that reading it back must give.
        wanted: &'static str,
        /// The value it has.
        got: String,
    },
    /// A table, index, trigger, or view is not as this program makes it.
    #[error(
        "the database's schema was changed, at {object:?}; this program did not do that: find out which process wrote to the file, and restore it"
    )]
    SchemaDiffers {
        /// The name of the first object that differs.
        object: String,
    },
    /// The disk or the store failed.
    #[error("the vault's storage failed")]
    Storage(#[from] StorageError),
}

fn describe_batches(database: Option<u64>, anchors: Option<u64>) -> String {
    let database = match database {
        Some(number) => format!("its root is of batch {number}"),
        None => "it has no root".to_owned(),
    };
    match anchors {
        Some(number) => format!("{database}, and the anchor's newest key is of batch {number}"),
        None => format!("{database}, and no anchor holds a key"),
    }
}

/// Why a change was not committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CommitError {
    /// The queue is full. The change was not taken; try again later.
    #[error("too many changes are waiting; nothing was changed, try again")]
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
/// It is never the same as absent. A change may also return it for a plaintext that its user cannot
/// read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a leaf cannot be opened")]
pub struct LeafUnavailable;

/// The ledger had stopped with a storage error before it could be closed in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the ledger stopped with a storage error; the next start decides from the disk")]
pub struct LedgerFailed;

/// The disk, the store, or the operating system failed.
///
/// The text says during what; the reason is its [`source`](Error::source). Neither ever contains a
/// leaf's key or content.
#[derive(Debug, Error)]
#[error("storage failed while {during}")]
pub struct StorageError {
    during: &'static str,
    is_damage: bool,
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
            is_damage: false,
            source: source.into(),
        }
    }

    /// One of which [`is_damage`](StorageError::is_damage) is true.
    pub(crate) fn damage(
        during: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> StorageError {
        StorageError {
            is_damage: true,
            ..StorageError::new(during, source)
        }
    }

    /// Whether the operating system does not let us, which the operator can change.
    pub(crate) fn is_denied(&self) -> bool {
        let source = self.source.downcast_ref::<io::Error>();
        source.is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Whether the store can make no sense of a part of its data. A read of it is then over, and its
    /// transaction goes on; a write may be half done.
    pub(crate) fn is_damage(&self) -> bool {
        self.is_damage
    }
}

/// Says during what an error happened, where it happens. A room with errors of a type of its own
/// implements it for them.
pub(crate) trait During<T> {
    fn during(self, during: &'static str) -> Result<T, StorageError>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, during: &'static str) -> Result<T, StorageError> {
        self.map_err(|source| StorageError::new(during, source))
    }
}

impl<T> During<T> for Result<T, rand::Error> {
    fn during(self, during: &'static str) -> Result<T, StorageError> {
        self.map_err(|source| StorageError::new(during, source))
    }
}
