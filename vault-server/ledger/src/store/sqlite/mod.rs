//! SQLite, and nothing else: rows of sealed bytes, one transaction at a time, and its log.

mod due;
pub(crate) mod folder;
mod schema;

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Connection, ErrorCode, OpenFlags, OptionalExtension, Params, Row};
use rustix::fs::OFlags;

use self::folder::Folder;
use crate::error::{During, OpenError, StorageError};
use crate::files::identity;

use crate::tree::{Place, Rows};

/// The format of the rows: which tables there are and what their bytes begin with.
const FORMAT: i64 = 2;

/// The log is written back into the database when it has more pages than this, 16 MiB: the more pages
/// wait, the more of them were written more than once, and the longer everyone waits then. Chosen by
/// measurement, see `benches/changes.rs`.
const LOG_LIMIT: i64 = 4_000;

/// No row is longer, in bytes: a node is of a few KiB, and so are the user's values. Somebody who
/// writes the file could otherwise have the vault read a row of 1 GB into memory.
const ROW_LIMIT: usize = 1 << 20;

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
    log: PathBuf,
    had_log: bool,
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

    /// Makes a complete database in the place of this one, and opens that. What fails before the new one
    /// is complete leaves this one and its log as they are. Interrupted after that, it is this one with
    /// its log in it, or the new one.
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
        // SQLite would lay a log over whatever has the database's name; and as long as the old one has
        // it, it needs what is in the log.
        self.checkpoint()?;
        self.disconnect()?;
        folder.remove_log()?;
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
            log: folder.log(),
            had_log: false,
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
        schema::begin_log(&store.connection)?;
        store.disconnect()?;
        refuse_without_log(&unfinished)?;
        Ok(unfinished)
    }

    /// Opens the folder's database, or says why not.
    ///
    /// What a killed process left in the log may be in the page cache only, and answers could be
    /// given from it. So the log is written again and synced before anything is read. Nothing else is
    /// written before [`settle`](Store::settle).
    pub(crate) fn open(folder: &Folder) -> Result<Store, OpenError> {
        let log_size = rewrite(&folder.log()).during("making the log durable")?;
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
            log: folder.log(),
            had_log: log_size > 0,
        })
    }

    /// Whether a process was stopped before it could write the log back. Only then can the log be one
    /// of another file than the one it is laid over.
    pub(crate) fn had_log(&self) -> bool {
        self.had_log
    }

    /// Makes the log part of the database, for good: a database that it does not belong to would be
    /// mixed with it, and the log gone.
    pub(crate) fn settle(&self, folder: &Folder) -> Result<(), OpenError> {
        match self.remove_malformed_due() {
            Err(error) if error.is_damage() => return Err(OpenError::DamagedList),
            removed => removed?,
        }
        self.checkpoint()?;
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

    /// Writes the log back into the database when it has become long. Its file keeps its size, and the
    /// next batches are written over what is in it.
    pub(crate) fn keep_log_short(&self) -> Result<(), StorageError> {
        if let Err(error) = self.log.metadata() {
            // Somebody has removed it. SQLite still has it open: what was answered goes into the
            // database before it is gone with this process.
            self.checkpoint()?;
            // Where the database has no name either, what is open is the last copy: a stop loses it.
            return match self.lost_path() {
                Some(_) => Ok(()),
                None => Err(error).during("looking for the log"),
            };
        }
        let state = self.checkpoint_in_mode("NOOP")?;
        if state.pages - state.written_back <= LOG_LIMIT {
            return Ok(());
        }
        self.checkpoint_in_mode("PASSIVE")?.demand_all()
    }

    /// Where the database should be and is not: removed, moved, or another file has its name.
    pub(crate) fn lost_path(&self) -> Option<&Path> {
        let is_there = identity(&self.database).is_ok_and(|found| found == self.identity);
        (!is_there).then_some(&self.database)
    }

    /// An orderly end: everything into the database, the log empty.
    pub(crate) fn close(self) -> Result<(), StorageError> {
        self.checkpoint()?;
        self.disconnect()
    }

    fn disconnect(self) -> Result<(), StorageError> {
        self.connection
            .close()
            .map_err(|(_, error)| error)
            .during("closing the database")
    }

    /// Writes the whole log back and empties it.
    fn checkpoint(&self) -> Result<(), StorageError> {
        let state = self.checkpoint_in_mode("TRUNCATE")?;
        match state.pages {
            0 => state.demand_all(),
            _ => Err(state.incomplete()),
        }
    }

    fn checkpoint_in_mode(&self, mode: &str) -> Result<LogState, StorageError> {
        self.connection
            .query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
                Ok(LogState {
                    is_busy: row.get(0)?,
                    pages: row.get(1)?,
                    written_back: row.get(2)?,
                })
            })
            .during("writing the log back")
    }

    fn statement(&self, sql: &str) -> Result<CachedStatement<'_>, StorageError> {
        self.connection
            .prepare_cached(sql)
            .during("preparing a statement")
    }

    /// A planted trigger, a lost row, or a row that should not be there shows as another count.
    fn change_one(&self, sql: &str, params: impl Params) -> Result<(), StorageError> {
        match self.change(sql, params)? {
            1 => Ok(()),
            changed => Err(StorageError::new(
                "changing a row",
                format!("{changed} rows were changed instead of one"),
            )),
        }
    }

    /// Within a transaction only. At some errors SQLite rolls it back by itself, and from then on
    /// every change would be durable alone, without the others of its batch.
    fn change(&self, sql: &str, params: impl Params) -> Result<usize, StorageError> {
        if self.connection.is_autocommit() {
            return Err(StorageError::new(
                "changing a row",
                "SQLite has left the transaction",
            ));
        }
        self.statement(sql)?
            .execute(params)
            .during("changing a row")
    }
}

/// The row that a checkpoint returns. One that did not do all of its work says so here, and not by an
/// error.
#[derive(Debug)]
struct LogState {
    is_busy: bool,
    pages: i64,
    written_back: i64,
}

impl LogState {
    fn demand_all(self) -> Result<(), StorageError> {
        if self.is_busy || self.pages != self.written_back {
            return Err(self.incomplete());
        }
        Ok(())
    }

    fn incomplete(&self) -> StorageError {
        StorageError::new("writing the log back", format!("SQLite reported {self:?}"))
    }
}

/// The rows of nodes.
impl Rows for Store {
    fn row(&self, place: Place) -> Result<Option<Vec<u8>>, StorageError> {
        let sql = "SELECT iif(octet_length(sealed) <= ?, sealed, NULL) FROM node WHERE id = ?";
        self.sealed(sql, place.row())
    }

    fn put_row(&self, place: Place, sealed: &[u8]) -> Result<(), StorageError> {
        #[cfg(test)]
        crate::tests::history::note_node(place, sealed);
        refuse_too_long(sealed)?;
        self.change_one(
            "INSERT INTO node (id, sealed) VALUES (?, ?)
             ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed",
            (place.row(), sealed),
        )
    }

    fn remove_row(&self, place: Place) -> Result<(), StorageError> {
        self.change_one("DELETE FROM node WHERE id = ?", [place.row()])
    }
}

impl Store {
    /// How many rows of nodes there are, whatever is in them.
    pub(crate) fn count_rows(&self) -> Result<u64, StorageError> {
        self.statement("SELECT count(*) FROM node")?
            .query_row([], |row| row.get(0))
            .during("counting the nodes")
    }

    /// Whether SQLite finds something wrong with the file. Reads all of it.
    pub(crate) fn is_damaged(&self) -> Result<bool, StorageError> {
        let said = self
            .connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
            .during("looking through the pages");
        match said {
            Err(error) if error.is_damage() => Ok(true),
            said => Ok(said? != "ok"),
        }
    }
}

/// The rows of events.
impl Store {
    /// Behind all others; returns its number.
    pub(crate) fn append_event(&self, sealed: &[u8]) -> Result<i64, StorageError> {
        refuse_too_long(sealed)?;
        self.change_one("INSERT INTO event (sealed) VALUES (?)", [sealed])?;
        let row = self.connection.last_insert_rowid();
        #[cfg(test)]
        crate::tests::history::note_event(row, sealed);
        Ok(row)
    }

    /// Somebody may have removed it already; it is behind everything that counts.
    pub(crate) fn forget_event(&self, row: i64) -> Result<(), StorageError> {
        self.change("DELETE FROM event WHERE id = ?", [row])
            .map(drop)
    }

    pub(crate) fn event(&self, row: i64) -> Result<Option<Vec<u8>>, StorageError> {
        let sql = "SELECT iif(octet_length(sealed) <= ?, sealed, NULL) FROM event WHERE id = ?";
        self.sealed(sql, row)
    }

    /// Where another database has it.
    pub(crate) fn put_event(&self, row: i64, sealed: &[u8]) -> Result<(), StorageError> {
        refuse_too_long(sealed)?;
        self.change_one(
            "INSERT INTO event (id, sealed) VALUES (?, ?)",
            (row, sealed),
        )
    }

    /// Of what was on a damaged page nobody knows what it was, so it is one that cannot be opened.
    fn sealed(&self, sql: &str, row: i64) -> Result<Option<Vec<u8>>, StorageError> {
        let read = self
            .statement(sql)?
            .query_row((ROW_LIMIT, row), blob)
            .optional()
            .during("reading a row");
        match read {
            Err(error) if error.is_damage() => Ok(Some(Vec::new())),
            read => read,
        }
    }
}

/// What is no blob, whoever made it so, is one that cannot be opened.
fn blob(row: &Row<'_>) -> rusqlite::Result<Vec<u8>> {
    match row.get_ref(0)? {
        ValueRef::Blob(bytes) => Ok(bytes.to_vec()),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Text(_) => {
            Ok(Vec::new())
        }
    }
}

/// It could not be read again.
fn refuse_too_long(sealed: &[u8]) -> Result<(), StorageError> {
    match sealed.len() {
        ..=ROW_LIMIT => Ok(()),
        length => Err(StorageError::new(
            "changing a row",
            format!("{length} bytes are too many for a row"),
        )),
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

/// Whether it was made a database with a log: SQLite says so before it has written it, and rusqlite
/// passes over the error of that write. Two bytes of the file's head say it (SQLite's file format,
/// section 1.3, "File format version numbers").
fn refuse_without_log(path: &Path) -> Result<(), StorageError> {
    let mut versions = [0; 2];
    File::open(path)
        .and_then(|file| file.read_exact_at(&mut versions, 18))
        .during("reading the new database")?;
    match versions {
        [2, 2] => Ok(()),
        _ => Err(StorageError::new(
            "setting up SQLite",
            "the new database has no log",
        )),
    }
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
/// pages clean that never reached the disk, and would not write them again by itself. Returns how many
/// there are.
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
    use crate::key::LeafKey;

    fn store() -> (tempfile::TempDir, Store) {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::create(&temporary.path().join("vault")).unwrap();
        let meta = Meta {
            vault_id: "vault".to_owned(),
            keyring_fingerprint: [1; 32],
        };
        Store::create(&folder, &meta, |_| Ok(())).unwrap();
        let store = Store::open(&folder).unwrap();
        store.settle(&folder).unwrap();
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
        store.spoil("CREATE TRIGGER t BEFORE INSERT ON node BEGIN SELECT RAISE(IGNORE); END");
        store.spoil("CREATE VIEW v AS SELECT 1");
        store.begin().unwrap();
        store.put_row(Place::ROOT, b"sealed").unwrap();
        let view = store.connection.prepare("SELECT * FROM v").map(drop);
        assert!(view.is_err());
    }

    // Fails when `change_one` does not look at the count.
    #[test]
    fn removing_a_row_that_is_not_there_or_changing_none_is_a_storage_error() {
        let (_temporary, store) = store();
        store.begin().unwrap();
        store.remove_row(Place::ROOT).unwrap_err();
        store.put_row(Place::ROOT, b"sealed").unwrap();
        store.allow_triggers();
        store.spoil("CREATE TRIGGER t BEFORE UPDATE ON node BEGIN SELECT RAISE(IGNORE); END");
        store.put_row(Place::ROOT, b"newer").unwrap_err();
    }

    // Fails when `Store::change` does not ask whether there is a transaction.
    #[test]
    fn without_its_transaction_nothing_is_written() {
        let (_temporary, store) = store();
        let key = LeafKey([1; 32]);
        store.begin().unwrap();
        let event = store.append_event(b"event").unwrap();
        store.put_due(&key, 1).unwrap();
        store.put_row(Place::ROOT, b"sealed").unwrap();
        store.commit().unwrap();
        // What SQLite does by itself when a page cannot be read or written, or memory is short.
        store.begin().unwrap();
        store.spoil("ROLLBACK");
        store.put_row(Place::ROOT, b"newer").unwrap_err();
        store.remove_row(Place::ROOT).unwrap_err();
        store.append_event(b"another").unwrap_err();
        store.forget_event(event).unwrap_err();
        store.put_due(&key, 2).unwrap_err();
        store.remove_due(&key, 1).unwrap_err();
        store.commit().unwrap_err();
        assert_eq!(store.row(Place::ROOT).unwrap().unwrap(), b"sealed");
        assert!(store.event(event).unwrap().is_some());
        assert!(store.has_due(&key, 1).unwrap() && !store.has_due(&key, 2).unwrap());
    }

    // Fails when a row is read whatever its length, or written.
    #[test]
    fn a_row_that_is_too_long_is_not_read_and_not_written() {
        let (_temporary, store) = store();
        let longest = vec![7; ROW_LIMIT];
        store.begin().unwrap();
        store.put_row(Place::ROOT, &longest).unwrap();
        let event = store.append_event(&longest).unwrap();
        assert_eq!(store.row(Place::ROOT).unwrap().unwrap(), longest);
        assert_eq!(store.event(event).unwrap().unwrap(), longest);
        let longer = [&longest[..], &[7]].concat();
        store.put_row(Place::ROOT, &longer).unwrap_err();
        store.append_event(&longer).unwrap_err();
        for table in ["node", "event"] {
            store.spoil(&format!(
                "UPDATE {table} SET sealed = zeroblob({ROW_LIMIT} + 1)"
            ));
        }
        assert_eq!(store.row(Place::ROOT).unwrap().unwrap(), b"");
        assert_eq!(store.event(event).unwrap().unwrap(), b"");
    }

    #[test]
    fn rewriting_the_log_changes_nothing_in_it() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("log");
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

    #[test]
    fn a_closed_database_has_an_empty_log() {
        let (temporary, store) = store();
        store.begin().unwrap();
        store.put_row(Place::ROOT, b"sealed").unwrap();
        store.commit().unwrap();
        let log = temporary.path().join("vault/ledger.db-wal");
        assert_ne!(log.metadata().unwrap().len(), 0);
        store.close().unwrap();
        assert_eq!(log.metadata().unwrap().len(), 0);
    }
}
