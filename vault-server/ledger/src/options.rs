//! Where a ledger is, its limits, and the outcome of removing an anchor.

use std::path::PathBuf;

use crate::anchor::Locator;
use crate::anchor::set::LIMIT;
use crate::key::LeafKey;

/// Where a ledger is, and how much may wait.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data folder: mode 0700, files 0600.
    pub folder: PathBuf,
    /// The anchors' files, 1 to [`Options::ANCHOR_LIMIT`], none in the data folder. Without one of the
    /// same moment the database cannot be read. Each one is written and synced twice a batch. They
    /// belong on volumes that are never copied together with the data folder.
    pub anchors: Vec<PathBuf>,
    /// How many changes may wait; one more is [`CommitError::Overloaded`](crate::CommitError::Overloaded). 0 counts as 1.
    pub queue_capacity: usize,
    /// How many changes are committed together at most. 0 counts as 1.
    pub batch_limit: usize,
    /// Whether to open a database that [`OpenError::Mixture`](crate::OpenError::Mixture) and [`OpenError::DamagedList`](crate::OpenError::DamagedList) refuse: its
    /// readable part becomes a new database. Leaves that are unavailable stay so for ever. It takes as
    /// much room on the disk as the database, and as long as reading all of it.
    pub accept_damage: bool,
    /// Leaves without which the user can do nothing. If there is one that does not open, the opening is
    /// refused before anything is changed: the right database may be elsewhere, and a start makes every
    /// other one unreadable.
    pub needed: Vec<LeafKey>,
}

impl Options {
    /// The queue's capacity of [`Options::new`].
    pub const QUEUE_CAPACITY: usize = 1024;
    /// The limit of a batch of [`Options::new`].
    pub const BATCH_LIMIT: usize = 64;
    /// How many anchors a vault has at most.
    pub const ANCHOR_LIMIT: usize = LIMIT;

    /// This folder and this one anchor, with the defaults.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, anchor: impl Into<PathBuf>) -> Options {
        Options {
            folder: folder.into(),
            anchors: vec![anchor.into()],
            queue_capacity: Options::QUEUE_CAPACITY,
            batch_limit: Options::BATCH_LIMIT,
            accept_damage: false,
            needed: Vec::new(),
        }
    }

    pub(crate) fn locators(&self) -> Vec<Locator> {
        self.anchors.iter().map(Locator::parse).collect()
    }
}

/// Whether an anchor that was removed from its vault is erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// Its keys are overwritten. It opens nothing.
    Erased,
    /// It was not there, could not be opened, or the disk did not take the write. Where it still
    /// exists, it opens, with the master key, a copy of the database of the moment it was lost.
    NotErased,
}
