//! What the server needs from the process it runs in and from the system below it.

pub mod clock;
pub(crate) mod file_limit;
pub(crate) mod hardening;
pub mod secret_file;
pub(crate) mod stack;
