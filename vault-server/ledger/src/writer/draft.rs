//! The differences that changes make: laid over the stored state, and dropped or written as a whole.

use std::collections::{BTreeMap, BTreeSet};

use crate::key::LeafKey;
use crate::leaf::record::Plaintext;

/// Changes that are not stored yet, of one change or of all of a batch so far.
#[derive(Default)]
pub(crate) struct Draft {
    /// New states; `None` removes the leaf.
    pub(super) leaves: BTreeMap<LeafKey, Option<Plaintext>>,
    /// New events, oldest first.
    pub(super) events: BTreeMap<LeafKey, Vec<Plaintext>>,
    /// New due times; `None` takes the leaf out of the index.
    pub(super) due: BTreeMap<LeafKey, Option<u64>>,
}

impl Draft {
    /// Takes over a later draft, which wins where both speak.
    pub(crate) fn absorb(&mut self, later: Draft) {
        self.leaves.extend(later.leaves);
        self.due.extend(later.due);
        for (key, events) in later.events {
            self.events.entry(key).or_default().extend(events);
        }
    }

    /// Every leaf of which it says something.
    pub(super) fn keys(&self) -> BTreeSet<LeafKey> {
        let (leaves, events) = (self.leaves.keys(), self.events.keys());
        leaves
            .chain(events)
            .chain(self.due.keys())
            .copied()
            .collect()
    }

    /// The new events of a leaf, oldest first.
    pub(super) fn events_of(&self, key: &LeafKey) -> &[Plaintext] {
        self.events.get(key).map_or(&[], Vec::as_slice)
    }
}
