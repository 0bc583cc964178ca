//! SQLite's WAL: durable before anything is read from it, and checkpointed by this program alone.
//!
//! SQLite drops the errors of automatic checkpoints, and a failed fsync must never be passed over. So
//! they are off (`schema.rs`), and every checkpoint is made, and looked at, here.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rustix::fs::OFlags;

use crate::error::{During, StorageError};

/// A checkpoint is made when so many pages wait for one, 16 MiB: the more of them wait, the more were
/// written more than once, and the longer all clients wait then. Chosen by measurement, see
/// `benches/changes.rs`.
const WAL_LIMIT: i64 = 4_000;

/// The file.
pub(super) struct Wal {
    path: PathBuf,
    was_left: bool,
}

impl Wal {
    pub(super) fn of_a_new_database(path: PathBuf) -> Wal {
        let was_left = false;
        Wal { path, was_left }
    }

    /// Writes it again and syncs it, if it is there.
    pub(super) fn make_durable(path: PathBuf) -> io::Result<Wal> {
        let was_left = rewrite(&path)? > 0;
        Ok(Wal { path, was_left })
    }

    /// Whether it held anything when the database was opened.
    pub(super) fn was_left(&self) -> bool {
        self.was_left
    }

    /// Why it cannot be found under its name.
    pub(super) fn lost(&self) -> Option<io::Error> {
        self.path.metadata().err()
    }
}

/// Whether a new database is one with a WAL: SQLite says so before it has written it, and rusqlite
/// passes over the error of that write. Two bytes of the file's head say it (SQLite's file format,
/// section 1.3, "File format version numbers").
pub(super) fn refuse_without(path: &Path) -> Result<(), StorageError> {
    let mut versions = [0; 2];
    File::open(path)
        .and_then(|file| file.read_exact_at(&mut versions, 18))
        .during("reading the new database")?;
    match versions {
        [2, 2] => Ok(()),
        _ => Err(StorageError::new(
            "setting up SQLite",
            "the new database has no WAL",
        )),
    }
}

/// Checkpoints all of it and empties it.
pub(super) fn checkpoint(connection: &Connection) -> Result<(), StorageError> {
    let state = checkpoint_in_mode(connection, "TRUNCATE")?;
    match state.pages {
        0 => state.demand_all(),
        _ => Err(state.incomplete()),
    }
}

/// The file keeps its size, and the next batches overwrite it.
pub(super) fn checkpoint_if_long(connection: &Connection) -> Result<(), StorageError> {
    let state = checkpoint_in_mode(connection, "NOOP")?;
    if state.pages - state.checkpointed <= WAL_LIMIT {
        return Ok(());
    }
    checkpoint_in_mode(connection, "PASSIVE")?.demand_all()
}

fn checkpoint_in_mode(connection: &Connection, mode: &str) -> Result<WalState, StorageError> {
    connection
        .query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
            Ok(WalState {
                is_busy: row.get(0)?,
                pages: row.get(1)?,
                checkpointed: row.get(2)?,
            })
        })
        .during("checkpointing the WAL")
}

/// The row that a checkpoint returns. One that did not do all of its work says so here, and not by an
/// error.
#[derive(Debug)]
struct WalState {
    is_busy: bool,
    pages: i64,
    checkpointed: i64,
}

impl WalState {
    fn demand_all(self) -> Result<(), StorageError> {
        if self.is_busy || self.pages != self.checkpointed {
            return Err(self.incomplete());
        }
        Ok(())
    }

    fn incomplete(&self) -> StorageError {
        StorageError::new("checkpointing the WAL", format!("SQLite reported {self:?}"))
    }
}

/// Writes a file's bytes over themselves and syncs them: after a failed sync the kernel may call
/// pages clean that never reached the disk, and would not write them again by itself. Returns how many
/// bytes there are.
fn rewrite(path: &Path) -> io::Result<u64> {
    const BLOCK: usize = 1 << 20;
    let no_link = i32::try_from(OFlags::NOFOLLOW.bits()).expect("open flags fit an int");
    let mut options = OpenOptions::new();
    let opened = options
        .read(true)
        .write(true)
        .custom_flags(no_link)
        .open(path);
    let file = match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        opened => opened?,
    };
    let mut block = vec![0; BLOCK];
    let mut offset = 0;
    loop {
        let length = file.read_at(&mut block, offset)?;
        if length == 0 {
            return file.sync_all().map(|()| offset);
        }
        file.write_all_at(&block[..length], offset)?;
        offset += length as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewriting_the_wal_changes_nothing_in_it() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("wal");
        assert_eq!(rewrite(&path).unwrap(), 0);
        assert!(!path.exists());
        std::fs::write(&path, b"frames").unwrap();
        assert_eq!(rewrite(&path).unwrap(), 6);
        assert_eq!(std::fs::read(&path).unwrap(), b"frames");
        // Fails without `NOFOLLOW`.
        let link = temporary.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        rewrite(&link).unwrap_err();
    }
}
