//! What the tests start and talk to.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use vault_client::Password;
use vault_tests::process_backend::AppBackendProcess;
use vault_tests::process_client;
use vault_tests::process_server::{ServerOptions, ServerProcess};
use vault_tests::programs::Programs;

pub use vault_tests::process_client::{Client, direct};

/// The password that is right in every test.
pub const PASSWORD: &str = "correct horse battery staple";

pub fn programs() -> Programs {
    Programs::of(env!("CARGO_BIN_EXE_demo"))
}

pub fn start(options: ServerOptions) -> anyhow::Result<ServerProcess> {
    ServerProcess::start(&programs(), options)
}

/// A vault whose records bear three wrong passwords, without waits.
pub fn three_attempts() -> ServerOptions {
    ServerOptions::default().without_waits(3)
}

/// A new device that talks to the app's backend, with a session of its own.
pub async fn relayed(
    server: &ServerProcess,
    backend: &AppBackendProcess,
    account: &str,
) -> anyhow::Result<Client> {
    let session = backend.login(account, &app_password(account)).await?;
    process_client::relayed(server, backend, &session, account)
}

/// A backend whose users are alice and bob.
pub fn backend(server: &ServerProcess) -> anyhow::Result<AppBackendProcess> {
    let (alice, bob) = (app_password("alice"), app_password("bob"));
    AppBackendProcess::start(&programs(), server, &[("alice", &alice), ("bob", &bob)])
}

/// A user's password at the app; it has nothing to do with the one that protects the key.
pub fn app_password(user: &str) -> String {
    format!("{user}'s password at the app")
}

pub fn password(text: &str) -> anyhow::Result<Password> {
    Ok(Password::prepare(text)?)
}

/// A TLS connection without HTTP.
pub async fn tls_connection(
    server: &ServerProcess,
    alpn: &str,
) -> anyhow::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(
        server.root_certificate().as_bytes(),
    )?)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let tcp = TcpStream::connect(server.address()).await?;
    let name = ServerName::try_from("localhost")?;
    Ok(TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await?)
}
