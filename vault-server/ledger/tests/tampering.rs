//! Someone writes to the database's file, or reads it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails its test")]

mod common;

use common::{Home, ONE, THREE, TWO, bytes, contains, events, identity, put, read};
use vault_ledger::{CommitError, Ledger};

/// A closed vault with two leaves and three events of the first.
fn vault() -> Home {
    let home = Home::new();
    let ledger = home.create().unwrap();
    put(&ledger, ONE, "state of one");
    put(&ledger, TWO, "state of two");
    let appended = ledger.commit_blocking(|batch| {
        for event in ["first", "second", "third"] {
            batch.append_event(&ONE, event.as_bytes());
        }
        Ok(())
    });
    appended.unwrap();
    home
}

// Fails when `Sealer` leaves the place out of both its key and its associated data.
#[test]
fn two_exchanged_leaves_are_unavailable() {
    let home = vault();
    home.tamper(
        "CREATE TEMP TABLE kept AS SELECT leaf_key, sealed FROM leaf;
         UPDATE leaf SET sealed =
             (SELECT sealed FROM kept WHERE kept.leaf_key <> leaf.leaf_key)",
    );
    let ledger = home.open().unwrap();
    for key in [ONE, TWO] {
        assert_eq!(read(&ledger, key), Err(CommitError::Unavailable));
    }
    assert_eq!(ledger.unavailable_reads(), 2);
    assert!(ledger.is_healthy());
}

#[test]
fn an_edited_leaf_is_unavailable_and_the_others_are_not() {
    let edits = [
        "substr(sealed, 1, 13) || zeroblob(1) || substr(sealed, 15)",
        "x'02' || substr(sealed, 2)",
        "substr(sealed, 1, length(sealed) - 1)",
        "substr(sealed, 1, 5)",
        "x''",
    ];
    for edit in edits {
        let home = vault();
        let edit = format!("UPDATE leaf SET sealed = CAST({edit} AS BLOB)");
        home.tamper(&format!("{edit} WHERE hex(leaf_key) LIKE '01%'"));
        let ledger = home.open().unwrap();
        let state = read(&ledger, ONE);
        assert_eq!(state, Err(CommitError::Unavailable), "{edit}");
        assert_eq!(read(&ledger, TWO).unwrap().as_deref(), Some("state of two"));
    }
}

// Fails when `Batch::change` does not look at the stored leaf.
#[test]
fn a_leaf_that_cannot_be_opened_is_never_overwritten_or_removed() {
    let home = vault();
    home.tamper("UPDATE leaf SET sealed = x'01' WHERE hex(leaf_key) LIKE '01%'");
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
    assert_eq!(read(&ledger, TWO).unwrap().as_deref(), Some("state of two"));
    assert_eq!(read(&ledger, ONE), Err(CommitError::Unavailable));
}

#[test]
fn a_change_may_pass_over_an_unavailable_leaf_and_do_something_else() {
    let home = vault();
    home.tamper("UPDATE leaf SET sealed = x'01' WHERE hex(leaf_key) LIKE '01%'");
    let ledger = home.open().unwrap();
    let swept = ledger.commit_blocking(|batch| {
        let passed_over = batch.read(&ONE).is_err();
        batch.put(&THREE, bytes("swept"));
        Ok(passed_over)
    });
    assert!(swept.unwrap().into_inner());
    assert_eq!(read(&ledger, THREE).unwrap().as_deref(), Some("swept"));
}

#[test]
fn removed_exchanged_and_edited_events_are_unavailable() {
    let edits = [
        "DELETE FROM event WHERE sequence = 2",
        "UPDATE event SET sequence = 9 WHERE sequence = 2",
        "UPDATE event SET sealed = x'01' WHERE sequence = 2",
        "UPDATE event SET sealed = (SELECT sealed FROM event WHERE sequence = 3)
         WHERE sequence = 2",
        "UPDATE event SET sealed = (SELECT sealed FROM leaf LIMIT 1) WHERE sequence = 2",
    ];
    for edit in edits {
        let home = vault();
        home.tamper(edit);
        let ledger = home.open().unwrap();
        let found = events(&ledger, ONE, 3);
        assert_eq!(found, Err(CommitError::Unavailable), "{edit}");
    }
}

#[test]
fn a_leaf_does_not_open_with_another_master_key_of_the_same_name() {
    let home = vault();
    let mut other = identity();
    other.master_key = vault_ledger::MasterKey::new([0x56; 32]);
    let ledger = Ledger::open(home.options(), other).unwrap();
    assert_eq!(read(&ledger, ONE), Err(CommitError::Unavailable));
    assert_eq!(read(&ledger, THREE), Ok(None));
}

// Fails when `Leaves::write_leaf` or `write_events` stores its plaintext.
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
    // The search can find something: leaf keys are in the clear.
    assert!(
        home.files()
            .iter()
            .any(|(_, content)| contains(content, &[49; 32]))
    );
}
