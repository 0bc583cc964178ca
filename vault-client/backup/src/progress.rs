//! How far a backup or a restore has come.

/// Is told about progress, and asked whether to go on.
///
/// Every closure `|done, total|` is one that never cancels; [`Quiet`] ignores everything.
pub trait Progress {
    /// `done` of `total` bytes are through. `done` never falls and never exceeds `total`; `total`
    /// stays the same. A backup counts bytes of files, a restore bytes of the backup file.
    fn advanced(&mut self, done: u64, total: u64);

    /// Asked at least once for every 64 KiB. Answering `true` ends the work with
    /// [`BackupError::Cancelled`](crate::BackupError::Cancelled) and leaves nothing behind.
    fn cancelled(&mut self) -> bool {
        false
    }
}

/// Shows nothing, and never cancels.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn advanced(&mut self, _done: u64, _total: u64) {}
}

impl<F: FnMut(u64, u64)> Progress for F {
    fn advanced(&mut self, done: u64, total: u64) {
        self(done, total);
    }
}
