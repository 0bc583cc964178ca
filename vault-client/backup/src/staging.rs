//! Files and folders that appear complete or not at all: made below a sibling name, renamed at the
//! end, removed if it does not come to that.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::BackupError;

/// How many left-over names are passed over before giving up.
const NAMES: u32 = 1000;

/// A file in the making, readable by its owner only.
pub(crate) struct StagedFile {
    path: PathBuf,
    file: File,
    committed: bool,
}

impl StagedFile {
    pub(crate) fn beside(target: &Path) -> io::Result<Self> {
        if target.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        let (parent, _) = split(target)?;
        let (path, file) = unused(parent, ".backup-partial", |path| {
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
        })?;
        Ok(Self {
            path,
            file,
            committed: false,
        })
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name. A file that had the name before is replaced.
    pub(crate) fn commit(mut self, target: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, target)?;
        self.committed = true;
        sync_folder(split(target)?.0)
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        // A failure has no one left to be told to, and the error that led here matters more.
        if !self.committed {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A folder in the making, which no other user can enter.
pub(crate) struct StagedFolder {
    path: PathBuf,
    /// As the caller named it.
    target: PathBuf,
    /// The same, in a form that can be renamed to.
    place: PathBuf,
    committed: bool,
}

impl StagedFolder {
    /// Refuses a `target` that exists, unless it is an empty folder.
    pub(crate) fn beside(target: &Path) -> Result<Self, BackupError> {
        let unwritable = |error: io::Error| BackupError::unwritable(target, error);
        let place = match target.symlink_metadata() {
            Ok(metadata) if !metadata.is_dir() => {
                return Err(BackupError::TargetExists(target.to_path_buf()));
            }
            Ok(_) => {
                if fs::read_dir(target).map_err(unwritable)?.next().is_some() {
                    return Err(BackupError::TargetExists(target.to_path_buf()));
                }
                // So that `.` has a name too.
                target.canonicalize().map_err(unwritable)?
            }
            Err(error) if error.kind() == ErrorKind::NotFound => target.to_path_buf(),
            Err(error) => return Err(unwritable(error)),
        };
        let (parent, name) = split(&place).map_err(unwritable)?;
        let made = unused(parent, ".restore-partial", |path| {
            DirBuilder::new().mode(0o700).create(path)
        });
        let (path, ()) = made.map_err(unwritable)?;
        Ok(Self {
            path,
            target: target.to_path_buf(),
            place: parent.join(name),
            committed: false,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the folder its name. Renaming replaces an empty folder and nothing else, so that what
    /// appeared there in the meantime is safe.
    pub(crate) fn commit(mut self) -> Result<(), BackupError> {
        fs::rename(&self.path, &self.place).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists | ErrorKind::DirectoryNotEmpty | ErrorKind::NotADirectory => {
                BackupError::TargetExists(self.target.clone())
            }
            _ => BackupError::unwritable(&self.target, error),
        })?;
        self.committed = true;
        split(&self.place)
            .and_then(|(parent, _)| sync_folder(parent))
            .map_err(|error| BackupError::unwritable(&self.target, error))
    }
}

impl Drop for StagedFolder {
    fn drop(&mut self) {
        // As with a file.
        if !self.committed && fs::remove_dir_all(&self.path).is_err() {
            make_removable(&self.path);
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// The folder that a path is in, and its name there.
fn split(path: &Path) -> io::Result<(&Path, &Path)> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(ErrorKind::InvalidInput.into());
    };
    let here = parent.as_os_str().is_empty();
    let parent = if here { Path::new(".") } else { parent };
    Ok((parent, Path::new(name)))
}

/// Makes something new below the first unused of the names `<prefix>-0`, `<prefix>-1`...
fn unused<T>(
    parent: &Path,
    prefix: &str,
    make: impl Fn(&Path) -> io::Result<T>,
) -> io::Result<(PathBuf, T)> {
    for number in 0..NAMES {
        let path = parent.join(format!("{prefix}-{number}"));
        match make(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            result => return result.map(|made| (path, made)),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Makes a new name last.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Folders get their permissions last, and may be read-only by then.
fn make_removable(folder: &Path) {
    let _ = fs::set_permissions(folder, Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_removable(&entry.path());
        }
    }
}
