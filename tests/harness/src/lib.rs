//! The harness of the product's tests.
//!
//! | module | content |
//! |---|---|
//! | [`decoders`] | every decoder of outside or stored bytes, as a function of bytes; their corpora |
//! | [`canaries`], [`memory`] | every form of a secret that must not be found, and a process's memory |
//! | [`device`] | a device that speaks the protocol byte by byte, also wrongly |
//! | [`in_process`] | a real vault on a real folder, inside the test's process, at a time of the test's choice |
//! | [`programs`] | server, backend and client as processes, out of one binary |
//! | [`process`] | a real vault and a real app backend over TLS, and the connections to them |
//! | [`paths`] | the repository's folder |

pub mod canaries;
pub mod decoders;
pub mod device;
pub mod in_process;
pub mod memory;
pub mod paths;
pub mod process;
pub mod programs;
