//! A node as plaintext: the keys of its children, or leaves.
//!
//! ```text
//! inner  = 1 || present (8 bytes, a bit for each slot, slot 0 lowest) || a key (32) for each bit, in order
//! bucket = 2 || for each leaf, in the order of keys: leaf key (32) || length (4) || value
//! ```
//!
//! Integers are big-endian. Only these bytes are read: no other order, no trailing byte, no leaf
//! twice, no inner node without children.

use std::collections::BTreeMap;

use zeroize::{Zeroize, Zeroizing};

use super::place::FAN_OUT;
use super::seal::{KEY_SIZE, Key, Unreadable};
use crate::key::LeafKey;

/// The content of a leaf.
pub(crate) type Value = Zeroizing<Vec<u8>>;

const INNER: u8 = 1;
const BUCKET: u8 = 2;
/// A bucket of more bytes is divided, unless it has one leaf only. Then a row fits in a page of the
/// database (4,096 bytes), often with another one. Chosen by measurement, see `benches/changes.rs`.
const BUCKET_LIMIT: usize = 2048;
/// The bytes of an entry before its value.
const ENTRY_HEAD: usize = 32 + 4;

pub(super) enum Node {
    Inner(Inner),
    Bucket(Bucket),
}

/// The keys of the nodes below, in one allocation that is never moved or grown: no copies are left
/// behind.
pub(super) struct Inner {
    present: u64,
    keys: Box<[[u8; KEY_SIZE]; FAN_OUT]>,
}

/// A few leaves that are sealed together.
#[derive(Default)]
pub(super) struct Bucket(BTreeMap<LeafKey, Value>);

impl Node {
    pub(super) fn empty() -> Node {
        Node::Bucket(Bucket::default())
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Node::Inner(inner) => inner.present == 0,
            Node::Bucket(bucket) => bucket.0.is_empty(),
        }
    }

    pub(super) fn encode_into(&self, bytes: &mut Vec<u8>) {
        match self {
            Node::Inner(inner) => inner.encode_into(bytes),
            Node::Bucket(bucket) => bucket.encode_into(bytes),
        }
    }

    /// How many bytes [`encode_into`](Node::encode_into) adds.
    pub(super) fn size(&self) -> usize {
        match self {
            Node::Inner(inner) => inner.size(),
            Node::Bucket(bucket) => bucket.size(),
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Node, Unreadable> {
        match bytes.split_first().ok_or(Unreadable)? {
            (&INNER, rest) => Inner::decode(rest).map(Node::Inner),
            (&BUCKET, rest) => Bucket::decode(rest).map(Node::Bucket),
            _ => Err(Unreadable),
        }
    }
}

impl Inner {
    pub(super) fn without_children() -> Inner {
        Inner {
            present: 0,
            keys: Box::new([[0; KEY_SIZE]; FAN_OUT]),
        }
    }

    /// The key of the child in this slot.
    pub(super) fn key(&self, slot: usize) -> Option<Key> {
        (self.present >> slot & 1 == 1).then(|| Key::from_bytes(&self.keys[slot]))
    }

    pub(super) fn set(&mut self, slot: usize, key: &Key) {
        self.present |= 1 << slot;
        self.keys[slot] = *key.expose_secret();
    }

    pub(super) fn clear(&mut self, slot: usize) {
        self.present &= !(1 << slot);
        self.keys[slot].zeroize();
    }

    fn size(&self) -> usize {
        1 + 8 + self.present.count_ones() as usize * KEY_SIZE
    }

    fn encode_into(&self, bytes: &mut Vec<u8>) {
        bytes.push(INNER);
        bytes.extend_from_slice(&self.present.to_be_bytes());
        for (slot, key) in self.keys.iter().enumerate() {
            if self.present >> slot & 1 == 1 {
                bytes.extend_from_slice(key);
            }
        }
    }

    fn decode(bytes: &[u8]) -> Result<Inner, Unreadable> {
        let (present, keys) = bytes.split_first_chunk::<8>().ok_or(Unreadable)?;
        let present = u64::from_be_bytes(*present);
        let (keys, rest) = keys.as_chunks::<KEY_SIZE>();
        let slots = (0..FAN_OUT).filter(|slot| present >> slot & 1 == 1);
        if !rest.is_empty() || present == 0 || keys.len() != present.count_ones() as usize {
            return Err(Unreadable);
        }
        let mut inner = Inner::without_children();
        inner.present = present;
        for (slot, key) in slots.zip(keys) {
            inner.keys[slot] = *key;
        }
        Ok(inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.keys.zeroize();
    }
}

impl Bucket {
    pub(super) fn get(&self, key: &LeafKey) -> Option<&Value> {
        self.0.get(key)
    }

    /// `None` removes the leaf.
    pub(super) fn set(&mut self, key: LeafKey, value: Option<Value>) {
        match value {
            Some(value) => self.0.insert(key, value),
            None => self.0.remove(&key),
        };
    }

    pub(super) fn is_too_large(&self) -> bool {
        self.size() > BUCKET_LIMIT && self.0.len() > 1
    }

    pub(super) fn leaves(&self) -> impl Iterator<Item = (&LeafKey, &Value)> {
        self.0.iter()
    }

    pub(super) fn into_leaves(self) -> impl Iterator<Item = (LeafKey, Value)> {
        self.0.into_iter()
    }

    fn size(&self) -> usize {
        let values = self.0.values();
        1 + values.map(|value| ENTRY_HEAD + value.len()).sum::<usize>()
    }

    fn encode_into(&self, bytes: &mut Vec<u8>) {
        bytes.push(BUCKET);
        for (key, value) in &self.0 {
            let length = u32::try_from(value.len()).expect("a leaf is shorter than 4 GiB");
            bytes.extend_from_slice(&key.0);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(value);
        }
    }

    fn decode(mut bytes: &[u8]) -> Result<Bucket, Unreadable> {
        let mut leaves = BTreeMap::new();
        while !bytes.is_empty() {
            let (key, rest) = bytes.split_first_chunk::<32>().ok_or(Unreadable)?;
            let (length, rest) = rest.split_first_chunk::<4>().ok_or(Unreadable)?;
            let length = u32::from_be_bytes(*length) as usize;
            let (value, rest) = rest.split_at_checked(length).ok_or(Unreadable)?;
            let key = LeafKey(*key);
            let is_next = leaves.last_key_value().is_none_or(|(last, _)| *last < key);
            if !is_next {
                return Err(Unreadable);
            }
            leaves.insert(key, Zeroizing::new(value.to_vec()));
            bytes = rest;
        }
        Ok(Bucket(leaves))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(node: &Node) -> Vec<u8> {
        let mut bytes = Vec::new();
        node.encode_into(&mut bytes);
        assert_eq!(bytes.len(), node.size());
        bytes
    }

    fn inner() -> Node {
        let mut inner = Inner::without_children();
        for slot in [63, 0, 7] {
            let byte = u8::try_from(slot).unwrap();
            inner.set(slot, &Key::from_bytes(&[byte; 32]));
        }
        Node::Inner(inner)
    }

    fn bucket() -> Node {
        let mut bucket = Bucket::default();
        for number in [9, 3, 5] {
            let value = Zeroizing::new(vec![number; usize::from(number)]);
            bucket.set(LeafKey([number; 32]), Some(value));
        }
        Node::Bucket(bucket)
    }

    fn is_unreadable(bytes: &[u8]) -> bool {
        Node::decode(bytes).is_err()
    }

    #[test]
    fn truncated_nodes_and_trailing_bytes_are_unreadable() {
        for node in [inner(), bucket()] {
            let bytes = encoded(&node);
            // A bucket that ends between two leaves is a bucket; its seal says that it is not ours.
            let ends = [1, 1 + 36 + 3, 1 + 2 * 36 + 8];
            for length in 0..bytes.len() {
                let is_bucket = bytes[0] == BUCKET && ends.contains(&length);
                assert_eq!(is_unreadable(&bytes[..length]), !is_bucket, "{length}");
            }
            assert!(is_unreadable(&[bytes, vec![0]].concat()));
        }
    }

    #[test]
    fn unknown_kinds_and_inner_nodes_without_children_are_unreadable() {
        for kind in (0..=u8::MAX).filter(|kind| ![INNER, BUCKET].contains(kind)) {
            assert!(is_unreadable(&[kind]));
        }
        assert!(is_unreadable(&[&[INNER][..], &[0; 8]].concat()));
    }

    #[test]
    fn leaves_in_another_order_or_twice_are_unreadable() {
        let leaf = |key: u8| [&[key; 32][..], &[0; 4]].concat();
        let bucket = |first, second| [vec![BUCKET], leaf(first), leaf(second)].concat();
        assert!(!is_unreadable(&bucket(1, 2)));
        assert!(is_unreadable(&bucket(2, 1)));
        assert!(is_unreadable(&bucket(1, 1)));
    }

    #[test]
    fn a_length_beyond_the_end_is_unreadable() {
        let leaf = [&[1; 32][..], &u32::MAX.to_be_bytes(), &[0; 9]].concat();
        assert!(is_unreadable(&[vec![BUCKET], leaf].concat()));
    }

    #[test]
    fn nodes_are_read_as_they_were_written() {
        for node in [inner(), bucket(), Node::empty()] {
            let bytes = encoded(&node);
            assert_eq!(encoded(&Node::decode(&bytes).unwrap()), bytes);
        }
    }

    // Fails when `clear` leaves the key's bytes where they are.
    #[test]
    fn the_key_of_a_removed_child_is_gone() {
        let Node::Inner(mut inner) = inner() else {
            unreachable!()
        };
        inner.clear(7);
        assert!(inner.key(7).is_none());
        assert!(!inner.keys.contains(&[7; 32]));
        assert_eq!(inner.present.count_ones(), 2);
    }
}
