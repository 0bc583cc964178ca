//! A vault with mirrors, of which some are lost, sick, or replaced.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails its test")]

mod common;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use common::{Home, ONE, identity, put, read};
use vault_ledger::{Ledger, OpenError, Options, Removed};

/// A closed vault with three anchors, and a leaf with the state "kept".
struct Mirrored {
    home: Home,
    anchors: [PathBuf; 3],
}

impl Mirrored {
    fn new() -> Mirrored {
        let home = Home::with_vault();
        let volume = home.anchor().parent().unwrap().to_owned();
        let anchors = [home.anchor(), volume.join("b"), volume.join("c")];
        let mirrored = Mirrored { home, anchors };
        for count in 1..3 {
            let added = &mirrored.anchors[count];
            Ledger::add_anchor(&mirrored.with(0..count), &identity(), added).unwrap();
        }
        let ledger = mirrored.open(0..3).unwrap();
        put(&ledger, ONE, "kept");
        ledger.close().unwrap();
        mirrored
    }

    /// A configuration with these of the anchors.
    fn with(&self, indices: impl IntoIterator<Item = usize>) -> Options {
        let mut options = self.home.options();
        let anchors = indices.into_iter();
        options.anchors = anchors.map(|index| self.anchors[index].clone()).collect();
        options
    }

    fn open(&self, indices: impl IntoIterator<Item = usize>) -> Result<Ledger, OpenError> {
        Ledger::open(self.with(indices), identity())
    }

    /// Removes some, while the configuration names all of them.
    fn remove(&self, paths: &[&Path]) -> Result<Vec<Removed>, OpenError> {
        let paths: Vec<_> = paths.iter().map(|path| path.to_path_buf()).collect();
        Ledger::remove_anchors(&self.with(0..3), &identity(), &paths)
    }

    #[track_caller]
    fn assert_opens_with(&self, indices: impl IntoIterator<Item = usize>) {
        let ledger = self.open(indices).unwrap();
        assert_eq!(read(&ledger, ONE).unwrap().as_deref(), Some("kept"));
        ledger.close().unwrap();
    }
}

// Fails when `open_removing` opens the vault with the anchors of the other paths still in it.
#[test]
fn two_lost_anchors_of_three_are_removed_at_once_and_not_one_by_one() {
    let vault = Mirrored::new();
    let [a, b, c] = &vault.anchors;
    fs::remove_file(a).unwrap();
    fs::remove_file(b).unwrap();
    for (lost, other) in [(a, b), (b, a)] {
        let error = vault.remove(&[lost]).unwrap_err();
        assert!(matches!(&error, OpenError::AnchorMissing(path) if path == other));
        let hint = "run `vault-server anchor remove` with the paths of all that are lost";
        assert!(error.to_string().contains(hint), "{error}");
    }
    let error = vault.remove(&[a, b, c]).unwrap_err();
    assert!(matches!(error, OpenError::NoAnchor), "{error}");

    let removed = vault.remove(&[a, b]).unwrap();
    assert_eq!(removed, [Removed::NotErased; 2]);
    vault.assert_opens_with([2]);
    assert!(matches!(
        vault.remove(&[a]),
        Err(OpenError::AnchorMissing(_))
    ));
}

// Fails when a path that nothing is known of is passed over.
#[test]
fn a_stranger_among_the_removed_refuses_all_of_them_and_erases_nothing() {
    let vault = Mirrored::new();
    let [_, b, c] = &vault.anchors;
    let stranger = vault.home.anchor().with_file_name("stranger");
    let before = fs::read(b).unwrap();
    for paths in [[b.as_path(), &stranger], [&stranger, b]] {
        let error = vault.remove(&paths).unwrap_err();
        assert!(matches!(&error, OpenError::AnchorUnknown(path) if *path == stranger));
    }
    assert_eq!(fs::read(b).unwrap(), before);
    let error = vault.remove(&[b, b]).unwrap_err();
    assert!(matches!(error, OpenError::AnchorTwice(..)), "{error}");
    assert_eq!(fs::read(b).unwrap(), before);
    // One of them there, the other one lost.
    fs::remove_file(c).unwrap();
    let removed = vault.remove(&[b, c]).unwrap();
    assert_eq!(removed, [Removed::Erased, Removed::NotErased]);
    vault.assert_opens_with([0]);
}

#[test]
fn an_erased_anchor_opens_nothing_any_more() {
    let vault = Mirrored::new();
    let [_, b, _] = &vault.anchors;
    let files = vault.home.files();
    assert_eq!(vault.remove(&[b]).unwrap(), [Removed::Erased]);
    for (path, content) in files
        .iter()
        .filter(|(path, _)| *path != vault.home.anchor())
    {
        fs::write(path, content).unwrap();
    }
    let error = vault.open([1]).unwrap_err();
    assert!(
        matches!(error, OpenError::NotTheLatest { anchors: None, .. }),
        "{error}"
    );
}

// Fails when `open_leaving` passes on every error, or when `Leaving::erase` takes the present one for
// erased.
#[test]
fn an_anchor_that_cannot_be_used_is_removed_and_said_not_to_be_erased() {
    type Damage = fn(&Path);
    let table: [(&str, Damage); 6] = [
        ("a folder", |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
        ("a link", |path| {
            let target = path.with_file_name("target");
            fs::rename(path, &target).unwrap();
            symlink(target, path).unwrap();
        }),
        ("a byte too much", |path| {
            let longer = [&fs::read(path).unwrap()[..], &[0]].concat();
            fs::write(path, longer).unwrap();
        }),
        ("cut off", |path| fs::write(path, [0; 4096]).unwrap()),
        ("overwritten", |path| fs::write(path, [0; 8192]).unwrap()),
        ("a copy of a mirror", |path| {
            fs::copy(path.with_file_name("c"), path).unwrap();
        }),
    ];
    for (name, damage) in table {
        let vault = Mirrored::new();
        let [_, b, _] = &vault.anchors;
        damage(b);
        let before = fs::read(b).ok();
        vault.open(0..3).unwrap_err();
        let removed = vault
            .remove(&[b])
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(removed, [Removed::NotErased], "{name}");
        assert_eq!(fs::read(b).ok(), before, "{name}");
        vault.assert_opens_with([0, 2]);
    }
}

// It may be the only one that knows the latest state, and it can be erased once that is put right.
// Fails when `open_leaving` passes over them.
#[test]
fn an_anchor_with_a_second_name_or_open_to_others_is_not_given_up_as_lost() {
    type Change = fn(&Path);
    let table: [(Change, Change); 2] = [
        (
            |path| fs::hard_link(path, path.with_file_name("second")).unwrap(),
            |path| fs::remove_file(path.with_file_name("second")).unwrap(),
        ),
        (|path| chmod(path, 0o644), |path| chmod(path, 0o600)),
    ];
    for (spoil, mend) in table {
        let vault = Mirrored::new();
        let [_, b, _] = &vault.anchors;
        spoil(b);
        let error = vault.remove(&[b]).unwrap_err();
        let says_what_to_do = match &error {
            OpenError::AnchorLinked(path) | OpenError::Exposed { path, .. } => path == b,
            _ => false,
        };
        assert!(says_what_to_do, "{error}");
        mend(b);
        assert_eq!(vault.remove(&[b]).unwrap(), [Removed::Erased]);
        vault.assert_opens_with([0, 2]);
    }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

// Removed and not erased yet. Fails when the message does not say how that is finished.
#[test]
fn an_interrupted_removal_is_finished_by_the_command_that_the_refusal_names() {
    let vault = Mirrored::new();
    let [_, b, _] = &vault.anchors;
    let before = fs::read(b).unwrap();
    vault.remove(&[b]).unwrap();
    fs::write(b, before).unwrap();
    let error = vault.open(0..3).unwrap_err();
    assert!(matches!(&error, OpenError::AnchorUnknown(path) if path == b));
    // The runbook names the command below this code.
    assert_eq!(error.code(), "anchor-unknown");
    assert_eq!(vault.remove(&[b]).unwrap(), [Removed::Erased]);
    vault.assert_opens_with([0, 2]);
}

// Another process may be writing keys to it. Fails when `open_leaving` passes over every error.
#[test]
fn an_anchor_that_is_open_elsewhere_is_not_removed() {
    let vault = Mirrored::new();
    let [_, b, _] = &vault.anchors;
    let elsewhere = File::open(b).unwrap();
    elsewhere.try_lock().unwrap();
    let error = vault.remove(&[b]).unwrap_err();
    assert!(matches!(&error, OpenError::AnchorLocked(path) if path == b));
    drop(elsewhere);
    assert_eq!(vault.remove(&[b]).unwrap(), [Removed::Erased]);
}

// The present file is erased; the former one is somewhere else, and is not.
// Fails when `Leaving::erase` does not ask for `lost`, or `Leaving::is` for either.
#[test]
fn a_former_anchor_in_the_place_of_a_lost_one_goes_with_it() {
    let vault = Mirrored::new();
    let [_, b, c] = &vault.anchors;
    assert_eq!(vault.remove(&[c]).unwrap(), [Removed::Erased]);
    fs::rename(c, b).unwrap();
    let remaining = vault.with([0, 1]);
    let error = Ledger::open(remaining.clone(), identity()).unwrap_err();
    assert!(matches!(&error, OpenError::AnchorNotConfigured(path) if path == b));
    let paths = [b.clone()];
    let removed = Ledger::remove_anchors(&remaining, &identity(), &paths).unwrap();
    assert_eq!(removed, [Removed::NotErased]);
    vault.assert_opens_with([0]);
}

// Fails when `lost` is looked for by path alone.
#[test]
fn a_moved_anchor_is_not_taken_for_the_one_that_was_at_its_place() {
    let vault = Mirrored::new();
    let [a, b, c] = &vault.anchors;
    // b and c have changed places; the root names the former ones.
    let between = a.with_file_name("between");
    for (from, to) in [(b, &between), (c, b), (&between, c)] {
        fs::rename(from, to).unwrap();
    }
    assert_eq!(vault.remove(&[b]).unwrap(), [Removed::Erased]);
    vault.assert_opens_with([0, 2]);
}

// A hard link is the anchor itself, under a path that `refuse_in_folder` does not see.
// Fails when `open_locked` does not count the names.
#[test]
fn an_anchor_that_has_a_second_name_in_the_data_folder_is_refused() {
    let home = Home::with_vault();
    let second = home.folder().join("notes");
    fs::hard_link(home.anchor(), &second).unwrap();
    let error = home.open().unwrap_err();
    assert!(matches!(&error, OpenError::AnchorLinked(path) if *path == home.anchor()));
    fs::remove_file(second).unwrap();
    home.open().unwrap().close().unwrap();
}

#[test]
fn a_vault_has_no_more_anchors_than_the_limit() {
    let home = Home::new();
    let mut options = home.options();
    for number in 1..=Options::ANCHOR_LIMIT {
        options
            .anchors
            .push(home.anchor().with_file_name(number.to_string()));
    }
    let error = Ledger::create(options.clone(), identity()).unwrap_err();
    assert!(matches!(error, OpenError::TooManyAnchors { limit } if limit == Options::ANCHOR_LIMIT));
    options.anchors.pop();
    Ledger::create(options, identity())
        .unwrap()
        .close()
        .unwrap();
}

#[test]
fn the_data_folder_is_made_for_its_owner_alone_with_those_above_it() {
    let home = Home::new();
    let folder = home.folder().join("deep/data");
    Ledger::make_folder(&folder).unwrap();
    Ledger::make_folder(&folder).unwrap();
    for made in [&folder, &home.folder()] {
        let mode = fs::metadata(made).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700);
    }
}

// Root may read everything. Fails when `open_leaving` does not ask `is_denied`.
#[test]
fn an_anchor_that_we_may_not_open_is_not_given_up_as_lost() {
    if rustix::process::geteuid().is_root() {
        return;
    }
    let vault = Mirrored::new();
    let [_, b, _] = &vault.anchors;
    chmod(b, 0o400);
    let error = vault.remove(&[b]).unwrap_err();
    assert!(matches!(error, OpenError::Storage(_)), "{error}");
    chmod(b, 0o600);
    assert_eq!(vault.remove(&[b]).unwrap(), [Removed::Erased]);
}
