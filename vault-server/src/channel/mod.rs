//! The sealed channel (PROTOCOL.md section 5): its keys, and the signed statement that names them.

pub mod keys;
pub mod statement;
