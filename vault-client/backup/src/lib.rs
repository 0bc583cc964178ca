//! Backup files: a folder as a zstd-compressed tar in a standard age file whose passphrase is the
//! 64-digit backup key (PROTOCOL.md section 3). Stock tools open one: `age -d`, `zstd -d`, `tar x`.
//!
//! [`create_file`] writes one, [`restore`] reads one into a new folder. Both work in a stream: the
//! memory used does not grow with the size of files, only with the number of names in the folders
//! that are open and, when restoring, with the number of folders. Both block: asynchronous
//! programs run them on a blocking thread.
//!
//! Kept are names (any bytes), contents, symbolic links as links, permission bits, and times of
//! modification to the nanosecond; of the given folder itself too. Not kept are:
//!
//! - setuid, setgid and sticky bits, on both ways. A restore belongs to the user that runs it: with
//!   those bits a program would run with rights its new owner never gave to it.
//! - owners, access control lists, extended attributes, times of access.
//! - hard links, which become ordinary files, and holes, which are filled with zeros.
//! - sockets, pipes and devices, which are skipped and listed in the [`Summary`].
//!
//! Symbolic links inside the folder are never followed, neither when reading nor when restoring;
//! only the path of the folder itself may lead through one.
//!
//! A writer fills the file up to whole chunks of 64 KiB with a frame that zstd skips (RFC 8878
//! section 3.1.2). So a truncated file is told apart from an altered one, and only the rounded size
//! shows. Files without it are read as well; a damaged end may then be reported as a missing one.
//!
//! It needs a Unix system, and is tested on Linux.

#[cfg(not(unix))]
compile_error!("vault-backup needs a Unix system");

mod archive;
mod beneath;
mod entries;
mod error;
mod faults;
mod header;
mod name;
mod opened;
mod pack;
mod progress;
mod sealed;
mod staging;
mod summary;
mod unpack;
mod walk;

use std::io::{self, Write};
use std::path::Path;

use vault_protocol::BackupKey;

pub use self::error::{BackupError, NotABackup, Refusal};
pub use self::name::{file_name, key_id_in_name};
pub use self::progress::{Progress, Quiet};
pub use self::summary::{Skipped, Summary};
pub use self::walk::SpecialKind;

use self::opened::Opened;
use self::sealed::SealedWriter;
use self::staging::{StagedFile, StagedFolder};
use self::unpack::Unpacker;
use self::walk::FileId;

/// Writes a backup of the folder `source` to `sink`, which is flushed but not closed.
///
/// The folder is read twice: once to know the number of bytes for `progress`, once for the backup.
///
/// # Errors
///
/// [`BackupError::SourceNotAFolder`], [`BackupError::Unreadable`] and
/// [`BackupError::SourceChanged`] name the file in question, [`BackupError::Sink`] is the sink's
/// own error. The bytes written until then are worthless.
pub fn create(
    source: &Path,
    sink: impl Write,
    key: &BackupKey,
    progress: &mut dyn Progress,
) -> Result<Summary, BackupError> {
    seal_folder(source, &[], sink, key, progress)
}

/// Writes a backup of the folder `source` to the file `target`, readable by its owner only.
///
/// The file appears complete and synced, or not at all; one that exists is replaced then. It may
/// lie inside `source`: neither it nor the file it replaces becomes a part of the backup.
/// [`file_name`] gives a name that carries the key's id. After a killed run a file
/// `.backup-partial-N` may remain beside `target`; it can be deleted.
///
/// # Errors
///
/// As [`create`], with [`BackupError::Unwritable`] for everything that concerns `target`.
pub fn create_file(
    source: &Path,
    target: &Path,
    key: &BackupKey,
    progress: &mut dyn Progress,
) -> Result<Summary, BackupError> {
    let unwritable = |source: io::Error| BackupError::unwritable(target, source);
    let staged = StagedFile::beside(target).map_err(unwritable)?;
    let mut excluded = vec![FileId::of_file(staged.file()).map_err(unwritable)?];
    excluded.extend(FileId::of_existing(target));
    let summary = seal_folder(source, &excluded, staged.file(), key, progress)
        .map_err(|error| error.with_target(target))?;
    staged.commit(target).map_err(unwritable)?;
    Ok(summary)
}

/// Restores the backup `file` into the folder `target`, which must not exist yet or be empty; the
/// folder above it must exist.
///
/// Everything is written below a sibling name that only the current user can enter, and renamed
/// once the backup was read and authenticated to its last byte. On an error nothing remains; after
/// a killed run a folder `.restore-partial-N` may remain beside `target`, and can be deleted. The
/// bytes that `progress` counts are those of the backup file.
///
/// # Errors
///
/// [`BackupError::TargetExists`]; about the file [`BackupError::WrongKey`],
/// [`BackupError::Truncated`], [`BackupError::Damaged`], [`BackupError::NotABackup`] and
/// [`BackupError::Refused`]; [`BackupError::Unreadable`] and [`BackupError::Unwritable`] for
/// errors of the system.
pub fn restore(
    file: &Path,
    target: &Path,
    key: &BackupKey,
    progress: &mut dyn Progress,
) -> Result<Summary, BackupError> {
    // Before anything is written: most refusals cost nothing then.
    let mut opened = Opened::open(file, key, progress)?;
    let staged = StagedFolder::beside(target)?;
    let mut unpacker = Unpacker::new(staged.path(), target)?;
    opened.each_entry(&mut |entry, content| unpacker.place(entry, content))?;
    opened.finish()?;
    let summary = unpacker.finish()?;
    staged.commit()?;
    Ok(summary)
}

/// Whether [`restore`] could begin to write to `target`: ask before an attempt is spent on the key.
/// Makes a folder beside it and removes it again.
///
/// # Errors
///
/// [`BackupError::TargetExists`] and [`BackupError::Unwritable`], as [`restore`].
pub fn check_target(target: &Path) -> Result<(), BackupError> {
    StagedFolder::beside(target).map(drop)
}

fn seal_folder(
    source: &Path,
    excluded: &[FileId],
    sink: impl Write,
    key: &BackupKey,
    progress: &mut dyn Progress,
) -> Result<Summary, BackupError> {
    let total = pack::scan(source, excluded, progress)?;
    let mut sealed = SealedWriter::new(sink, key).map_err(BackupError::Sink)?;
    let summary = pack::pack(source, excluded, &mut sealed, progress, total)?;
    let mut sink = sealed.finish().map_err(BackupError::Sink)?;
    sink.flush().map_err(BackupError::Sink)?;
    Ok(summary)
}
