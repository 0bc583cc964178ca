//! Durable, sealed state: keys and bytes that survive what a process and a disk can do to them.
//!
//! The ledger knows nothing of accounts, policies, or HTTP. Its user hands it *changes*, closures over
//! a [`Batch`], and gets an answer only after the change is on the disk:
//!
//! 1. One thread, the writer, owns the database. Changes wait for it in a bounded queue; a full queue
//!    is an answer at once ([`CommitError::Overloaded`]).
//! 2. The writer takes what waits, runs each change in its turn against what the former ones left,
//!    commits all of them in one transaction with `synchronous=FULL`, and then answers them in order.
//! 3. [`Committed`] is that answer. It can be made in one place only, from the proof that a commit
//!    returned, so code that takes a `Committed<T>` cannot run before `T` is durable.
//! 4. Any storage error, and any panic in a change, stops the ledger for good (fail-stop). Nothing of
//!    that batch is answered as done, and nothing is tried again: after a failed fsync the kernel may
//!    have marked the pages clean, so a second one that succeeds proves nothing. The process exits and
//!    the next start decides from what is on the disk.
//!
//! No plaintext of a leaf or an event reaches SQLite: both are sealed with AES-256-GCM, each under a
//! key of its own, derived from the keyring's master key, bound to the vault and to their place.
//! A leaf that does not open is [`LeafUnavailable`]. It is never taken for absent and never
//! overwritten.
//!
//! # What this does not protect
//!
//! - Leaf keys (pseudonyms), the sizes of leaves, the number of events, and due times are in the clear.
//! - Who can write the files can remove rows, or put back older ones: every version of a row stays
//!   valid under the same key.
//! - With the master key, everything that is still in the database's files, its log, free pages,
//!   snapshots, and backups can be opened. `secure_delete=ON` makes that less, not nothing.
//!
//! # Example
//!
//! ```
//! use vault_ledger::{Identity, LeafKey, Ledger, MasterKey, Options};
//! use zeroize::Zeroizing;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let temporary = tempfile::tempdir()?;
//! # let folder = temporary.path().join("vault");
//! let identity = Identity {
//!     vault_id: "vault-1".to_owned(),
//!     keyring_fingerprint: [1; 32],
//!     master_key: MasterKey::new([2; 32]),
//! };
//! let ledger = Ledger::create(Options::new(folder), identity)?;
//! let length = ledger.commit_blocking(|batch| {
//!     batch.put(&LeafKey([3; 32]), Zeroizing::new(b"state".to_vec()));
//!     Ok(batch.read(&LeafKey([3; 32]))?.map_or(0, |state| state.len()))
//! })?;
//! assert_eq!(length.into_inner(), 5);
//! ledger.close()?;
//! # Ok(())
//! # }
//! ```

mod batch;
mod draft;
mod error;
mod folder;
mod handle;
mod key;
mod leaves;
mod schema;
mod seal;
mod store;
mod writer;

#[cfg(test)]
mod tests;

pub use batch::Batch;
pub use error::{CommitError, LeafUnavailable, LedgerFailed, OpenError, StorageError};
pub use handle::{Ledger, Options};
pub use key::{Identity, LeafKey, MasterKey};
pub use writer::Committed;
