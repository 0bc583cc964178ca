//! The apps whose users have accounts in the vault, and the tokens of their backends.

pub(crate) mod directory;
pub mod tenant;
pub mod token;
