//! The process and the system below it: clock, limits, memory, secret files.

pub mod clock;
pub(crate) mod file_limit;
pub(crate) mod hardening;
pub mod secret_file;
pub(crate) mod stack;
