//! The tree against a plain map, and against an attacker who writes to its rows.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use proptest::prelude::*;
use rand::{CryptoRng, Error, RngCore};

use super::walk::Found;
use super::*;

/// Gives the same 32 bytes for ever.
struct Repeating([u8; 32]);

impl RngCore for Repeating {
    fn next_u32(&mut self) -> u32 {
        unreachable!("keys are drawn as bytes")
    }

    fn next_u64(&mut self) -> u64 {
        unreachable!("keys are drawn as bytes")
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            chunk.copy_from_slice(&self.0[..chunk.len()]);
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Repeating {}

impl Tree {
    /// The mistake of a control of the adversary's test: a node keeps its key.
    pub(super) fn seal_again(
        &mut self,
        target: &Target<'_>,
        place: Place,
        node: Node,
        key: Key,
    ) -> Result<Key, StorageError> {
        let bytes = *key.expose_secret();
        let mut repeating = Keys::from_source(Box::new(Repeating(bytes)));
        let repeating = &mut Target {
            rows: target.rows,
            keys: &mut repeating,
        };
        let key = self.seal(repeating, place, &node)?;
        self.keep(place, node);
        Ok(key)
    }
}

/// Rows, and those that the batch has written or removed. A copy of the disk may hold every version
/// that was ever written, and the adversary's test (`tests/closure.rs`) sees the last one of a batch:
/// so a batch touches a row once.
#[derive(Default, Clone)]
struct Memory(RefCell<BTreeMap<Place, Vec<u8>>>, RefCell<BTreeSet<Place>>);

impl Memory {
    fn begin(&self) {
        self.1.borrow_mut().clear();
    }

    // Fails when `rewrite_child` seals a node twice.
    fn assert_first_touch(&self, place: Place) {
        assert!(
            self.1.borrow_mut().insert(place),
            "twice in a batch: {place:?}"
        );
    }
}

impl Rows for Memory {
    fn row(&self, place: Place) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.0.borrow().get(&place).cloned())
    }

    fn put_row(&self, place: Place, sealed: &[u8]) -> Result<(), StorageError> {
        self.assert_first_touch(place);
        self.0.borrow_mut().insert(place, sealed.to_vec());
        Ok(())
    }

    fn remove_row(&self, place: Place) -> Result<(), StorageError> {
        self.assert_first_touch(place);
        let removed = self.0.borrow_mut().remove(&place);
        removed
            .map(drop)
            .ok_or_else(|| StorageError::new("removing a row", "it is not there"))
    }
}

/// A stored tree, its expected content, and the key of its root.
struct Stored {
    rows: Memory,
    tree: Tree,
    plain: BTreeMap<LeafKey, Vec<u8>>,
    root: Key,
}

impl Stored {
    fn empty() -> Stored {
        let (rows, mut tree) = (Memory::default(), Tree::empty("vault"));
        let root = tree.rewrite(&rows, &mut Keys::of_the_system(), 1, Vec::new(), Vec::new());
        Stored {
            rows,
            tree,
            plain: BTreeMap::new(),
            root: root.unwrap(),
        }
    }

    fn with_leaves(count: u32) -> Stored {
        let mut stored = Stored::empty();
        let leaves = (0..count).map(|number| (spread(number), Some(vec![7; 300])));
        stored.change(leaves.collect());
        stored
    }

    fn change(&mut self, changes: BTreeMap<LeafKey, Option<Vec<u8>>>) {
        for (key, value) in &changes {
            match value {
                Some(value) => self.plain.insert(*key, value.clone()),
                None => self.plain.remove(key),
            };
        }
        let value = |value: Option<Vec<u8>>| value.map(Zeroizing::new);
        let changes = changes.into_iter().map(|(key, bytes)| Change {
            key,
            value: value(bytes),
        });
        let sequence = self.tree.sequence() + 1;
        self.rows.begin();
        let keys = &mut Keys::of_the_system();
        let root = self.tree.rewrite(
            &self.rows,
            keys,
            sequence,
            b"meta".to_vec(),
            changes.collect(),
        );
        self.root = root.unwrap();
        self.tree.evict_deep_nodes();
    }

    fn reopen(&mut self) {
        let sequence = self.tree.sequence();
        self.tree = Tree::open("vault", &self.rows, &self.root).unwrap();
        assert_eq!(self.tree.sequence(), sequence);
    }

    fn leaves_after(&self, after: Option<&LeafKey>) -> Vec<(LeafKey, Vec<u8>)> {
        let mut leaves = Vec::new();
        let mut visit = |found: Found<'_>| {
            match found {
                Found::Leaf(key, value) => leaves.push((*key, value.to_vec())),
                Found::Node(_) => {}
                Found::Missing | Found::Unreadable => panic!("a node cannot be opened"),
            }
            Ok(ControlFlow::Continue(()))
        };
        self.tree.walk(&self.rows, after, &mut visit).unwrap();
        leaves
    }

    fn assert_equal(&mut self) {
        let keys: Vec<_> = self
            .plain
            .keys()
            .copied()
            .chain([LeafKey([0xee; 32])])
            .collect();
        for key in keys {
            let value = self.tree.get(&self.rows, &key).unwrap();
            assert_eq!(
                value.map(|value| value.to_vec()),
                self.plain.get(&key).cloned()
            );
        }
        assert!(self.leaves_after(None).into_iter().eq(self.plain.clone()));
        let middle = self.plain.keys().nth(self.plain.len() / 2).copied();
        if let Some(middle) = middle {
            let behind = self.plain.range(middle..).skip(1);
            let behind = behind.map(|(key, value)| (*key, value.clone()));
            assert!(self.leaves_after(Some(&middle)).into_iter().eq(behind));
        }
        let mut nodes = 0;
        let mut count = |found: Found<'_>| {
            nodes += usize::from(matches!(found, Found::Node(_)));
            Ok(ControlFlow::Continue(()))
        };
        self.tree.walk(&self.rows, None, &mut count).unwrap();
        assert_eq!(nodes, self.rows.0.borrow().len(), "no row is left over");
    }
}

/// Keys that differ early, as hashes do.
fn spread(number: u32) -> LeafKey {
    let mut key = [0; 32];
    key[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b1).to_be_bytes());
    LeafKey(key)
}

/// Keys of which many have a long beginning in common, so that few of them make a deep tree.
fn key() -> impl Strategy<Value = LeafKey> {
    (0_usize..12, 0_u8..6).prop_map(|(at, byte)| {
        let mut key = [0x5a; 32];
        key[at] = byte;
        LeafKey(key)
    })
}

fn batch() -> impl Strategy<Value = BTreeMap<LeafKey, Option<Vec<u8>>>> {
    let value = proptest::option::weighted(0.7, proptest::collection::vec(any::<u8>(), 0..1500));
    proptest::collection::btree_map(key(), value, 0..12)
}

// Fails when `evict_deep_nodes` evicts nothing: then keys of all that was ever read stay in memory.
#[test]
fn after_a_batch_deep_nodes_are_not_in_memory() {
    let mut stored = Stored::empty();
    let mut key = [0x5a; 32];
    let leaves = (0..32).map(|last| {
        key[31] = last;
        (LeafKey(key), Some(vec![7; 300]))
    });
    stored.change(leaves.collect());
    let key = LeafKey(key);
    let is_deep = |place: &Place| place.depth() >= KEPT_DEPTH;
    assert!(stored.tree.get(&stored.rows, &key).unwrap().is_some());
    assert!(
        stored.tree.nodes.keys().any(is_deep),
        "nothing deep is read"
    );
    stored.change(BTreeMap::from([(key, None)]));
    assert!(!stored.tree.nodes.keys().any(is_deep));
    stored.assert_equal();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_tree_is_a_map_that_survives_reopening(
        batches in proptest::collection::vec((batch(), any::<bool>()), 1..16)
    ) {
        let mut stored = Stored::empty();
        for (batch, reopen) in batches {
            stored.change(batch);
            if reopen {
                stored.reopen();
            }
            stored.assert_equal();
        }
    }

    // Fails when `Key::open` passes over a failed tag, or `associated_data` leaves out the place.
    #[test]
    fn with_edited_rows_a_leaf_has_its_value_or_none_can_be_had(
        count in 1_u32..400,
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_u8..5), 1..6)
    ) {
        let mut stored = Stored::with_leaves(count);
        let former = stored.rows.clone();
        stored.change(BTreeMap::from([(spread(0), Some(vec![8; 300]))]));
        let places: Vec<_> = stored.rows.0.borrow().keys().copied().collect();
        for (one, other, kind) in edits {
            edit(&stored.rows, &former, *one.get(&places), *other.get(&places), kind);
        }
        let Ok(mut tree) = Tree::open("vault", &stored.rows, &stored.root) else {
            return Ok(());
        };
        for (key, value) in &stored.plain {
            match tree.get(&stored.rows, key) {
                Ok(found) => prop_assert_eq!(found.map(|found| found.to_vec()), Some(value.clone())),
                Err(ReadError::Missing | ReadError::Unreadable) => {}
                Err(ReadError::Storage(error)) => panic!("{error}"),
            }
        }
    }
}

/// An attacker's change to rows.
fn edit(rows: &Memory, former: &Memory, one: Place, other: Place, kind: u8) {
    let mut rows = rows.0.borrow_mut();
    let (first, second) = (rows.get(&one).cloned(), rows.get(&other).cloned());
    match (kind, first, second) {
        (0, Some(first), Some(second)) => {
            rows.insert(one, second);
            rows.insert(other, first);
        }
        (1, Some(mut first), _) => {
            let middle = first.len() / 2;
            first[middle] ^= 1;
            rows.insert(one, first);
        }
        (2, ..) => {
            rows.remove(&one);
        }
        (3, Some(first), _) => {
            rows.insert(other, first);
        }
        (4, ..) => {
            if let Some(older) = former.0.borrow().get(&one) {
                rows.insert(one, older.clone());
            }
        }
        _ => {}
    }
}

#[test]
fn an_older_root_key_does_not_open_the_root_and_an_older_root_does_not_open() {
    let mut stored = Stored::with_leaves(100);
    let former_key = Key::from_bytes(stored.root.expose_secret());
    let former_rows = stored.rows.clone();
    stored.change(BTreeMap::from([(spread(1), None)]));
    for (rows, key) in [(&stored.rows, &former_key), (&former_rows, &stored.root)] {
        assert!(matches!(
            Tree::open("vault", rows, key),
            Err(ReadError::Unreadable)
        ));
    }
    assert!(Tree::open("vault", &former_rows, &former_key).is_ok());
}

// Fails when `associated_data` leaves out the vault's id, or the sequence number.
#[test]
fn a_root_opens_in_no_other_vault_and_with_no_other_number() {
    let stored = Stored::with_leaves(3);
    let opened = |vault_id| Tree::open(vault_id, &stored.rows, &stored.root);
    assert!(matches!(opened("other"), Err(ReadError::Unreadable)));
    stored.rows.0.borrow_mut().get_mut(&Place::ROOT).unwrap()[7] ^= 1;
    assert!(matches!(opened("vault"), Err(ReadError::Unreadable)));
}

// Fails when `rewrite_child` does not seal a node again that was there before.
#[test]
fn a_change_replaces_every_row_on_its_path_and_no_other() {
    let mut stored = Stored::with_leaves(1000);
    let before = stored.rows.0.borrow().clone();
    let changed = spread(500);
    stored.change(BTreeMap::from([(changed, Some(vec![9; 300]))]));
    let mut path = Vec::new();
    let mut place = Place::ROOT;
    while before.contains_key(&place) {
        path.push(place);
        place = place.child(place.slot_of(&changed));
    }
    assert!(path.len() >= 3, "the tree has several levels");
    for (place, row) in stored.rows.0.borrow().iter() {
        assert_eq!(
            before.get(place) != Some(row),
            path.contains(place),
            "{place:?}"
        );
    }
}

// Fails when `broken_paths` looks at the root's children only.
#[test]
fn a_path_is_broken_wherever_on_it_a_node_does_not_open() {
    let stored = Stored::with_leaves(4_000);
    assert_eq!(stored.tree.broken_paths(&stored.rows).unwrap(), 0);
    let removed = [0, 9].map(|slot| {
        let child = Place::ROOT.child(slot);
        let mut below = (0..64).map(|slot| child.child(slot));
        below
            .find(|place| stored.rows.0.borrow_mut().remove(place).is_some())
            .unwrap()
    });
    assert_eq!(removed.map(Place::depth), [2, 2]);
    assert_eq!(stored.tree.broken_paths(&stored.rows).unwrap(), 2);
    let mut rows = stored.rows.0.borrow_mut();
    rows.remove(&Place::ROOT.child(1)).unwrap();
    drop(rows);
    assert_eq!(stored.tree.broken_paths(&stored.rows).unwrap(), 3);
}

#[test]
fn a_tree_whose_leaves_are_all_removed_has_one_row() {
    let mut stored = Stored::with_leaves(300);
    let keys: Vec<_> = stored.plain.keys().copied().collect();
    stored.change(keys.into_iter().map(|key| (key, None)).collect());
    assert_eq!(stored.rows.0.borrow().len(), 1);
    stored.assert_equal();
}

// Fails when `take` makes a new node where the parent has a key.
#[test]
fn nothing_is_written_where_a_node_is_missing() {
    let mut stored = Stored::with_leaves(300);
    let gone = Place::ROOT.child(Place::ROOT.slot_of(&spread(5)));
    stored.reopen();
    stored.rows.0.borrow_mut().remove(&gone).unwrap();
    assert!(matches!(
        stored.tree.get(&stored.rows, &spread(5)),
        Err(ReadError::Missing)
    ));
    let change = Change {
        key: spread(5),
        value: Some(Zeroizing::new(vec![1])),
    };
    let keys = &mut Keys::of_the_system();
    let written = stored
        .tree
        .rewrite(&stored.rows, keys, 9, Vec::new(), vec![change]);
    assert!(written.is_err());
}
