//! Where a node is: the path from the root to it, which is also the number of its row.

use crate::key::LeafKey;

/// A node has so many children: 6 bits of the key choose one. Chosen by measurement, see the
/// table in `benches/changes.rs`.
pub(super) const FAN_OUT: usize = 1 << BITS;
const BITS: u32 = 6;
/// Deeper paths would not fit into a row's number. The leaves of 2^60 accounts are that deep.
const MAX_DEPTH: u32 = 10;

/// A node's place: a 1, then the 6 bits of every step down from the root.
///
/// It is the row's number as well. So the nodes of a level lie together in the database, those of
/// neighbouring keys beside each other, and no node has to name its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place(i64);

impl Place {
    pub(crate) const ROOT: Place = Place(1);

    /// The number of the row.
    pub(crate) fn row(self) -> i64 {
        self.0
    }

    /// How many steps it is below the root.
    pub(super) fn depth(self) -> u32 {
        (i64::BITS - 1 - self.0.leading_zeros()) / BITS
    }

    /// Which of the node's children a leaf is below.
    pub(super) fn slot_of(self, key: &LeafKey) -> usize {
        let (head, _) = (key.0)
            .split_first_chunk::<8>()
            .expect("a leaf's key has 32 bytes");
        let shift = u64::BITS - BITS * (self.depth() + 1);
        let slot = (u64::from_be_bytes(*head) >> shift) & (FAN_OUT as u64 - 1);
        usize::try_from(slot).expect("a slot is below the fan-out")
    }

    /// The place of one of the node's children.
    pub(super) fn child(self, slot: usize) -> Place {
        let slot = i64::try_from(slot).expect("a slot is below the fan-out");
        Place(self.0 << BITS | slot)
    }

    /// Whether a node here may have children.
    pub(super) fn can_have_children(self) -> bool {
        self.depth() < MAX_DEPTH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_to_a_leaf_follows_the_bits_of_its_key() {
        let mut key = [0; 32];
        key[..3].copy_from_slice(&[0b0000_0110, 0b1111_0000, 0b1011_1111]);
        let slots = [0b00_0001, 0b10_1111, 0b00_0010, 0b11_1111];
        let mut place = Place::ROOT;
        for (depth, slot) in (0..).zip(slots) {
            assert_eq!(place.depth(), depth);
            assert_eq!(place.slot_of(&LeafKey(key)), slot);
            place = place.child(slot);
        }
    }

    #[test]
    fn the_deepest_place_still_has_a_positive_number_of_its_own() {
        let mut place = Place::ROOT;
        while place.can_have_children() {
            assert_eq!(place.slot_of(&LeafKey([0xff; 32])), FAN_OUT - 1);
            place = place.child(FAN_OUT - 1);
        }
        assert_eq!(place.depth(), MAX_DEPTH);
        assert_eq!(place.row(), (1 << 61) - 1);
    }

    #[test]
    fn places_of_different_depths_are_different() {
        assert_ne!(Place::ROOT.child(0), Place::ROOT);
        assert_ne!(Place::ROOT.child(0).child(0), Place::ROOT.child(0));
    }
}
