//! The wire contract, pinned: every vector of `tests/vectors` is produced by this crate byte for
//! byte and read back by it. What the files hold, and how they were made, is in their README.

mod channel;
mod decoders;
mod identity;
mod keys;
mod messages;
mod names;
mod opaque;
mod password;
mod problems;
mod support;
