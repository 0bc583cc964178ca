//! Walks a folder: every name below it once, folders before their entries, names in order.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::beneath::{self, Attributes, MAX_DEPTH};
use crate::error::BackupError;

/// A kind of file that a backup skips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpecialKind {
    /// A socket.
    Socket,
    /// A named pipe.
    Pipe,
    /// A block or character device.
    Device,
    /// Something else that this system knows.
    Other,
}

/// One file of the system, whatever names it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

/// Something found on the walk.
pub(crate) struct Found {
    /// Relative to the walk's root; empty for the root itself.
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
    pub(crate) attributes: Attributes,
}

pub(crate) enum Kind {
    File { size: u64 },
    Folder,
    Link { target: OsString },
    Special(SpecialKind),
}

pub(crate) struct Walk<'a> {
    source: &'a Path,
    excluded: &'a [FileId],
    root: OwnedFd,
    /// The folders from the root to the current one with their names that are still to come.
    levels: Vec<Level>,
    /// The folder of the last level; opened again after a folder inside it was left.
    current: Option<OwnedFd>,
}

struct Level {
    path: PathBuf,
    names: std::vec::IntoIter<OsString>,
}

impl FileId {
    pub(crate) fn of_file(file: &File) -> io::Result<Self> {
        file.metadata().map(|metadata| Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    /// Of the file at `path`, if there is one.
    pub(crate) fn of_existing(path: &Path) -> Option<Self> {
        let metadata = path.symlink_metadata().ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    // The widths of a `stat` differ between systems.
    #[allow(clippy::unnecessary_cast)]
    fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
        }
    }
}

impl<'a> Walk<'a> {
    /// Starts below `source`, which may itself be reached through a link. `excluded` are passed
    /// over silently.
    pub(crate) fn new(source: &'a Path, excluded: &'a [FileId]) -> Result<Self, BackupError> {
        let root = beneath::open_root(source).map_err(|errno| match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP => {
                BackupError::SourceNotAFolder(source.to_path_buf())
            }
            other => BackupError::unreadable(source, other),
        })?;
        let mut walk = Self {
            source,
            excluded,
            root,
            levels: Vec::new(),
            current: None,
        };
        walk.enter(PathBuf::new())?;
        Ok(walk)
    }

    /// The folder the walk is below, which [`next`](Self::next) does not give.
    pub(crate) fn root(&self) -> Result<Found, BackupError> {
        let stat = rustix::fs::fstat(&self.root)
            .map_err(|errno| BackupError::unreadable(self.source, errno))?;
        Ok(Found {
            path: PathBuf::new(),
            kind: Kind::Folder,
            attributes: Attributes::of(&stat),
        })
    }

    /// The next thing found. After a folder, its content comes next.
    pub(crate) fn next(&mut self) -> Result<Option<Found>, BackupError> {
        loop {
            let Some(level) = self.levels.last_mut() else {
                return Ok(None);
            };
            let Some(name) = level.names.next() else {
                self.levels.pop();
                self.current = None;
                continue;
            };
            let path = level.path.join(&name);
            if let Some(found) = self.look_at(path, &name)? {
                return Ok(Some(found));
            }
        }
    }

    /// Opens a file that [`next`](Self::next) has just given.
    pub(crate) fn open(&mut self, path: &Path) -> Result<File, BackupError> {
        let name = path.file_name().unwrap_or_default();
        // Should it have become a pipe or a device in the meantime, opening must not wait.
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = self
            .folder()
            .and_then(|folder| rustix::fs::openat(folder, name, flags, Mode::empty()));
        opened
            .map(File::from)
            .map_err(|errno| self.failed(path, errno))
    }

    /// The path as the user can find it.
    pub(crate) fn full(&self, path: &Path) -> PathBuf {
        self.source.join(path)
    }

    fn look_at(&mut self, path: PathBuf, name: &OsStr) -> Result<Option<Found>, BackupError> {
        let (stat, kind) = match self.inspect(name) {
            Ok(inspected) => inspected,
            Err(errno) => return Err(self.failed(&path, errno)),
        };
        if self.excluded.contains(&FileId::of(&stat)) {
            return Ok(None);
        }
        // Whatever is written here can be restored.
        if self.levels.len() > MAX_DEPTH {
            return Err(BackupError::TooDeep(self.full(&path)));
        }
        if matches!(kind, Kind::Folder) {
            self.enter(path.clone())?;
        }
        Ok(Some(Found {
            path,
            kind,
            attributes: Attributes::of(&stat),
        }))
    }

    fn inspect(&mut self, name: &OsStr) -> Result<(Stat, Kind), Errno> {
        let folder = self.folder()?;
        let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File {
                size: u64::try_from(stat.st_size).unwrap_or(0),
            },
            FileType::Directory => Kind::Folder,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(folder, name, Vec::new())?;
                Kind::Link {
                    target: OsString::from_vec(target.into_bytes()),
                }
            }
            FileType::Socket => Kind::Special(SpecialKind::Socket),
            FileType::Fifo => Kind::Special(SpecialKind::Pipe),
            FileType::BlockDevice | FileType::CharacterDevice => Kind::Special(SpecialKind::Device),
            FileType::Unknown => Kind::Special(SpecialKind::Other),
        };
        Ok((stat, kind))
    }

    fn enter(&mut self, path: PathBuf) -> Result<(), BackupError> {
        let listed = beneath::open_folder(&self.root, &path)
            .and_then(|folder| Ok((names(&folder)?, folder)));
        match listed {
            Ok((names, folder)) => {
                let names = names.into_iter();
                self.levels.push(Level { path, names });
                self.current = Some(folder);
                Ok(())
            }
            Err(errno) => Err(self.failed(&path, errno)),
        }
    }

    fn folder(&mut self) -> Result<&OwnedFd, Errno> {
        let folder = match self.current.take() {
            Some(folder) => folder,
            None => {
                let path = self
                    .levels
                    .last()
                    .map_or(Path::new(""), |level| &level.path);
                beneath::open_folder(&self.root, path)?
            }
        };
        Ok(self.current.insert(folder))
    }

    /// An entry that was listed a moment ago and is gone, or is now another kind, has changed.
    fn failed(&self, path: &Path, errno: Errno) -> BackupError {
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO => {
                BackupError::SourceChanged(self.full(path))
            }
            other => BackupError::unreadable(&self.full(path), other),
        }
    }
}

fn names(folder: &OwnedFd) -> Result<Vec<OsString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    // In order, so that the same folder gives the same archive.
    names.sort_unstable();
    Ok(names)
}
