//! What can go wrong with a backup file, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use vault_protocol::KeyId;

use crate::beneath::MAX_DEPTH;

/// Why a backup was not written or not restored. Every text says what to do.
///
/// Texts name files (quoted, with control characters escaped) and key ids; never contents, digits or
/// a tool's inner wording.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// Nothing was written.
    #[error("there is no folder {:?}: name an existing folder to back up", .0)]
    SourceNotAFolder(PathBuf),
    /// Of the folder to back up, or the backup file.
    #[error("cannot read {path:?}: check its permissions, then start again")]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Also where an entry that was listed is gone.
    #[error("{:?} changed while it was being read: close the program that writes it, then start again", .0)]
    SourceChanged(PathBuf),
    /// A restore would refuse it.
    #[error("{:?} is in more than {} folders inside one another: move it up, then start again", .0, MAX_DEPTH)]
    TooDeep(PathBuf),
    /// The target, or something in it.
    #[error("cannot write {path:?}: check free space and permissions, then start again")]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The sink given to [`create`](crate::create) failed.
    #[error("the backup could not be written: check where it goes to, then start again")]
    Sink(#[source] io::Error),
    /// [`Progress::cancelled`](crate::Progress::cancelled) asked to stop.
    #[error("stopped on request: nothing was kept, start again when you like")]
    Cancelled,
    /// Nothing was written.
    #[error("{:?} exists and is not an empty folder: choose a new folder to restore into", .0)]
    TargetExists(PathBuf),
    /// Or, if the file's name does not say so, the header is damaged.
    #[error(
        "this is the wrong key: the backup needs the key {}, and this is the key {key}{}",
        .file.map_or_else(|| "it was made with".to_owned(), |id| id.to_string()),
        if .file.is_some() { "" } else { " (if you are sure of the key, the file's beginning is damaged: use another copy)" }
    )]
    WrongKey {
        /// The id of the key that was tried.
        key: KeyId,
        /// The id of the key that the file needs, where its name says it.
        file: Option<KeyId>,
    },
    /// The header is cut off, or the last chunk.
    #[error("the backup ends early, a part of it is missing: fetch it again or use another copy")]
    Truncated,
    /// For example a chunk does not authenticate, or the name carries this key's id and the header does not open.
    #[error("the backup is damaged, its content is not the one that was written: use another copy")]
    Damaged,
    /// The reason says how far it looks like one.
    #[error("this is not a backup file ({0}): choose another file")]
    NotABackup(NotABackup),
    /// The entry could do harm: do not trust where the file came from.
    #[error("the backup is refused: its entry {entry:?} {reason}; it was not made by this program")]
    Refused {
        /// The entry's name as it stands in the archive.
        entry: PathBuf,
        /// The rule that it breaks.
        reason: Refusal,
    },
}

/// How a file shows that it is no backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotABackup {
    /// It does not begin as age files (version 1, binary) do.
    #[error("it is not an age file")]
    NotAge,
    /// It is encrypted to something else than a passphrase.
    #[error("it is an age file, but not one for a passphrase")]
    OtherRecipients,
    /// It asks for more work than the passphrase of a backup does: a person's passphrase, or an
    /// attempt to keep this device busy.
    #[error("it is an age file for a passphrase that is not a backup key")]
    WorkFactor,
    /// The key opens it, and its content is no zstd-compressed tar of the kind described.
    #[error("the key opens it, but it does not hold a zstd-compressed tar archive")]
    Content,
}

/// Why an entry of an archive is not restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The name is absolute, has `..`, or is empty.
    #[error("has a name that would leave the folder")]
    Outside,
    /// The name leads through something that is not a folder, such as a symbolic link.
    #[error("leads through something that is not a folder")]
    ThroughLink,
    /// The folder it should be in does not come before it.
    #[error("is in a folder that the backup does not hold")]
    NoFolder,
    /// Another entry has this name already.
    #[error("exists twice")]
    Twice,
    /// It is in more folders inside one another than a backup has.
    #[error("is in more than {MAX_DEPTH} folders inside one another")]
    TooDeep,
    /// It is no file, folder or symbolic link.
    #[error("is neither a file, a folder nor a symbolic link")]
    Kind,
}

impl BackupError {
    /// Names the file behind a sink, for a caller that gave a path and not a sink.
    pub(crate) fn with_target(self, target: &Path) -> Self {
        match self {
            Self::Sink(source) => Self::unwritable(target, source),
            other => other,
        }
    }

    pub(crate) fn unreadable(path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Unreadable {
            path: path.to_path_buf(),
            source: source.into(),
        }
    }

    pub(crate) fn unwritable(path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Unwritable {
            path: path.to_path_buf(),
            source: source.into(),
        }
    }
}
