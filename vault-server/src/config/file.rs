//! The configuration as it is written. Defaults that derive from other keys are still missing.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;

use crate::telemetry::config::LogConfig;

/// Where everything is kept unless configured otherwise.
const DEFAULT_DATA_FOLDER: &str = "/var/lib/backup-key-vault";

/// File and environment together.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a section")]
pub(super) struct Written {
    pub(super) data_folder: PathBuf,
    pub(super) anchor: WrittenAnchor,
    pub(super) listen: SocketAddr,
    pub(super) admin_socket: Option<PathBuf>,
    pub(super) tls: WrittenTls,
    pub(super) keyring: WrittenKeyring,
    pub(super) log: LogConfig,
    pub(super) limits: LimitsConfig,
    pub(super) rotation: RotationConfig,
    pub(super) sweep: SweepConfig,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a section")]
pub(super) struct WrittenAnchor {
    pub(super) path: Option<PathBuf>,
    pub(super) mirrors: Vec<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a section")]
pub(super) struct WrittenTls {
    pub(super) certificate_file: Option<PathBuf>,
    pub(super) key_file: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a section")]
pub(super) struct WrittenKeyring {
    pub(super) file: Option<PathBuf>,
    pub(super) passphrase_file: Option<PathBuf>,
    pub(super) key_file: Option<PathBuf>,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            data_folder: DEFAULT_DATA_FOLDER.into(),
            anchor: WrittenAnchor::default(),
            listen: (Ipv4Addr::LOCALHOST, 8443).into(),
            admin_socket: None,
            tls: WrittenTls::default(),
            keyring: WrittenKeyring::default(),
            log: LogConfig::default(),
            limits: LimitsConfig::default(),
            rotation: RotationConfig::default(),
            sweep: SweepConfig::default(),
        }
    }
}

/// Limits of connections, requests and the writer's queue.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a section")]
pub struct LimitsConfig {
    /// Connections at once.
    pub(crate) max_connections: u32,
    /// Time for a TLS handshake.
    pub(crate) handshake_timeout_seconds: u32,
    /// Time for the head of an HTTP/1 request, counted from the end of the one before.
    pub(crate) header_timeout_seconds: u32,
    /// Time for the body of a request to arrive.
    pub request_timeout_seconds: u32,
    /// A connection on which nothing was asked or answered for so long is closed.
    pub idle_timeout_seconds: u32,
    /// Commands that may wait for the writer; one more is answered with `overloaded`.
    pub(crate) queue_capacity: u32,
    /// Commands that are made durable together.
    pub(crate) batch_limit: u32,
    /// Time for requests in flight when the server is told to stop.
    pub(crate) shutdown_grace_seconds: u32,
}

/// How long keys are used.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a section")]
pub(crate) struct RotationConfig {
    /// A sealed channel's key is offered for so long.
    pub(crate) ohttp_keys_days: u32,
    /// It is still understood for so long after that.
    pub(crate) ohttp_overlap_days: u32,
    /// A ticket key seals tickets for so long; it opens them for 24 hours more.
    pub(crate) ticket_key_hours: u32,
}

/// The sweep that enforces expiry without requests.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a section")]
pub struct SweepConfig {
    /// Time between two sweeps.
    pub interval_seconds: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            handshake_timeout_seconds: 10,
            header_timeout_seconds: 10,
            request_timeout_seconds: 30,
            idle_timeout_seconds: 75,
            queue_capacity: 1024,
            batch_limit: 64,
            shutdown_grace_seconds: 10,
        }
    }
}

impl Default for RotationConfig {
    fn default() -> Self {
        Self {
            ohttp_keys_days: 7,
            ohttp_overlap_days: 2,
            ticket_key_hours: 24,
        }
    }
}

impl Default for SweepConfig {
    fn default() -> Self {
        Self {
            interval_seconds: 5,
        }
    }
}
