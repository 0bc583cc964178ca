//! The checked configuration: a TOML file, then the environment, then the defaults.
//!
//! - The file: the one named on the command line, else `DEFAULT_FILE` if there is one, else none.
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
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

pub(crate) use self::anchor::AnchorConfig;
use self::file::Written;
pub(crate) use self::file::{LimitsConfig, RotationConfig, SweepConfig};
pub(crate) use self::sources::ConfigError;
use self::sources::Sources;
use crate::keyring::unlock::UnlockSource;
use crate::telemetry::config::LogConfig;
use crate::telemetry::filter;

/// Read when no file is named, if it exists.
pub(crate) const DEFAULT_FILE: &str = "/etc/backup-key-vault/vault.toml";

/// Every path and number checked, every default filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The folder of the database.
    pub data_folder: PathBuf,
    pub(crate) anchor: AnchorConfig,
    /// Address and port of the HTTPS service.
    pub(crate) listen: SocketAddr,
    /// The Unix socket by which a running server is administered.
    pub(crate) admin_socket: PathBuf,
    pub(crate) tls: TlsConfig,
    pub(crate) keyring: KeyringConfig,
    pub(crate) log: LogConfig,
    /// Limits of connections, requests and the writer's queue.
    pub limits: LimitsConfig,
    /// How long keys are used.
    pub(crate) rotation: RotationConfig,
    /// The sweep that enforces expiry without requests.
    pub sweep: SweepConfig,
}

/// Certificate and private key, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsConfig {
    /// The certificate chain, the server's own first.
    pub(crate) certificate_file: PathBuf,
    /// The private key; a secret file.
    pub(crate) key_file: PathBuf,
}

/// The keyring and how it is unsealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyringConfig {
    pub(crate) file: PathBuf,
    pub(crate) unlock: UnlockSource,
}

impl Config {
    /// Reads file and environment; see the module's text for where.
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let (path, required) = match path {
            Some(path) => (path, true),
            None => (Path::new(DEFAULT_FILE), false),
        };
        let text = match fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !required => None,
            Err(cause) => return Err(ConfigError::Unreadable(path.to_owned(), cause)),
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
        let config = Self::with_defaults(written, &sources)?;
        config.check(&sources)?;
        Ok(config)
    }

    /// Fills in the defaults that derive from other keys.
    fn with_defaults(written: Written, sources: &Sources) -> Result<Self, ConfigError> {
        let folder = written.data_folder;
        let or_in_folder = |path: Option<PathBuf>, name| path.unwrap_or_else(|| folder.join(name));
        let unlock = match (written.keyring.passphrase_file, written.keyring.key_file) {
            (Some(_), Some(_)) => {
                let reason = "set either this or keyring.key_file, not both";
                return Err(sources.invalid("keyring.passphrase_file", reason));
            }
            (Some(path), None) => UnlockSource::PassphraseFile(path),
            (None, Some(path)) => UnlockSource::KeyFile(path),
            (None, None) => UnlockSource::CredentialOrPrompt,
        };
        Ok(Self {
            anchor: AnchorConfig::of(written.anchor.path, &written.anchor.mirrors, &folder),
            listen: written.listen,
            admin_socket: or_in_folder(written.admin_socket, "admin.sock"),
            tls: TlsConfig {
                certificate_file: or_in_folder(written.tls.certificate_file, "certificate.pem"),
                key_file: or_in_folder(written.tls.key_file, "certificate-key.pem"),
            },
            keyring: KeyringConfig {
                file: or_in_folder(written.keyring.file, "keyring"),
                unlock,
            },
            log: written.log,
            limits: written.limits,
            rotation: written.rotation,
            sweep: written.sweep,
            data_folder: folder,
        })
    }

    fn check(&self, sources: &Sources) -> Result<(), ConfigError> {
        for (key, value, range) in self.numbers() {
            if !range.contains(&value) {
                let (min, max) = range.into_inner();
                let reason = format!("{value} is out of range; write {min} to {max}");
                return Err(sources.invalid(key, &reason));
            }
        }
        for (key, path) in self.paths() {
            if !path.is_absolute() {
                let reason = format!("{} is not an absolute path", path.display());
                return Err(sources.invalid(key, &reason));
            }
        }
        if let Some((key, reason)) = self.anchor.refusal(&self.data_folder) {
            return Err(sources.invalid(key, &reason));
        }
        self.check_together(sources)
    }

    /// Every number: its key, its value, and the values that it can have.
    fn numbers(&self) -> [(&'static str, u32, RangeInclusive<u32>); 12] {
        macro_rules! number {
            ($section:ident . $key:ident, $range:expr) => {
                (
                    concat!(stringify!($section), ".", stringify!($key)),
                    self.$section.$key,
                    $range,
                )
            };
        }
        [
            number!(limits.max_connections, 1..=65_536),
            number!(limits.handshake_timeout_seconds, 1..=300),
            number!(limits.header_timeout_seconds, 1..=300),
            number!(limits.request_timeout_seconds, 1..=600),
            number!(limits.idle_timeout_seconds, 2..=3600),
            number!(limits.queue_capacity, 1..=1_000_000),
            number!(limits.batch_limit, 1..=4096),
            number!(limits.shutdown_grace_seconds, 0..=600),
            number!(rotation.ohttp_keys_days, 1..=90),
            number!(rotation.ohttp_overlap_days, 1..=90),
            number!(rotation.ticket_key_hours, 1..=168),
            number!(sweep.interval_seconds, 1..=3600),
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
            return Err(sources.invalid("admin_socket", &reason));
        }
        // A request in flight must not count as idleness.
        let request = self.limits.request_timeout_seconds;
        if self.limits.idle_timeout_seconds <= request {
            let reason = format!("must be more than limits.request_timeout_seconds ({request})");
            return Err(sources.invalid("limits.idle_timeout_seconds", &reason));
        }
        filter::check(&self.log.filter)
            .map_err(|error| sources.invalid("log.filter", &error.to_string()))
    }
}

#[cfg(test)]
mod tests;
