//! An anchor in a file: two slots of one page each, written in place and synced one by one.

use std::cmp::Reverse;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use super::slot::{SLOT_SIZE, SlotSealer};
use super::{Anchor, AnchorId, Live, Locator, Slot, highest_sequence};
use crate::error::{During, OpenError, StorageError};
use crate::files::{
    Locked, exists, identity, make_file, make_folder, metadata, parent, refuse_exposed_file,
    sync_folder,
};
use crate::key::VaultIdentity;

const FILE_SIZE: u64 = 2 * SLOT_SIZE as u64;

/// The end of the name of an anchor in the making.
const UNFINISHED: &str = ".vault-unfinished";

impl Locator {
    fn path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// For a message.
    pub(crate) fn shown(&self) -> PathBuf {
        self.path().to_owned()
    }
}

/// An anchor's file that this process alone has open, for as long as this value lives.
pub(crate) struct FileAnchor {
    locator: Locator,
    file: Locked,
    id: AnchorId,
    sealer: SlotSealer,
    slots: [Slot; 2],
    /// Which slots this process has written. The writes of a killed one may be in the page cache and
    /// not on the disk, however often they are read back.
    written: [bool; 2],
    /// A write or sync failed. The disk's content is unknown from then on, and a later sync that
    /// succeeds would prove nothing.
    failed: bool,
}

impl FileAnchor {
    /// Makes an anchor that has shown no sequence yet, and its folder if there is none.
    ///
    /// A file that is there already is refused, except an anchor of this vault and keyring that has
    /// shown no sequence above 1. Creating a vault uses sequence 1, and opening it for the first time
    /// uses a higher one, before anything is served. So an interrupted creation left that one, and it is
    /// made anew. Above 1 a vault lives on it, and this would destroy that vault.
    pub(crate) fn create(
        locator: &Locator,
        identity: &VaultIdentity,
    ) -> Result<FileAnchor, OpenError> {
        let path = locator.path();
        let folder = parent(path);
        make_folder(folder).during("making the anchor's folder")?;
        if !folder.is_dir() {
            return Err(OpenError::WrongKind(folder.to_owned()));
        }
        // Stays locked until the new file has its name.
        let _replaced = unused(path, identity)?;
        let unfinished = unfinished_name(path)?;
        remove_unfinished(&unfinished, identity)?;

        let id = AnchorId::draw()?;
        let sealer = SlotSealer::new(identity);
        let file = make_file(&unfinished).during("making the anchor's file")?;
        // Before it has its name, so that no other process can ever have it open.
        let file = lock(file, path)?;
        // One by one, so that a file of the full size always has one that can be read, and shows that
        // it is ours and unused.
        for offset in [0, SLOT_SIZE as u64] {
            let slot = sealer.seal_empty(id, 0)?;
            file.write_all_at(&slot, offset)
                .during("filling the anchor")?;
            file.sync_all().during("syncing the anchor")?;
        }
        fs::rename(&unfinished, path).during("naming the anchor")?;
        sync_folder(folder).during("syncing the anchor's folder")?;
        Ok(FileAnchor {
            locator: locator.clone(),
            file,
            id,
            sealer,
            slots: [Slot::Empty { sequence: 0 }, Slot::Empty { sequence: 0 }],
            written: [true; 2],
            failed: false,
        })
    }

    /// Opens and locks the anchor of this vault and keyring.
    pub(crate) fn open(
        locator: &Locator,
        identity: &VaultIdentity,
    ) -> Result<FileAnchor, OpenError> {
        let path = locator.path();
        let file = open_locked(path)?;
        let foreign = || OpenError::AnchorForeign(path.to_owned());
        let metadata = file.metadata().during("reading the anchor's size")?;
        if metadata.len() != FILE_SIZE {
            return Err(foreign());
        }
        let sealer = SlotSealer::new(identity);
        let [first, second] = read_slots(&*file, &sealer);
        let id = common_id(first.as_ref(), second.as_ref()).ok_or_else(foreign)?;
        Ok(FileAnchor {
            locator: locator.clone(),
            file,
            id,
            sealer,
            slots: [first, second].map(|opened| opened.map_or(Slot::Unreadable, |(_, slot)| slot)),
            written: [false; 2],
            failed: false,
        })
    }

    /// The slot to write to while `expected` may be the sequence of the database.
    fn free_slot(&self, expected: u64) -> usize {
        match self.slots.each_ref().map(Slot::live_sequence) {
            [Some(sequence), _] if sequence == expected => 1,
            [_, Some(sequence)] if sequence == expected => 0,
            // One that cannot be read, or else the one with the higher number: the lower number is
            // confirmed, and must not give way to one that is only prepared (`Anchors::candidates`).
            _ => {
                let [first, second] = self.slots.each_ref();
                let worth =
                    |slot: &Slot| (slot.shown_sequence().map(Reverse), slot.live().is_some());
                usize::from(worth(second) < worth(first))
            }
        }
    }

    /// Whether this process has written exactly this already.
    fn has_prepared(&self, next: &Live) -> bool {
        let mut slots = self.slots.iter().zip(self.written);
        slots.any(|(slot, written)| written && slot.live().is_some_and(|live| live.is(next)))
    }

    fn erase_slot(&mut self, index: usize) -> Result<(), StorageError> {
        let sequence = highest_sequence(&self.slots);
        let marked =
            matches!(self.slots[index], Slot::Empty { sequence: shown } if shown == sequence);
        // A marker that a former process left is written again: see `written`.
        if marked && self.written[index] {
            return Ok(());
        }
        let page = self.sealer.seal_empty(self.id, sequence)?;
        self.write(index, &page, Slot::Empty { sequence })
    }

    fn write(&mut self, index: usize, page: &[u8], slot: Slot) -> Result<(), StorageError> {
        let offset = if index == 0 { 0 } else { SLOT_SIZE as u64 };
        self.failed = true;
        self.file
            .write_all_at(page, offset)
            .during("writing an anchor")?;
        self.file.sync_data().during("syncing an anchor")?;
        self.failed = false;
        self.slots[index] = slot;
        self.written[index] = true;
        Ok(())
    }

    fn refuse_after_failure(&self) -> Result<(), StorageError> {
        if self.failed {
            return Err(refusal("an earlier write to it failed"));
        }
        Ok(())
    }
}

impl Anchor for FileAnchor {
    fn id(&self) -> AnchorId {
        self.id
    }

    fn locator(&self) -> &Locator {
        &self.locator
    }

    fn is_in_place(&self) -> bool {
        let open = self.file.metadata().map(|file| (file.dev(), file.ino()));
        open.is_ok_and(|open| identity(self.locator.path()).is_ok_and(|named| named == Some(open)))
    }

    fn slots(&self) -> &[Slot; 2] {
        &self.slots
    }

    fn prepare(&mut self, expected: u64, next: &Live) -> Result<(), StorageError> {
        self.refuse_after_failure()?;
        if self.has_prepared(next) {
            return Ok(());
        }
        if next.sequence <= highest_sequence(&self.slots).max(expected) {
            return Err(refusal("the sequence is not above all former ones"));
        }
        let page = self.sealer.seal_live(self.id, next)?;
        self.write(self.free_slot(expected), &page, Slot::Live(next.copy()))
    }

    fn erase(&mut self, kept: u64) -> Result<(), StorageError> {
        self.refuse_after_failure()?;
        let keeps = self
            .slots
            .each_ref()
            .map(|slot| slot.live_sequence() == Some(kept));
        if !keeps.contains(&true) {
            return Err(refusal("the key to be kept is not on it"));
        }
        for (index, keep) in keeps.into_iter().enumerate() {
            if !keep {
                self.erase_slot(index)?;
            }
        }
        Ok(())
    }

    fn retire(&mut self) -> Result<(), StorageError> {
        self.refuse_after_failure()?;
        self.erase_slot(0)?;
        self.erase_slot(1)
    }
}

/// Refuses an anchor inside the data folder: a copy of the folder would have it too.
///
/// Nothing of it has to exist yet.
pub(crate) fn refuse_in_folder(folder: &Path, anchors: &[Locator]) -> Result<(), OpenError> {
    let folder = resolve(folder)?;
    for locator in anchors {
        if resolve(locator.path())?.starts_with(&folder) {
            return Err(OpenError::AnchorInFolder(locator.shown()));
        }
    }
    Ok(())
}

/// Whether there is a file that both name.
pub(super) fn name_one_file(first: &Locator, second: &Locator) -> Result<bool, StorageError> {
    let file = identity(first.path())?;
    Ok(file.is_some() && file == identity(second.path())?)
}

fn open_locked(path: &Path) -> Result<Locked, OpenError> {
    if !exists(path)? {
        return Err(OpenError::AnchorMissing(path.to_owned()));
    }
    refuse_exposed_file(path)?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .during("opening the anchor")?;
    let file = lock(file, path)?;
    // Another file may have got the name since it was looked at, for example by a creation. Keys
    // written to a file without a name would be lost.
    let metadata = file.metadata().during("identifying the anchor")?;
    if identity(path)? != Some((metadata.dev(), metadata.ino())) {
        return Err(OpenError::AnchorLocked(path.to_owned()));
    }
    // Another name of it may be in the data folder, or wherever a backup takes it.
    if metadata.nlink() != 1 {
        return Err(OpenError::AnchorLinked(path.to_owned()));
    }
    Ok(file)
}

fn lock(file: File, path: &Path) -> Result<Locked, OpenError> {
    let locked = Locked::new(file).during("locking the anchor")?;
    locked.ok_or_else(|| OpenError::AnchorLocked(path.to_owned()))
}

/// Those of the two slots that open. A page that the disk does not give back is a slot like one that
/// was torn: a power loss while a sector is written can leave either, and writing it again heals both.
fn read_slots(file: &impl FileExt, sealer: &SlotSealer) -> [Option<(AnchorId, Slot)>; 2] {
    [0, 1].map(|index| sealer.open(&read_page(file, index).ok()?))
}

fn read_page(file: &impl FileExt, index: u64) -> io::Result<[u8; SLOT_SIZE]> {
    let mut page = [0; SLOT_SIZE];
    file.read_exact_at(&mut page, index * SLOT_SIZE as u64)?;
    Ok(page)
}

/// The id that the readable slots name. None if there is no such slot, or if a slot of another anchor
/// of this vault was copied into the file.
fn common_id(
    first: Option<&(AnchorId, Slot)>,
    second: Option<&(AnchorId, Slot)>,
) -> Option<AnchorId> {
    match (first, second) {
        (Some((first, _)), Some((second, _))) if first != second => None,
        (first, second) => first.or(second).map(|(id, _)| *id),
    }
}

/// The file that [`FileAnchor::create`] may replace: none, or an anchor on which no vault lives.
fn unused(path: &Path, identity: &VaultIdentity) -> Result<Option<FileAnchor>, OpenError> {
    if !exists(path)? {
        return Ok(None);
    }
    match FileAnchor::open(&Locator::parse(path), identity) {
        Ok(anchor) if highest_sequence(&anchor.slots) <= 1 => Ok(Some(anchor)),
        Ok(_) | Err(OpenError::AnchorForeign(_)) => Err(OpenError::AnchorExists(path.to_owned())),
        Err(other) => Err(other),
    }
}

/// Removes the file of an interrupted creation. No other file has such a name. Should the operator have
/// given it to an anchor in use all the same, then it has an anchor's size, and is looked into first.
fn remove_unfinished(path: &Path, identity: &VaultIdentity) -> Result<(), OpenError> {
    let Some(metadata) = metadata(path)? else {
        return Ok(());
    };
    if metadata.len() >= FILE_SIZE {
        unused(path, identity)?;
    }
    fs::remove_file(path).during("removing an unfinished anchor")?;
    Ok(())
}

/// Where an anchor is made before it gets its name: a name that is unmistakably ours.
fn unfinished_name(path: &Path) -> Result<PathBuf, OpenError> {
    let name = path.file_name();
    let name = name.ok_or_else(|| OpenError::WrongKind(path.to_owned()))?;
    let mut unfinished = OsString::from(".");
    unfinished.push(name);
    unfinished.push(UNFINISHED);
    Ok(path.with_file_name(unfinished))
}

/// The absolute path without links, also of a file that does not exist yet.
fn resolve(path: &Path) -> Result<PathBuf, StorageError> {
    let absolute = std::path::absolute(path).during("resolving a path")?;
    let mut resolved = PathBuf::new();
    for component in absolute.components() {
        match component {
            // The resolved part has no links, so its parent is the component before.
            Component::ParentDir => {
                resolved.pop();
            }
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => {
                resolved.push(component);
                if exists(&resolved)? {
                    resolved = resolved.canonicalize().during("resolving a path")?;
                }
            }
        }
    }
    Ok(resolved)
}

fn refusal(reason: &'static str) -> StorageError {
    StorageError::new("writing an anchor", reason)
}

#[cfg(test)]
mod tests {
    use super::super::RootKey;
    use super::*;
    use crate::key::MasterKey;

    fn identity() -> VaultIdentity {
        VaultIdentity {
            vault_id: "vault".to_owned(),
            keyring_fingerprint: [1; 32],
            master_key: MasterKey::new(&[1; 32]),
        }
    }

    /// A file on a disk that does not give back these pages.
    struct Sick<'a>(&'a File, &'a [u64]);

    impl FileExt for Sick<'_> {
        fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
            let last = offset + into.len() as u64 - 1;
            let pages = offset / SLOT_SIZE as u64..=last / SLOT_SIZE as u64;
            if self.1.iter().any(|sick| pages.contains(sick)) {
                // EIO
                return Err(io::Error::from_raw_os_error(5));
            }
            self.0.read_at(into, offset)
        }

        fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
            unreachable!("only read")
        }
    }

    // Fails when `read_slots` gives up at the first page that cannot be read, or reads both at once.
    #[test]
    fn a_page_that_the_disk_does_not_give_back_costs_its_own_slot_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchor");
        let mut anchor = FileAnchor::create(&Locator::parse(&path), &identity()).unwrap();
        anchor.prepare(0, &live(1)).unwrap();
        let file = File::open(&path).unwrap();
        let table: [(&[u64], [Option<u64>; 2]); 4] = [
            (&[], [Some(1), Some(0)]),
            (&[0], [None, Some(0)]),
            (&[1], [Some(1), None]),
            (&[0, 1], [None, None]),
        ];
        for (sick, expected) in table {
            let slots = read_slots(&Sick(&file, sick), &anchor.sealer);
            let shown = slots.map(|slot| slot.and_then(|(_, slot)| slot.shown_sequence()));
            assert_eq!(shown, expected, "pages {sick:?}");
        }
    }

    fn live(sequence: u64) -> Live {
        Live {
            sequence,
            key: RootKey::new(&[9; 32]),
        }
    }

    // Fails when `write` does not set `failed`, or when a method does not ask for it.
    #[test]
    fn after_a_failed_write_every_later_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchor");
        let mut anchor = FileAnchor::create(&Locator::parse(&path), &identity()).unwrap();
        anchor.prepare(0, &live(1)).unwrap();
        anchor.erase(1).unwrap();
        let before = fs::read(&path).unwrap();

        fs::write(folder.path().join("another"), "").unwrap();
        let readable = File::open(folder.path().join("another")).unwrap();
        let readable = Locked::new(readable).unwrap().unwrap();
        let writable = std::mem::replace(&mut anchor.file, readable);
        anchor.prepare(1, &live(2)).unwrap_err();
        // The disk has recovered. Whether the failed write is on it is still unknown.
        anchor.file = writable;
        anchor.prepare(1, &live(3)).unwrap_err();
        anchor.erase(1).unwrap_err();
        anchor.retire().unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}
