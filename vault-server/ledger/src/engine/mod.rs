//! Store, tree, and anchors as one: how they are found, changed, and looked through together.

pub(crate) mod commit;
mod members;
pub(crate) mod open;
mod rebuild;
pub(crate) mod verify;
