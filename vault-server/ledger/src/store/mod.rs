//! The store's contract with the rooms above: rows of sealed bytes, one transaction at a time.
//!
//! A store is trusted to keep bytes, and for nothing else: whatever it returns has to open. It owes:
//!
//! - **Rows**: nodes by their place ([`Rows`](crate::tree::Rows)), events by their number, and the due
//!   index. A row that is there and cannot be read is read as an empty one: unreadable, never absent.
//! - **One transaction a batch**: `begin`, the changes, `commit`. It returns when the batch is durable.
//!   After an error it is unknown whether it is. A change outside of a transaction is refused.
//! - **A start that writes nothing that decides**: `open` reads, `settle` makes the state that was read
//!   final. Between them the engine may refuse. `may_be_mixed` says whether rows can be of two moments.
//! - **A way out of damage**: [`StorageError::is_damage`](crate::error::StorageError) tells a part that
//!   cannot be read from a store that does not answer, and `replace` puts a copy in its place.
//! - **Work between batches** (`maintain`), **an orderly end** (`close`), and where its file should be
//!   and is not (`lost_path`).
//!
//! A store knows nothing of anchors, and of a tree nothing but its places.

mod sqlite;

pub(crate) use self::sqlite::folder::Folder;
pub(crate) use self::sqlite::{Meta, Store};
