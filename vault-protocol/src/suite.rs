//! OPAQUE's configuration (PROTOCOL.md section 4): OPAQUE-3DH (RFC 9807) with ristretto255-SHA512,
//! HKDF-SHA-512, HMAC-SHA-512, SHA-512, an empty context, and stretching on the device.

use opaque_ke::ciphersuite::CipherSuite;
use opaque_ke::errors::ProtocolError;
use opaque_ke::key_exchange::tripledh::TripleDh;
use opaque_ke::{
    CredentialFinalization, CredentialRequest, CredentialResponse, Identifiers,
    RegistrationRequest, RegistrationResponse, RegistrationUpload, Ristretto255,
};
use sha2::Sha512;

use crate::ids::AccountScope;
use crate::stretching::Stretching;

/// In bytes: a group element.
pub const REGISTRATION_REQUEST_LEN: usize = 32;
/// In bytes: a group element and the vault's public key.
pub const REGISTRATION_RESPONSE_LEN: usize = 64;
/// In bytes: the client's public key, the masking key and the envelope.
pub const REGISTRATION_RECORD_LEN: usize = 192;
/// Of the credential request, in bytes.
pub const KE1_LEN: usize = 96;
/// Of the credential response, in bytes.
pub const KE2_LEN: usize = 320;
/// Of the credential finalization, in bytes: a MAC.
pub const KE3_LEN: usize = 64;

/// The one cipher suite. Vault and device use the same type.
pub struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, Sha512>;
    type Ksf = Stretching;
}

/// The bytes are no such message: not a canonical encoding, or the identity element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid OPAQUE message")]
pub struct Malformed;

/// From a device, before anything is stored.
pub fn registration_request(
    bytes: &[u8; REGISTRATION_REQUEST_LEN],
) -> Result<RegistrationRequest<Suite>, Malformed> {
    RegistrationRequest::deserialize(bytes).map_err(malformed)
}

/// From a vault.
pub fn registration_response(
    bytes: &[u8; REGISTRATION_RESPONSE_LEN],
) -> Result<RegistrationResponse<Suite>, Malformed> {
    RegistrationResponse::deserialize(bytes).map_err(malformed)
}

/// From a device, or from the vault's own state.
pub fn registration_record(
    bytes: &[u8; REGISTRATION_RECORD_LEN],
) -> Result<RegistrationUpload<Suite>, Malformed> {
    RegistrationUpload::deserialize(bytes).map_err(malformed)
}

/// KE1, from a device, before anything is charged.
pub fn credential_request(bytes: &[u8; KE1_LEN]) -> Result<CredentialRequest<Suite>, Malformed> {
    CredentialRequest::deserialize(bytes).map_err(malformed)
}

/// KE2, from a vault.
pub fn credential_response(bytes: &[u8; KE2_LEN]) -> Result<CredentialResponse<Suite>, Malformed> {
    CredentialResponse::deserialize(bytes).map_err(malformed)
}

/// KE3, from a device.
pub fn credential_finalization(
    bytes: &[u8; KE3_LEN],
) -> Result<CredentialFinalization<Suite>, Malformed> {
    CredentialFinalization::deserialize(bytes).map_err(malformed)
}

/// Both sides bind these names into the envelope and the key exchange.
pub struct Identities {
    client: String,
    server: String,
}

impl Identities {
    /// Client `tenant/account`, server `backup-key-vault/v1/` and the vault id.
    pub fn new(scope: &AccountScope) -> Self {
        Self {
            client: scope.client_identity(),
            server: scope.vault.server_identity(),
        }
    }

    /// As opaque-ke takes them.
    pub fn identifiers(&self) -> Identifiers<'_> {
        Identifiers {
            client: Some(self.client.as_bytes()),
            server: Some(self.server.as_bytes()),
        }
    }
}

// The library's error can carry bytes of the message; ours carries nothing.
fn malformed(_: ProtocolError) -> Malformed {
    Malformed
}
