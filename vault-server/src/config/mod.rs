//! The checked configuration: a TOML file, then the environment, then the defaults.
//!
//! - The file: the one named on the command line, else [`DEFAULT_FILE`] if there is one, else none.
//! - The environment: `VAULT_SERVER_` and the key in capitals, `__` between section and key, as in
//!   `VAULT_SERVER_LIMITS__MAX_CONNECTIONS=512`. It wins over the file. A list of paths is written
//!   as in `PATH`, with `:` between them.
//!
//! Unknown keys and variables are refused, so that a misspelt one cannot silently leave a default
//! in force. Nothing in here is a secret: secrets are in files that this names, never in the
//! environment, which child processes and crash reports inherit. `deploy/vault.toml` has every key.

mod anchor;
mod file;
mod sources;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

pub use self::anchor::AnchorConfig;
use self::file::Written;
use self::sources::Sources;
use crate::telemetry::{self, TelemetryError};

/// Read when no file is named, if it exists.
pub const DEFAULT_FILE: &str = "/etc/backup-key-vault/vault.toml";

/// Where everything is kept unless configured otherwise.
pub const DEFAULT_DATA_FOLDER: &str = "/var/lib/backup-key-vault";

/// Every path and number checked, every default filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The folder of the database.
    pub data_folder: PathBuf,
    /// The anchors of the database.
    pub anchor: AnchorConfig,
    /// Address and port of the HTTPS service.
    pub listen: SocketAddr,
    /// The Unix socket by which a running server is administered.
    pub admin_socket: PathBuf,
    /// The server's certificate.
    pub tls: TlsConfig,
    /// The keyring and how it is unsealed.
    pub keyring: KeyringConfig,
    /// Logs.
    pub log: LogConfig,
    /// Limits of connections, requests and the writer's queue.
    pub limits: LimitsConfig,
    /// How long keys are used.
    pub rotation: RotationConfig,
    /// The sweep that enforces expiry without requests.
    pub sweep: SweepConfig,
}

/// Certificate and private key, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificate chain, the server's own first.
    pub certificate_file: PathBuf,
    /// The private key; a secret file.
    pub key_file: PathBuf,
}

/// The keyring and how it is unsealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyringConfig {
    /// The sealed keyring.
    pub file: PathBuf,
    /// Where the passphrase or key comes from.
    pub unlock: UnlockSource,
}

/// Where the keyring's passphrase or key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnlockSource {
    /// A secret file with the passphrase.
    PassphraseFile(PathBuf),
    /// A secret file with a 32-byte key.
    KeyFile(PathBuf),
    /// The systemd credential `vault-passphrase` if there is one, else a prompt.
    CredentialOrPrompt,
}

/// Logs, on standard error.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a section")]
pub struct LogConfig {
    /// How lines look.
    pub format: LogFormat,
    /// A level, or levels per module, e.g. `info,vault_server=debug`. Modules without a level log
    /// errors.
    pub filter: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Limits of connections, requests and the writer's queue.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a section")]
pub struct LimitsConfig {
    /// Connections at once.
    pub max_connections: u32,
    /// Time for a TLS handshake.
    pub handshake_timeout_seconds: u32,
    /// Time for the head of an HTTP/1 request, counted from the end of the one before.
    pub header_timeout_seconds: u32,
    /// Time for the body of a request to arrive.
    pub request_timeout_seconds: u32,
    /// A connection on which nothing was asked or answered for so long is closed.
    pub idle_timeout_seconds: u32,
    /// Commands that may wait for the writer; one more is answered with `overloaded`.
    pub queue_capacity: u32,
    /// Commands that are made durable together.
    pub batch_limit: u32,
    /// Time for requests in flight when the server is told to stop.
    pub shutdown_grace_seconds: u32,
}

/// How long keys are used.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a section")]
pub struct RotationConfig {
    /// A sealed channel's key is offered for so long.
    pub ohttp_keys_days: u32,
    /// It is still understood for so long after that.
    pub ohttp_overlap_days: u32,
    /// A ticket key seals tickets for so long; it opens them for 24 hours more.
    pub ticket_key_hours: u32,
}

/// The sweep that enforces expiry without requests.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a section")]
pub struct SweepConfig {
    /// Time between two sweeps.
    pub interval_seconds: u32,
}

/// The configuration was refused. Messages name the file or variable, the key and what to write.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file that was asked for cannot be read.
    #[error("{path}: cannot be read: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// No TOML, an unknown key or variable, or a value of another type.
    #[error("{0}")]
    Malformed(String),
    /// A number outside its range.
    #[error("{place}{key}: {value} is out of range; write {min} to {max}")]
    OutOfRange {
        /// File or environment, where known.
        place: String,
        /// The key with its section.
        key: &'static str,
        /// What was written.
        value: u32,
        /// The least.
        min: u32,
        /// The most.
        max: u32,
    },
    /// A value that is well-formed, but not possible.
    #[error("{place}{key}: {reason}")]
    Invalid {
        /// File or environment, where known.
        place: String,
        /// The key with its section.
        key: &'static str,
        /// What is wrong and what to write.
        reason: String,
    },
}

impl Config {
    /// Reads file and environment; see the module's text for where.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let (path, required) = match path {
            Some(path) => (path, true),
            None => (Path::new(DEFAULT_FILE), false),
        };
        let text = match fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !required => None,
            Err(cause) => {
                let path = path.to_owned();
                return Err(ConfigError::Unreadable { path, cause });
            }
        };
        let file = text.as_deref().map(|text| (path, text));
        Self::from_sources(file, std::env::vars_os())
    }

    /// From a file's path and text, and an environment.
    pub fn from_sources<K, V>(
        file: Option<(&Path, &str)>,
        environment: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, ConfigError>
    where
        K: Into<std::ffi::OsString>,
        V: Into<std::ffi::OsString>,
    {
        let sources = Sources::new(file, environment)?;
        let written: Written = sources.extract()?;
        let config = written.with_defaults(&sources)?;
        config.check(&sources)?;
        Ok(config)
    }

    fn check(&self, sources: &Sources) -> Result<(), ConfigError> {
        for (key, value, min, max) in self.ranges() {
            if !(min..=max).contains(&value) {
                let place = sources.place_of(key);
                return Err(ConfigError::OutOfRange {
                    place,
                    key,
                    value,
                    min,
                    max,
                });
            }
        }
        for (key, path) in self.paths() {
            if !path.is_absolute() {
                let reason = format!("{} is not an absolute path", path.display());
                return Err(sources.invalid(key, reason));
            }
        }
        self.anchor.check(&self.data_folder, sources)?;
        self.check_together(sources)
    }

    /// Every number: its key, its value, the least and the most.
    fn ranges(&self) -> [(&'static str, u32, u32, u32); 12] {
        let Self {
            limits: l,
            rotation: r,
            sweep: s,
            ..
        } = self;
        [
            ("limits.max_connections", l.max_connections, 1, 65_536),
            (
                "limits.handshake_timeout_seconds",
                l.handshake_timeout_seconds,
                1,
                300,
            ),
            (
                "limits.header_timeout_seconds",
                l.header_timeout_seconds,
                1,
                300,
            ),
            (
                "limits.request_timeout_seconds",
                l.request_timeout_seconds,
                1,
                600,
            ),
            (
                "limits.idle_timeout_seconds",
                l.idle_timeout_seconds,
                2,
                3600,
            ),
            ("limits.queue_capacity", l.queue_capacity, 1, 1_000_000),
            ("limits.batch_limit", l.batch_limit, 1, 4096),
            (
                "limits.shutdown_grace_seconds",
                l.shutdown_grace_seconds,
                0,
                600,
            ),
            ("rotation.ohttp_keys_days", r.ohttp_keys_days, 1, 90),
            ("rotation.ohttp_overlap_days", r.ohttp_overlap_days, 1, 90),
            ("rotation.ticket_key_hours", r.ticket_key_hours, 1, 168),
            ("sweep.interval_seconds", s.interval_seconds, 1, 3600),
        ]
    }

    fn paths(&self) -> Vec<(&'static str, &Path)> {
        let mut paths = vec![
            ("data_folder", self.data_folder.as_path()),
            ("admin_socket", &self.admin_socket),
            ("tls.certificate_file", &self.tls.certificate_file),
            ("tls.key_file", &self.tls.key_file),
            ("keyring.file", &self.keyring.file),
        ];
        paths.extend(self.anchor.named());
        match &self.keyring.unlock {
            UnlockSource::PassphraseFile(path) => paths.push(("keyring.passphrase_file", path)),
            UnlockSource::KeyFile(path) => paths.push(("keyring.key_file", path)),
            UnlockSource::CredentialOrPrompt => {}
        }
        paths
    }

    fn check_together(&self, sources: &Sources) -> Result<(), ConfigError> {
        // sockaddr_un's sun_path has 108 bytes, one of them the terminating zero. It is bound at
        // `.s<process id>/s` beside its place first, which takes up to 12 bytes behind the folder.
        const MAX_SOCKET_PATH: usize = 107;
        const HIDDEN_NAME: usize = 12;
        let length = |path: &Path| path.as_os_str().len();
        let folder = self.admin_socket.parent().map_or(0, length);
        if length(&self.admin_socket).max(folder + HIDDEN_NAME) > MAX_SOCKET_PATH {
            let reason = format!(
                "{} is too long: a socket's path has at most {MAX_SOCKET_PATH} bytes, that of its folder {}",
                self.admin_socket.display(),
                MAX_SOCKET_PATH - HIDDEN_NAME
            );
            return Err(sources.invalid("admin_socket", reason));
        }
        // A request in flight must not count as idleness.
        let request = self.limits.request_timeout_seconds;
        if self.limits.idle_timeout_seconds <= request {
            let reason = format!("must be more than limits.request_timeout_seconds ({request})");
            return Err(sources.invalid("limits.idle_timeout_seconds", reason));
        }
        telemetry::check_filter(&self.log.filter).map_err(|error| match error {
            TelemetryError::Filter(error) => sources.invalid("log.filter", error.to_string()),
            TelemetryError::NotALevel(_) | TelemetryError::Twice => {
                sources.invalid("log.filter", error.to_string())
            }
        })
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            filter: "info".to_owned(),
        }
    }
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

impl LimitsConfig {
    /// Time for the body of a request to arrive.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs(self.request_timeout_seconds.into())
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

#[cfg(test)]
mod tests;
