//! The whole product as its users have it: real processes, TLS, a real folder, the real client.

mod admin;
mod anchor;
mod command_line;
mod damage;
mod dev;
mod help;
mod keys;
mod limits;
mod lives;
mod logs;
mod operation;
mod parallel;
mod refusals;
mod relay;
mod support;
