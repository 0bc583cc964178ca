//! The configuration as it is written: what derives from other keys is still missing.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;

use super::sources::Sources;
use super::{
    AnchorConfig, Config, ConfigError, DEFAULT_DATA_FOLDER, KeyringConfig, LimitsConfig, LogConfig,
    RotationConfig, SweepConfig, TlsConfig, UnlockSource,
};

/// File and environment together.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a section")]
pub(super) struct Written {
    data_folder: PathBuf,
    anchor: WrittenAnchor,
    listen: SocketAddr,
    admin_socket: Option<PathBuf>,
    tls: WrittenTls,
    keyring: WrittenKeyring,
    log: LogConfig,
    limits: LimitsConfig,
    rotation: RotationConfig,
    sweep: SweepConfig,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a section")]
struct WrittenAnchor {
    path: Option<PathBuf>,
    mirrors: Vec<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a section")]
struct WrittenTls {
    certificate_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a section")]
struct WrittenKeyring {
    file: Option<PathBuf>,
    passphrase_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
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

impl Written {
    /// Fills in what derives from other keys.
    pub(super) fn with_defaults(self, sources: &Sources) -> Result<Config, ConfigError> {
        let folder = self.data_folder;
        let or_in_folder = |path: Option<PathBuf>, name| path.unwrap_or_else(|| folder.join(name));
        let unlock = match (self.keyring.passphrase_file, self.keyring.key_file) {
            (Some(_), Some(_)) => {
                let reason = "set either this or keyring.key_file, not both".to_owned();
                return Err(sources.invalid("keyring.passphrase_file", reason));
            }
            (Some(path), None) => UnlockSource::PassphraseFile(path),
            (None, Some(path)) => UnlockSource::KeyFile(path),
            (None, None) => UnlockSource::CredentialOrPrompt,
        };
        Ok(Config {
            anchor: AnchorConfig::of(self.anchor.path, &self.anchor.mirrors, &folder),
            listen: self.listen,
            admin_socket: or_in_folder(self.admin_socket, "admin.sock"),
            tls: TlsConfig {
                certificate_file: or_in_folder(self.tls.certificate_file, "certificate.pem"),
                key_file: or_in_folder(self.tls.key_file, "certificate-key.pem"),
            },
            keyring: KeyringConfig {
                file: or_in_folder(self.keyring.file, "keyring"),
                unlock,
            },
            log: self.log,
            limits: self.limits,
            rotation: self.rotation,
            sweep: self.sweep,
            data_folder: folder,
        })
    }
}
