//! A disk for tests.
//!
//! | module | content |
//! |---|---|
//! | [`shim`] | the layer between a process and its disk (`shim.c`): it makes calls fail, skips them, kills the process, and records |
//! | [`journal`] | the record of the calls that reached the disk, in their order |
//! | [`replay`] | every state of the disk that a power loss may leave |

pub mod journal;
pub mod replay;
pub mod shim;
