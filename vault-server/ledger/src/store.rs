//! SQLite, and nothing else: rows of sealed bytes, one transaction at a time, and its log.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{CachedStatement, Connection, ErrorCode, OpenFlags, OptionalExtension, Params};

use crate::error::{During, OpenError, StorageError};
use crate::folder::Folder;
use crate::key::LeafKey;
use crate::schema;

/// The format of the rows: which tables there are and what their bytes begin with.
const FORMAT: i64 = 1;

/// The log is written back into the database when it is longer than this, 1,000 pages.
const LOG_LIMIT: u64 = 4 * 1024 * 1024;

/// Which vault a database belongs to, as it is stored.
pub(crate) struct Meta {
    pub(crate) vault_id: String,
    pub(crate) keyring_fingerprint: [u8; 32],
}

/// Proof that a transaction was committed: [`Store::commit`] alone makes one.
pub(crate) struct Durable(());

/// The open database.
pub(crate) struct Store {
    connection: Connection,
    log: PathBuf,
}

impl Store {
    /// Makes a complete database in the folder, or none.
    pub(crate) fn create(folder: &Folder, meta: &Meta) -> Result<(), OpenError> {
        let unfinished = folder.unfinished()?;
        let mut connection = connect(&unfinished).during("opening the new database")?;
        schema::create(&mut connection)?;
        connection
            .execute(
                "INSERT INTO meta (id, format, vault_id, keyring_fingerprint) VALUES (1, ?, ?, ?)",
                (FORMAT, &meta.vault_id, meta.keyring_fingerprint),
            )
            .during("naming the new database's vault")?;
        connection
            .close()
            .map_err(|(_, error)| error)
            .during("closing the new database")?;
        Ok(folder.finish(&unfinished)?)
    }

    /// Opens the folder's database, or says why not.
    ///
    /// What a killed process left in the log may be in the page cache only, and answers could be
    /// given from it. So the log is written again and synced, and then becomes part of the database,
    /// before anything is read.
    pub(crate) fn open(folder: &Folder) -> Result<Store, OpenError> {
        rewrite(&folder.log()).during("making the log durable")?;
        folder.sync()?;
        let mut connection = connect(&folder.database()).during("opening the database")?;
        refuse_other_connections(&connection, folder)?;
        schema::configure(&connection)?;
        schema::check_and_migrate(&mut connection)?;
        let store = Store {
            connection,
            log: folder.log(),
        };
        store.checkpoint()?;
        folder.sync()?;
        Ok(store)
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
    pub(crate) fn commit(&self) -> Result<Durable, StorageError> {
        self.connection
            .execute_batch("COMMIT")
            .during("committing a batch")?;
        Ok(Durable(()))
    }

    /// Writes the log back into the database when it has become long.
    pub(crate) fn keep_log_short(&self) -> Result<(), StorageError> {
        let length = match self.log.metadata() {
            Ok(metadata) => metadata.len(),
            Err(error) => return Err(error).during("measuring the log"),
        };
        if length > LOG_LIMIT {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// An orderly end: everything into the database, the log empty.
    pub(crate) fn close(self) -> Result<(), StorageError> {
        self.checkpoint()?;
        self.connection
            .close()
            .map_err(|(_, error)| error)
            .during("closing the database")
    }

    /// Writes the whole log back and empties it. SQLite reports a checkpoint that did not do all of
    /// its work in the row it returns, not as an error.
    fn checkpoint(&self) -> Result<(), StorageError> {
        let row = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .during("writing the log back")?;
        match row {
            (0_i64, 0_i64, 0_i64) => Ok(()),
            _ => Err(StorageError::new(
                "writing the log back",
                format!("SQLite reported {row:?} instead of an empty log"),
            )),
        }
    }

    fn statement(&self, sql: &str) -> Result<CachedStatement<'_>, StorageError> {
        self.connection
            .prepare_cached(sql)
            .during("preparing a statement")
    }

    /// A planted trigger, a lost row, or a row that should not be there shows as another count.
    fn change_one(&self, sql: &str, params: impl Params) -> Result<(), StorageError> {
        let changed = self
            .statement(sql)?
            .execute(params)
            .during("changing a row")?;
        match changed {
            1 => Ok(()),
            _ => Err(StorageError::new(
                "changing a row",
                format!("{changed} rows were changed instead of one"),
            )),
        }
    }
}

/// The rows of leaves.
impl Store {
    pub(crate) fn leaf(&self, key: &LeafKey) -> Result<Option<Vec<u8>>, StorageError> {
        self.statement("SELECT sealed FROM leaf WHERE leaf_key = ?")?
            .query_row([key.0], |row| row.get(0))
            .optional()
            .during("reading a leaf")
    }

    pub(crate) fn insert_leaf(&self, key: &LeafKey, sealed: &[u8]) -> Result<(), StorageError> {
        self.change_one(
            "INSERT INTO leaf (leaf_key, sealed) VALUES (?, ?)",
            (key.0, sealed),
        )
    }

    pub(crate) fn update_leaf(&self, key: &LeafKey, sealed: &[u8]) -> Result<(), StorageError> {
        self.change_one(
            "UPDATE leaf SET sealed = ?2 WHERE leaf_key = ?1",
            (key.0, sealed),
        )
    }

    /// At most so many keys of leaves behind this one, in order; `None` begins at the first.
    pub(crate) fn keys_after(
        &self,
        after: Option<&LeafKey>,
        at_most: usize,
    ) -> Result<Vec<LeafKey>, StorageError> {
        let after = after.map_or(&[][..], |key| &key.0);
        self.statement("SELECT leaf_key FROM leaf WHERE leaf_key > ? ORDER BY leaf_key LIMIT ?")?
            .query_map((after, limit(at_most)), |row| Ok(LeafKey(row.get(0)?)))
            .and_then(Iterator::collect)
            .during("reading the keys of leaves")
    }

    pub(crate) fn delete_leaf(&self, key: &LeafKey) -> Result<(), StorageError> {
        self.change_one("DELETE FROM leaf WHERE leaf_key = ?", [key.0])
    }
}

/// The rows of events.
impl Store {
    /// The sequence number of a leaf's last event, 0 without any.
    pub(crate) fn last_sequence(&self, key: &LeafKey) -> Result<u64, StorageError> {
        self.statement("SELECT coalesce(max(sequence), 0) FROM event WHERE leaf_key = ?")?
            .query_row([key.0], |row| row.get(0))
            .during("reading an event's number")
    }

    pub(crate) fn insert_event(
        &self,
        key: &LeafKey,
        sequence: u64,
        sealed: &[u8],
    ) -> Result<(), StorageError> {
        self.change_one(
            "INSERT INTO event (leaf_key, sequence, sealed) VALUES (?, ?, ?)",
            (key.0, sequence, sealed),
        )
    }

    pub(crate) fn delete_event(&self, key: &LeafKey, sequence: u64) -> Result<(), StorageError> {
        self.change_one(
            "DELETE FROM event WHERE leaf_key = ? AND sequence = ?",
            (key.0, sequence),
        )
    }

    /// The last events of a leaf with their sequence numbers, newest first.
    pub(crate) fn last_events(
        &self,
        key: &LeafKey,
        last: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, StorageError> {
        self.statement(
            "SELECT sequence, sealed FROM event WHERE leaf_key = ? ORDER BY sequence DESC LIMIT ?",
        )?
        .query_map((key.0, limit(last)), |row| Ok((row.get(0)?, row.get(1)?)))
        .and_then(Iterator::collect)
        .during("reading events")
    }
}

/// The due index.
impl Store {
    pub(crate) fn due_of(&self, key: &LeafKey) -> Result<Option<u64>, StorageError> {
        self.statement("SELECT due_ms FROM due WHERE leaf_key = ?")?
            .query_row([key.0], |row| row.get(0))
            .optional()
            .during("reading a due time")
    }

    pub(crate) fn insert_due(&self, key: &LeafKey, due_ms: u64) -> Result<(), StorageError> {
        self.change_one(
            "INSERT INTO due (leaf_key, due_ms) VALUES (?, ?)",
            (key.0, time(due_ms)),
        )
    }

    pub(crate) fn update_due(&self, key: &LeafKey, due_ms: u64) -> Result<(), StorageError> {
        self.change_one(
            "UPDATE due SET due_ms = ?2 WHERE leaf_key = ?1",
            (key.0, time(due_ms)),
        )
    }

    pub(crate) fn delete_due(&self, key: &LeafKey) -> Result<(), StorageError> {
        self.change_one("DELETE FROM due WHERE leaf_key = ?", [key.0])
    }

    /// The leaves due until then with their times, earliest first.
    pub(crate) fn due_until(
        &self,
        until_ms: u64,
        at_most: usize,
    ) -> Result<Vec<(u64, LeafKey)>, StorageError> {
        self.statement(
            "SELECT due_ms, leaf_key FROM due WHERE due_ms <= ? ORDER BY due_ms, leaf_key LIMIT ?",
        )?
        .query_map((time(until_ms), limit(at_most)), |row| {
            Ok((row.get(0)?, LeafKey(row.get(1)?)))
        })
        .and_then(Iterator::collect)
        .during("reading what is due")
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
            Err(OpenError::Locked {
                folder: folder.path().to_owned(),
            })
        }
        taken => Ok(taken.during("locking the database")?),
    }
}

/// Writes a file's bytes over themselves and syncs them: after a failed sync the kernel may call
/// pages clean that never reached the disk, and would not write them again by itself.
fn rewrite(path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let bytes = read_all(&mut file)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&bytes)?;
    file.sync_all()
}

fn read_all(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// SQLite's integers are signed; a time beyond them is as good as never.
fn time(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

#[cfg(test)]
impl Store {
    /// SQLite then answers a growing database with `SQLITE_FULL`, as a full disk does.
    pub(crate) fn refuse_growth(&self) {
        let pages: i64 = self
            .connection
            .pragma_query_value(None, "page_count", |row| row.get(0))
            .unwrap();
        self.connection
            .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
            .unwrap();
    }

    pub(crate) fn spoil(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap();
    }

    pub(crate) fn allow_triggers(&self) {
        let switch = rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER;
        self.connection.set_db_config(switch, true).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::types::Value;

    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::create(&temporary.path().join("vault")).unwrap();
        let meta = Meta {
            vault_id: "vault".to_owned(),
            keyring_fingerprint: [1; 32],
        };
        Store::create(&folder, &meta).unwrap();
        let store = Store::open(&folder).unwrap();
        (temporary, store)
    }

    // Written out once more, so that a line lost from the table of settings is found.
    #[test]
    fn an_open_database_has_the_settings_that_durability_and_secrecy_need() {
        let (_temporary, store) = store();
        for (name, wanted) in [
            ("locking_mode", "Text(\"exclusive\")"),
            ("journal_mode", "Text(\"wal\")"),
            ("synchronous", "2"),
            ("fullfsync", "1"),
            ("wal_autocheckpoint", "0"),
            ("secure_delete", "1"),
            ("trusted_schema", "0"),
            ("cell_size_check", "1"),
            ("temp_store", "2"),
            ("mmap_size", "0"),
        ] {
            let got = store
                .connection
                .pragma_query_value(Some("main"), name, |row| {
                    Ok(match row.get(0)? {
                        Value::Integer(number) => number.to_string(),
                        other => format!("{other:?}"),
                    })
                });
            assert_eq!(got.as_deref(), Ok(wanted), "{name}");
        }
    }

    #[test]
    fn triggers_and_views_do_nothing_even_when_planted() {
        let (_temporary, store) = store();
        store.spoil("CREATE TRIGGER t BEFORE INSERT ON leaf BEGIN SELECT RAISE(IGNORE); END");
        store.spoil("CREATE VIEW v AS SELECT 1");
        store.insert_leaf(&LeafKey([1; 32]), b"sealed").unwrap();
        let view = store.connection.prepare("SELECT * FROM v").map(drop);
        assert!(view.is_err());
    }

    // Fails when `change_one` does not look at the count.
    #[test]
    fn changing_or_removing_a_row_that_is_not_there_is_a_storage_error() {
        let (_temporary, store) = store();
        let key = LeafKey([1; 32]);
        store.update_leaf(&key, b"sealed").unwrap_err();
        store.delete_leaf(&key).unwrap_err();
        store.update_due(&key, 1).unwrap_err();
        store.delete_due(&key).unwrap_err();
    }

    #[test]
    fn rewriting_the_log_changes_nothing_in_it() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("log");
        rewrite(&path).unwrap();
        assert!(!path.exists());
        std::fs::write(&path, b"frames").unwrap();
        rewrite(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"frames");
    }

    #[test]
    fn a_closed_database_has_an_empty_log() {
        let (temporary, store) = store();
        store.begin().unwrap();
        store.insert_leaf(&LeafKey([1; 32]), b"sealed").unwrap();
        store.commit().unwrap();
        let log = temporary.path().join("vault/ledger.db-wal");
        assert_ne!(log.metadata().unwrap().len(), 0);
        store.close().unwrap();
        assert_eq!(log.metadata().unwrap().len(), 0);
    }
}
