//! Refused starts, and the words of the refusals.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails its test")]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use common::{Home, ONE, Saved, identity, put, read};
use rusqlite::Connection;
use vault_ledger::{CommitError, LeafKey, Ledger, MasterKey, OpenError, VaultIdentity};

fn refused(home: &Home) -> OpenError {
    home.open().expect_err("the vault should not open")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_second_opener_is_refused_until_the_first_is_gone() {
    let home = Home::new();
    let ledger = home.create().unwrap();
    let second = refused(&home);
    assert!(matches!(second, OpenError::Locked(_)));
    assert!(
        second
            .to_string()
            .starts_with("another process has the vault in ")
    );
    let creation = home.create().unwrap_err();
    assert!(matches!(creation, OpenError::Locked(_)));
    drop(ledger);
    home.open().unwrap();
}

#[test]
fn an_open_database_is_locked_for_other_programs_too() {
    let home = Home::new();
    let ledger = home.create().unwrap();
    let other = Connection::open(home.database()).unwrap();
    other.busy_timeout(std::time::Duration::ZERO).unwrap();
    let count = other.query_row("SELECT count(*) FROM node", [], |row| row.get::<_, i64>(0));
    assert!(count.is_err());
    drop(ledger);
}

#[test]
fn a_database_that_another_program_reads_is_refused() {
    let home = Home::with_vault();
    let other = Connection::open(home.database()).unwrap();
    other
        .execute_batch("BEGIN; SELECT count(*) FROM node")
        .unwrap();
    assert!(matches!(refused(&home), OpenError::Locked(_)));
    drop(other);
    home.open().unwrap();
}

#[test]
fn a_folder_without_a_vault_is_refused_and_left_alone() {
    let home = Home::new();
    let error = refused(&home);
    assert!(matches!(error, OpenError::NotFound(_)));
    assert!(
        error
            .to_string()
            .ends_with("run `vault-server init` to make one")
    );
    assert!(!home.folder().exists());
    fs::create_dir(home.folder()).unwrap();
    chmod(&home.folder(), 0o700);
    assert!(matches!(refused(&home), OpenError::NotFound(_)));
    assert!(home.files().is_empty());
}

#[test]
fn an_existing_vault_is_never_overwritten() {
    let home = Home::new();
    let ledger = home.create().unwrap();
    put(&ledger, ONE, "precious");
    drop(ledger);
    let error = home.create().unwrap_err();
    assert!(matches!(error, OpenError::AlreadyExists(_)));
    let ledger = home.open().unwrap();
    assert_eq!(read(&ledger, ONE).unwrap().as_deref(), Some("precious"));
}

#[test]
fn what_an_interrupted_creation_left_is_no_obstacle() {
    let home = Home::new();
    fs::create_dir(home.folder()).unwrap();
    chmod(&home.folder(), 0o700);
    fs::write(home.folder().join("ledger.db.new"), b"half a database").unwrap();
    assert!(matches!(refused(&home), OpenError::NotFound(_)));
    home.create().unwrap();
}

#[test]
fn another_vault_s_or_another_keyring_s_database_is_refused() {
    let home = Home::with_vault();
    let other_vault = VaultIdentity {
        vault_id: "vault-2".to_owned(),
        ..identity()
    };
    let error = Ledger::open(home.options(), other_vault).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the database belongs to vault \"vault-1\", not to \"vault-2\"; \
         correct the vault id or the folder in the configuration"
    );
    let other_keyring = VaultIdentity {
        keyring_fingerprint: [0xf2; 32],
        master_key: MasterKey::new(&[0x56; 32]),
        ..identity()
    };
    let error = Ledger::open(home.options(), other_keyring).unwrap_err();
    assert!(matches!(error, OpenError::OtherKeyring));
    home.open().unwrap();
}

#[test]
fn a_newer_database_is_refused_with_both_versions() {
    let home = Home::with_vault();
    home.tamper("PRAGMA user_version = 7");
    assert_eq!(
        refused(&home).to_string(),
        "the database has version 7, this program knows versions up to 2; use the newer vault-server"
    );
}

#[test]
fn another_format_of_rows_is_refused() {
    let home = Home::with_vault();
    home.tamper("UPDATE meta SET format = 3");
    let error = refused(&home);
    assert!(matches!(
        error,
        OpenError::OtherFormat { found: 3, known: 2 }
    ));
}

// Fails when `schema::refuse_difference` is not called.
#[test]
fn planted_triggers_views_tables_columns_and_indexes_are_refused_by_name() {
    let plants = [
        (
            "CREATE TRIGGER keep BEFORE UPDATE ON node BEGIN SELECT RAISE(IGNORE); END",
            "keep",
        ),
        ("CREATE VIEW shadow AS SELECT * FROM node", "shadow"),
        ("CREATE TABLE extra (x)", "extra"),
        ("ALTER TABLE node ADD COLUMN extra TEXT", "node"),
        ("CREATE INDEX more ON node (sealed)", "more"),
        ("DROP TABLE due", "due"),
        ("DROP TABLE event", "event"),
        ("ANALYZE", "sqlite_stat1"),
    ];
    for (plant, name) in plants {
        let home = Home::with_vault();
        home.tamper("INSERT INTO node VALUES (9, x'00')");
        home.tamper(plant);
        match refused(&home) {
            OpenError::SchemaDiffers(object) => assert_eq!(object, name, "{plant}"),
            other => panic!("{plant}: {other}"),
        }
    }
}

// Fails when the database's version is not looked at and the schema compared with the newest only.
#[test]
fn a_database_set_back_to_no_version_is_refused() {
    let home = Home::with_vault();
    home.tamper("PRAGMA user_version = 0");
    home.open().unwrap_err();
    home.tamper("PRAGMA user_version = -1");
    home.open().unwrap_err();
    home.tamper("PRAGMA user_version = 2");
    home.open().unwrap();
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let home = Home::with_vault();
    fs::write(home.database(), b"this is not SQLite's format").unwrap();
    assert!(matches!(refused(&home), OpenError::Storage(_)));
    fs::write(home.database(), b"").unwrap();
    assert!(matches!(refused(&home), OpenError::SchemaDiffers(_)));
}

#[test]
fn files_are_the_owner_s_alone_whatever_the_umask() {
    let home = Home::new();
    let ledger = home.create().unwrap();
    put(&ledger, ONE, "state");
    assert_eq!(mode(&home.folder()), 0o700);
    let names: Vec<_> = home.files().into_iter().map(|(path, _)| path).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    for name in names {
        assert_eq!(mode(&name), 0o600, "{name:?}");
    }
}

// Fails when `Folder::open` does not call `refuse_exposed_file`.
#[test]
fn a_file_or_folder_that_others_can_read_is_refused() {
    let home = Home::with_vault();
    for name in ["ledger.db", "ledger.db-wal", "ledger.lock"] {
        let path = home.folder().join(name);
        chmod(&path, 0o640);
        let error = refused(&home);
        assert!(
            matches!(error, OpenError::Exposed { .. }),
            "{name}: {error}"
        );
        assert!(
            error
                .to_string()
                .ends_with("(mode 0640); run `chmod 0600` on it")
        );
        chmod(&path, 0o600);
    }
    chmod(&home.folder(), 0o750);
    let error = refused(&home);
    assert!(
        error
            .to_string()
            .ends_with("(mode 0750); run `chmod 0700` on it")
    );
    let error = home.create().unwrap_err();
    assert!(matches!(error, OpenError::Exposed { .. }));
    chmod(&home.folder(), 0o700);
    home.open().unwrap();
}

#[test]
fn links_in_place_of_the_vault_s_files_are_refused() {
    for name in ["ledger.db", "ledger.db-wal", "ledger.lock"] {
        let home = Home::with_vault();
        let path = home.folder().join(name);
        let elsewhere = home.folder().with_file_name("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        symlink(&elsewhere, &path).unwrap();
        assert!(matches!(refused(&home), OpenError::WrongKind(_)), "{name}");
    }
}

#[test]
fn a_link_to_the_folder_is_the_operator_s_business() {
    let home = Home::with_vault();
    let link = home.folder().with_file_name("link");
    symlink(home.folder(), &link).unwrap();
    Ledger::open(vault_ledger::Options::new(link, home.anchor()), identity()).unwrap();
}

/// A leaf below a child of the root of its own.
fn far(number: u8) -> LeafKey {
    LeafKey([number << 2; 32])
}

/// A vault that was killed after a change, with the database of before that and of the change before:
/// the older one, the newer one.
fn killed() -> (Home, Vec<u8>, Vec<u8>) {
    let home = Home::new();
    let ledger = home.create().unwrap();
    (0..64).for_each(|number| put(&ledger, far(number), &"old".repeat(900)));
    ledger.close().unwrap();
    let older = fs::read(home.database()).unwrap();
    let ledger = home.open().unwrap();
    (0..64).for_each(|number| put(&ledger, far(number), &"new".repeat(900)));
    ledger.close().unwrap();
    let ledger = home.open().unwrap();
    put(&ledger, far(3), "answered");
    let saved = Saved::of(&home);
    ledger.close().unwrap();
    saved.restore_folder(&home);
    saved.restore_anchor(&home);
    let newer = fs::read(home.database()).unwrap();
    (home, older, newer)
}

// SQLite lays the WAL over it, and the root is in the WAL. Fails without `refuse_mixture`; the end of
// it fails when `settle` or the first batch comes before it.
#[test]
fn an_older_database_beside_the_current_wal_is_refused_and_nothing_is_lost() {
    let (home, older, newer) = killed();
    fs::write(home.database(), older).unwrap();
    let before = home.files();
    let error = refused(&home);
    assert!(matches!(error, OpenError::Mixture { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("put back the ledger.db that was")
    );
    assert_eq!(home.files(), before);
    fs::write(home.database(), newer).unwrap();
    let ledger = home.open().unwrap();
    let verified = ledger.commit_blocking(|batch| batch.verify()).unwrap();
    assert!(verified.is_clean());
    let state = read(&ledger, far(3)).unwrap();
    assert_eq!(state.as_deref(), Some("answered"));
}

#[test]
fn a_mixture_opens_when_its_damage_is_accepted_and_from_then_on() {
    let (home, older, _) = killed();
    fs::write(home.database(), older).unwrap();
    let mut options = home.options();
    options.accept_damage = true;
    let ledger = Ledger::open(options, identity()).unwrap();
    let state = read(&ledger, far(3)).unwrap();
    assert_eq!(state.as_deref(), Some("answered"));
    assert_eq!(read(&ledger, far(4)), Err(CommitError::Unavailable));
    ledger.close().unwrap();
    home.open().unwrap();
}

// Fails when `BROKEN_PATHS` is 0.
#[test]
fn one_damaged_page_does_not_keep_a_killed_vault_from_starting() {
    let (home, ..) = killed();
    // SQLite would checkpoint the WAL if it opened the database itself.
    let copy = home.folder().with_file_name("copy");
    fs::copy(home.database(), &copy).unwrap();
    let sealed = "SELECT sealed FROM node WHERE id = 64 + 5";
    let sealed = Connection::open(copy)
        .unwrap()
        .query_row(sealed, [], |row| row.get(0));
    let sealed: Vec<u8> = sealed.unwrap();
    home.edit_bytes(|bytes| {
        let mut found = bytes.windows(32).enumerate();
        let (at, _) = found.find(|(_, window)| *window == &sealed[..32]).unwrap();
        bytes[at + 20] ^= 1;
    });
    let ledger = home.open().unwrap();
    assert_eq!(read(&ledger, far(5)), Err(CommitError::Unavailable));
    let state = read(&ledger, far(3)).unwrap();
    assert_eq!(state.as_deref(), Some("answered"));
}

// SQLite would lay the WAL over the new database, and roll the journal back into it. Fails when
// `Folder::create` does not refuse them.
#[test]
fn a_wal_or_a_journal_without_its_database_is_refused_at_the_creation_and_left_alone() {
    for name in ["ledger.db-wal", "ledger.db-journal"] {
        for is_link in [false, true] {
            let home = Home::new();
            fs::create_dir(home.folder()).unwrap();
            chmod(&home.folder(), 0o700);
            let (planted, elsewhere) = (home.folder().join(name), home.folder().join("notes"));
            fs::write(&elsewhere, b"precious").unwrap();
            match is_link {
                true => symlink(&elsewhere, &planted).unwrap(),
                false => fs::rename(&elsewhere, &planted).unwrap(),
            }
            let error = home.create().unwrap_err();
            assert!(matches!(&error, OpenError::NotOurs(path) if path.ends_with(name)));
            assert_eq!(fs::read(&planted).unwrap(), b"precious");
            fs::remove_file(planted).unwrap();
            home.create().unwrap();
        }
    }
}

// Only root can give a file away. Fails when `refuse_others` does not look at the owner.
#[test]
fn what_belongs_to_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let home = Home::with_vault();
    let inside = ["ledger.db", "ledger.db-wal", "ledger.lock"].map(|name| home.folder().join(name));
    for path in inside.into_iter().chain([home.folder(), home.anchor()]) {
        std::os::unix::fs::chown(&path, Some(1), None).unwrap();
        let error = refused(&home);
        let is_named = matches!(&error, OpenError::ForeignOwner { path: named, owner: 1, .. }
            if named.file_name() == path.file_name());
        assert!(is_named, "{path:?}: {error}");
        std::os::unix::fs::chown(&path, Some(0), None).unwrap();
    }
    home.open().unwrap();
}

// The right database may be somewhere. Fails without `refuse_lost`; the end of it fails when `settle`
// or the first batch comes before it.
#[test]
fn a_database_that_has_lost_what_is_needed_is_refused_unchanged_with_and_without_the_flag() {
    let home = Home::with_vault();
    let ledger = home.open().unwrap();
    (0..64).for_each(|number| put(&ledger, far(number), &"state".repeat(200)));
    ledger.close().unwrap();
    let whole = fs::read(home.database()).unwrap();
    home.tamper("DELETE FROM node WHERE id = 64 + 5; PRAGMA wal_checkpoint(TRUNCATE)");
    let state = || [home.database(), home.anchor()].map(|path| fs::read(path).unwrap());
    let before = state();
    for accept_damage in [false, true] {
        let mut options = home.options();
        options.accept_damage = accept_damage;
        options.needed = vec![far(4), far(5)];
        let error = Ledger::open(options, identity()).unwrap_err();
        assert!(matches!(error, OpenError::NeededLost), "{error}");
        assert!(state() == before);
    }
    fs::write(home.database(), whole).unwrap();
    let mut options = home.options();
    // One that was never stored is not lost.
    options.needed = vec![far(5), LeafKey([0x55; 32])];
    let ledger = Ledger::open(options, identity()).unwrap();
    assert!(read(&ledger, far(5)).unwrap().is_some());
}

// It may be as large as the database. Fails when `Store::settle` does not remove it.
#[test]
fn what_an_interrupted_rebuild_left_is_removed_at_the_next_start() {
    let home = Home::with_vault();
    let left = [
        "ledger.db.new",
        "ledger.db.new-journal",
        "ledger.db.new-wal",
    ];
    for name in left {
        fs::write(home.folder().join(name), b"unfinished").unwrap();
    }
    home.open().unwrap();
    for name in left {
        assert!(!home.folder().join(name).exists(), "{name}");
    }
}

// A full disk, for example. Fails when `Store::replace` checkpoints before the new database is
// complete: the right one would not open any more, and the mixture would without being asked.
#[test]
fn a_rebuild_that_fails_changes_nothing() {
    let (home, older, newer) = killed();
    fs::write(home.database(), older).unwrap();
    let in_the_way = home.folder().join("ledger.db.new");
    fs::create_dir(&in_the_way).unwrap();
    let mut options = home.options();
    options.accept_damage = true;
    let error = Ledger::open(options, identity()).unwrap_err();
    assert!(matches!(error, OpenError::Storage(_)), "{error}");
    fs::remove_dir(in_the_way).unwrap();
    assert!(matches!(refused(&home), OpenError::Mixture { .. }));
    fs::write(home.database(), newer).unwrap();
    let state = read(&home.open().unwrap(), far(3)).unwrap();
    assert_eq!(state.as_deref(), Some("answered"));
}

// Fails when `settled` comes before `refuse_difference`.
#[test]
fn a_wrong_configuration_is_refused_before_a_database_is_rebuilt_or_settled() {
    let (home, older, newer) = killed();
    let mirror = home.anchor().with_file_name("mirror");
    Ledger::add_anchor(&home.options(), &identity(), &mirror).unwrap();
    let mut right = home.options();
    right.anchors.push(mirror);
    // Killed once more: there is a WAL.
    let saved = {
        let ledger = Ledger::open(right.clone(), identity()).unwrap();
        put(&ledger, far(3), "answered again");
        let saved = Saved::of(&home);
        let mirror = fs::read(&right.anchors[1]).unwrap();
        ledger.close().unwrap();
        fs::write(&right.anchors[1], mirror).unwrap();
        saved
    };
    drop(newer);
    saved.restore_folder(&home);
    saved.restore_anchor(&home);
    let whole = fs::read(home.database()).unwrap();
    fs::write(home.database(), older).unwrap();
    let mut wrong = home.options();
    wrong.accept_damage = true;
    let error = Ledger::open(wrong, identity()).unwrap_err();
    assert!(
        matches!(error, OpenError::AnchorNotConfigured(_)),
        "{error}"
    );
    fs::write(home.database(), whole).unwrap();
    let state = read(&Ledger::open(right, identity()).unwrap(), far(3)).unwrap();
    assert_eq!(state.as_deref(), Some("answered again"));
}
