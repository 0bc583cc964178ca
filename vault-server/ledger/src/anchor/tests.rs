//! Anchors in files as a whole, and which keys a set of them lets a start try.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::error::OpenError;
use crate::key::MasterKey;

const VAULT: &str = "vault";
const SLOT: usize = 4096;
/// The name of `anchor` while it is made.
const UNFINISHED: &str = ".anchor.vault-unfinished";
/// Bytes of a slot that are not padding.
const WRITTEN: usize = 106;

fn master_key() -> MasterKey {
    MasterKey::new(&[1; 32])
}

/// Each sequence has a key of its own.
fn live(sequence: u64) -> Live {
    let byte = u8::try_from(sequence % 251).unwrap();
    Live {
        sequence,
        key: RootKey::new(&[byte; 32]),
    }
}

struct Home(TempDir);

impl Home {
    fn new() -> Home {
        Home(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn anchor(&self) -> PathBuf {
        self.path("anchor")
    }

    fn create(&self) -> FileAnchor {
        create(&self.anchor()).unwrap()
    }

    fn open(&self) -> FileAnchor {
        open(&self.anchor()).unwrap()
    }

    /// An anchor at rest after this batch.
    fn at(&self, sequence: u64) -> FileAnchor {
        let mut anchor = self.create();
        anchor.prepare(sequence - 1, &live(sequence)).unwrap();
        anchor.erase(sequence).unwrap();
        anchor
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.anchor()).unwrap()
    }

    /// Writes the file's bytes in place, as a disk would change them.
    fn overwrite(&self, bytes: &[u8]) {
        fs::write(self.anchor(), bytes).unwrap();
    }

    fn refused(&self) -> OpenError {
        open(&self.anchor()).err().unwrap()
    }
}

fn create(path: &Path) -> Result<FileAnchor, OpenError> {
    FileAnchor::create(path, VAULT, &master_key())
}

fn open(path: &Path) -> Result<FileAnchor, OpenError> {
    FileAnchor::open(path, VAULT, &master_key())
}

fn shown(slots: &[Slot; 2]) -> [String; 2] {
    slots.each_ref().map(|slot| match slot {
        Slot::Live(live) => format!("live {}", live.sequence),
        Slot::Empty { sequence } => format!("empty {sequence}"),
        Slot::Unreadable => "unreadable".to_owned(),
    })
}

#[track_caller]
fn assert_slots(anchor: &dyn Anchor, expected: [&str; 2]) {
    assert_eq!(shown(anchor.slots()), expected);
}

// --- Opening and creating

#[test]
fn a_missing_anchor_is_refused_with_what_to_do() {
    let home = Home::new();
    let error = home.refused();
    assert!(matches!(error, OpenError::AnchorMissing { .. }));
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
        assert!(matches!(error, OpenError::WrongKind { .. }), "{name}");
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
        assert!(matches!(error, OpenError::AnchorLinked { ref path } if *path == home.path(name)));
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
        assert!(matches!(home.refused(), OpenError::AnchorForeign { .. }));
    }
    home.overwrite(&[0; 2 * SLOT]);
    assert!(matches!(home.refused(), OpenError::AnchorForeign { .. }));
}

#[test]
fn another_vault_and_another_keyring_are_refused() {
    let home = Home::new();
    drop(home.at(5));
    let vault = FileAnchor::open(&home.anchor(), "other", &master_key());
    let keyring = FileAnchor::open(&home.anchor(), VAULT, &MasterKey::new(&[2; 32]));
    for refused in [vault, keyring] {
        let error = refused.err().unwrap();
        assert!(matches!(error, OpenError::AnchorForeign { .. }));
    }
}

// Fails when `common_id` takes the first id without comparing.
#[test]
fn a_slot_copied_in_from_another_anchor_of_the_vault_is_refused() {
    let (home, other) = (Home::new(), Home::new());
    drop((home.at(5), other.at(5)));
    let mixed = [&home.bytes()[..SLOT], &other.bytes()[SLOT..]].concat();
    home.overwrite(&mixed);
    assert!(matches!(home.refused(), OpenError::AnchorForeign { .. }));
}

// Fails when `open_locked` or `create` does not lock.
#[test]
fn a_second_open_is_refused_while_the_first_lives() {
    let home = Home::new();
    let created = home.create();
    assert!(matches!(home.refused(), OpenError::AnchorLocked { .. }));
    let again = create(&home.anchor()).err().unwrap();
    assert!(matches!(again, OpenError::AnchorLocked { .. }));
    drop(created);
    let opened = home.open();
    assert!(matches!(home.refused(), OpenError::AnchorLocked { .. }));
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
    assert!(matches!(error, OpenError::AnchorExists { .. }));

    // Not even when the slot of that vault is damaged: the marker shows the sequence too.
    let mut damaged = before.clone();
    damaged[WRITTEN - 1] ^= 1;
    home.overwrite(&damaged);
    assert_slots(&home.open(), ["unreadable", "empty 2"]);
    let error = create(&home.anchor()).err().unwrap();
    assert!(matches!(error, OpenError::AnchorExists { .. }));
    assert_eq!(home.bytes(), damaged);
}

#[test]
fn creating_never_replaces_a_file_of_somebody_else() {
    let home = Home::new();
    fs::write(home.anchor(), "a diary").unwrap();
    fs::set_permissions(home.anchor(), Permissions::from_mode(0o600)).unwrap();
    let error = create(&home.anchor()).err().unwrap();
    assert!(matches!(error, OpenError::AnchorExists { .. }));
    assert_eq!(home.bytes(), b"a diary");
}

// Fails when `remove_unfinished` removes whatever has the name.
#[test]
fn creating_never_removes_an_anchor_in_use_with_the_name_of_an_unfinished_one() {
    let home = Home::new();
    drop(home.at(5));
    fs::rename(home.anchor(), home.path(UNFINISHED)).unwrap();
    let error = create(&home.anchor()).err().unwrap();
    assert!(matches!(error, OpenError::AnchorExists { .. }));
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
        match refuse_in_folder(&home.path(folder), &paths) {
            Err(OpenError::AnchorInFolder { path }) => path == paths[1],
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

// --- Writing

// Fails when `prepare` compares with the live slots only.
#[test]
fn a_sequence_is_never_used_twice() {
    let home = Home::new();
    let mut anchor = home.at(5);
    anchor.prepare(5, &live(9)).unwrap();
    anchor.prepare(5, &live(12)).unwrap();
    anchor.erase(5).unwrap();
    assert_slots(&anchor, ["live 5", "empty 12"]);
    for sequence in [0, 4, 9, 12] {
        anchor.prepare(5, &live(sequence)).unwrap_err();
    }
    // Nor one that is not above the database's, on a mirror that has not seen that one.
    anchor.prepare(20, &live(20)).unwrap_err();
    drop(anchor);
    let mut anchor = home.open();
    for sequence in [0, 5, 9, 12] {
        anchor.prepare(5, &live(sequence)).unwrap_err();
    }
    anchor.prepare(5, &live(13)).unwrap();
}

// Fails when `has_prepared` compares only the sequence, or does not ask whether this process wrote it.
#[test]
fn repeating_a_prepare_is_fine_only_for_the_same_key_and_process() {
    let home = Home::new();
    let mut anchor = home.at(5);
    anchor.prepare(5, &live(6)).unwrap();
    let bytes = home.bytes();
    anchor.prepare(5, &live(6)).unwrap();
    assert_eq!(home.bytes(), bytes);
    let other = Live {
        sequence: 6,
        key: RootKey::new(&[99; 32]),
    };
    anchor.prepare(5, &other).unwrap_err();
    drop(anchor);
    home.open().prepare(5, &live(6)).unwrap_err();
    assert_eq!(home.bytes(), bytes);
}

// Fails when `free_slot` returns the other index in either of its first two arms.
#[test]
fn preparing_never_touches_the_live_slot() {
    let home = Home::new();
    let mut anchor = home.at(10);
    for sequence in (20..80).step_by(10) {
        let slot = home.slot_of(&anchor, sequence - 10);
        // Three tries from one database, as after restarts that could not commit.
        for next in [sequence - 2, sequence - 1, sequence] {
            anchor.prepare(sequence - 10, &live(next)).unwrap();
            assert_eq!(home.slot_of(&anchor, sequence - 10), slot);
        }
        anchor.erase(sequence).unwrap();
    }
}

// Fails when `free_slot` takes the older of two keys: what was only prepared would then be the lowest
// number here, and confirm itself.
#[test]
fn a_mirror_without_the_databases_key_keeps_its_oldest_one_while_the_next_is_prepared() {
    let home = Home::new();
    let mut stale = home.at(5);
    for next in [21, 22, 23] {
        stale.prepare(20, &live(next)).unwrap();
        assert_slots(&stale, ["live 5", &format!("live {next}")]);
    }
    stale.erase(23).unwrap();
    assert_slots(&stale, ["empty 23", "live 23"]);
}

// Fails when `free_slot` takes an empty slot before one that cannot be read, or before a newer key.
#[test]
fn a_mirror_that_has_lost_its_key_keeps_its_empty_marker_while_the_next_is_prepared() {
    let home = Home::new();
    drop(home.at(5));
    let mut bytes = home.bytes();
    let slots = shown(home.open().slots());
    let key = slots.iter().position(|slot| slot == "live 5").unwrap();
    bytes[key * SLOT + 40] ^= 1;
    home.overwrite(&bytes);
    for next in 6..9 {
        let mut damaged = home.open();
        damaged.prepare(5, &live(next)).unwrap();
        let written = format!("live {next}");
        let mut slots = ["empty 5", "empty 5"];
        slots[key] = &written;
        assert_slots(&damaged, slots);
    }
}

// After a COMMIT whose former key was not erased any more, the database's key is the newer one. Whoever
// wrote over it would have no key at all if the next COMMIT did not come about.
// Fails when `free_slot` does not ask which slot has the expected sequence.
#[test]
fn the_key_of_the_database_is_not_written_over_in_either_slot() {
    let home = Home::new();
    drop(home.at(5));
    let prepared = |expected| {
        let mut anchor = home.open();
        anchor.prepare(expected, &live(expected + 1)).unwrap();
        shown(anchor.slots())
    };
    assert_eq!(prepared(5), ["live 5", "live 6"]);
    assert_eq!(prepared(6), ["live 7", "live 6"]);
    assert_eq!(prepared(7), ["live 7", "live 8"]);
}

// The first k bytes of a write are on the disk, the rest is from before. Sectors make k a multiple of
// 512; that only the slot being written may suffer holds for every k.
#[test]
fn a_torn_write_leaves_the_other_slot_and_no_wrong_key() {
    let home = Home::new();
    drop(home.at(5));
    let rest = home.bytes();
    home.open().prepare(5, &live(6)).unwrap();
    let prepared = home.bytes();
    home.open().erase(6).unwrap();
    let erased = home.bytes();
    // (before, after, where the write was, what that slot may show)
    let writes = [
        (&rest, &prepared, 1, ["empty 5", "live 6"]),
        (&prepared, &erased, 0, ["live 5", "empty 6"]),
    ];
    for (before, after, index, whole) in writes {
        let start = index * SLOT;
        for torn in (0..=WRITTEN).chain((0..=SLOT).step_by(512)) {
            let end = start + torn;
            home.overwrite(&[&after[..end], &before[end..]].concat());
            let anchor = home.open();
            let slots = shown(anchor.slots());
            let expected = match torn {
                // Both versions begin with the same version byte.
                0 | 1 => whole[0],
                WRITTEN.. => whole[1],
                _ => "unreadable",
            };
            assert_eq!(slots[index], expected, "torn after {torn} bytes");
            assert_eq!(slots[1 - index], ["live 5", "live 6"][1 - index]);
        }
    }
}

#[test]
fn a_torn_slot_is_written_first_and_erased_like_any_other() {
    let home = Home::new();
    let mut anchor = home.at(5);
    anchor.prepare(5, &live(6)).unwrap();
    drop(anchor);
    let mut torn = home.bytes();
    torn[SLOT + 50] ^= 1;
    home.overwrite(&torn);
    let mut anchor = home.open();
    assert_slots(&anchor, ["live 5", "unreadable"]);
    anchor.prepare(5, &live(900)).unwrap();
    assert_slots(&anchor, ["live 5", "live 900"]);

    home.overwrite(&torn);
    drop(anchor);
    let mut anchor = home.open();
    anchor.erase(5).unwrap();
    assert_slots(&anchor, ["live 5", "empty 5"]);
}

#[test]
fn swapped_slots_still_work() {
    let home = Home::new();
    drop(home.at(5));
    let bytes = home.bytes();
    home.overwrite(&[&bytes[SLOT..], &bytes[..SLOT]].concat());
    let mut anchor = home.open();
    assert_slots(&anchor, ["empty 5", "live 5"]);
    anchor.prepare(5, &live(6)).unwrap();
    anchor.erase(6).unwrap();
    assert_slots(&anchor, ["live 6", "empty 6"]);
}

// Fails when `erase` does not look for the key that it keeps.
#[test]
fn erasing_never_leaves_an_anchor_without_a_key() {
    let home = Home::new();
    let mut anchor = home.at(5);
    anchor.prepare(5, &live(6)).unwrap();
    let bytes = home.bytes();
    for sequence in [0, 4, 7, u64::MAX] {
        anchor.erase(sequence).unwrap_err();
    }
    assert_eq!(home.bytes(), bytes);
    assert_slots(&anchor, ["live 5", "live 6"]);
}

// Fails when `erase_slot` does not write, or writes a part of the slot only.
#[test]
fn nothing_of_an_erased_slot_is_left_in_the_file() {
    let home = Home::new();
    let mut anchor = home.at(5);
    let former = home.slot_of(&anchor, 5);
    anchor.prepare(5, &live(6)).unwrap();
    let current = home.slot_of(&anchor, 6);
    anchor.erase(6).unwrap();
    assert!(!shows(&home.bytes(), &former));
    // The search itself finds what is there.
    assert!(shows(&home.bytes(), &current));

    anchor.retire().unwrap();
    drop(anchor);
    assert!(!shows(&home.bytes(), &current));
    assert_slots(&home.open(), ["empty 6", "empty 6"]);
}

// What a killed process wrote may be in the page cache only, with the former key still on the disk.
// Fails when `erase_slot` does not ask whether this process wrote the marker.
#[test]
fn a_marker_of_a_former_process_is_written_again_and_an_own_one_is_not() {
    let home = Home::new();
    drop(home.at(5));
    let before = home.bytes();
    let mut anchor = home.open();
    anchor.erase(5).unwrap();
    let after = home.bytes();
    assert_ne!(after[SLOT..], before[SLOT..]);
    assert_eq!(after[..SLOT], before[..SLOT]);
    anchor.erase(5).unwrap();
    assert_eq!(home.bytes(), after);
}

// --- Sets

#[test]
fn a_set_has_at_least_one_anchor_and_at_most_eight() {
    let home = Home::new();
    let paths: Vec<PathBuf> = (0..9).map(|n| home.path(&n.to_string())).collect();
    let none = Anchors::open(&[], VAULT, &master_key()).err().unwrap();
    assert!(matches!(none, OpenError::NoAnchor));
    let none = Anchors::create(&[], VAULT, &master_key()).err().unwrap();
    assert!(matches!(none, OpenError::NoAnchor));
    let nine = Anchors::create(&paths, VAULT, &master_key()).err().unwrap();
    assert!(matches!(nine, OpenError::TooManyAnchors { limit: 8 }));
    assert!(!paths[0].exists());

    let mut anchors = Anchors::create(&paths[..8], VAULT, &master_key()).unwrap();
    let ninth = anchors.add(&paths[8], VAULT, &master_key()).unwrap_err();
    assert!(matches!(ninth, OpenError::TooManyAnchors { .. }));
    assert!(!paths[8].exists());
    for path in &paths[..7] {
        assert!(anchors.take(path).is_some());
        assert!(anchors.take(path).is_none());
    }
    assert!(anchors.take(&paths[7]).is_none());
    assert_eq!(anchors.members().len(), 1);
}

// Fails when `refuse_same_file` compares paths, or when `push` does not compare ids.
#[test]
fn the_same_file_and_a_copy_of_it_are_refused_as_mirrors() {
    let home = Home::new();
    drop(home.at(5));
    fs::copy(home.anchor(), home.path("copy")).unwrap();
    let detour = home.path("folder/../anchor");
    fs::create_dir(home.path("folder")).unwrap();
    for other in [home.anchor(), home.path("copy"), detour] {
        let paths = [home.anchor(), other.clone()];
        let error = Anchors::open(&paths, VAULT, &master_key()).err().unwrap();
        assert!(matches!(
            error,
            OpenError::AnchorTwice { first, second } if first == home.anchor() && second == other
        ));
    }
    let paths = [home.path("new"), home.path("folder/../new")];
    let error = Anchors::create(&paths, VAULT, &master_key()).err().unwrap();
    assert!(matches!(error, OpenError::AnchorTwice { .. }));
}

#[test]
fn every_mirror_is_written_to_and_an_error_stops_before_the_next_one() {
    let home = Home::new();
    let paths = ["a", "b", "c"].map(|name| home.path(name));
    let mut anchors = Anchors::create(&paths, VAULT, &master_key()).unwrap();
    anchors.prepare(0, &live(1)).unwrap();
    anchors.erase(1).unwrap();
    drop(anchors);

    // The second one is ahead, so it refuses the sequence.
    let mut ahead = open(&paths[1]).unwrap();
    ahead.prepare(1, &live(7)).unwrap();
    drop(ahead);
    let mut anchors = Anchors::open(&paths, VAULT, &master_key()).unwrap();
    assert_eq!(anchors.highest_sequence(), 7);
    anchors.prepare(1, &live(2)).unwrap_err();
    anchors.erase(2).unwrap_err();
    drop(anchors);
    let slots = paths
        .each_ref()
        .map(|path| shown(open(path).unwrap().slots()));
    assert_eq!(slots[0], ["empty 2", "live 2"]);
    assert_eq!(slots[1], ["live 1", "live 7"]);
    assert_eq!(slots[2], ["live 1", "empty 1"]);
}

#[test]
fn an_anchor_is_added_and_removed_with_its_keys() {
    let home = Home::new();
    let paths = ["a", "b"].map(|name| home.path(name));
    let mut anchors = Anchors::create(&paths[..1], VAULT, &master_key()).unwrap();
    anchors.prepare(0, &live(1)).unwrap();
    anchors.erase(1).unwrap();
    anchors.add(&paths[1], VAULT, &master_key()).unwrap();
    anchors.prepare(1, &live(2)).unwrap();
    anchors.erase(2).unwrap();
    let members = anchors.members();
    assert_eq!(
        members
            .iter()
            .map(|(_, path)| path.clone())
            .collect::<Vec<_>>(),
        paths
    );

    let mut removed = anchors.take(&paths[0]).unwrap();
    assert_eq!(removed.id(), members[0].0);
    assert_eq!(anchors.members(), members[1..]);
    anchors.prepare(2, &live(3)).unwrap();
    anchors.erase(3).unwrap();
    removed.retire().unwrap();
    drop(removed);
    assert_slots(&open(&paths[0]).unwrap(), ["empty 2", "empty 2"]);
    drop(anchors);
    assert_slots(&open(&paths[1]).unwrap(), ["empty 3", "live 3"]);
}

/// An anchor that only shows what it holds.
struct Shown(AnchorId, [Slot; 2]);

impl Anchor for Shown {
    fn id(&self) -> AnchorId {
        self.0
    }

    fn path(&self) -> &Path {
        Path::new("shown")
    }

    fn has_its_path(&self) -> bool {
        unreachable!("only read")
    }

    fn slots(&self) -> &[Slot; 2] {
        &self.1
    }

    fn prepare(&mut self, _: u64, _: &Live) -> Result<(), StorageError> {
        unreachable!("only read")
    }

    fn erase(&mut self, _: u64) -> Result<(), StorageError> {
        unreachable!("only read")
    }

    fn retire(&mut self) -> Result<(), StorageError> {
        unreachable!("only read")
    }
}

/// A live slot by its sequence, a marker by minus its sequence, `TORN` for an unreadable one.
fn slot(number: i64) -> Slot {
    match u64::try_from(number) {
        Ok(sequence) => Slot::Live(live(sequence)),
        Err(_) if number == TORN => Slot::Unreadable,
        Err(_) => Slot::Empty {
            sequence: number.unsigned_abs(),
        },
    }
}

const TORN: i64 = i64::MIN;

/// A name, the slots of each mirror, and the sequences of the candidates.
type Case = (&'static str, &'static [[i64; 2]], &'static [u64]);

// Fails when `candidates` leaves out `confirmed`, takes the highest number for it, the lowest over all
// mirrors, or those of live slots only.
#[test]
fn the_candidates_are_the_live_keys_from_the_confirmed_one_on() {
    let table: &[Case] = &[
        ("at rest", &[[5, -5]], &[5]),
        ("at rest, mirrored", &[[5, -5], [-5, 5]], &[5]),
        ("prepared", &[[5, 6]], &[6, 5]),
        ("prepared, mirrored", &[[5, 6], [6, 5]], &[6, 5]),
        ("prepared on the first only", &[[5, 6], [5, -5]], &[6, 5]),
        ("prepared on the second only", &[[5, -5], [5, 6]], &[6, 5]),
        ("prepared and torn", &[[5, TORN], [5, -5]], &[5]),
        ("erased on the first only", &[[-6, 6], [5, 6]], &[6]),
        ("erased on the second only", &[[5, 6], [6, -6]], &[6]),
        ("erased and torn", &[[TORN, 6], [5, 6]], &[6]),
        ("a stale mirror", &[[9, -9], [3, -3]], &[9]),
        (
            "a stale mirror, stopped while prepared",
            &[[3, 4], [9, -9]],
            &[9],
        ),
        (
            "a stale mirror that took the next one",
            &[[9, 10], [3, 10]],
            &[10, 9],
        ),
        ("a new mirror", &[[9, -9], [-1, -1]], &[9]),
        ("a damaged mirror", &[[9, 10], [TORN, -9]], &[10, 9]),
        (
            "a damaged mirror that took the next one",
            &[[9, 10], [10, -9]],
            &[10, 9],
        ),
        (
            "a new mirror that took the next one",
            &[[9, 10], [10, -1]],
            &[10, 9],
        ),
        (
            "a damaged mirror beside one of the past",
            &[[TORN, -9], [3, -3]],
            &[],
        ),
        ("no key at all", &[[-9, -9]], &[]),
    ];
    for (case, slots, expected) in table {
        let members = (0..).zip(*slots).map(|(id, pair)| {
            Box::new(Shown(AnchorId([id; 16]), pair.map(slot))) as Box<dyn Anchor>
        });
        let anchors = Anchors::of(members.collect());
        let candidates = anchors.candidates();
        let sequences: Vec<u64> = candidates.iter().map(|live| live.sequence).collect();
        assert_eq!(sequences, *expected, "{case}");
        let torn = slots.iter().flatten().any(|number| *number == TORN);
        assert_eq!(anchors.has_unreadable(), torn, "{case}");
    }
}

// Fails when `candidates` tells keys apart by their sequence only.
#[test]
fn two_keys_of_one_sequence_are_both_candidates() {
    let other = Live {
        sequence: 5,
        key: RootKey::new(&[99; 32]),
    };
    let first = Shown(AnchorId([1; 16]), [slot(5), slot(-5)]);
    let second = Shown(AnchorId([2; 16]), [slot(-7), Slot::Live(other)]);
    let anchors = Anchors::of(vec![Box::new(first), Box::new(second)]);
    assert_eq!(anchors.candidates().len(), 2);
    assert_eq!(anchors.highest_sequence(), 7);
}

impl Home {
    /// The bytes of the slot that holds this sequence, without the padding.
    #[track_caller]
    fn slot_of(&self, anchor: &FileAnchor, sequence: u64) -> Vec<u8> {
        let mut slots = anchor.slots().iter();
        let index = slots.position(|slot| slot.live_sequence() == Some(sequence));
        let start = index.expect("the anchor holds it") * SLOT;
        self.bytes()[start..start + WRITTEN].to_vec()
    }
}

/// Whether any 16 bytes of `wanted`, one after the other, are in `bytes`.
fn shows(bytes: &[u8], wanted: &[u8]) -> bool {
    let windows: std::collections::HashSet<&[u8]> = bytes.windows(16).collect();
    wanted.windows(16).any(|window| windows.contains(window))
}
