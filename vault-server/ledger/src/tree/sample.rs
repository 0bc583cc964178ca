//! Looking at a few ways down the tree: whether its nodes are of one moment.

use super::node::Node;
use super::place::FAN_OUT;
use super::{Place, Rows, Tree};
use crate::seal::Key;

impl Tree {
    /// On how many ways a node does not open, for whatever reason: one way from each child of the root,
    /// down to its first bucket.
    ///
    /// The children alone would not do: a change of one leaf writes its way anew, and leaves the other
    /// buckets below it as old as they are.
    pub(crate) fn broken_ways(&self, rows: &dyn Rows) -> usize {
        let Node::Inner(root) = &self.nodes[&Place::ROOT] else {
            return 0;
        };
        let ways = (0..FAN_OUT).filter_map(|slot| Some((Place::ROOT.child(slot), root.key(slot)?)));
        ways.filter(|(place, key)| !self.opens_down(rows, *place, key))
            .count()
    }

    fn opens_down(&self, rows: &dyn Rows, place: Place, key: &Key) -> bool {
        match self.load(rows, place, key) {
            Ok(Node::Bucket(_)) => true,
            Ok(Node::Inner(inner)) => {
                let mut below = (0..FAN_OUT).filter_map(|slot| Some((slot, inner.key(slot)?)));
                below
                    .next()
                    .is_none_or(|(slot, key)| self.opens_down(rows, place.child(slot), &key))
            }
            Err(_) => false,
        }
    }
}
