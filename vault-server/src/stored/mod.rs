//! The server's values in the ledger: their keys and their codecs.

pub(crate) mod codec;
pub mod keys;
pub mod leaf;
pub(crate) mod rotation;
