//! Going through all leaves, in the order of their keys.

use std::ops::ControlFlow;

use super::node::Node;
use super::{LeafKey, NodeError, Place, Rows, Tree, Value};
use crate::error::StorageError;
use crate::seal::Key;

/// What a walk comes upon.
pub(crate) enum Found<'a> {
    /// A node that opens.
    Node,
    /// A leaf in the node before.
    Leaf(&'a LeafKey, &'a Value),
    /// A node that is not there. Nobody can say which leaves were below it.
    Missing,
    /// A node that does not open. Nobody can say which leaves are below it.
    Unreadable,
}

type Visitor<'a> = &'a mut dyn FnMut(Found<'_>) -> ControlFlow<()>;

impl Tree {
    /// Shows every node and every leaf behind `after` to the visitor, until it has seen enough.
    /// Nodes that were read for it are not held in memory.
    pub(crate) fn walk(
        &self,
        rows: &dyn Rows,
        after: Option<&LeafKey>,
        visit: Visitor<'_>,
    ) -> Result<(), StorageError> {
        let root = &self.nodes[&Place::ROOT];
        self.walk_node(rows, Place::ROOT, root, after, visit)
            .map(|_| ())
    }

    fn walk_node(
        &self,
        rows: &dyn Rows,
        place: Place,
        node: &Node,
        after: Option<&LeafKey>,
        visit: Visitor<'_>,
    ) -> Result<ControlFlow<()>, StorageError> {
        if visit(Found::Node).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let inner = match node {
            Node::Inner(inner) => inner,
            Node::Bucket(bucket) => {
                let mut leaves = bucket
                    .leaves()
                    .filter(|(key, _)| after.is_none_or(|a| *key > a));
                return Ok(leaves.try_for_each(|(key, value)| visit(Found::Leaf(key, value))));
            }
        };
        let first = after.map_or(0, |key| place.slot_of(key));
        for slot in first..super::place::FAN_OUT {
            let Some(key) = inner.key(slot) else {
                continue;
            };
            // Only the first of them has leaves on both sides of `after`.
            let after = after.filter(|_| slot == first);
            if self
                .walk_child(rows, place.child(slot), &key, after, visit)?
                .is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn walk_child(
        &self,
        rows: &dyn Rows,
        place: Place,
        key: &Key,
        after: Option<&LeafKey>,
        visit: Visitor<'_>,
    ) -> Result<ControlFlow<()>, StorageError> {
        if let Some(node) = self.nodes.get(&place) {
            return self.walk_node(rows, place, node, after, visit);
        }
        match self.load(rows, place, key) {
            Ok(node) => self.walk_node(rows, place, &node, after, visit),
            Err(NodeError::Missing) => Ok(visit(Found::Missing)),
            Err(NodeError::Unreadable) => Ok(visit(Found::Unreadable)),
            Err(NodeError::Storage(error)) => Err(error),
        }
    }
}
