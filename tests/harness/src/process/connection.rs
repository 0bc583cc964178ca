//! Bare TLS connections to a vault that runs as a process, for bytes that no HTTP library sends.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::process::server::ServerProcess;

/// A TLS connection without HTTP.
pub async fn tls_connection(
    server: &ServerProcess,
    alpn: &str,
) -> anyhow::Result<TlsStream<TcpStream>> {
    Door::new(server, alpn)?.enter().await
}

/// Where a vault can be connected to, again and again. Cheap to clone.
#[derive(Clone)]
pub struct Door {
    connector: TlsConnector,
    address: std::net::SocketAddr,
}

impl Door {
    /// Reads the server's root certificate once.
    pub fn new(server: &ServerProcess, alpn: &str) -> anyhow::Result<Self> {
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
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            address: server.address(),
        })
    }

    /// TCP alone.
    pub async fn knock(&self) -> anyhow::Result<TcpStream> {
        Ok(TcpStream::connect(self.address).await?)
    }

    /// TCP and TLS.
    pub async fn enter(&self) -> anyhow::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost")?;
        Ok(self.connector.connect(name, self.knock().await?).await?)
    }
}
