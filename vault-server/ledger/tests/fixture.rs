//! A database that an earlier version of this program wrote opens for ever.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails its test")]

mod common;

use std::fs;
use std::path::Path;

use common::{Home, ONE, THREE, TWO, bytes, copy_private, due, events, identity, read};
use vault_ledger::{LeafKey, Ledger, OpenError};

/// In another bucket than the others.
const LARGE: LeafKey = LeafKey([0xc0; 32]);

const DATABASE_V2: &str = "tests/fixtures/ledger-v2.db";
const ANCHOR_V2: &str = "tests/fixtures/ledger-v2.anchor";

/// Puts the fixture where the home's vault is. Opening it changes both files.
fn home_of_fixture() -> Home {
    let home = Home::with_vault();
    copy_private(Path::new(DATABASE_V2), &home.database());
    copy_private(Path::new(ANCHOR_V2), &home.anchor());
    home
}

#[test]
fn a_database_of_version_2_opens_with_all_it_holds() {
    let home = home_of_fixture();
    let ledger = Ledger::open(home.options(), identity()).unwrap();
    assert_eq!(read(&ledger, ONE).unwrap().as_deref(), Some("state of one"));
    assert_eq!(read(&ledger, TWO).unwrap().as_deref(), Some("state of two"));
    assert_eq!(read(&ledger, THREE), Ok(None));
    assert_eq!(read(&ledger, LARGE), Ok(Some("large".repeat(1000))));
    assert_eq!(events(&ledger, ONE, 9).unwrap(), ["first", "second"]);
    assert_eq!(due(&ledger, 2_000, 9), [TWO]);
    let found = ledger.commit_blocking(|batch| batch.verify()).unwrap();
    assert!(found.is_clean(), "{found:?}");
    assert_eq!((found.leaves, found.nodes), (3, 3));
}

#[test]
fn a_database_without_a_key_tree_is_refused_and_left_alone() {
    let home = home_of_fixture();
    home.tamper("PRAGMA user_version = 1");
    let before = fs::read(home.anchor()).unwrap();
    let error = Ledger::open(home.options(), identity()).unwrap_err();
    assert!(matches!(error, OpenError::BeforeTheTree), "{error}");
    assert_eq!(fs::read(home.anchor()).unwrap(), before);
}

/// How the fixture was made. Run it only for a new version of the format, with a new name.
#[test]
#[ignore = "writes the fixture"]
fn make() {
    let home = Home::new();
    let ledger = home.create().unwrap();
    let made = ledger.commit_blocking(|batch| {
        batch.put(&ONE, bytes("state of one"));
        batch.put(&TWO, bytes("state of two"));
        batch.put(&LARGE, bytes(&"large".repeat(1000)));
        batch.append_event(&ONE, b"first");
        batch.append_event(&ONE, b"second");
        batch.schedule(&TWO, Some(2_000));
        Ok(())
    });
    made.unwrap();
    ledger.close().unwrap();
    assert!(!Path::new(DATABASE_V2).exists(), "a fixture never changes");
    fs::copy(home.database(), DATABASE_V2).unwrap();
    fs::copy(home.anchor(), ANCHOR_V2).unwrap();
}
