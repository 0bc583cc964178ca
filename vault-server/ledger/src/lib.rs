//! Durable, sealed state: bytes under keys that survive a kill, a power loss, and a failing disk.
//!
//! The ledger knows nothing of accounts, policies, or HTTP. Its user hands it *changes*, closures over
//! a [`Batch`], and gets an answer only after the change is on the disk:
//!
//! 1. One thread, the writer, owns the database. Changes wait for it in a bounded queue; a full queue
//!    is an answer at once ([`CommitError::Overloaded`]).
//! 2. The writer takes the waiting changes and runs each in its turn, against the state that the former
//!    ones left. It commits all of them in one durable transaction, makes the state before it unreadable
//!    (`engine/commit.rs`), and then answers them in order.
//! 3. [`Committed`] is that answer. It can be made in one place only, from the proof that a commit
//!    returned, so code that takes a `Committed<T>` cannot run before `T` is durable.
//! 4. Any storage error, and any panic in a change, stops the ledger for good (fail-stop). Nothing of
//!    that batch is answered as done, and nothing is tried again: after a failed fsync the kernel may
//!    have marked the pages clean, so a second one that succeeds proves nothing. The process exits and
//!    the next start decides from the disk.
//!
//! # How it forgets
//!
//! Deleting is not destroying: rows stay in free pages, in the WAL, in snapshots, in backups. So no key
//! and no plaintext reaches the store. Every leaf is sealed under a random key, which is in a node of a
//! tree, which is sealed under a random key of its own, and so on; the root's key is in the anchor
//! alone, a file of 8 KiB on a volume of the operator's choice. Every batch draws new keys for the
//! nodes that it changes, up to the root, and overwrites the former root key before anything is
//! answered. From then on the anchor's key opens no copy of the database that was made before.
//!
//! ```text
//!   writer/   the one thread, and the state as a change sees it
//!   engine/   commit: the order in which store, tree, and anchors are changed; open: how one state is
//!             found again at a start; rebuild: the readable part of a damaged database
//!   leaf/     a leaf's state, due time, and chain of events, as bytes
//!   tree/     nodes and leaves, sealed level by level              knows nothing of where rows are
//!   store/    rows of bytes, one transaction at a time             knows nothing of anchors
//!   anchor/   the root key, in two slots, on one or more volumes   knows nothing of the tree
//! ```
//!
//! A leaf that does not open is [`LeafUnavailable`]. It is never taken for absent and never
//! overwritten.
//!
//! # Limits
//!
//! - Leaf keys (pseudonyms) of leaves with due times, these times, the first bits of all leaf keys, the
//!   sizes of nodes, and the number of events are in the clear.
//! - A copy of the anchor of some moment, together with the master key, opens the database of that
//!   moment, from any copy. A file anchor is overwritten in place; a file system that copies on
//!   write or journals data (ext4 with `data=journal`), flash memory, or a snapshot of the volume may keep overwritten keys.
//! - Events are removed, not destroyed: an old copy and the present anchor still read those that gave
//!   way. They must not hold secrets.
//! - An attacker who can write all anchors at once, and has the master key, can roll everything back.
//! - Losing every anchor is losing every leaf.
//!
//! # Example
//!
//! ```
//! use vault_ledger::{VaultIdentity, LeafKey, Ledger, MasterKey, Options};
//! use zeroize::Zeroizing;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let temporary = tempfile::tempdir()?;
//! # let (folder, anchor) = (temporary.path().join("vault"), temporary.path().join("anchor"));
//! let identity = VaultIdentity {
//!     vault_id: "vault-1".to_owned(),
//!     keyring_fingerprint: [1; 32],
//!     master_key: MasterKey::new(&[2; 32]),
//! };
//! let ledger = Ledger::create(Options::new(folder, anchor), identity)?;
//! let length = ledger.commit_blocking(|batch| {
//!     batch.put(&LeafKey([3; 32]), Zeroizing::new(b"state".to_vec()));
//!     Ok(batch.read(&LeafKey([3; 32]))?.map_or(0, |state| state.len()))
//! })?;
//! assert_eq!(length.into_inner(), 5);
//! ledger.close()?;
//! # Ok(())
//! # }
//! ```

mod anchor;
mod engine;
mod error;
mod files;
mod key;
mod leaf;
mod ledger;
mod options;
mod store;
mod tree;
mod writer;

#[cfg(test)]
mod tests;

pub use engine::verify::Verification;
pub use error::{CommitError, LeafUnavailable, LedgerFailed, OpenError, StorageError};
pub use key::{LeafKey, MasterKey, VaultIdentity};
pub use ledger::Ledger;
pub use options::{Options, Removed};
pub use writer::Committed;
pub use writer::batch::Batch;
