//! The one order in which a batch becomes durable, and its predecessor unreadable.
//!
//! 1. The transaction is prepared: every node on the path to a changed leaf is sealed anew, and the
//!    root carries the next sequence number.
//! 2. Sequence and root key go into the free slot of every anchor, durably.
//! 3. COMMIT: the store returns when the batch is durable.
//! 4. The slot of the former root key is overwritten on every anchor, durably.
//! 5. Only then is anything answered.
//!
//! The key before the database, so that there is never a database on the disk with a root that no key
//! opens. The former key until after it, so that a kill in between leaves a vault that starts. And the
//! former key gone before any answer: as long as it exists, an attacker with a copy of the former
//! database can put it back, and the guesses counted meanwhile are uncounted.
//!
//! After an error in any of these steps the state of the disk is unknown. Nothing is tried again, and
//! the process ends; the next start (`open.rs`) finds one of the two roots.

use crate::anchor::set::Anchors;
use crate::anchor::{Live, RootKey};
use crate::error::StorageError;
use crate::store::Store;
use crate::tree::seal::Keys;
use crate::tree::{Change, Tree};

/// Proof that a batch is on the disk, and that the state before it cannot be read any more.
/// Only [`Engine::commit`] makes one.
pub(crate) struct Durable(());

/// An open vault: store, tree, and anchors, which are changed together or not at all.
pub(crate) struct Engine {
    pub(crate) vault_id: String,
    pub(crate) store: Store,
    pub(crate) tree: Tree,
    pub(crate) keys: Keys,
    pub(crate) anchors: Anchors,
}

impl Engine {
    /// Ends the open transaction with these changes of leaves, in the order of their keys.
    pub(crate) fn commit(&mut self, changes: Vec<Change>) -> Result<Durable, StorageError> {
        if changes.is_empty() {
            // Nothing that decides: at most the due index has changed. The state that answers are
            // given from was made durable by the batch before.
            self.store.commit()?;
        } else {
            let sequence = self.tree.sequence() + 1;
            let metadata = self.tree.metadata().to_vec();
            self.replace_root(sequence, metadata, changes)?;
        }
        self.tree.evict_deep_nodes();
        Ok(Durable(()))
    }

    /// Steps 1 to 4, within a transaction that was begun.
    pub(crate) fn replace_root(
        &mut self,
        sequence: u64,
        metadata: Vec<u8>,
        changes: Vec<Change>,
    ) -> Result<(), StorageError> {
        let former = self.tree.sequence();
        let (store, keys) = (&self.store, &mut self.keys);
        let key = self
            .tree
            .rewrite(store, keys, sequence, metadata, changes)?;
        let next = Live {
            sequence,
            key: RootKey::new(key.expose_secret()),
        };
        self.anchors.prepare(former, &next)?;
        self.store.commit()?;
        self.anchors.erase(sequence)
    }
}
