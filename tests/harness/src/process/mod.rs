//! Programs as processes, and connections to them.
//!
//! | module | content |
//! |---|---|
//! | [`server`] | a real vault: its folder, its configuration, its life |
//! | [`backend`] | a real app backend |
//! | [`certificates`] | the vault's certificate |
//! | [`client`], [`calls`] | the client library, and the tests' own device, connected to such a vault |
//! | [`one_call`] | the halves of a flow of the client library in one call |
//! | [`lossy`] | the client library over a network that loses messages, to a vault that is killed |
//! | [`connection`] | bare TLS connections, for bytes that no HTTP library sends |

pub mod backend;
pub mod calls;
pub mod certificates;
pub mod client;
pub mod connection;
pub mod lossy;
pub mod one_call;
mod running;
pub mod server;

pub use self::running::Running;
