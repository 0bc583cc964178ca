//! Going on with a damaged database: its readable part becomes a new one.
//!
//! The leaves on a damaged page are unavailable, and others go on. But every write that comes near it
//! fails and stops the vault. A damaged list of free pages fails every write that needs room. The store
//! cannot mend a file. So everything that the key tree leads to is copied row by row, sealed as it is:
//! no key changes, and a leaf that could not be read stays unavailable, never absent.

use std::ops::ControlFlow;

use crate::error::{OpenError, StorageError};
use crate::key::LeafKey;
use crate::leaf::events::Events;
use crate::leaf::record::LeafRecord;
use crate::store::{Folder, Store};
use crate::tree::node::Value;
use crate::tree::walk::Found;
use crate::tree::{Rows, Tree};

/// How many nodes are copied between two lines of the log.
const REPORTED_TOGETHER: u64 = 100_000;

/// Replaces the database by a new one of the rows that the tree leads to.
pub(super) fn rebuild(
    folder: &Folder,
    damaged: Store,
    tree: &Tree,
    vault_id: &str,
) -> Result<Store, OpenError> {
    tracing::warn!(
        "copying the readable part of the database into a new one; this reads all of it"
    );
    damaged.replace(folder, |damaged, new| {
        let mut copy = Copy {
            damaged,
            new,
            vault_id,
            nodes: 0,
            lost: 0,
        };
        tree.walk(damaged, None, &mut |found| {
            copy.copy(&found).map(ControlFlow::Continue)
        })?;
        tracing::warn!(
            nodes = copy.nodes,
            lost = copy.lost,
            "the new database is complete; leaves below a lost node are unavailable for good"
        );
        Ok(())
    })
}

struct Copy<'a> {
    damaged: &'a Store,
    new: &'a Store,
    vault_id: &'a str,
    nodes: u64,
    lost: u64,
}

impl Copy<'_> {
    fn copy(&mut self, found: &Found<'_>) -> Result<(), StorageError> {
        match found {
            Found::Node(place) => {
                self.nodes += 1;
                if self.nodes.is_multiple_of(REPORTED_TOGETHER) {
                    tracing::warn!(nodes = self.nodes, "copying");
                }
                // It was opened just now. A sick disk may give other bytes the second time.
                let sealed = self.damaged.row(*place)?.filter(|row| !row.is_empty());
                let lost = || StorageError::new("copying a node", "it cannot be read again");
                self.new.put_row(*place, &sealed.ok_or_else(lost)?)?;
            }
            Found::Leaf(key, value) => self.copy_beside(key, value)?,
            Found::Missing | Found::Unreadable => self.lost += 1,
        }
        Ok(())
    }

    /// The due time and events of a leaf, which are outside the tree.
    fn copy_beside(&self, key: &LeafKey, value: &Value) -> Result<(), StorageError> {
        let Ok(record) = LeafRecord::decode(value) else {
            return Ok(());
        };
        if let Some(due_ms) = record.due_ms {
            self.new.put_due(key, due_ms)?;
        }
        let Some(last) = &record.last_event else {
            return Ok(());
        };
        Events::of(self.damaged, self.vault_id, key).copy_to(self.new, last)
    }
}
