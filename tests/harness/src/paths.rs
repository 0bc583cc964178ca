//! Files of the repository that tests read.

use std::path::{Path, PathBuf};

/// The folder that holds `Cargo.toml` of the workspace.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
