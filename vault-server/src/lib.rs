//! The backup key vault's server: a network service that keeps backup keys behind passwords,
//! charges every guess before it can be tested, and destroys a key after too many.
//!
//! | room | content |
//! |---|---|
//! | [`service`] | one use case a file; **where a guess is charged and then evaluated** |
//! | [`channel`] | keys and signed statement of the sealed channel |
//! | [`tenants`], [`keyring`] | tenants and their tokens; the long-term secrets |
//! | [`stored`] | where the server's own values are in the ledger, and how they are encoded |
//! | `http`, `net` | routes, sealed channel, authentication; TLS and connections |
//! | [`admin`], [`maintenance`] | administration; rotation, renewal and sweep |
//! | [`server`], [`cli`] | putting it together; the command line |
//! | [`config`], `telemetry`, [`process`] | the edge |

pub mod admin;
pub mod channel;
pub mod cli;
pub mod config;
pub(crate) mod http;
pub mod keyring;
pub mod maintenance;
pub(crate) mod net;
pub mod process;
pub mod server;
pub mod service;
pub mod stored;
pub(crate) mod telemetry;
pub mod tenants;
