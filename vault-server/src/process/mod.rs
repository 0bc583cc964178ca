//! What the server needs from the process it runs in and from the system below it.

pub mod clock;
pub mod file_limit;
pub mod hardening;
pub mod secret_file;
pub mod stack;
