//! Store, tree, and anchors as one: found by a start, changed by a commit, looked through by a check.

pub(crate) mod commit;
mod members;
pub(crate) mod open;
mod rebuild;
pub(crate) mod verify;
