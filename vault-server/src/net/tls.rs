//! TLS: version 1.3 only, a post-quantum hybrid first, and a certificate that can be replaced while
//! the server runs.
//!
//! There is no session resumption: connections come from a few backends and last, so it would save
//! nothing and keep secrets of past sessions around.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};

use crate::config::TlsConfig;
use crate::process::secret_file::{self, SecretFileError};

const MAX_KEY_FILE_LEN: usize = 64 * 1024;

/// Certificate and key were refused. The messages name the file and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("{path}: cannot be read: {cause}")]
    Certificate { path: PathBuf, cause: io::Error },
    /// None, or a broken one.
    #[error(
        "{0}: holds no PEM certificate; it needs the server's certificate and those it was issued by"
    )]
    NoCertificate(PathBuf),
    #[error(transparent)]
    KeyFile(#[from] SecretFileError),
    #[error("{0}: holds no PEM private key")]
    NoKey(PathBuf),
    #[error("{} and {} do not belong together", .0.certificate_file.display(), .0.key_file.display())]
    Mismatch(TlsConfig),
    /// Of a kind that TLS 1.3 cannot use.
    #[error("{} with {}: {cause}", files.certificate_file.display(), files.key_file.display())]
    Unusable {
        files: TlsConfig,
        cause: rustls::Error,
    },
}

/// The certificate that new connections get. Connections that are open keep theirs.
pub(crate) struct ReloadingCertificate {
    files: TlsConfig,
    current: ArcSwap<CertifiedKey>,
    /// The files as they were when they were last read.
    seen: Mutex<[FileState; 2]>,
}

/// Loads certificate and key for the first time.
pub(crate) fn load(files: &TlsConfig) -> Result<Arc<ReloadingCertificate>, TlsError> {
    // State before content: a change in between is then noticed by the next look.
    let seen = file_states(files);
    Ok(Arc::new(ReloadingCertificate {
        current: ArcSwap::from_pointee(read_pair(files)?),
        seen: Mutex::new(seen),
        files: files.clone(),
    }))
}

/// The server's TLS settings: TLS 1.3, X25519MLKEM768 before X25519 and P-256, HTTP/2 before
/// HTTP/1.1. The provider is given explicitly, so that no other crate can change it.
pub(crate) fn server_config(certificate: Arc<ReloadingCertificate>) -> ServerConfig {
    let provider = CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![
            kx_group::X25519MLKEM768,
            kx_group::X25519,
            kx_group::SECP256R1,
        ],
        ..aws_lc_rs::default_provider()
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has suites and groups for TLS 1.3")
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.send_tls13_tickets = 0;
    config
}

impl ReloadingCertificate {
    /// Reads both files again. If they do not load or do not belong together, the former pair stays
    /// in use and the reason is logged. Returns whether the new pair is in use.
    pub(crate) fn reload(&self) -> bool {
        let states = file_states(&self.files);
        *self.lock_seen() = states;
        match read_pair(&self.files) {
            Ok(pair) => {
                self.current.store(Arc::new(pair));
                tracing::info!("the TLS certificate was reloaded");
                true
            }
            Err(error) => {
                tracing::error!("the TLS certificate was not reloaded, the former stays: {error}");
                false
            }
        }
    }

    /// Like [`ReloadingCertificate::reload`], if a file was written or replaced since it was last
    /// read; else nothing happens and the answer is `false`.
    pub(crate) fn reload_if_changed(&self) -> bool {
        let changed = *self.lock_seen() != file_states(&self.files);
        changed && self.reload()
    }

    fn lock_seen(&self) -> std::sync::MutexGuard<'_, [FileState; 2]> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for ReloadingCertificate {
    /// The same for every name: the server has one.
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl fmt::Debug for ReloadingCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReloadingCertificate({:?})", self.files)
    }
}

/// Changes when a file is written or replaced, or its link redirected; `None` without a file.
/// The size is in it for file systems with coarse times.
type FileState = Option<(u64, u64, u64, i64, i64)>;

fn file_states(files: &TlsConfig) -> [FileState; 2] {
    [&files.certificate_file, &files.key_file].map(|path| {
        let m = fs::metadata(path).ok()?;
        Some((m.dev(), m.ino(), m.size(), m.mtime(), m.mtime_nsec()))
    })
}

fn read_pair(files: &TlsConfig) -> Result<CertifiedKey, TlsError> {
    let chain = read_chain(&files.certificate_file)?;
    let key = read_key(&files.key_file)?;
    let pair = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
    pair.map_err(|cause| match cause {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            TlsError::Mismatch(files.clone())
        }
        cause => {
            let files = files.clone();
            TlsError::Unusable { files, cause }
        }
    })
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = fs::read(path).map_err(|cause| TlsError::Certificate {
        path: path.to_owned(),
        cause,
    })?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|_| TlsError::NoCertificate(path.to_owned()))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(path.to_owned()));
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let pem = secret_file::read(path, MAX_KEY_FILE_LEN)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| TlsError::NoKey(path.to_owned()))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rcgen::{KeyPair, generate_simple_self_signed};
    use tempfile::TempDir;

    use super::*;

    /// A folder with a certificate for `localhost` and its key.
    pub(crate) struct Files {
        pub(crate) folder: TempDir,
        pub(crate) config: TlsConfig,
    }

    impl Files {
        pub(crate) fn new() -> Self {
            let folder = TempDir::new().unwrap();
            let config = TlsConfig {
                certificate_file: folder.path().join("certificate.pem"),
                key_file: folder.path().join("key.pem"),
            };
            let files = Self { folder, config };
            files.replace_pair();
            files
        }

        /// Writes a new pair and returns the certificate.
        pub(crate) fn replace_pair(&self) -> CertificateDer<'static> {
            let new = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            self.replace(&self.config.certificate_file, &new.cert.pem());
            self.replace_key(&new.signing_key);
            new.cert.der().clone()
        }

        pub(crate) fn replace_key(&self, key: &KeyPair) {
            self.replace(&self.config.key_file, &key.serialize_pem());
        }

        /// By renaming, as certificate managers do: the inode changes.
        fn replace(&self, path: &Path, content: &str) {
            let new = self.folder.path().join("new");
            fs::write(&new, content).unwrap();
            fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
            fs::rename(&new, path).unwrap();
        }
    }

    fn in_use(certificate: &ReloadingCertificate) -> CertificateDer<'static> {
        certificate.current.load().cert[0].clone()
    }

    fn refusal(files: &Files) -> String {
        load(&files.config).unwrap_err().to_string()
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let files = Files::new();
        let path = &files.config.key_file;
        fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = refusal(&files);
        assert!(
            error.ends_with(&format!("chmod 600 {}", path.display())),
            "{error}"
        );
    }

    #[test]
    fn files_without_certificate_or_key_are_refused_by_name() {
        let files = Files::new();
        let TlsConfig {
            certificate_file,
            key_file,
        } = files.config.clone();
        let certificate = fs::read_to_string(&certificate_file).unwrap();
        files.replace(&key_file, &certificate);
        let error = refusal(&files);
        assert_eq!(
            error,
            format!("{}: holds no PEM private key", key_file.display())
        );
        for content in [
            "",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
        ] {
            files.replace(&certificate_file, content);
            let expected = format!("{}: holds no PEM certificate", certificate_file.display());
            assert!(refusal(&files).starts_with(&expected));
        }
        fs::remove_file(&certificate_file).unwrap();
        let expected = format!("{}: cannot be read: ", certificate_file.display());
        assert!(refusal(&files).starts_with(&expected));
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let files = Files::new();
        files.replace_key(&KeyPair::generate().unwrap());
        let error = refusal(&files);
        assert!(error.ends_with(" do not belong together"), "{error}");
    }

    /// Fails when `reload` stores the new pair before it has checked it.
    #[test]
    fn a_new_pair_that_does_not_match_keeps_the_old_one() {
        let files = Files::new();
        let certificate = load(&files.config).unwrap();
        let old = certificate.current.load_full();
        files.replace_key(&KeyPair::generate().unwrap());
        assert!(!certificate.reload());
        assert!(Arc::ptr_eq(&certificate.current.load(), &old));
        fs::remove_file(&files.config.key_file).unwrap();
        assert!(!certificate.reload_if_changed());
        assert!(Arc::ptr_eq(&certificate.current.load(), &old));
    }

    #[test]
    fn files_that_did_not_change_are_not_read_again() {
        let files = Files::new();
        let certificate = load(&files.config).unwrap();
        assert!(!certificate.reload_if_changed());
    }

    #[test]
    fn a_changed_pair_is_noticed_also_after_one_that_was_refused() {
        let files = Files::new();
        let certificate = load(&files.config).unwrap();
        files.replace_key(&KeyPair::generate().unwrap());
        assert!(!certificate.reload_if_changed());
        let new = files.replace_pair();
        assert!(certificate.reload_if_changed());
        assert_eq!(in_use(&certificate), new);
        assert!(!certificate.reload_if_changed());
    }

    #[test]
    fn no_key_is_printed() {
        let files = Files::new();
        let certificate = load(&files.config).unwrap();
        let printed = format!("{certificate:?}");
        assert!(
            printed.starts_with("ReloadingCertificate(TlsConfig"),
            "{printed}"
        );
    }
}
