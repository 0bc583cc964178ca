//! Bytes to sign, hash or authenticate (PROTOCOL.md section 2): the label's ASCII bytes without a
//! length, then every field as u16 big-endian length and bytes; an integer is a field of 8
//! big-endian bytes.

use sha2::{Digest, Sha256, Sha512};
use zeroize::Zeroizing;

use crate::ids::AccountScope;

/// A labelled byte string under construction. Erased when dropped: a registration's finish is
/// hashed with its record.
pub struct Labelled(Zeroizing<Vec<u8>>);

/// More than a finish takes, so that it does not grow and leave copies behind.
const CAPACITY: usize = 512;

impl Labelled {
    /// Starts with a label.
    pub fn new(label: &str) -> Self {
        let mut bytes = Zeroizing::new(Vec::with_capacity(CAPACITY));
        bytes.extend_from_slice(label.as_bytes());
        Self(bytes)
    }

    /// Appends a field of bytes.
    ///
    /// # Panics
    /// If the field is longer than 65,535 bytes; every field of the protocol is bounded far below.
    #[must_use]
    pub fn bytes(mut self, field: &[u8]) -> Self {
        let length = u16::try_from(field.len()).expect("fields of the protocol are short");
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(field);
        self
    }

    /// Appends an integer.
    #[must_use]
    pub fn integer(self, value: u64) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends vault id, tenant and account.
    #[must_use]
    pub fn scope(self, scope: &AccountScope) -> Self {
        self.bytes(scope.vault.as_str().as_bytes())
            .bytes(scope.tenant.as_str().as_bytes())
            .bytes(scope.account.as_str().as_bytes())
    }

    /// The bytes so far.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// SHA-256 over the bytes so far.
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.as_slice()).into()
    }

    /// SHA-512 over the bytes so far.
    pub fn sha512(&self) -> [u8; 64] {
        Sha512::digest(self.as_slice()).into()
    }
}
