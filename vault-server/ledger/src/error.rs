//! Errors: of opening, of one change, and of storage.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a ledger was not created or opened.
///
/// Each message says in short what to do next. What else there is to know stands under the
/// [`code`](OpenError::code) in docs/OPERATIONS.md, "Refused starts".
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process, or another part of this one, has the vault in this folder open.
    #[error(
        "another process has the vault in {0:?} open; stop it first, or ask it to do this for you"
    )]
    Locked(PathBuf),
    /// There is no database in this folder.
    #[error("there is no vault in {0:?}; run `vault-server init` to make one")]
    NotFound(PathBuf),
    /// There is a database in this folder already.
    #[error("there is a vault in {0:?} already, it is never overwritten; choose another folder")]
    AlreadyExists(PathBuf),
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
    /// A name is not a plain file or folder, for example a symbolic link.
    #[error("{0:?} is not a plain file or folder; put the vault's own one there")]
    WrongKind(PathBuf),
    /// There is a file in the data folder that the store would act on, and that no database of this
    /// program left there.
    #[error(
        "{0:?} does not belong there; find out which process wrote to the data folder, and move it away"
    )]
    NotOurs(PathBuf),
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
        "the database is not the latest one: {}; put the newest database of this vault back",
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
        "much of the database does not open ({paths} of the paths that a start looks at), while the newest changes wait in its WAL; put back the ledger.db that was there when the server stopped"
    )]
    Mixture {
        /// On how many of the paths that were looked at a node does not open.
        paths: usize,
    },
    /// The due index cannot be read. It decides nothing, but every write to it would fail.
    #[error("the due index in ledger.db is damaged; run `vault-server serve --accept-damage` once")]
    DamagedList,
    /// A leaf without which nothing can be done does not open.
    #[error(
        "the vault's own leaves do not open; put back the ledger.db and ledger.db-wal that were there when the server stopped"
    )]
    NeededLost,
    /// This anchor is not there.
    #[error(
        "the anchor {0:?} is missing; mount its volume, or, if it is lost, run `vault-server anchor remove` with the paths of all that are lost"
    )]
    AnchorMissing(PathBuf),
    /// Something is where an anchor was to be made. It is never overwritten.
    #[error(
        "there is a file at {0:?} already, it may be the anchor of a vault and is never overwritten; choose another path for the new anchor"
    )]
    AnchorExists(PathBuf),
    /// A file is no anchor of this vault and keyring, or it is damaged.
    #[error(
        "{0:?} is the anchor of another vault or keyring, or it is damaged; correct the configuration, or, if it is damaged, run `vault-server anchor remove` with the paths of all that are"
    )]
    AnchorForeign(PathBuf),
    /// Another process, or another part of this one, has the anchor open.
    #[error("another process has the anchor {0:?} open; stop it first")]
    AnchorLocked(PathBuf),
    /// An anchor's file has further names.
    #[error(
        "the anchor {0:?} has another name, a hard link; find it with `find -samefile` on the anchor's volume, and delete it"
    )]
    AnchorLinked(PathBuf),
    /// Two of the anchors are the same file, or one is a copy of the other.
    #[error(
        "the anchors {0:?} and {1:?} are the same, or one is a copy of the other; take one of them out of the configuration"
    )]
    AnchorTwice(PathBuf, PathBuf),
    /// An anchor is inside the data folder.
    #[error("the anchor {0:?} is inside the data folder; put it on a volume of its own")]
    AnchorInFolder(PathBuf),
    /// No anchor is configured, and a vault needs at least one.
    #[error("no anchor is configured; set anchor.path to a file on a volume of its own")]
    NoAnchor,
    /// There are more anchors than a vault can have.
    #[error("a vault has at most {limit} anchors; take some out of the configuration")]
    TooManyAnchors {
        /// The highest number.
        limit: usize,
    },
    /// The vault has an anchor that the configuration does not name. It was here at the last start.
    #[error(
        "the vault's anchor {0:?} is not configured; name it in anchor.path or anchor.mirrors, or, if it is lost or shall go, run `vault-server anchor remove` with the paths of all that are"
    )]
    AnchorNotConfigured(PathBuf),
    /// The configuration names an anchor that the vault does not have.
    #[error(
        "{0:?} is no anchor of this vault, or was removed from it; take it out of the configuration"
    )]
    AnchorUnknown(PathBuf),
    /// The store did not take over a setting that durability or secrecy needs.
    #[error(
        "the database refused the setting {name}: wanted {wanted}, got {got}; the vault does not run without it"
    )]
    SettingRefused {
        /// SQLite's name of it.
        name: String,
        /// The value that reading it back must give.
        wanted: &'static str,
        /// The value it has.
        got: String,
    },
    /// A table, index, trigger, or view is not as this program makes it.
    #[error(
        "the database's schema was changed, at {0:?}; find out which process wrote to the file, and restore it"
    )]
    SchemaDiffers(String),
    /// The disk or the store failed.
    #[error("the vault's storage failed")]
    Storage(#[from] StorageError),
}

impl OpenError {
    /// Names the refusal in docs/OPERATIONS.md, "Refused starts". Codes do not change.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            OpenError::Locked(..) => "locked",
            OpenError::NotFound(..) => "no-vault",
            OpenError::AlreadyExists(..) => "vault-exists",
            OpenError::Exposed { .. } => "open-to-others",
            OpenError::ForeignOwner { .. } => "other-owner",
            OpenError::WrongKind(..) => "not-plain",
            OpenError::NotOurs(..) => "foreign-file",
            OpenError::NewerDatabase { .. } => "newer-database",
            OpenError::OtherFormat { .. } => "other-format",
            OpenError::OtherVault { .. } => "other-vault",
            OpenError::OtherKeyring => "other-keyring",
            OpenError::BeforeTheTree => "early-database",
            OpenError::NotTheLatest { .. } => "older-database",
            OpenError::Mixture { .. } => "mixed-files",
            OpenError::DamagedList => "damaged-index",
            OpenError::NeededLost => "own-leaves-lost",
            OpenError::AnchorMissing(..) => "anchor-missing",
            OpenError::AnchorExists(..) => "anchor-exists",
            OpenError::AnchorForeign(..) => "anchor-foreign",
            OpenError::AnchorLocked(..) => "anchor-locked",
            OpenError::AnchorLinked(..) => "anchor-linked",
            OpenError::AnchorTwice(..) => "anchor-twice",
            OpenError::AnchorInFolder(..) => "anchor-in-folder",
            OpenError::NoAnchor => "no-anchor",
            OpenError::TooManyAnchors { .. } => "too-many-anchors",
            OpenError::AnchorNotConfigured(..) => "anchor-not-configured",
            OpenError::AnchorUnknown(..) => "anchor-unknown",
            OpenError::SettingRefused { .. } => "setting-refused",
            OpenError::SchemaDiffers(..) => "changed-schema",
            OpenError::Storage(..) => "storage",
        }
    }
}

fn describe_batches(database: Option<u64>, anchors: Option<u64>) -> String {
    let database = database.map(|number| format!("its root is of batch {number}"));
    let anchors = anchors.map(|number| format!("the anchor's newest key is of batch {number}"));
    let database = database.as_deref().unwrap_or("it has no root");
    let anchors = anchors.as_deref().unwrap_or("no anchor holds a key");
    format!("{database}, and {anchors}")
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
    /// The store can make no sense of a part of its data. A read of it is then over, and its
    /// transaction goes on; a write may be half done.
    pub(crate) is_damage: bool,
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

    /// Whether the operating system does not let us, which the operator can change.
    pub(crate) fn is_denied(&self) -> bool {
        let source = self.source.downcast_ref::<io::Error>();
        source.is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
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
