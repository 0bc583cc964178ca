//! Backup files from outside: what comes back, and what is refused.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "all of this crate is a test, also what is no test function"
)]

mod damaged;
mod fixture;
mod foreign;
mod hostile;
mod limits;
mod moving;
mod round_trip;
mod support;
mod targets;
mod tools;
