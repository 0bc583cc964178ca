//! A certificate authority for one test.

use anyhow::Context;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// Issues certificates for this machine.
pub struct CertificateAuthority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its private key, as PEM.
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// The certificate as DER, to compare with a connection's.
    pub certificate_der: Vec<u8>,
    /// Its private key.
    pub key: String,
}

impl CertificateAuthority {
    /// A new one.
    pub fn new() -> anyhow::Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // With a name of its own: OpenSSL takes a certificate whose issuer has its own name for a
        // self-signed one.
        params
            .distinguished_name
            .push(DnType::CommonName, "Root of one test");
        let key = KeyPair::generate()?;
        let issuer = CertifiedIssuer::self_signed(params, key).context("a root certificate")?;
        Ok(Self { issuer })
    }

    /// Its own certificate, as PEM, which clients trust.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for 127.0.0.1 and localhost.
    pub fn issue(&self) -> anyhow::Result<Issued> {
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(names)?.signed_by(&key, &self.issuer)?;
        Ok(Issued {
            certificate: certificate.pem(),
            certificate_der: certificate.der().to_vec(),
            key: key.serialize_pem(),
        })
    }
}
