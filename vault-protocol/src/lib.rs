//! The wire contract of the backup key vault in Rust. A device, an app backend and a vault have to
//! agree on it, byte for byte. PROTOCOL.md is the text; its section numbers are cited here.
//!
//! Nothing in this crate does I/O, reads a clock or is asynchronous. Randomness is a parameter.
//!
//! | module | PROTOCOL.md | content |
//! |---|---|---|
//! | [`ids`] | 2 | vault id, tenant, account, and the identities OPAQUE binds |
//! | [`binary`], [`time`], [`labelled`] | 2 | encodings |
//! | [`policy`] | 2 | limits and waits |
//! | [`password`], [`stretching`] | 3 | preparing and stretching a password |
//! | [`backup_key`] | 3 | K, its 64 digits, its key id |
//! | [`suite`] | 4 | OPAQUE's configuration and strict decoders |
//! | [`inner_http`], [`ohttp_keys`], [`statement`], [`identity`] | 5 | the sealed channel, and pins |
//! | [`messages`], [`wrapping`], [`management`] | 6 | requests, answers and their contents |
//! | [`problem`] | 8 | the closed list of problems |

pub mod backup_key;
pub mod binary;
pub mod identity;
pub mod ids;
pub mod inner_http;
pub mod labelled;
pub mod management;
pub mod messages;
pub mod ohttp_keys;
pub mod password;
pub mod policy;
pub mod problem;
pub mod sealing;
pub mod statement;
pub mod stretching;
pub mod suite;
pub mod time;
pub mod wrapping;

pub use backup_key::{BackupKey, KeyId};
pub use binary::{Binary, Ticket};
pub use ids::{AccountId, AccountScope, TenantId, VaultId};
pub use policy::Policy;
pub use problem::Problem;
pub use stretching::StretchingProfile;
pub use time::Timestamp;

/// The protocol version that the statement names (PROTOCOL.md section 5).
pub const PROTOCOL_VERSION: u64 = 1;

/// Integers on the wire are below 2^53, because readers of JSON keep only those exactly
/// (PROTOCOL.md section 2).
pub const INTEGER_LIMIT: u64 = 1 << 53;

/// The largest body of an inner request, in bytes (PROTOCOL.md section 2).
pub const MAX_BODY_LEN: usize = 8 * 1024;
