//! The vault's routes, in process: every endpoint of PROTOCOL.md section 6 through the sealed
//! channel, on a real SQLite folder, at a time that only the test moves.
//!
//! A comment "Fails when …" names a one-line change to the server with which the test fails.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bad_input;
mod canary;
mod concurrency;
mod damaged;
mod deletion;
mod health;
mod inner_channel;
mod maintenance;
mod ohttp;
mod registration_finish;
mod registration_start;
mod reset;
mod restart;
mod retrieval_abandon;
mod retrieval_finish;
mod retrieval_start;
mod statement;
mod status;
mod support;
mod sweep;
mod tenants;
