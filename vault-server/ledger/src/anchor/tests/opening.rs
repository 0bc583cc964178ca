//! Opening and creating.

use super::*;
use crate::anchor::file::refuse_in_folder;

#[test]
fn a_missing_anchor_is_refused_with_what_to_do() {
    let home = Home::new();
    let error = home.refused();
    assert!(matches!(error, OpenError::AnchorMissing(_)));
    assert!(error.to_string().contains("vault-server anchor remove"));
    assert!(!home.anchor().exists());
}

#[test]
fn a_link_a_folder_and_an_exposed_file_are_refused() {
    let home = Home::new();
    drop(home.at(5));
    fs::set_permissions(home.anchor(), Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(home.refused(), OpenError::Exposed { .. }));
    fs::set_permissions(home.anchor(), Permissions::from_mode(0o600)).unwrap();

    symlink(home.anchor(), home.path("link")).unwrap();
    fs::create_dir(home.path("folder")).unwrap();
    for name in ["link", "folder"] {
        let error = open(&home.path(name)).err().unwrap();
        assert!(matches!(error, OpenError::WrongKind(_)), "{name}");
    }
}

// Fails when `open_locked` does not count the names.
#[test]
fn an_anchor_with_a_second_name_is_refused_until_that_is_gone() {
    let home = Home::new();
    drop(home.at(5));
    fs::hard_link(home.anchor(), home.path("second")).unwrap();
    for name in ["anchor", "second"] {
        let error = open(&home.path(name)).err().unwrap();
        assert!(matches!(error, OpenError::AnchorLinked(ref path) if *path == home.path(name)));
    }
    fs::remove_file(home.path("second")).unwrap();
    assert_slots(&home.open(), ["live 5", "empty 5"]);
}

// Fails when `open` does not compare the size, or takes a file without any slot that opens.
#[test]
fn a_file_of_another_size_or_with_no_readable_slot_is_refused() {
    let home = Home::new();
    drop(home.at(5));
    let bytes = home.bytes();
    let long = [&bytes[..], &[0]].concat();
    for wrong in [&bytes[..0], &bytes[..SLOT], &bytes[..2 * SLOT - 1], &long] {
        home.overwrite(wrong);
        assert!(matches!(home.refused(), OpenError::AnchorForeign(_)));
    }
    home.overwrite(&[0; 2 * SLOT]);
    assert!(matches!(home.refused(), OpenError::AnchorForeign(_)));
}

#[test]
fn another_vault_and_another_keyring_are_refused() {
    let home = Home::new();
    drop(home.at(5));
    let vault = VaultIdentity {
        vault_id: "other".to_owned(),
        ..identity()
    };
    let keyring = VaultIdentity {
        master_key: MasterKey::new(&[2; 32]),
        ..identity()
    };
    for other in [vault, keyring] {
        let refused = FileAnchor::open(&Locator::parse(home.anchor()), &other);
        let error = refused.err().unwrap();
        assert!(matches!(error, OpenError::AnchorForeign(_)));
    }
}

// Fails when `common_id` takes the first id without comparing.
#[test]
fn a_slot_copied_in_from_another_anchor_of_the_vault_is_refused() {
    let (home, other) = (Home::new(), Home::new());
    drop((home.at(5), other.at(5)));
    let mixed = [&home.bytes()[..SLOT], &other.bytes()[SLOT..]].concat();
    home.overwrite(&mixed);
    assert!(matches!(home.refused(), OpenError::AnchorForeign(_)));
}

// Fails when `open_locked` or `create` does not lock.
#[test]
fn a_second_open_is_refused_while_the_first_lives() {
    let home = Home::new();
    let created = home.create();
    assert!(matches!(home.refused(), OpenError::AnchorLocked(_)));
    let again = create(&home.anchor()).err().unwrap();
    assert!(matches!(again, OpenError::AnchorLocked(_)));
    drop(created);
    let opened = home.open();
    assert!(matches!(home.refused(), OpenError::AnchorLocked(_)));
    drop(opened);
    home.open();
}

// Fails when `unused` takes any sequence.
#[test]
fn creating_never_replaces_an_anchor_that_a_vault_lives_on() {
    let home = Home::new();
    drop(home.at(2));
    let before = home.bytes();
    let error = create(&home.anchor()).err().unwrap();
    assert!(matches!(error, OpenError::AnchorExists(_)));

    // Not even when the slot of that vault is damaged: the marker shows the sequence too.
    let mut damaged = before.clone();
    damaged[WRITTEN - 1] ^= 1;
    home.overwrite(&damaged);
    assert_slots(&home.open(), ["unreadable", "empty 2"]);
    let error = create(&home.anchor()).err().unwrap();
    assert!(matches!(error, OpenError::AnchorExists(_)));
    assert_eq!(home.bytes(), damaged);
}

#[test]
fn creating_never_replaces_a_file_of_somebody_else() {
    let home = Home::new();
    fs::write(home.anchor(), "a diary").unwrap();
    fs::set_permissions(home.anchor(), Permissions::from_mode(0o600)).unwrap();
    let error = create(&home.anchor()).err().unwrap();
    assert!(matches!(error, OpenError::AnchorExists(_)));
    assert_eq!(home.bytes(), b"a diary");
}

// Fails when `remove_unfinished` removes whatever has the name.
#[test]
fn creating_never_removes_an_anchor_in_use_with_the_name_of_an_unfinished_one() {
    let home = Home::new();
    drop(home.at(5));
    fs::rename(home.anchor(), home.path(UNFINISHED)).unwrap();
    let error = create(&home.anchor()).err().unwrap();
    assert!(matches!(error, OpenError::AnchorExists(_)));
    assert!(open(&home.path(UNFINISHED)).is_ok());
}

#[test]
fn an_interrupted_creation_is_done_again() {
    let home = Home::new();
    fs::write(home.path(UNFINISHED), [0; SLOT]).unwrap();
    let first = home.create().id();
    assert!(!home.path(UNFINISHED).exists());

    let mut second = home.create();
    assert_ne!(second.id(), first);
    second.prepare(0, &live(1)).unwrap();
    drop(second);
    assert_slots(&home.create(), ["empty 0", "empty 0"]);
    assert_slots(&home.open(), ["empty 0", "empty 0"]);
}

#[test]
fn a_new_anchor_belongs_to_its_owner_alone() {
    let home = Home::new();
    let path = home.path("volume/vault/anchor");
    drop(create(&path).unwrap());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(fs::metadata(&path).unwrap().len(), 2 * SLOT as u64);
}

// Fails when `refuse_in_folder` compares the paths as they are written.
#[test]
fn an_anchor_inside_the_data_folder_is_refused() {
    let home = Home::new();
    let data = home.path("data");
    fs::create_dir(&data).unwrap();
    symlink(&data, home.path("link")).unwrap();
    let refused = |folder: &str, anchor: &str| {
        let paths = [home.anchor(), home.path(anchor)];
        match refuse_in_folder(&home.path(folder), &locators(&paths)) {
            Err(OpenError::AnchorInFolder(path)) => path == paths[1],
            Err(error) => panic!("{error}"),
            Ok(()) => false,
        }
    };
    for inside in [
        "data/anchor",
        "data/a/b",
        "link/new/anchor",
        "a/../data/anchor",
        "data",
    ] {
        assert!(refused("data", inside), "{inside}");
        assert!(refused("link", inside), "{inside}");
        assert!(!refused("not-yet", inside), "{inside}");
    }
    assert!(refused("not-yet", "not-yet/anchor"));
    for outside in ["data-anchor", "data/../other", "new/anchor"] {
        assert!(!refused("data", outside), "{outside}");
    }
}
