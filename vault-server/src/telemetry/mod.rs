//! Logs: text or JSON lines on standard error.

pub mod config;
pub mod filter;
pub mod logs;
