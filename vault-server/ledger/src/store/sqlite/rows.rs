//! The rows of nodes and events. A row that cannot be what this program wrote is read as an empty one,
//! which opens under no key.

use rusqlite::{CachedStatement, OptionalExtension, Params, Row};

use super::Store;
use crate::error::{During, StorageError};
use crate::tree::{Place, Rows};

/// No row is longer, in bytes: a node is of a few KiB, and so are the user's values. An attacker who
/// writes the file could otherwise have the vault read a row of 1 GB into memory.
pub(super) const ROW_LIMIT: usize = 1 << 20;

impl Rows for Store {
    fn row(&self, place: Place) -> Result<Option<Vec<u8>>, StorageError> {
        let sql = "SELECT iif(octet_length(sealed) <= ?, sealed, NULL) FROM node WHERE id = ?";
        self.sealed(sql, place.row())
    }

    fn put_row(&self, place: Place, sealed: &[u8]) -> Result<(), StorageError> {
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

    /// Appends an event behind all others; returns the number of its row.
    pub(crate) fn append_event(&self, sealed: &[u8]) -> Result<i64, StorageError> {
        refuse_too_long(sealed)?;
        self.change_one("INSERT INTO event (sealed) VALUES (?)", [sealed])?;
        Ok(self.connection.last_insert_rowid())
    }

    /// Removes an event that nothing leads to any more, if it is still there.
    pub(crate) fn remove_event(&self, row: i64) -> Result<(), StorageError> {
        self.change("DELETE FROM event WHERE id = ?", [row])
            .map(drop)
    }

    pub(crate) fn event(&self, row: i64) -> Result<Option<Vec<u8>>, StorageError> {
        let sql = "SELECT iif(octet_length(sealed) <= ?, sealed, NULL) FROM event WHERE id = ?";
        self.sealed(sql, row)
    }

    /// Stores an event in the row where another database has it.
    pub(crate) fn put_event(&self, row: i64, sealed: &[u8]) -> Result<(), StorageError> {
        refuse_too_long(sealed)?;
        self.change_one(
            "INSERT INTO event (id, sealed) VALUES (?, ?)",
            (row, sealed),
        )
    }

    /// A row on a damaged page was there, so it is one that cannot be opened.
    fn sealed(&self, sql: &str, row: i64) -> Result<Option<Vec<u8>>, StorageError> {
        let read = self
            .statement(sql)?
            .query_row((ROW_LIMIT, row), blob)
            .optional()
            .during("reading a row");
        match read {
            Err(error) if error.is_damage => Ok(Some(Vec::new())),
            read => read,
        }
    }

    pub(super) fn statement(&self, sql: &str) -> Result<CachedStatement<'_>, StorageError> {
        self.connection
            .prepare_cached(sql)
            .during("preparing a statement")
    }

    /// A planted trigger, a lost row, or a row that should not be there shows as another count.
    fn change_one(&self, sql: &str, params: impl Params) -> Result<(), StorageError> {
        let changed = self.change(sql, params)?;
        if changed == 1 {
            return Ok(());
        }
        let reason = format!("{changed} rows were changed instead of one");
        Err(StorageError::new("changing a row", reason))
    }

    /// Within a transaction only. At some errors SQLite rolls it back by itself, and from then on
    /// every change would be durable alone, without the others of its batch.
    pub(super) fn change(&self, sql: &str, params: impl Params) -> Result<usize, StorageError> {
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

fn blob(row: &Row<'_>) -> rusqlite::Result<Vec<u8>> {
    Ok(row.get_ref(0)?.as_blob().unwrap_or_default().to_vec())
}

/// A longer row could not be read again.
fn refuse_too_long(sealed: &[u8]) -> Result<(), StorageError> {
    if sealed.len() <= ROW_LIMIT {
        return Ok(());
    }
    let reason = format!("{} bytes are too many for a row", sealed.len());
    Err(StorageError::new("changing a row", reason))
}
