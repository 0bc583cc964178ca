//! The backup key vault's server: a network service that keeps backup keys behind passwords,
//! charges every guess before it can be tested, and destroys a key after too many.
//!
//! | module | what |
//! |---|---|
//! | [`service`] | one function per use case; **where a guess is charged and then evaluated** |
//! | [`standing`] | an account's state in the words of the wire |
//! | [`opaque`] | OPAQUE, and the type that makes the charge come first |
//! | [`ticket`], [`channel_keys`], [`key_life`], [`tenant`] | what the server itself keeps in the ledger |
//! | [`account_leaf`], [`places`], [`stored`] | how things lie in the ledger |
//! | [`publication`], [`upkeep`] | the signed statement; rotation and sweep |
//! | [`http`] | routes, sealed channel, authentication, problems, TLS |
//! | [`admin`], [`admin_socket`] | administration |
//! | [`vault`], [`cli`] | putting it together; the command line |
//! | [`config`], [`keyring`], [`secret_file`], [`clock`], [`hardening`], [`descriptors`], [`stack`], [`telemetry`] | the edge |

pub mod account_leaf;
pub mod admin;
pub mod admin_socket;
pub mod channel_keys;
pub mod cli;
pub mod clock;
pub mod config;
pub mod descriptors;
pub mod error;
pub mod hardening;
pub mod http;
pub mod key_life;
pub mod keyring;
pub mod opaque;
pub mod places;
pub mod publication;
pub mod secret_file;
pub mod service;
pub mod stack;
pub mod standing;
pub mod stored;
pub mod telemetry;
pub mod tenant;
pub mod tenants;
pub mod ticket;
pub mod upkeep;
pub mod vault;
