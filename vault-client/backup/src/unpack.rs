//! Puts entries into a folder that was empty at first. Nothing is ever written through a link, nor
//! over something that exists.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::beneath::{self, Attributes};
use crate::entries::{Content, Entry, EntryKind};
use crate::error::{BackupError, NotABackup, Refusal};
use crate::summary::Summary;

/// Bytes written at once.
const PIECE: usize = 64 * 1024;

pub(crate) struct Unpacker {
    root: OwnedFd,
    /// The folder's path in the end, which errors name.
    target: PathBuf,
    /// The folder that the last entry went into: the next one usually goes there too.
    parent: Option<(PathBuf, OwnedFd)>,
    /// Every folder made, with the attributes that it gets once nothing is written into it any more.
    folders: Vec<(PathBuf, Attributes)>,
    root_attributes: Option<Attributes>,
    piece: Vec<u8>,
    summary: Summary,
}

impl Unpacker {
    /// Unpacks into the empty folder at `path`, which will later be at `target`.
    pub(crate) fn new(path: &Path, target: &Path) -> Result<Self, BackupError> {
        let root =
            beneath::open_made(path).map_err(|errno| BackupError::unwritable(target, errno))?;
        Ok(Self {
            root,
            target: target.to_path_buf(),
            parent: None,
            folders: Vec::new(),
            root_attributes: None,
            piece: vec![0; PIECE],
            summary: Summary::default(),
        })
    }

    pub(crate) fn place(
        &mut self,
        entry: Entry,
        content: &mut Content<'_>,
    ) -> Result<(), BackupError> {
        let Entry {
            path,
            kind,
            attributes,
        } = entry;
        match kind {
            EntryKind::File { size } => self.file(&path, size, attributes, content),
            EntryKind::Link { target } => {
                self.link(&path, Path::new(&target), attributes)?;
                self.summary.links += 1;
                Ok(())
            }
            EntryKind::Folder if path.as_os_str().is_empty() => {
                match self.root_attributes.replace(attributes) {
                    None => Ok(()),
                    Some(_) => Err(refused(Path::new("."), Refusal::Twice)),
                }
            }
            EntryKind::Folder => {
                self.folder(&path)?;
                self.folders.push((path, attributes));
                self.summary.folders += 1;
                Ok(())
            }
        }
    }

    /// Gives the folders their attributes, the innermost first: a folder may become read-only, and
    /// its time changes with everything that is made in it.
    pub(crate) fn finish(mut self) -> Result<Summary, BackupError> {
        self.parent = None;
        let root = (PathBuf::new(), self.root_attributes);
        let folders = std::mem::take(&mut self.folders);
        let folders = folders.into_iter().rev().map(|(path, a)| (path, Some(a)));
        for (path, attributes) in folders.chain([root]) {
            let Some(attributes) = attributes else {
                continue;
            };
            beneath::open_folder(&self.root, &path)
                .and_then(|folder| dress(&folder, attributes))
                .map_err(|errno| self.unwritable(&path, errno))?;
        }
        sync(&self.root).map_err(|errno| self.unwritable(Path::new(""), errno))?;
        Ok(self.summary)
    }

    fn file(
        &mut self,
        path: &Path,
        size: u64,
        attributes: Attributes,
        content: &mut Content<'_>,
    ) -> Result<(), BackupError> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = self.make(path, |folder, name| {
            rustix::fs::openat(folder, name, flags, Mode::RUSR | Mode::WUSR)
        })?;
        let mut file = File::from(made);
        let mut left = size;
        loop {
            let read = content.read(&mut self.piece)?;
            if read == 0 {
                break;
            }
            file.write_all(&self.piece[..read])
                .map_err(|error| BackupError::unwritable(&self.target.join(path), error))?;
            left = left.saturating_sub(read as u64);
            self.summary.bytes += read as u64;
        }
        // Reading on would show it too; a file cut short is not finished as if it were whole.
        if left != 0 {
            return Err(BackupError::NotABackup(NotABackup::Content));
        }
        dress(&file, attributes).map_err(|errno| self.unwritable(path, errno))?;
        self.summary.files += 1;
        Ok(())
    }

    fn folder(&mut self, path: &Path) -> Result<(), BackupError> {
        self.make(path, |folder, name| {
            rustix::fs::mkdirat(folder, name, Mode::RWXU)
        })
    }

    fn link(
        &mut self,
        path: &Path,
        target: &Path,
        attributes: Attributes,
    ) -> Result<(), BackupError> {
        self.make(path, |folder, name| {
            rustix::fs::symlinkat(target, folder, name)?;
            let times = attributes.times();
            rustix::fs::utimensat(folder, name, &times, AtFlags::SYMLINK_NOFOLLOW)
        })
    }

    /// Makes something new in the folder that `path` says, which must be there already.
    fn make<T>(
        &mut self,
        path: &Path,
        make: impl FnOnce(&OwnedFd, &Path) -> Result<T, Errno>,
    ) -> Result<T, BackupError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(refused(path, Refusal::Outside));
        };
        let cached = self.parent.take().filter(|(path, _)| path == parent);
        let folder = match cached {
            Some((_, folder)) => folder,
            None => beneath::open_folder(&self.root, parent).map_err(|errno| match errno {
                Errno::NOENT => refused(path, Refusal::NoFolder),
                Errno::NOTDIR | Errno::LOOP => refused(path, Refusal::ThroughLink),
                other => self.unwritable(path, other),
            })?,
        };
        let made = make(&folder, Path::new(name)).map_err(|errno| match errno {
            Errno::EXIST => refused(path, Refusal::Twice),
            other => self.unwritable(path, other),
        })?;
        self.parent = Some((parent.to_path_buf(), folder));
        Ok(made)
    }

    fn unwritable(&self, path: &Path, errno: Errno) -> BackupError {
        BackupError::unwritable(&self.target.join(path), errno)
    }
}

fn refused(path: &Path, reason: Refusal) -> BackupError {
    BackupError::Refused {
        entry: path.to_path_buf(),
        reason,
    }
}

fn dress(file: &impl rustix::fd::AsFd, attributes: Attributes) -> Result<(), Errno> {
    rustix::fs::fchmod(file, attributes.permissions())?;
    rustix::fs::futimens(file, &attributes.times())
}

/// Brings everything to the disk in one go, before the folder gets its name: a folder that looks
/// complete is complete, also after a power failure.
fn sync(root: &OwnedFd) -> Result<(), Errno> {
    #[cfg(target_os = "linux")]
    return rustix::fs::syncfs(root);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = root;
        rustix::fs::sync();
        Ok(())
    }
}
