//! Going through all leaves, in the order of their keys.

use std::ops::ControlFlow;

use super::node::{Node, Value};
use super::place::{FAN_OUT, Place};
use super::seal::Key;
use super::{ReadError, Rows, Tree};
use crate::error::StorageError;
use crate::key::LeafKey;

/// A node or leaf that a walk comes upon.
pub(crate) enum Found<'a> {
    /// A node that opens.
    Node(Place),
    /// A leaf in the node before.
    Leaf(&'a LeafKey, &'a Value),
    /// A node that is not there. Which leaves were below it is unknown.
    Missing,
    /// A node that does not open. Which leaves are below it is unknown.
    Unreadable,
}

pub(crate) type Visit<'a> = &'a mut dyn FnMut(Found<'_>) -> Result<ControlFlow<()>, StorageError>;

impl Tree {
    /// Shows every node and every leaf behind `after` to the visitor, until it has seen enough.
    /// Nodes that were read for it are not held in memory.
    pub(crate) fn walk(
        &self,
        rows: &dyn Rows,
        after: Option<&LeafKey>,
        visit: Visit<'_>,
    ) -> Result<(), StorageError> {
        let mut walk = Walk {
            tree: self,
            rows,
            visit,
        };
        walk.node(Place::ROOT, &self.nodes[&Place::ROOT], after)
            .map(|_| ())
    }
}

struct Walk<'a> {
    tree: &'a Tree,
    rows: &'a dyn Rows,
    visit: Visit<'a>,
}

impl Walk<'_> {
    fn node(
        &mut self,
        place: Place,
        node: &Node,
        after: Option<&LeafKey>,
    ) -> Result<ControlFlow<()>, StorageError> {
        if (self.visit)(Found::Node(place))?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let inner = match node {
            Node::Inner(inner) => inner,
            Node::Bucket(bucket) => {
                for (key, value) in bucket.leaves() {
                    let is_behind = after.is_none_or(|after| key > after);
                    if is_behind && (self.visit)(Found::Leaf(key, value))?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                return Ok(ControlFlow::Continue(()));
            }
        };
        let first = after.map_or(0, |key| place.slot_of(key));
        for slot in first..FAN_OUT {
            let Some(key) = inner.key(slot) else {
                continue;
            };
            // Only the first of them has leaves on both sides of `after`.
            let after = after.filter(|_| slot == first);
            if self.child(place.child(slot), &key, after)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn child(
        &mut self,
        place: Place,
        key: &Key,
        after: Option<&LeafKey>,
    ) -> Result<ControlFlow<()>, StorageError> {
        let tree = self.tree;
        if let Some(node) = tree.nodes.get(&place) {
            return self.node(place, node, after);
        }
        match tree.load(self.rows, place, key) {
            Ok(node) => self.node(place, &node, after),
            Err(ReadError::Missing) => (self.visit)(Found::Missing),
            Err(ReadError::Unreadable) => (self.visit)(Found::Unreadable),
            Err(ReadError::Storage(error)) => Err(error),
        }
    }
}
