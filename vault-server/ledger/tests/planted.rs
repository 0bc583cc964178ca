//! Bytes that an attacker who writes the database's file can plant, and SQL would not: it must cost an account
//! at most, not the vault.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails its test")]

mod common;

use std::fs;
use std::ops::ControlFlow;

use common::{Home, ONE, TWO, bytes, due, put, read};
use rusqlite::Connection;
use vault_ledger::{CommitError, LeafKey, Ledger, OpenError, Verification};

fn verification(ledger: &Ledger) -> Verification {
    let found = ledger.commit_blocking(|batch| batch.verify());
    found.unwrap().into_inner()
}

fn schedule(ledger: &Ledger, key: LeafKey, due_ms: u64) {
    let scheduled = ledger.commit_blocking(move |batch| {
        batch.put(&key, bytes("state"));
        batch.schedule(&key, Some(due_ms));
        Ok(())
    });
    scheduled.unwrap();
}

/// Runs SQL over a table without `STRICT`, which SQLite believes the schema about.
fn tamper_unchecked(home: &Home, table: &str, sql: &str) {
    let rewrite = |from: &str, to: &str| {
        home.tamper(&format!(
            "PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = replace(sql, '{from}', '{to}') WHERE name = '{table}';
             PRAGMA writable_schema = RESET"
        ));
    };
    rewrite(") STRICT", ") /*   */");
    home.tamper(sql);
    rewrite(") /*   */", ") STRICT");
}

// Fails when `Store::row` takes a value of another type for an error of the disk.
#[test]
fn a_node_of_another_type_makes_its_leaves_unavailable_and_stops_nothing() {
    for value in ["CAST('x' AS TEXT)", "12", "1.5"] {
        let home = Home::new();
        let ledger = home.create().unwrap();
        put(&ledger, ONE, &"one".repeat(800));
        put(&ledger, TWO, &"two".repeat(800));
        ledger.close().unwrap();
        let bucket = "(SELECT min(id) FROM node WHERE id > 64)";
        let plant = format!("UPDATE node SET sealed = {value} WHERE id = {bucket}");
        tamper_unchecked(&home, "node", &plant);
        let ledger = home.open().unwrap();
        assert_eq!(read(&ledger, ONE), Err(CommitError::Unavailable), "{value}");
        assert!(read(&ledger, TWO).unwrap().is_some());
        assert!(ledger.is_healthy());
        assert_eq!(verification(&ledger).unreadable, 1);
    }
}

#[test]
fn an_event_of_another_type_is_unavailable_and_stops_nothing() {
    let home = Home::new();
    let ledger = home.create().unwrap();
    let appended = ledger.commit_blocking(|batch| {
        batch.append_event(&ONE, b"event");
        Ok(())
    });
    appended.unwrap();
    ledger.close().unwrap();
    tamper_unchecked(
        &home,
        "event",
        "UPDATE event SET sealed = CAST('x' AS TEXT)",
    );
    let ledger = home.open().unwrap();
    let events = common::events(&ledger, ONE, 9);
    assert_eq!(events, Err(CommitError::Unavailable));
    assert!(ledger.is_healthy());
}

// Fails when `Store::open` does not remove malformed rows.
#[test]
fn malformed_due_rows_are_removed_at_the_start() {
    let home = Home::new();
    schedule(&home.create().unwrap(), ONE, 7);
    home.tamper(
        "PRAGMA ignore_check_constraints = ON;
         INSERT INTO due VALUES (-1, zeroblob(32)), (3, x'00'), (4, zeroblob(33))",
    );
    let ledger = home.open().unwrap();
    assert_eq!(due(&ledger, u64::MAX, 9), [ONE]);
    assert!(verification(&ledger).is_clean());
}

// Fails when `Leaves::due_after` reads the index again until everything in it is confirmed.
#[test]
fn due_rows_in_the_wrong_order_do_not_hold_up_the_vault() {
    let home = Home::new();
    let ledger = home.create().unwrap();
    schedule(&ledger, ONE, 7);
    ledger.close().unwrap();
    home.tamper("INSERT INTO due VALUES (1, zeroblob(32)); PRAGMA wal_checkpoint(TRUNCATE)");
    let page = "SELECT rootpage FROM sqlite_schema WHERE name = 'due'";
    let page: usize = Connection::open(home.database())
        .unwrap()
        .query_row(page, [], |row| row.get(0))
        .unwrap();
    home.edit_bytes(|bytes| {
        // The two cells' pointers, behind the 8 bytes of the leaf page's head.
        let pointers = (page - 1) * 4096 + 8;
        bytes[pointers..pointers + 4].rotate_left(2);
    });
    let ledger = home.open().unwrap();
    due(&ledger, 9, 9);
    assert_eq!(read(&ledger, ONE).unwrap().as_deref(), Some("state"));
    assert!(ledger.is_healthy());
}

// Fails when `Leaves::due_after` removes without a limit.
#[test]
fn a_flood_of_wrong_due_rows_is_removed_bit_by_bit() {
    let home = Home::new();
    schedule(&home.create().unwrap(), ONE, 7);
    home.tamper(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
         INSERT INTO due SELECT 1, randomblob(32) FROM n",
    );
    let ledger = home.open().unwrap();
    assert!(due(&ledger, 9, 9).is_empty());
    let found = (0..9).try_for_each(|_| match due(&ledger, 9, 9).is_empty() {
        true => ControlFlow::Continue(()),
        false => ControlFlow::Break(()),
    });
    assert!(found.is_break(), "the honest row is found behind them");
    assert_eq!(due(&ledger, 9, 9), [ONE]);
}

// Fails when `Leaves::reschedule` writes nothing for a time that the leaf has already.
#[test]
fn a_removed_due_row_is_noticed_and_comes_back_with_the_next_change() {
    let home = Home::new();
    schedule(&home.create().unwrap(), ONE, 7);
    home.tamper("DELETE FROM due");
    let ledger = home.open().unwrap();
    assert_eq!(verification(&ledger).unscheduled, 1);
    schedule(&ledger, ONE, 7);
    assert_eq!(due(&ledger, 9, 9), [ONE]);
    assert!(verification(&ledger).is_clean());
}

// SQLite rolls a journal back into the database, and removes the file that it names, whichever. Fails
// when `Folder::open` does not call `refuse_journal`.
#[test]
fn a_planted_journal_is_refused_and_removes_nothing() {
    let home = Home::with_vault();
    let name = home.anchor().into_os_string().into_encoded_bytes();
    let magic = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
    let sum = name.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    let head = [0_u32, 1234, 2, 512, 4096].map(u32::to_be_bytes).concat();
    let mut journal = [&magic[..], &head].concat();
    journal.resize(512, 0);
    journal.extend(0x7fff_ffff_u32.to_be_bytes());
    journal.extend(&name);
    journal.extend(u32::try_from(name.len()).unwrap().to_be_bytes());
    journal.extend(sum.to_be_bytes());
    journal.extend(magic);
    let planted = home.folder().join("ledger.db-journal");
    fs::write(&planted, journal).unwrap();
    let error = home.open().unwrap_err();
    assert!(matches!(error, OpenError::NotOurs(_)), "{error}");
    assert!(home.anchor().exists());
    fs::remove_file(planted).unwrap();
    home.open().unwrap();
}
