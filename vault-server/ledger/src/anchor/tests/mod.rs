//! Anchors in files as a whole, and which keys a set of them lets a start try.

mod opening;
mod sets;
mod writing;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::file::FileAnchor;
use super::set::Anchors;
use super::*;
use crate::error::OpenError;
use crate::key::{MasterKey, VaultIdentity};

const SLOT: usize = 4096;
/// The name of `anchor` while it is made.
const UNFINISHED: &str = ".anchor.vault-unfinished";
/// Bytes of a slot that are not padding.
const WRITTEN: usize = 106;

fn identity() -> VaultIdentity {
    VaultIdentity {
        vault_id: "vault".to_owned(),
        keyring_fingerprint: [1; 32],
        master_key: MasterKey::new(&[1; 32]),
    }
}

/// Each sequence has a key of its own.
fn live(sequence: u64) -> Live {
    let byte = u8::try_from(sequence % 251).unwrap();
    Live {
        sequence,
        key: RootKey::new(&[byte; 32]),
    }
}

fn locators(paths: &[PathBuf]) -> Vec<Locator> {
    paths.iter().map(Locator::parse).collect()
}

struct Home(TempDir);

impl Home {
    fn new() -> Home {
        Home(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn anchor(&self) -> PathBuf {
        self.path("anchor")
    }

    fn create(&self) -> FileAnchor {
        create(&self.anchor()).unwrap()
    }

    fn open(&self) -> FileAnchor {
        open(&self.anchor()).unwrap()
    }

    /// An anchor at rest after this batch.
    fn at(&self, sequence: u64) -> FileAnchor {
        let mut anchor = self.create();
        anchor.prepare(sequence - 1, &live(sequence)).unwrap();
        anchor.erase(sequence).unwrap();
        anchor
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.anchor()).unwrap()
    }

    /// Writes the file's bytes in place, as a disk would change them.
    fn overwrite(&self, bytes: &[u8]) {
        fs::write(self.anchor(), bytes).unwrap();
    }

    fn refused(&self) -> OpenError {
        open(&self.anchor()).err().unwrap()
    }
}

fn create(path: &Path) -> Result<FileAnchor, OpenError> {
    FileAnchor::create(&Locator::parse(path), &identity())
}

fn open(path: &Path) -> Result<FileAnchor, OpenError> {
    FileAnchor::open(&Locator::parse(path), &identity())
}

fn shown(slots: &[Slot; 2]) -> [String; 2] {
    slots.each_ref().map(|slot| match slot {
        Slot::Live(live) => format!("live {}", live.sequence),
        Slot::Empty { sequence } => format!("empty {sequence}"),
        Slot::Unreadable => "unreadable".to_owned(),
    })
}

#[track_caller]
fn assert_slots(anchor: &dyn Anchor, expected: [&str; 2]) {
    assert_eq!(shown(anchor.slots()), expected);
}
