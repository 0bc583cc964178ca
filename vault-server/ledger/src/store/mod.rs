//! What a store owes to the rooms above it, whichever it is.

pub(crate) mod sqlite;

pub(crate) use self::sqlite::folder::Folder;
pub(crate) use self::sqlite::{Meta, Store};
