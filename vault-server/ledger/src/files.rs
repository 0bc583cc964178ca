//! Files and folders that belong to the owner alone, with names that last, and the lock of one process.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::ops::Deref;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::process::geteuid;

use crate::error::{During, OpenError, StorageError};

pub(crate) const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Makes a folder and those above it that are not there, each with a name that lasts. Anything
/// that is there is left as it is, folder or not.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    let parent = parent(path);
    if !parent.exists() {
        make_folder(parent)?;
    }
    match DirBuilder::new().mode(FOLDER_MODE).create(path) {
        // The umask can only have taken bits away.
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(FOLDER_MODE))?,
        // The process that made it may have been stopped before its name was made to last. The
        // operator's own folder may be in one that is not ours to open.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return match sync_folder(parent) {
                Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
                synced => synced,
            };
        }
        Err(error) => return Err(error),
    }
    sync_folder(parent)
}

/// A new file of the owner's, whatever the umask. Refuses an existing one.
pub(crate) fn make_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    Ok(file)
}

pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// The folder of a file, also of one that is named without any.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    }
}

pub(crate) fn exists(path: &Path) -> Result<bool, StorageError> {
    Ok(metadata(path)?.is_some())
}

/// Of a link itself. None if nothing has this name.
pub(crate) fn metadata(path: &Path) -> Result<Option<Metadata>, StorageError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error).during("looking for a file"),
    }
}

/// Absent is fine; a link or a device is not, and nor is a file that others own or can read.
pub(crate) fn refuse_exposed_file(path: &Path) -> Result<(), OpenError> {
    match metadata(path)? {
        None => Ok(()),
        Some(file) if file.is_file() => refuse_others(path, &file, FILE_MODE),
        Some(_) => Err(OpenError::WrongKind(path.to_owned())),
    }
}

/// Device and inode of the file with this name. None if there is no such file.
pub(crate) fn identity(path: &Path) -> Result<Option<(u64, u64)>, StorageError> {
    Ok(metadata(path)?.map(|file| (file.dev(), file.ino())))
}

/// The owner comes first: he can change the mode back at any time, and has it open for ever.
pub(crate) fn refuse_others(
    path: &Path,
    metadata: &Metadata,
    wanted: u32,
) -> Result<(), OpenError> {
    let (owner, us) = (metadata.uid(), geteuid().as_raw());
    if owner != us {
        return Err(OpenError::ForeignOwner {
            path: path.to_owned(),
            owner,
            us,
        });
    }
    let mode = metadata.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(OpenError::Exposed {
        path: path.to_owned(),
        mode: mode & 0o7777,
        wanted,
    })
}

/// A file that is locked for as long as this value lives; a killed process gives it back as well.
pub(crate) struct Locked(File);

impl Locked {
    /// `None` if another process has it locked.
    pub(crate) fn new(file: File) -> io::Result<Option<Locked>> {
        match file.try_lock() {
            Ok(()) => Ok(Some(Locked(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Deref for Locked {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Closing the file is not enough: a program that this process is just starting has it open too
        // for a moment. After an error it is as if this were not here.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Fails when a dropped lock only closes the file.
    #[test]
    fn a_lock_ends_although_a_copy_of_the_file_is_open() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let lock = || Locked::new(File::open(file.path()).unwrap()).unwrap();
        let first = lock().unwrap();
        assert!(lock().is_none());
        let _inherited = first.try_clone().unwrap();
        drop(first);
        assert!(lock().is_some());
    }
}
