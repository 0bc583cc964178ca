//! Sets of anchors, and which keys they let a start try.

use super::*;

#[test]
fn a_set_has_at_least_one_anchor_and_at_most_eight() {
    let home = Home::new();
    let paths: Vec<PathBuf> = (0..9).map(|n| home.path(&n.to_string())).collect();
    let none = Anchors::open(&[], &identity()).err().unwrap();
    assert!(matches!(none, OpenError::NoAnchor));
    let none = Anchors::create(&[], &identity()).err().unwrap();
    assert!(matches!(none, OpenError::NoAnchor));
    let nine = Anchors::create(&locators(&paths), &identity())
        .err()
        .unwrap();
    assert!(matches!(nine, OpenError::TooManyAnchors { limit: 8 }));
    assert!(!paths[0].exists());

    let locators = locators(&paths);
    let mut anchors = Anchors::create(&locators[..8], &identity()).unwrap();
    let ninth = anchors.add(&locators[8], &identity()).unwrap_err();
    assert!(matches!(ninth, OpenError::TooManyAnchors { .. }));
    assert!(!paths[8].exists());
    for locator in &locators[..7] {
        assert!(anchors.take(locator).is_some());
        assert!(anchors.take(locator).is_none());
    }
    assert!(anchors.take(&locators[7]).is_none());
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
        let error = Anchors::open(&locators(&paths), &identity()).err().unwrap();
        assert!(matches!(
            error,
            OpenError::AnchorTwice(first, second) if first == home.anchor() && second == other
        ));
    }
    let paths = [home.path("new"), home.path("folder/../new")];
    let error = Anchors::create(&locators(&paths), &identity())
        .err()
        .unwrap();
    assert!(matches!(error, OpenError::AnchorTwice(..)));
}

#[test]
fn every_mirror_is_written_to_and_an_error_stops_before_the_next_one() {
    let home = Home::new();
    let paths = ["a", "b", "c"].map(|name| home.path(name));
    let mut anchors = Anchors::create(&locators(&paths), &identity()).unwrap();
    anchors.prepare(0, &live(1)).unwrap();
    anchors.erase(1).unwrap();
    drop(anchors);

    // The second one is ahead, so it refuses the sequence.
    let mut ahead = open(&paths[1]).unwrap();
    ahead.prepare(1, &live(7)).unwrap();
    drop(ahead);
    let mut anchors = Anchors::open(&locators(&paths), &identity()).unwrap();
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
    let locators = locators(&paths);
    let mut anchors = Anchors::create(&locators[..1], &identity()).unwrap();
    anchors.prepare(0, &live(1)).unwrap();
    anchors.erase(1).unwrap();
    anchors.add(&locators[1], &identity()).unwrap();
    anchors.prepare(1, &live(2)).unwrap();
    anchors.erase(2).unwrap();
    let members = anchors.members();
    assert_eq!(
        members
            .iter()
            .map(|(_, locator)| locator.clone())
            .collect::<Vec<_>>(),
        locators
    );

    let mut removed = anchors.take(&locators[0]).unwrap();
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

/// An anchor that only shows its slots.
struct Shown(AnchorId, [Slot; 2], Locator);

impl Shown {
    fn boxed(id: u8, slots: [Slot; 2]) -> Box<dyn Anchor> {
        Box::new(Shown(AnchorId([id; 16]), slots, Locator::parse("shown")))
    }
}

fn set_of(members: impl IntoIterator<Item = Box<dyn Anchor>>) -> Anchors {
    let mut anchors = Anchors::default();
    for anchor in members {
        anchors.push(anchor).unwrap();
    }
    anchors
}

impl Anchor for Shown {
    fn id(&self) -> AnchorId {
        self.0
    }

    fn locator(&self) -> &Locator {
        &self.2
    }

    fn is_in_place(&self) -> bool {
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
        let members = (0..).zip(*slots);
        let anchors = set_of(members.map(|(id, pair)| Shown::boxed(id, pair.map(slot))));
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
    let first = Shown::boxed(1, [slot(5), slot(-5)]);
    let second = Shown::boxed(2, [slot(-7), Slot::Live(other)]);
    let anchors = set_of([first, second]);
    assert_eq!(anchors.candidates().len(), 2);
    assert_eq!(anchors.highest_sequence(), 7);
}
