//! The contents that a disk may have after a power loss.
//!
//! A disk keeps synced changes. Of the rest, each of these is kept or lost on its own:
//!
//! - a 512-byte sector of a file: it holds what it held at the last sync or after any write since;
//!   a sector is never torn;
//! - a file's new length. Cutting a file off happens as a whole. What a file was lengthened by and no
//!   kept sector fills is zeros, or, on a worse file system, anything;
//! - a new, changed, or removed name, until its folder is synced. A rename happens as a whole.
//!
//! A sync that fails leaves a file's sectors readable and clean: later syncs do not write them, and
//! only a write of the same sector followed by a sync settles what it holds. The length is not clean
//! then; the next sync that succeeds keeps it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::journal::Event;

const SECTOR: usize = 512;

/// The folders and files below a root, by their paths from there; a folder has no content.
pub type Tree = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// A disk while its journal is replayed.
pub struct Disk {
    root: PathBuf,
    files: Vec<File>,
    /// The names that processes see.
    seen: Names,
    /// The names that a power loss leaves for certain, and the changes that it may undo.
    synced: Names,
    pending: Vec<Renaming>,
}

type Names = BTreeMap<PathBuf, Node>;

#[derive(Clone, Copy)]
enum Node {
    Folder,
    /// The place in [`Disk::files`].
    File(usize),
}

/// A change of names: this one goes, this one comes.
struct Renaming {
    gone: Option<PathBuf>,
    made: Option<(PathBuf, Node)>,
}

/// The part of the changes without a sync that a power loss leaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// All that was not synced is lost.
    Everything,
    /// All that was not synced is kept.
    Nothing,
    /// Whole files, drawn with this seed: a disk that wrote all of one file and nothing of another.
    Files(u64),
    /// Sectors, lengths, and names, each for itself.
    Sectors {
        /// Of the draw.
        seed: u64,
        /// The chance in a hundred that one is kept.
        kept: u32,
    },
}

impl Loss {
    /// The same with another draw for this place in a journal.
    pub fn drawn_at(self, place: usize) -> Loss {
        let other = |seed: u64| seed << 32 | place as u64;
        match self {
            Loss::Everything | Loss::Nothing => self,
            Loss::Files(seed) => Loss::Files(other(seed)),
            Loss::Sectors { seed, kept } => Loss::Sectors {
                seed: other(seed),
                kept,
            },
        }
    }
}

impl Disk {
    /// A disk that holds this, synced.
    pub fn holding(root: &Path, tree: Tree) -> Disk {
        let mut disk = Disk {
            root: root.to_owned(),
            files: Vec::new(),
            seen: Names::new(),
            synced: Names::new(),
            pending: Vec::new(),
        };
        for (path, content) in tree {
            let node = content.map_or(Node::Folder, |content| disk.new_file(content));
            disk.seen.insert(path.clone(), node);
            disk.synced.insert(path, node);
        }
        disk
    }

    /// Takes the next record of the journal.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Create(path) => {
                let node = self.new_file(Vec::new());
                self.rename(None, Some((self.inside(path), node)));
            }
            Event::MakeFolder(path) => {
                self.rename(None, Some((self.inside(path), Node::Folder)));
            }
            Event::Remove(path) => self.rename(Some(self.inside(path)), None),
            Event::Rename { from, to } => {
                let (from, to) = (self.inside(from), self.inside(to));
                let node = self.seen[&from];
                self.rename(Some(from), Some((to, node)));
            }
            Event::Write {
                path,
                offset,
                bytes,
            } => {
                let offset = usize::try_from(*offset).expect("files are small");
                self.file(path).write(offset, bytes);
            }
            Event::SetLength { path, length } => {
                let length = usize::try_from(*length).expect("files are small");
                self.file(path).set_length(length);
            }
            Event::Sync(path) => self.sync(path),
            Event::FailedSync(path) => self.fail_to_sync(path),
            Event::ProcessBegins
            | Event::Sent(_)
            | Event::Failed(_)
            | Event::Nothing(_)
            | Event::Note(_) => {}
        }
    }

    /// The tree that processes see.
    pub fn seen(&self) -> Tree {
        self.tree(&self.seen, |file| file.seen.clone())
    }

    /// The tree after a power loss at this moment.
    pub fn after(&self, loss: Loss) -> Tree {
        let mut fate = Fate::of(loss);
        let mut names = self.synced.clone();
        for renaming in &self.pending {
            if fate.keeps() {
                renaming.apply(&mut names);
            }
        }
        // The content of a folder goes with it.
        let folders: BTreeSet<_> = names
            .iter()
            .filter(|(_, node)| matches!(node, Node::Folder))
            .map(|(path, _)| path.clone())
            .collect();
        names.retain(|path, _| {
            let mut above = path.ancestors().skip(1);
            above.all(|folder| folder.as_os_str().is_empty() || folders.contains(folder))
        });
        self.tree(&names, |file| file.after(&mut fate))
    }

    fn tree(&self, names: &Names, mut content: impl FnMut(&File) -> Vec<u8>) -> Tree {
        let of = |(path, node): (&PathBuf, &Node)| match node {
            Node::Folder => (path.clone(), None),
            Node::File(file) => (path.clone(), Some(content(&self.files[*file]))),
        };
        names.iter().map(of).collect()
    }

    fn new_file(&mut self, content: Vec<u8>) -> Node {
        self.files.push(File::holding(content));
        Node::File(self.files.len() - 1)
    }

    fn inside(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root)
            .expect("the journal is about the disk's root")
            .to_owned()
    }

    fn file(&mut self, path: &Path) -> &mut File {
        match self.seen.get(&self.inside(path)) {
            Some(Node::File(file)) => &mut self.files[*file],
            Some(Node::Folder) | None => panic!("the journal knows no file {path:?}"),
        }
    }

    fn rename(&mut self, gone: Option<PathBuf>, made: Option<(PathBuf, Node)>) {
        let renaming = Renaming { gone, made };
        renaming.apply(&mut self.seen);
        self.pending.push(renaming);
    }

    fn sync(&mut self, path: &Path) {
        let path = self.inside(path);
        if let Some(Node::File(file)) = self.seen.get(&path) {
            return self.files[*file].sync();
        }
        for renaming in self.pending.extract_if(.., |one| one.is_in(&path)) {
            renaming.apply(&mut self.synced);
        }
    }

    /// Of a folder: its names are as before, the file system's own log will have them or not.
    fn fail_to_sync(&mut self, path: &Path) {
        if let Some(Node::File(file)) = self.seen.get(&self.inside(path)) {
            self.files[*file].fail_to_sync();
        }
    }
}

impl Renaming {
    fn apply(&self, names: &mut Names) {
        if let Some(gone) = &self.gone {
            names.remove(gone);
        }
        if let Some((path, node)) = &self.made {
            names.insert(path.clone(), *node);
        }
    }

    fn is_in(&self, folder: &Path) -> bool {
        let made = self.made.as_ref().map(|(path, _)| path);
        let path = made.or(self.gone.as_ref());
        path.is_some_and(|path| path.parent() == Some(folder))
    }
}

/// One file's content: as processes see it, as it is synced, and the changes between the two.
struct File {
    seen: Vec<u8>,
    synced: Vec<u8>,
    pending: Vec<Change>,
}

/// One thing of a file that is not synced.
#[derive(Clone)]
enum Change {
    Length(usize),
    Sector {
        number: usize,
        content: Box<[u8; SECTOR]>,
        /// Its sync failed: the kernel will not write it by itself.
        given_up: bool,
    },
}

impl File {
    fn holding(content: Vec<u8>) -> File {
        File {
            seen: content.clone(),
            synced: content,
            pending: Vec::new(),
        }
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        let longer = end > self.seen.len();
        if longer {
            self.seen.resize(end, 0);
        }
        self.seen[offset..end].copy_from_slice(bytes);
        for number in offset / SECTOR..=(end - 1) / SECTOR {
            let content = self.sector(number);
            self.pending.push(Change::Sector {
                number,
                content,
                given_up: false,
            });
        }
        if longer {
            self.pending.push(Change::Length(end));
        }
    }

    /// The whole sector, for the kernel writes no less: with zeros behind the file's end.
    fn sector(&self, number: usize) -> Box<[u8; SECTOR]> {
        let mut content = Box::new([0; SECTOR]);
        let from = &self.seen[number * SECTOR..];
        let length = from.len().min(SECTOR);
        content[..length].copy_from_slice(&from[..length]);
        content
    }

    fn set_length(&mut self, length: usize) {
        self.seen.resize(length, 0);
        self.pending.push(Change::Length(length));
    }

    fn sync(&mut self) {
        let mut content = Content::of(&self.synced, 0);
        let pending = std::mem::take(&mut self.pending);
        for (place, change) in pending.iter().enumerate() {
            match change {
                Change::Sector { given_up: true, .. } => {
                    if !change.is_settled_by(&pending[place + 1..]) {
                        self.pending.push(change.clone());
                    }
                }
                Change::Sector { .. } | Change::Length(_) => content.apply(change),
            }
        }
        self.synced = content.finish();
    }

    fn fail_to_sync(&mut self) {
        for change in &mut self.pending {
            if let Change::Sector { given_up, .. } = change {
                *given_up = true;
            }
        }
    }

    fn after(&self, fate: &mut Fate) -> Vec<u8> {
        fate.begin_file();
        let mut content = Content::of(&self.synced, fate.filling);
        for change in &self.pending {
            if fate.keeps() {
                content.apply(change);
            }
        }
        content.finish()
    }
}

impl Change {
    fn is_settled_by(&self, later: &[Change]) -> bool {
        let Change::Sector { number: lost, .. } = self else {
            return true;
        };
        later.iter().any(|change| match change {
            Change::Sector {
                number, given_up, ..
            } => number == lost && !given_up,
            Change::Length(length) => *length <= lost * SECTOR,
        })
    }
}

/// A file's sectors, also those behind its end that a later length may show.
struct Content {
    bytes: Vec<u8>,
    length: usize,
    filling: u8,
}

impl Content {
    fn of(synced: &[u8], filling: u8) -> Content {
        Content {
            bytes: synced.to_vec(),
            length: synced.len(),
            filling,
        }
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Sector {
                number, content, ..
            } => {
                let (start, end) = (number * SECTOR, (number + 1) * SECTOR);
                self.grow(end);
                self.bytes[start..end].copy_from_slice(&content[..]);
            }
            Change::Length(length) => {
                if *length < self.length {
                    self.bytes.truncate(*length);
                }
                self.grow(*length);
                self.length = *length;
            }
        }
    }

    fn grow(&mut self, length: usize) {
        if self.bytes.len() < length {
            self.bytes.resize(length, self.filling);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.bytes.truncate(self.length);
        self.bytes
    }
}

/// Decides about each thing that was not synced.
struct Fate {
    loss: Loss,
    random: StdRng,
    keeps_file: bool,
    filling: u8,
}

impl Fate {
    fn of(loss: Loss) -> Fate {
        let seed = match loss {
            Loss::Everything | Loss::Nothing => 0,
            Loss::Files(seed) | Loss::Sectors { seed, .. } => seed,
        };
        let mut random = StdRng::seed_from_u64(seed);
        let filling = match loss {
            Loss::Sectors { .. } if random.r#gen() => 0xa5,
            Loss::Everything | Loss::Nothing | Loss::Files(_) | Loss::Sectors { .. } => 0,
        };
        Fate {
            loss,
            keeps_file: random.r#gen(),
            filling,
            random,
        }
    }

    fn begin_file(&mut self) {
        self.keeps_file = self.random.r#gen();
    }

    fn keeps(&mut self) -> bool {
        match self.loss {
            Loss::Everything => false,
            Loss::Nothing => true,
            Loss::Files(_) => self.keeps_file,
            Loss::Sectors { kept, .. } => self.random.gen_range(0..100) < kept,
        }
    }
}

/// Reads the tree below a folder.
pub fn load(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("the folder can be read").path();
            let content = match path.is_dir() {
                true => {
                    folders.push(path.clone());
                    None
                }
                false => Some(fs::read(&path).expect("the file can be read")),
            };
            let inside = path.strip_prefix(root).expect("it is below the root");
            tree.insert(inside.to_owned(), content);
        }
    }
    tree
}

/// Makes these folders and files below a folder, the owner's alone.
pub fn store(root: &Path, tree: &Tree) {
    // A folder comes before its content.
    for (path, content) in tree {
        let path = root.join(path);
        match content {
            None => DirBuilder::new().mode(0o700).create(path),
            Some(content) => OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .and_then(|mut file| file.write_all(content)),
        }
        .expect("the test's own folder takes its files");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "/root";
    const FILE: &str = "/root/file";

    fn write(bytes: &[u8]) -> Event {
        Event::Write {
            path: FILE.into(),
            offset: 0,
            bytes: bytes.to_vec(),
        }
    }

    fn sync(path: &str) -> Event {
        Event::Sync(path.into())
    }

    /// The file's content after these events and a loss, if there is one.
    fn left(events: &[Event], loss: Loss) -> Option<Vec<u8>> {
        let mut disk = Disk::holding(Path::new(ROOT), Tree::new());
        disk.apply(&Event::Create(FILE.into()));
        events.iter().for_each(|event| disk.apply(event));
        disk.after(loss).remove(Path::new("file")).flatten()
    }

    #[test]
    fn a_name_is_kept_by_a_sync_of_its_folder_and_content_by_one_of_its_file() {
        let kept = [write(b"new"), sync(FILE), sync(ROOT)];
        assert_eq!(left(&kept[..2], Loss::Everything), None);
        assert_eq!(left(&kept[..2], Loss::Nothing), Some(b"new".to_vec()));
        assert_eq!(left(&kept, Loss::Everything), Some(b"new".to_vec()));
        let without = [write(b"new"), sync(ROOT)];
        assert_eq!(left(&without, Loss::Everything), Some(Vec::new()));
    }

    #[test]
    fn what_a_failed_sync_gave_up_is_kept_by_no_later_sync_but_by_a_later_write() {
        let mut events = vec![sync(ROOT), write(b"old"), sync(FILE), write(b"new")];
        events.extend([Event::FailedSync(FILE.into()), sync(FILE)]);
        assert_eq!(left(&events, Loss::Everything), Some(b"old".to_vec()));
        assert_eq!(left(&events, Loss::Nothing), Some(b"new".to_vec()));
        events.extend([write(b"new"), sync(FILE)]);
        assert_eq!(left(&events, Loss::Everything), Some(b"new".to_vec()));
    }

    #[test]
    fn sectors_are_lost_one_by_one_and_never_torn() {
        let long = |byte| write(&[byte; 4 * SECTOR]);
        let events = [sync(ROOT), long(1), sync(FILE), long(2), long(3)];
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            let content = left(&events, Loss::Sectors { seed, kept: 40 }).unwrap();
            for sector in content.chunks(SECTOR) {
                assert_eq!(sector, [sector[0]; SECTOR]);
            }
            let sectors: Vec<_> = content.iter().step_by(SECTOR).copied().collect();
            seen.insert(sectors);
        }
        // Of 3 to the power of 4.
        assert!(seen.len() > 60, "{}", seen.len());
    }

    #[test]
    fn a_file_is_cut_off_as_a_whole_or_not_at_all() {
        let cut = Event::SetLength {
            path: FILE.into(),
            length: 0,
        };
        let events = [sync(ROOT), write(b"long"), sync(FILE), cut];
        assert_eq!(left(&events, Loss::Everything), Some(b"long".to_vec()));
        assert_eq!(left(&events, Loss::Nothing), Some(Vec::new()));
    }

    #[test]
    fn a_rename_is_lost_or_kept_as_a_whole() {
        let renamed = Event::Rename {
            from: FILE.into(),
            to: "/root/other".into(),
        };
        let mut disk = Disk::holding(Path::new(ROOT), Tree::new());
        for event in [Event::Create(FILE.into()), sync(ROOT), renamed] {
            disk.apply(&event);
        }
        for seed in 0..20 {
            let tree = disk.after(Loss::Sectors { seed, kept: 50 });
            assert_eq!(tree.len(), 1, "{:?}", tree.keys());
        }
    }
}
