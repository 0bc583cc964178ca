//! The apps whose users have accounts in the vault.

pub mod directory;
pub mod tenant;
