//! A database that an earlier version of this program wrote opens for ever.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails its test")]

mod common;

use std::fs;
use std::path::Path;

use common::{Home, ONE, THREE, TWO, bytes, copy_private, due, events, identity, read};
use vault_ledger::Ledger;

const DATABASE_V1: &str = "tests/fixtures/ledger-v1.db";

#[test]
fn a_database_of_version_1_opens_with_all_it_holds() {
    let home = Home::with_vault();
    copy_private(Path::new(DATABASE_V1), &home.database());
    let ledger = Ledger::open(home.options(), identity()).unwrap();
    assert_eq!(read(&ledger, ONE).unwrap().as_deref(), Some("state of one"));
    assert_eq!(read(&ledger, TWO).unwrap().as_deref(), Some("state of two"));
    assert_eq!(read(&ledger, THREE), Ok(None));
    assert_eq!(events(&ledger, ONE, 9).unwrap(), ["first", "second"]);
    assert_eq!(due(&ledger, 2_000, 9), [TWO]);
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
        batch.append_event(&ONE, b"first");
        batch.append_event(&ONE, b"second");
        batch.schedule(&TWO, Some(2_000));
        Ok(())
    });
    made.unwrap();
    ledger.close().unwrap();
    assert!(!Path::new(DATABASE_V1).exists(), "a fixture never changes");
    fs::copy(home.database(), DATABASE_V1).unwrap();
}
