//! The result of a backup or a restore.

use std::path::PathBuf;

use crate::walk::SpecialKind;

/// The files, folders, links and bytes that a backup or a restore moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Ordinary files.
    pub files: u64,
    /// Folders, without the one that was given.
    pub folders: u64,
    /// Symbolic links.
    pub links: u64,
    /// Bytes of content of all files.
    pub bytes: u64,
    /// Left out of a backup, because they are neither files, folders nor links. Always empty after
    /// a restore.
    pub skipped: Vec<Skipped>,
}

/// Something that a backup cannot keep: worth a warning to the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Where it is, relative to the folder that was backed up.
    pub path: PathBuf,
    /// Why it was left out.
    pub kind: SpecialKind,
}
