//! The time and the place of every decoder.

use tempfile::TempDir;
use vault_protocol::Timestamp;

use crate::in_process::START;

/// The time of the vectors and of the test vault.
pub(super) const NOW: Timestamp = START;

/// A folder whose syncs cost nothing, if the machine has such a place.
pub(super) fn folder_in_memory() -> TempDir {
    TempDir::new_in("/dev/shm")
        .or_else(|_| TempDir::new())
        .expect("a temporary folder")
}
