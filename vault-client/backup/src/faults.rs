//! Why reading a backup failed. The cause is found at the bottom of a stack of readers (file, age,
//! zstd, tar) that pass on `io::Error`s in their own words; it is noted here on its way up.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use crate::error::{BackupError, NotABackup};

/// Shared by the readers of one backup file.
#[derive(Clone, Default)]
pub(crate) struct Faults(Rc<RefCell<Option<BackupError>>>);

impl Faults {
    /// Notes a cause, unless there is one already. The result is for passing up.
    pub(crate) fn note(&self, fault: BackupError) -> io::Error {
        self.0.borrow_mut().get_or_insert(fault);
        io::Error::other("the backup's reader has noted the cause")
    }

    /// Whether reading has failed; it must not go on then.
    pub(crate) fn any(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// The fault that was noted below; if there is none, the authenticated bytes are no archive.
    pub(crate) fn explain(&self) -> BackupError {
        let fault = self.0.borrow_mut().take();
        fault.unwrap_or(BackupError::NotABackup(NotABackup::Content))
    }
}
