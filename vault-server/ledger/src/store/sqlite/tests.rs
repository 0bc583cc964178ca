//! The store over files, also with a database that another program changed.

use rusqlite::config::DbConfig;
use rusqlite::types::Value;

use super::rows::ROW_LIMIT;
use super::*;
use crate::key::LeafKey;
use crate::tree::{Place, Rows};

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

    /// Shows every row of nodes or events with its number.
    pub(crate) fn each_row(&self, table: &str, mut visit: impl FnMut(i64, &[u8])) {
        let sql = format!("SELECT id, sealed FROM {table}");
        let mut statement = self.statement(&sql).unwrap();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let sealed = row.get_ref(1).unwrap();
            visit(row.get(0).unwrap(), sealed.as_blob().unwrap());
        }
    }

    pub(crate) fn spoil(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap();
    }

    pub(crate) fn allow_triggers(&self) {
        let switch = DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER;
        self.connection.set_db_config(switch, true).unwrap();
    }
}

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
    // SQLite does this by itself when a page cannot be read or written, or memory is short.
    store.begin().unwrap();
    store.spoil("ROLLBACK");
    store.put_row(Place::ROOT, b"newer").unwrap_err();
    store.remove_row(Place::ROOT).unwrap_err();
    store.append_event(b"another").unwrap_err();
    store.remove_event(event).unwrap_err();
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
fn a_closed_database_has_an_empty_wal() {
    let (temporary, store) = store();
    store.begin().unwrap();
    store.put_row(Place::ROOT, b"sealed").unwrap();
    store.commit().unwrap();
    let wal = temporary.path().join("vault/ledger.db-wal");
    assert_ne!(wal.metadata().unwrap().len(), 0);
    store.close().unwrap();
    assert_eq!(wal.metadata().unwrap().len(), 0);
}
