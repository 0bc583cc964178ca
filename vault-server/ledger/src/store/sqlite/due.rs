//! The due index: which leaf has to be looked at when. It is a hint: a row that is not there, or is
//! there already, is no error.

use super::Store;
use crate::error::{During, StorageError};
use crate::key::LeafKey;

impl Store {
    pub(crate) fn put_due(&self, key: &LeafKey, due_ms: u64) -> Result<(), StorageError> {
        let sql = "INSERT OR IGNORE INTO due (due_ms, leaf_key) VALUES (?, ?)";
        self.change(sql, (signed(due_ms), key.0)).map(drop)
    }

    pub(crate) fn remove_due(&self, key: &LeafKey, due_ms: u64) -> Result<(), StorageError> {
        let sql = "DELETE FROM due WHERE due_ms = ? AND leaf_key = ?";
        self.change(sql, (signed(due_ms), key.0)).map(drop)
    }

    pub(crate) fn has_due(&self, key: &LeafKey, due_ms: u64) -> Result<bool, StorageError> {
        let found = self
            .statement("SELECT 1 FROM due WHERE due_ms = ? AND leaf_key = ?")?
            .exists((signed(due_ms), key.0))
            .during("reading a due time");
        match found {
            Err(error) if error.is_damage => Ok(false),
            found => found,
        }
    }

    /// Removes rows that this program does not write: `STRICT` and `CHECK` hold for SQL only, not for an
    /// attacker who writes the file.
    pub(crate) fn remove_malformed_due(&self) -> Result<(), StorageError> {
        self.statement(
            "DELETE FROM due WHERE typeof(due_ms) <> 'integer' OR due_ms < 0
             OR typeof(leaf_key) <> 'blob' OR length(leaf_key) <> 32",
        )?
        .execute([])
        .map(drop)
        .during("looking through the due times")
    }

    /// The leaves behind this one that are due until then, with their times, earliest first.
    pub(crate) fn due_after(
        &self,
        after: Option<(u64, LeafKey)>,
        until_ms: u64,
        at_most: usize,
    ) -> Result<Vec<(u64, LeafKey)>, StorageError> {
        let (after_ms, after_key) = match &after {
            Some((due_ms, key)) => (signed(*due_ms), &key.0[..]),
            None => (0, &[][..]),
        };
        self.statement(
            "SELECT due_ms, leaf_key FROM due
             WHERE (due_ms, leaf_key) > (?, ?) AND due_ms <= ?
             ORDER BY due_ms, leaf_key LIMIT ?",
        )?
        .query_map(
            (after_ms, after_key, signed(until_ms), signed(at_most)),
            |row| Ok((row.get(0)?, LeafKey(row.get(1)?))),
        )
        .and_then(Iterator::collect)
        .during("reading the due times")
    }
}

/// SQLite's integers are signed; a time or limit beyond them is as good as none.
fn signed(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
