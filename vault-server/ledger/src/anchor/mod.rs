//! The anchor: the one small thing outside the database that makes the database readable.
//!
//! It holds a sequence number and a 32-byte root key, and forgets the former ones. A database opens
//! with the root key of its own moment only. So forgetting a key destroys all that it opened, in every
//! copy of the database at once; and an older database that is put back is refused.
//!
//! An anchor has two slots. At rest one is *live* and the other one holds an *empty marker*. One
//! batch, from sequence n to n + 1:
//!
//! ```text
//!                              slot 0       slot 1
//! at rest                      live n       empty
//! prepare(n, n + 1)            live n       live n + 1      then the database commits
//! erase(n + 1)                 empty        live n + 1      then, and only then, the batch is answered
//! ```
//!
//! A stop between the two leaves both keys, and the database says at the next start which one is the
//! current one. The live slot of the batch before is never the one that is written to, so a torn write
//! costs at most the key that no committed database needs.
//!
//! The anchor knows nothing of the tree that its key opens. A vault has a set of them
//! ([`set::Anchors`]): mirrors that all have to accept every write.

pub(crate) mod file;
pub(crate) mod set;
mod slot;

#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use rand::RngCore;
use rand::rngs::OsRng;
use zeroize::Zeroizing;

use crate::error::{During, StorageError};

/// A place that remembers the current root key and forgets the former ones.
///
/// Today a file. A PKCS#11 token or a quorum of witnesses can be one too.
///
/// The three writing methods are idempotent: repeating a call that succeeded does nothing more. They
/// return when the write is durable. An error means *unknown*: the write may have happened, now or
/// later. The caller stops then, and the next start decides from what it reads.
pub(crate) trait Anchor: Send {
    /// Tells this anchor from others and from none of its copies.
    fn id(&self) -> AnchorId;

    /// Where it is, for messages and for the configuration.
    fn locator(&self) -> &Locator;

    /// Whether it can still be found there.
    fn is_in_place(&self) -> bool;

    /// Its slots as they were read, with the writes since then.
    fn slots(&self) -> &[Slot; 2];

    /// Makes `next` live beside `expected`, which stays live if it is here.
    ///
    /// Refuses a sequence that is not above `expected` and above every one that this anchor has ever
    /// shown: a number that is used twice names two states of the database.
    fn prepare(&mut self, expected: u64, next: &Live) -> Result<(), StorageError>;

    /// Forgets every root key but that of sequence `kept`. Refuses if that one is not here: it never
    /// forgets the last one.
    fn erase(&mut self, kept: u64) -> Result<(), StorageError>;

    /// Forgets every root key, the last one too. For an anchor that no longer belongs to the set.
    fn retire(&mut self) -> Result<(), StorageError>;
}

/// Where an anchor is. Only its own kind reads it: to an anchor in a file it is a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Locator(OsString);

impl Locator {
    /// From what the configuration or the command line says.
    pub(crate) fn parse(text: impl Into<OsString>) -> Locator {
        Locator(text.into())
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Locator {
        Locator(OsStr::from_bytes(bytes).into())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The key of the tree's root. With it and the database of its moment everything can be read.
///
/// Boxed, so that moving it leaves no copies behind, and zeroized when dropped.
pub(crate) struct RootKey(Box<Zeroizing<[u8; 32]>>);

impl RootKey {
    /// Copies the key, straight into its box. The caller zeroizes the original.
    pub(crate) fn new(bytes: &[u8; 32]) -> RootKey {
        let mut key = RootKey(Box::default());
        key.0.copy_from_slice(bytes);
        key
    }

    /// For opening and sealing the root only.
    pub(crate) fn expose_secret(&self) -> &[u8; 32] {
        &self.0
    }

    /// A second one. Not `Clone`, so that each copy of the key can be found in the source.
    pub(crate) fn copy(&self) -> RootKey {
        RootKey::new(&self.0)
    }

    /// Both sides come out of anchors that opened, none from an attacker: the time that this takes tells
    /// nothing.
    fn is(&self, other: &RootKey) -> bool {
        self.0 == other.0
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(..)")
    }
}

/// Which anchor it is: random since its creation, the same in a copy of it. Not a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AnchorId(pub(crate) [u8; 16]);

impl AnchorId {
    fn draw() -> Result<AnchorId, StorageError> {
        let mut id = [0; 16];
        OsRng.try_fill_bytes(&mut id).during("drawing an id")?;
        Ok(AnchorId(id))
    }
}

/// The root key of one batch.
#[derive(Debug)]
pub(crate) struct Live {
    /// The batch's sequence number. Never used twice in a vault.
    pub(crate) sequence: u64,
    pub(crate) key: RootKey,
}

impl Live {
    /// A second one, see [`RootKey::copy`].
    pub(crate) fn copy(&self) -> Live {
        Live {
            sequence: self.sequence,
            key: self.key.copy(),
        }
    }

    fn is(&self, other: &Live) -> bool {
        self.sequence == other.sequence && self.key.is(&other.key)
    }
}

/// The content of one slot of an anchor.
#[derive(Debug)]
pub(crate) enum Slot {
    Live(Live),
    /// A root key was here and is erased, or there never was one.
    Empty {
        /// The highest sequence that the anchor had shown when this was written, 0 at creation.
        sequence: u64,
    },
    /// Torn by a power loss, damaged, not given back by the disk, or of another vault. Which sequence
    /// it had is not known.
    Unreadable,
}

impl Slot {
    fn live(&self) -> Option<&Live> {
        match self {
            Slot::Live(live) => Some(live),
            Slot::Empty { .. } | Slot::Unreadable => None,
        }
    }

    fn live_sequence(&self) -> Option<u64> {
        self.live().map(|live| live.sequence)
    }

    /// The highest sequence that this slot shows to have been used.
    fn shown_sequence(&self) -> Option<u64> {
        match self {
            Slot::Live(live) => Some(live.sequence),
            Slot::Empty { sequence } => Some(*sequence),
            Slot::Unreadable => None,
        }
    }
}

fn highest_sequence(slots: &[Slot; 2]) -> u64 {
    let shown = slots.iter().filter_map(Slot::shown_sequence);
    shown.max().unwrap_or(0)
}
