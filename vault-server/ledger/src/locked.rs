//! A file that one process alone uses.

use std::fs::{File, TryLockError};
use std::io;
use std::ops::Deref;

/// A file that is locked for as long as this value lives; a killed process gives it back as well.
pub(crate) struct Locked(File);

impl Locked {
    /// Locks the file; `None` if somebody else has.
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
