//! Logs: text or JSON lines on standard error.

pub(crate) mod config;
pub(crate) mod filter;
pub(crate) mod logs;
