//! A look down a few paths of the tree: whether its nodes are of one moment.

use super::node::Node;
use super::place::{FAN_OUT, Place};
use super::seal::Key;
use super::{Rows, Tree, if_readable};
use crate::error::StorageError;

impl Tree {
    /// On how many paths a node does not open, for whatever reason: one path from each child of the root,
    /// down to its first bucket.
    ///
    /// The children alone would not do: a change of one leaf writes its path anew, and leaves the other
    /// buckets below it as old as they are.
    pub(crate) fn broken_paths(&self, rows: &dyn Rows) -> Result<usize, StorageError> {
        let Node::Inner(root) = &self.nodes[&Place::ROOT] else {
            return Ok(0);
        };
        let mut broken = 0;
        for slot in 0..FAN_OUT {
            if let Some(key) = root.key(slot)
                && !self.opens_down(rows, Place::ROOT.child(slot), &key)?
            {
                broken += 1;
            }
        }
        Ok(broken)
    }

    fn opens_down(&self, rows: &dyn Rows, place: Place, key: &Key) -> Result<bool, StorageError> {
        match if_readable(self.load(rows, place, key))? {
            Some(Node::Bucket(_)) => Ok(true),
            Some(Node::Inner(inner)) => {
                let mut below = (0..FAN_OUT).filter_map(|slot| Some((slot, inner.key(slot)?)));
                match below.next() {
                    Some((slot, key)) => self.opens_down(rows, place.child(slot), &key),
                    None => Ok(true),
                }
            }
            None => Ok(false),
        }
    }
}
