//! Writing and erasing.

use super::*;

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

// Fails when `free_slot` takes the older of two keys: a number that was only prepared would then be the lowest
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

// After a COMMIT whose former key was not erased any more, the database's key is the newer one. A
// write over it would leave no key at all if the next COMMIT did not come about.
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
    // The search itself finds a key that is there.
    assert!(shows(&home.bytes(), &current));

    anchor.retire().unwrap();
    drop(anchor);
    assert!(!shows(&home.bytes(), &current));
    assert_slots(&home.open(), ["empty 6", "empty 6"]);
}

// The writes of a killed process may be in the page cache only, with the former key still on the disk.
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
