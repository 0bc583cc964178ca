//! What the server keeps in the ledger: where each value is, and how it is encoded.

pub(crate) mod codec;
pub mod keys;
pub mod leaf;
pub(crate) mod rotation;
