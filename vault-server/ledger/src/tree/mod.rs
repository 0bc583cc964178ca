//! The key tree: values that can be forgotten.
//!
//! A radix tree over 32-byte keys. Leaves lie in buckets; a bucket is sealed under a random key of
//! its own, which its parent holds; the parent is sealed under a key of *its* own, and so on up to
//! the root, whose key the tree hands out and stores nowhere.
//!
//! ```text
//! row of a node = sealed(node)                                data = label || row number || vault id
//! row of the root = sequence (8) || sealed(metadata || node)  data = ... || sequence
//! metadata = length (2) || bytes that the tree does not interpret
//! ```
//!
//! Changing a leaf draws fresh keys for its bucket and for every node above it ([`Tree::rewrite`]).
//! Then the new root's key leads to no former version of a changed leaf, whatever copies of rows there
//! are. Former copies of all rows lead to no new version. So forgetting and refusing an older state are
//! one mechanism.
//!
//! A node that is missing or does not open makes everything below it unavailable. It is never taken for
//! an empty one, and nothing is written over it.
//!
//! The tree knows neither the meaning of its leaves nor where its rows are.

pub(crate) mod node;
mod place;
pub(crate) mod seal;
mod spot_check;
pub(crate) mod walk;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use thiserror::Error;
use zeroize::Zeroizing;

use self::node::{Bucket, Inner, Node, Value};
pub(crate) use self::place::Place;
use self::seal::{Key, Keys, Unreadable};
use crate::error::StorageError;
use crate::key::LeafKey;

const LABEL: &[u8] = b"backup-key-vault/v2 node";

/// Nodes above this depth stay in memory between batches, 4,161 at most, about 9 MB: most batches
/// touch most of them. Chosen by measurement, see `benches/changes.rs`.
const KEPT_DEPTH: u32 = 3;

/// Where nodes are stored, each in the row of its place.
pub(crate) trait Rows {
    fn row(&self, place: Place) -> Result<Option<Vec<u8>>, StorageError>;
    /// Makes or replaces one.
    fn put_row(&self, place: Place, sealed: &[u8]) -> Result<(), StorageError>;
    fn remove_row(&self, place: Place) -> Result<(), StorageError>;
}

/// Where a batch is written to, and where its keys come from.
struct Target<'a> {
    rows: &'a dyn Rows,
    keys: &'a mut Keys,
}

/// One leaf's new value; `None` removes it.
pub(crate) struct Change {
    pub(crate) key: LeafKey,
    pub(crate) value: Option<Value>,
}

/// Why a node and everything below it, or an event, is unavailable.
#[derive(Debug, Error)]
pub(crate) enum ReadError {
    #[error("it is missing")]
    Missing,
    /// Altered, moved, or an older one.
    #[error("it does not open")]
    Unreadable,
    /// Which of these it is cannot be said.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<Unreadable> for ReadError {
    fn from(Unreadable: Unreadable) -> ReadError {
        ReadError::Unreadable
    }
}

impl From<ReadError> for StorageError {
    fn from(error: ReadError) -> StorageError {
        match error {
            ReadError::Storage(error) => error,
            error => StorageError::new("reading a node", error),
        }
    }
}

/// `None` for one that is unavailable.
pub(crate) fn if_readable<T>(read: Result<T, ReadError>) -> Result<Option<T>, StorageError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(ReadError::Missing | ReadError::Unreadable) => Ok(None),
        Err(ReadError::Storage(error)) => Err(error),
    }
}

/// An open tree: its root, and the nodes that were read.
pub(crate) struct Tree {
    vault_id: String,
    sequence: u64,
    metadata: Vec<u8>,
    nodes: HashMap<Place, Node>,
    /// Those in `nodes` that are not kept.
    deep: Vec<Place>,
    #[cfg(test)]
    pub(crate) not_rekeyed: Option<u32>,
}

impl Tree {
    /// A tree without leaves that is not stored yet.
    pub(crate) fn empty(vault_id: &str) -> Tree {
        Tree::of_root(vault_id, 0, Vec::new(), Node::empty())
    }

    /// Opens the stored root.
    pub(crate) fn open(vault_id: &str, rows: &dyn Rows, key: &Key) -> Result<Tree, ReadError> {
        let row = rows.row(Place::ROOT)?.ok_or(ReadError::Missing)?;
        let (sequence, sealed) = row.split_first_chunk::<8>().ok_or(Unreadable)?;
        let sequence = u64::from_be_bytes(*sequence);
        let data = associated_data(vault_id, Place::ROOT, Some(sequence));
        let opened = key.open(&data, sealed)?;
        let (length, rest) = opened.split_first_chunk::<2>().ok_or(Unreadable)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (metadata, node) = rest.split_at_checked(length).ok_or(Unreadable)?;
        let root = Node::decode(node)?;
        Ok(Tree::of_root(vault_id, sequence, metadata.to_vec(), root))
    }

    /// The sequence number that the stored root's row claims, whether or not the root opens.
    pub(crate) fn claimed_sequence(rows: &dyn Rows) -> Result<Option<u64>, StorageError> {
        let row = rows.row(Place::ROOT)?;
        let head = row.as_deref().and_then(|row| row.first_chunk::<8>());
        Ok(head.map(|sequence| u64::from_be_bytes(*sequence)))
    }

    /// The number of the batch that wrote the root.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The bytes beside the leaves, by the batch that wrote the root.
    pub(crate) fn metadata(&self) -> &[u8] {
        &self.metadata
    }

    /// The content of a leaf, `None` if there is no such leaf.
    pub(crate) fn get(
        &mut self,
        rows: &dyn Rows,
        key: &LeafKey,
    ) -> Result<Option<&Value>, ReadError> {
        let mut place = Place::ROOT;
        while let Some(Node::Inner(inner)) = self.nodes.get(&place) {
            let slot = place.slot_of(key);
            let Some(child_key) = inner.key(slot) else {
                return Ok(None);
            };
            place = place.child(slot);
            if !self.nodes.contains_key(&place) {
                let node = self.load(rows, place, &child_key)?;
                self.keep(place, node);
            }
        }
        match self.nodes.get(&place) {
            Some(Node::Bucket(bucket)) => Ok(bucket.get(key)),
            _ => unreachable!("the loop ends at a bucket that it has loaded"),
        }
    }

    /// Writes one batch: every node on the path to a changed leaf is sealed anew, under a fresh key,
    /// and the root's key is returned. Without changes that is the root alone.
    ///
    /// `changes` are in the order of their keys, each key once. After an error the tree is not usable
    /// any more, and the rows must not be made durable.
    pub(crate) fn rewrite(
        &mut self,
        rows: &dyn Rows,
        keys: &mut Keys,
        sequence: u64,
        metadata: Vec<u8>,
        mut changes: Vec<Change>,
    ) -> Result<Key, StorageError> {
        let target = &mut Target { rows, keys };
        let root = self.take(target, Place::ROOT, None)?;
        let root = self.changed(target, Place::ROOT, root, &mut changes)?;
        self.sequence = sequence;
        self.metadata = metadata;
        let key = self.seal(target, Place::ROOT, &root)?;
        self.keep(Place::ROOT, root);
        Ok(key)
    }

    /// Evicts the nodes that are not kept between batches.
    pub(crate) fn evict_deep_nodes(&mut self) {
        for place in self.deep.drain(..) {
            self.nodes.remove(&place);
        }
    }

    fn of_root(vault_id: &str, sequence: u64, metadata: Vec<u8>, root: Node) -> Tree {
        Tree {
            vault_id: vault_id.to_owned(),
            sequence,
            metadata,
            nodes: HashMap::from([(Place::ROOT, root)]),
            deep: Vec::new(),
            #[cfg(test)]
            not_rekeyed: None,
        }
    }

    /// A node with these changes below it, all of which are stored then; not the node itself.
    fn changed(
        &mut self,
        target: &mut Target<'_>,
        place: Place,
        node: Node,
        changes: &mut [Change],
    ) -> Result<Node, StorageError> {
        let mut inner = match node {
            Node::Inner(inner) => inner,
            Node::Bucket(mut bucket) => {
                for change in changes {
                    bucket.set(change.key, change.value.take());
                }
                if !(bucket.is_too_large() && place.can_have_children()) {
                    return Ok(Node::Bucket(bucket));
                }
                return self.divided(target, place, bucket);
            }
        };
        for below in changes.chunk_by_mut(|a, b| place.slot_of(&a.key) == place.slot_of(&b.key)) {
            let slot = place.slot_of(&below[0].key);
            let stored = inner.key(slot);
            match self.rewrite_child(target, place.child(slot), stored, below)? {
                Some(key) => inner.set(slot, &key),
                None => inner.clear(slot),
            }
        }
        let node = Node::Inner(inner);
        Ok(if node.is_empty() { Node::empty() } else { node })
    }

    /// A bucket that has become too large, as an inner node above smaller ones.
    fn divided(
        &mut self,
        target: &mut Target<'_>,
        place: Place,
        bucket: Bucket,
    ) -> Result<Node, StorageError> {
        let mut leaves: Vec<Change> = bucket
            .into_leaves()
            .map(|(key, value)| Change {
                key,
                value: Some(value),
            })
            .collect();
        let inner = Node::Inner(Inner::without_children());
        self.changed(target, place, inner, &mut leaves)
    }

    /// Stores a node with these changes, and returns its new key, or `None` if nothing is left of it.
    fn rewrite_child(
        &mut self,
        target: &mut Target<'_>,
        place: Place,
        stored: Option<Key>,
        changes: &mut [Change],
    ) -> Result<Option<Key>, StorageError> {
        let node = self.take(target, place, stored.as_ref())?;
        let node = self.changed(target, place, node, changes)?;
        if node.is_empty() {
            if stored.is_some() {
                target.rows.remove_row(place)?;
            }
            return Ok(None);
        }
        #[cfg(test)]
        if self.not_rekeyed == Some(place.depth())
            && let Some(stored) = stored
        {
            return self.seal_again(target, place, node, stored).map(Some);
        }
        let key = self.seal(target, place, &node)?;
        self.keep(place, node);
        Ok(Some(key))
    }

    /// A node to change: from memory, from its row, or a new one if there is none yet.
    fn take(
        &mut self,
        target: &Target<'_>,
        place: Place,
        key: Option<&Key>,
    ) -> Result<Node, StorageError> {
        if let Some(node) = self.nodes.remove(&place) {
            return Ok(node);
        }
        match key {
            Some(key) => Ok(self.load(target.rows, place, key)?),
            None => Ok(Node::empty()),
        }
    }

    fn keep(&mut self, place: Place, node: Node) {
        self.nodes.insert(place, node);
        if place.depth() >= KEPT_DEPTH {
            self.deep.push(place);
        }
    }

    fn load(&self, rows: &dyn Rows, place: Place, key: &Key) -> Result<Node, ReadError> {
        let sealed = rows.row(place)?.ok_or(ReadError::Missing)?;
        let data = associated_data(&self.vault_id, place, None);
        Ok(Node::decode(&key.open(&data, &sealed)?)?)
    }

    /// Seals a node under a fresh key and stores it.
    fn seal(
        &self,
        target: &mut Target<'_>,
        place: Place,
        node: &Node,
    ) -> Result<Key, StorageError> {
        let is_root = place == Place::ROOT;
        let data = associated_data(&self.vault_id, place, is_root.then_some(self.sequence));
        let fresh = target.keys.draw()?;
        let (sealed, key) = fresh.seal(&data, &self.plaintext(is_root, node))?;
        if is_root {
            let rows = target.rows;
            rows.put_row(place, &[&self.sequence.to_be_bytes()[..], &sealed].concat())?;
        } else {
            target.rows.put_row(place, &sealed)?;
        }
        Ok(key)
    }

    /// Sized first: growing it would leave copies of keys behind.
    fn plaintext(&self, is_root: bool, node: &Node) -> Zeroizing<Vec<u8>> {
        let metadata = if is_root { 2 + self.metadata.len() } else { 0 };
        let mut plaintext = Zeroizing::new(Vec::with_capacity(metadata + node.size()));
        if is_root {
            let length = u16::try_from(self.metadata.len()).expect("metadata are a few bytes");
            plaintext.extend_from_slice(&length.to_be_bytes());
            plaintext.extend_from_slice(&self.metadata);
        }
        node.encode_into(&mut plaintext);
        plaintext
    }
}

/// The row's number fixes place and kind; the sequence is there for the root alone, whose number is
/// no other node's; the only part of variable length comes last.
fn associated_data(vault_id: &str, place: Place, sequence: Option<u64>) -> Vec<u8> {
    let row = place.row().to_be_bytes();
    let sequence = sequence.map(u64::to_be_bytes);
    let sequence = sequence.as_ref().map_or(&[][..], |bytes| &bytes[..]);
    [LABEL, &row, sequence, vault_id.as_bytes()].concat()
}
