//! SQLite: rows of sealed bytes, one transaction at a time, and its WAL.
//!
//! ```text
//!   folder   the data folder: its files, and the lock of one process
//!   schema   settings, tables, version, and that they are as this program makes them
//!   wal      made durable at a start, checkpointed by this program alone
//!   rows     nodes and events
//!   due      the due index
//! ```

mod due;
pub(crate) mod folder;
mod rows;
mod schema;
mod wal;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use thiserror::Error;

use self::folder::Folder;
use self::wal::Wal;
use crate::error::{During, OpenError, StorageError};
use crate::files::identity;

/// The format of the rows: which tables there are, and the first bytes of each row.
const FORMAT: i64 = 2;

/// Which vault a database belongs to, as it is stored.
pub(crate) struct Meta {
    pub(crate) vault_id: String,
    pub(crate) keyring_fingerprint: [u8; 32],
}

/// The open database.
pub(crate) struct Store {
    connection: Connection,
    database: PathBuf,
    /// The database's device and inode when it was opened.
    identity: Option<(u64, u64)>,
    wal: Wal,
}

impl Store {
    /// Makes a complete database in the folder, or none. `fill` writes its first rows; when it is
    /// done, they are made durable, and then the database gets its name.
    pub(crate) fn create(
        folder: &Folder,
        meta: &Meta,
        fill: impl FnOnce(&Store) -> Result<(), StorageError>,
    ) -> Result<(), OpenError> {
        let unfinished = Store::make(folder, meta, fill)?;
        Ok(folder.finish(&unfinished)?)
    }

    /// Makes a complete database in the place of this one, and opens that. An error before the new one
    /// is complete leaves this one and its WAL as they are. Interrupted after that, it is this one with
    /// its WAL in it, or the new one.
    pub(crate) fn replace(
        self,
        folder: &Folder,
        fill: impl FnOnce(&Store, &Store) -> Result<(), StorageError>,
    ) -> Result<Store, OpenError> {
        let meta = self.meta()?;
        let made = Store::make(folder, &meta, |new| fill(&self, new));
        if made.is_err() {
            // The disk may be full of it. The first error is the one to tell.
            let _ = folder.remove_unfinished();
        }
        let unfinished = made?;
        // SQLite would overlay any file with the database's name by a WAL; and as long as the old
        // database has that name, it needs its WAL.
        wal::checkpoint(&self.connection)?;
        self.disconnect()?;
        folder.remove_wal()?;
        folder.finish(&unfinished)?;
        Store::open(folder)
    }

    /// A complete database that has no name yet.
    fn make(
        folder: &Folder,
        meta: &Meta,
        fill: impl FnOnce(&Store) -> Result<(), StorageError>,
    ) -> Result<PathBuf, OpenError> {
        let unfinished = folder.unfinished()?;
        let mut connection = connect(&unfinished).during("opening the new database")?;
        schema::create(&mut connection)?;
        let store = Store {
            connection,
            identity: identity(&unfinished)?,
            database: unfinished.clone(),
            wal: Wal::of_a_new_database(folder.wal()),
        };
        store.begin()?;
        store
            .connection
            .execute(
                "INSERT INTO meta (id, format, vault_id, keyring_fingerprint) VALUES (1, ?, ?, ?)",
                (FORMAT, &meta.vault_id, meta.keyring_fingerprint),
            )
            .during("naming the new database's vault")?;
        fill(&store)?;
        store.commit()?;
        schema::begin_wal(&store.connection)?;
        store.disconnect()?;
        wal::refuse_without(&unfinished)?;
        Ok(unfinished)
    }

    /// Opens the folder's database, or says why not.
    ///
    /// A killed process may have left its last writes in the page cache only, and answers could be
    /// given from them. So the WAL is written again and synced before anything is read. Nothing else
    /// is written before [`settle`](Store::settle).
    pub(crate) fn open(folder: &Folder) -> Result<Store, OpenError> {
        let wal = Wal::make_durable(folder.wal()).during("making the WAL durable")?;
        folder.sync()?;
        let mut connection = connect(&folder.database()).during("opening the database")?;
        // First, so that an opening that is given up does not write when the connection is dropped.
        schema::switch(&connection)?;
        refuse_other_connections(&connection, folder)?;
        schema::configure(&connection)?;
        schema::check_and_migrate(&mut connection)?;
        Ok(Store {
            connection,
            identity: identity(&folder.database())?,
            database: folder.database(),
            wal,
        })
    }

    /// Whether a process was stopped before its checkpoint. Only then can two files of different
    /// moments lie over each other: the WAL can be one of another file than the one beside it.
    pub(crate) fn may_be_mixed(&self) -> bool {
        self.wal.was_left()
    }

    /// Makes the WAL part of the database, for good: a database that it does not belong to would be
    /// mixed with it, and the WAL gone.
    pub(crate) fn settle(&self, folder: &Folder) -> Result<(), OpenError> {
        match self.remove_malformed_due() {
            Err(error) if error.is_damage => return Err(OpenError::DamagedList),
            removed => removed?,
        }
        wal::checkpoint(&self.connection)?;
        folder.remove_unfinished()?;
        Ok(folder.sync()?)
    }

    /// Which vault the database belongs to.
    pub(crate) fn meta(&self) -> Result<Meta, OpenError> {
        let (found, vault_id, keyring_fingerprint) = self
            .connection
            .query_row(
                "SELECT format, vault_id, keyring_fingerprint FROM meta WHERE id = 1",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .during("reading which vault the database belongs to")?;
        if found != FORMAT {
            return Err(OpenError::OtherFormat {
                found,
                known: FORMAT,
            });
        }
        Ok(Meta {
            vault_id,
            keyring_fingerprint,
        })
    }

    /// Begins the one transaction of a batch.
    pub(crate) fn begin(&self) -> Result<(), StorageError> {
        self.connection
            .execute_batch("BEGIN IMMEDIATE")
            .during("beginning a batch")
    }

    /// Returns when the batch is on the disk. After an error nothing is known about it.
    pub(crate) fn commit(&self) -> Result<(), StorageError> {
        self.connection
            .execute_batch("COMMIT")
            .during("committing a batch")
    }

    /// Between batches: a checkpoint when the WAL has become long.
    pub(crate) fn maintain(&self) -> Result<(), StorageError> {
        let Some(error) = self.wal.lost() else {
            return wal::checkpoint_if_long(&self.connection);
        };
        // Another process has removed it. SQLite still has it open: the answered batches go into the
        // database before the WAL is gone with this process.
        wal::checkpoint(&self.connection)?;
        // Where the database has no name either, the open files are the last copy: a stop loses it.
        match self.lost_path() {
            Some(_) => Ok(()),
            None => Err(error).during("looking for the WAL"),
        }
    }

    /// Where the database should be and is not: removed, moved, or another file has its name.
    pub(crate) fn lost_path(&self) -> Option<&Path> {
        let is_there = identity(&self.database).is_ok_and(|found| found == self.identity);
        (!is_there).then_some(&self.database)
    }

    /// Whether SQLite finds something wrong with the file. Reads all of it.
    pub(crate) fn is_damaged(&self) -> Result<bool, StorageError> {
        let answer = self
            .connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
            .during("looking through the pages");
        match answer {
            Err(error) if error.is_damage => Ok(true),
            answer => Ok(answer? != "ok"),
        }
    }

    /// An orderly end: everything into the database, the WAL empty.
    pub(crate) fn close(self) -> Result<(), StorageError> {
        wal::checkpoint(&self.connection)?;
        self.disconnect()
    }

    fn disconnect(self) -> Result<(), StorageError> {
        self.connection
            .close()
            .map_err(|(_, error)| error)
            .during("closing the database")
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW,
    )?;
    connection.busy_timeout(Duration::ZERO)?;
    Ok(connection)
}

/// A tool such as `sqlite3` does not know the folder's lock, but it holds SQLite's.
fn refuse_other_connections(connection: &Connection, folder: &Folder) -> Result<(), OpenError> {
    let taken =
        connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT");
    match taken {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
            Err(OpenError::Locked(folder.path().to_owned()))
        }
        taken => Ok(taken.during("locking the database")?),
    }
}

/// The reason within a [`StorageError`]: no other room names SQLite's own types.
#[derive(Debug, Error)]
#[error(transparent)]
struct Opaque<E: std::error::Error>(E);

impl<T> During<T> for rusqlite::Result<T> {
    fn during(self, during: &'static str) -> Result<T, StorageError> {
        self.map_err(|error| {
            let is_damage = error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt);
            let mut failed = StorageError::new(during, Opaque(error));
            failed.is_damage = is_damage;
            failed
        })
    }
}

impl During<()> for rusqlite_migration::Result<()> {
    fn during(self, during: &'static str) -> Result<(), StorageError> {
        self.map_err(|error| StorageError::new(during, Opaque(error)))
    }
}
