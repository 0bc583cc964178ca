//! An attacker writes to the database's file, or reads it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails its test")]

mod common;

use common::{Home, ONE, Saved, THREE, TWO, bytes, contains, events, identity, put, read};
use rusqlite::Connection;
use vault_ledger::{CommitError, Ledger, OpenError, Verification};

/// Rows of the nodes: the root, the one below it, and a bucket for each of the two leaves.
const BRANCH: i64 = 1 << 6;
const BUCKET_OF_ONE: i64 = BRANCH << 6 | 0b01_0000;
const BUCKET_OF_TWO: i64 = BRANCH << 6 | 0b10_0000;

/// Too large for two of them in one bucket.
fn large(name: &str) -> String {
    format!("{name:.<2000}")
}

/// A closed vault with two leaves and three events of the first.
fn vault() -> Home {
    let home = Home::new();
    let ledger = home.create().unwrap();
    put(&ledger, ONE, &large("state of one"));
    put(&ledger, TWO, &large("state of two"));
    let appended = ledger.commit_blocking(|batch| {
        for event in ["first", "second", "third"] {
            batch.append_event(&ONE, event.as_bytes());
        }
        Ok(())
    });
    appended.unwrap();
    ledger.close().unwrap();
    assert_eq!(rows(&home), [1, BRANCH, BUCKET_OF_ONE, BUCKET_OF_TWO]);
    home
}

fn rows(home: &Home) -> Vec<i64> {
    let database = Connection::open(home.database()).unwrap();
    let mut rows = database.prepare("SELECT id FROM node ORDER BY id").unwrap();
    let rows = rows.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

fn verification(ledger: &Ledger) -> Verification {
    let found = ledger.commit_blocking(|batch| batch.verify());
    found.unwrap().into_inner()
}

// Fails when `Tree::load` leaves the place out of the associated data and both nodes have one key.
#[test]
fn two_exchanged_nodes_make_their_leaves_unavailable() {
    let home = vault();
    home.tamper(&format!(
        "CREATE TEMP TABLE kept AS SELECT id, sealed FROM node WHERE id > {BRANCH};
         UPDATE node SET sealed = (SELECT sealed FROM kept WHERE kept.id <> node.id)
         WHERE id > {BRANCH}"
    ));
    let ledger = home.open().unwrap();
    for key in [ONE, TWO] {
        assert_eq!(read(&ledger, key), Err(CommitError::Unavailable));
    }
    assert_eq!(ledger.unavailable_reads(), 2);
    assert!(ledger.is_healthy());
}

// Fails when `Tree::get` takes a missing row for an empty bucket.
#[test]
fn an_edited_or_missing_bucket_is_unavailable_and_the_others_are_not() {
    let edits = [
        "UPDATE node SET sealed = CAST(substr(sealed, 1, 13) || zeroblob(4) || substr(sealed, 18) AS BLOB)",
        "UPDATE node SET sealed = CAST(x'01' || substr(sealed, 2) AS BLOB)",
        "UPDATE node SET sealed = CAST(substr(sealed, 1, length(sealed) - 1) AS BLOB)",
        "UPDATE node SET sealed = CAST(substr(sealed, 1, 5) AS BLOB)",
        "UPDATE node SET sealed = x''",
        "DELETE FROM node",
    ];
    for edit in edits {
        let home = vault();
        home.tamper(&format!("{edit} WHERE id = {BUCKET_OF_ONE}"));
        let ledger = home.open().unwrap();
        let state = read(&ledger, ONE);
        assert_eq!(state, Err(CommitError::Unavailable), "{edit}");
        assert_eq!(read(&ledger, TWO).unwrap(), Some(large("state of two")));
        let found = verification(&ledger);
        assert_eq!((found.leaves, found.nodes), (1, 3), "{edit}");
        assert_eq!(found.missing + found.unreadable, 1, "{edit}");
        assert!(!found.is_clean());
    }
}

#[test]
fn a_missing_branch_makes_everything_below_it_unavailable() {
    let home = vault();
    home.tamper(&format!("DELETE FROM node WHERE id = {BRANCH}"));
    let ledger = home.open().unwrap();
    for key in [ONE, TWO, THREE] {
        assert_eq!(read(&ledger, key), Err(CommitError::Unavailable));
    }
    let found = verification(&ledger);
    assert_eq!((found.nodes, found.missing, found.stray), (1, 1, 2));
    // Another branch is not concerned.
    assert_eq!(read(&ledger, vault_ledger::LeafKey([0xff; 32])), Ok(None));
}

// Fails when `Tree::rewrite_child` seals a node again under its former key.
#[test]
fn an_older_bucket_or_branch_put_back_is_unavailable() {
    for (row, other_is_readable) in [(BUCKET_OF_ONE, true), (BRANCH, false)] {
        let home = vault();
        home.tamper(&format!(
            "CREATE TABLE kept AS SELECT id, sealed FROM node WHERE id = {row}"
        ));
        // The ledger wants its own tables only: the saved rows wait in another file.
        let saved = home.anchor().with_file_name("saved");
        home.tamper(&format!(
            "ATTACH {saved:?} AS saved; CREATE TABLE saved.kept AS SELECT * FROM main.kept;
             DROP TABLE main.kept"
        ));
        let ledger = home.open().unwrap();
        put(&ledger, ONE, &large("newer state of one"));
        ledger.close().unwrap();
        home.tamper(&format!(
            "ATTACH {saved:?} AS saved;
             UPDATE node SET sealed = (SELECT sealed FROM saved.kept) WHERE id = {row}"
        ));
        let ledger = home.open().unwrap();
        assert_eq!(read(&ledger, ONE), Err(CommitError::Unavailable));
        assert_eq!(read(&ledger, TWO).is_ok(), other_is_readable);
    }
}

// Fails when `open::latest_tree` starts with an empty tree where none opens, or when
// `claimed_sequence` says another number than the row.
#[test]
fn an_edited_missing_or_older_root_refuses_the_start() {
    // Whether the rest of the row still says its number.
    let edits = [
        (
            "UPDATE node SET sealed = CAST(substr(sealed, 1, 13) || zeroblob(4) || substr(sealed, 18) AS BLOB)",
            true,
        ),
        ("UPDATE node SET sealed = x'00'", false),
        ("DELETE FROM node", false),
    ];
    for (edit, is_numbered) in edits {
        let home = vault();
        home.tamper(&format!("{edit} WHERE id = 1"));
        let error = home.open().unwrap_err();
        let OpenError::NotTheLatest { database, anchors } = error else {
            panic!("{error}")
        };
        assert!(anchors.is_some());
        assert_eq!(database, anchors.filter(|_| is_numbered));
    }
}

// Fails when `Batch::change` does not look at the stored leaf.
#[test]
fn a_leaf_that_cannot_be_opened_is_never_overwritten_or_removed() {
    let home = vault();
    home.tamper(&format!("DELETE FROM node WHERE id = {BUCKET_OF_ONE}"));
    let ledger = home.open().unwrap();
    let written = ledger.commit_blocking(|batch| {
        batch.put(&TWO, bytes("must not stay"));
        batch.put(&ONE, bytes("absent, it seemed"));
        Ok(())
    });
    assert_eq!(written.unwrap_err(), CommitError::Unavailable);
    let removed = ledger.commit_blocking(|batch| {
        batch.remove(&ONE);
        Ok(())
    });
    assert_eq!(removed.unwrap_err(), CommitError::Unavailable);
    let appended = ledger.commit_blocking(|batch| {
        batch.append_event(&ONE, b"the first, it seemed");
        Ok(())
    });
    assert_eq!(appended.unwrap_err(), CommitError::Unavailable);
    assert_eq!(read(&ledger, TWO).unwrap(), Some(large("state of two")));
    assert_eq!(read(&ledger, ONE), Err(CommitError::Unavailable));
}

#[test]
fn a_change_may_pass_over_an_unavailable_leaf_and_do_something_else() {
    let home = vault();
    home.tamper(&format!(
        "UPDATE node SET sealed = x'01' WHERE id = {BUCKET_OF_ONE}"
    ));
    let ledger = home.open().unwrap();
    let swept = ledger.commit_blocking(|batch| {
        let passed_over = batch.read(&ONE).is_err();
        batch.schedule(&ONE, None);
        batch.put(&THREE, bytes("swept"));
        Ok(passed_over)
    });
    assert!(swept.unwrap().into_inner());
    assert_eq!(read(&ledger, THREE).unwrap().as_deref(), Some("swept"));
}

#[test]
fn removed_exchanged_and_edited_events_are_unavailable() {
    let edits = [
        "DELETE FROM event WHERE id = 2",
        "DELETE FROM event WHERE id = 3",
        "UPDATE event SET id = 9 WHERE id = 2",
        "UPDATE event SET sealed = x'01' WHERE id = 2",
        "UPDATE event SET sealed = (SELECT sealed FROM event WHERE id = 3)
         WHERE id = 2",
        "UPDATE event SET sealed = (SELECT sealed FROM node LIMIT 1) WHERE id = 2",
    ];
    for edit in edits {
        let home = vault();
        home.tamper(edit);
        let ledger = home.open().unwrap();
        let found = events(&ledger, ONE, 3);
        assert_eq!(found, Err(CommitError::Unavailable), "{edit}");
        assert_eq!(verification(&ledger).broken_events, 1, "{edit}");
    }
}

// Fails when `Leaves::due_after` does not ask the leaf, or `Store::put_row` only inserts.
#[test]
fn planted_rows_are_read_by_nobody_and_give_way() {
    let home = vault();
    home.tamper(&format!(
        "INSERT INTO node VALUES ({}, x'00');
         INSERT INTO event SELECT 4, sealed FROM event WHERE id = 3;
         INSERT INTO due VALUES (5, zeroblob(32)), (5, CAST(randomblob(32) AS BLOB))",
        BUCKET_OF_ONE + 1
    ));
    let ledger = home.open().unwrap();
    assert_eq!(verification(&ledger).stray, 1);
    assert_eq!(
        events(&ledger, ONE, 9).unwrap(),
        ["first", "second", "third"]
    );
    assert!(common::due(&ledger, u64::MAX, 9).is_empty());
    let key = {
        let mut key = [0x01; 32];
        key[1] = 0x10;
        vault_ledger::LeafKey(key)
    };
    put(&ledger, key, "in the planted row's place");
    let appended = ledger.commit_blocking(|batch| {
        batch.append_event(&ONE, b"fourth");
        Ok(())
    });
    appended.unwrap();
    assert!(verification(&ledger).is_clean());
    assert_eq!(events(&ledger, ONE, 2).unwrap(), ["third", "fourth"]);
}

#[test]
fn an_anchor_does_not_open_with_another_master_key_of_the_same_name() {
    let home = vault();
    let mut other = identity();
    other.master_key = vault_ledger::MasterKey::new(&[0x56; 32]);
    let error = Ledger::open(home.options(), other).unwrap_err();
    assert!(matches!(error, OpenError::AnchorForeign(_)), "{error}");
}

#[test]
fn a_folder_put_back_without_its_anchor_is_refused_and_opens_with_it() {
    let home = vault();
    let saved = Saved::of(&home);
    let ledger = home.open().unwrap();
    put(&ledger, ONE, "counted");
    ledger.close().unwrap();
    let latest = Saved::of(&home);
    saved.restore_folder(&home);
    let error = home.open().unwrap_err();
    assert!(
        error.to_string().starts_with(
            "the database is not the latest one: its root is of batch 5, \
             and the anchor's newest key is of batch 7; "
        ),
        "{error}"
    );
    // An anchor that was copied together with the data gives this away.
    saved.restore_anchor(&home);
    home.open().unwrap().close().unwrap();
    latest.restore_folder(&home);
    latest.restore_anchor(&home);
    assert_eq!(
        read(&home.open().unwrap(), ONE).unwrap().as_deref(),
        Some("counted")
    );
}

// Fails when `FreshKey::seal` gives back its plaintext.
#[test]
fn no_plaintext_of_a_leaf_or_an_event_is_in_any_file() {
    let home = Home::new();
    let ledger = home.create().unwrap();
    let canaries: Vec<String> = (0..200)
        .map(|number| format!("canary-{number:03}-6f1d20c7a9"))
        .collect();
    for (number, canary) in (0..).zip(&canaries) {
        let canary = canary.clone();
        let change = move |batch: &mut vault_ledger::Batch<'_>| {
            let key = vault_ledger::LeafKey([number % 50; 32]);
            batch.put(&key, bytes(&canary));
            batch.append_event(&key, canary.as_bytes());
            batch.schedule(&key, Some(1));
            Ok(())
        };
        ledger.commit_blocking(change).unwrap();
    }
    let look = |when: &str| {
        for (name, content) in home.files() {
            for canary in ["canary", "6f1d20c7a9"] {
                let found = contains(&content, canary.as_bytes());
                assert!(!found, "{canary} is in {name:?} {when}");
            }
            assert!(
                !contains(&content, &[0x55; 32]),
                "the master key is in {name:?}"
            );
        }
    };
    look("while open");
    ledger.close().unwrap();
    look("when closed");
    // The search can find something: leaf keys in the due index are in the clear.
    assert!(
        home.files()
            .iter()
            .any(|(_, content)| contains(content, &[49; 32]))
    );
}
