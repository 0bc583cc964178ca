//! What the tests of the whole product are made of.
//!
//! | module | what |
//! |---|---|
//! | [`adversary`] | the gates that attack the vault, and their controls (in `tests/adversary`) |
//! | [`decoders`] | every decoder of outside or stored bytes, as a function of bytes |
//! | [`canaries`], [`memory`] | what must not be found, in every form; where to look for it |
//! | [`device`] | a device that speaks the protocol byte by byte, also wrongly |
//! | [`in_process`] | a real vault on a real folder, inside the test's process, at a time of the test's choice |
//! | [`programs`] | server, backend and client as processes, out of one binary |
//! | [`process`], [`process_server`], [`process_backend`] | a real vault, and a real app backend, over TLS |
//! | [`process_client`], [`process_calls`] | the client library, and the tests' own device, connected to such a vault |
//! | [`process_lossy`] | the client library over a network that loses messages, to a vault that is killed |
//! | [`process_connection`] | bare TLS connections, for what no HTTP library would send |
//! | [`process_certificates`] | its certificate |

#[path = "../adversary/mod.rs"]
pub mod adversary;
pub mod canaries;
pub mod decoders;
pub mod device;
pub mod in_process;
pub mod memory;
pub mod process;
pub mod process_backend;
pub mod process_calls;
pub mod process_certificates;
pub mod process_client;
pub mod process_connection;
pub mod process_lossy;
pub mod process_server;
pub mod programs;
