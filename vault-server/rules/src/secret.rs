//! The secrets of a record, as one type. A destruction has to take them away.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// `N` secret bytes. Boxed, so that moving them leaves no copies behind; erased when dropped;
/// never printed; not comparable, not cloneable, not serializable by itself.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret<const N: usize>(Box<[u8; N]>);

/// 32 random bytes, fresh for every registration, from which OPAQUE derives the record's OPRF key
/// (PROTOCOL.md section 4). They exist in the account's state only: once they are erased, no guess
/// can be evaluated against the record any more.
pub type CredentialIdentifier = Secret<32>;

/// OPAQUE's registration record, 192 bytes (PROTOCOL.md section 4).
pub type RegistrationRecord = Secret<192>;

/// K, wrapped by the device under the export key: nonce, ciphertext and tag, 60 bytes (PROTOCOL.md
/// section 6).
pub type WrappedKey = Secret<60>;

impl<const N: usize> Secret<N> {
    /// Copies the bytes; the caller erases its own copy.
    pub fn from_bytes(bytes: &[u8; N]) -> Self {
        let mut secret = Self(Box::new([0; N]));
        secret.0.copy_from_slice(bytes);
        secret
    }

    /// The caller keeps no copy beyond its use.
    pub fn expose_secret(&self) -> &[u8; N] {
        &self.0
    }

    /// A second copy, for an outcome that leaves the state behind.
    pub(crate) fn duplicate(&self) -> Self {
        Self::from_bytes(&self.0)
    }

    /// Zeroes to be written over, in place, by the decoder.
    pub(crate) fn zeroes() -> Self {
        Self(Box::new([0; N]))
    }

    pub(crate) fn as_mut_bytes(&mut self) -> &mut [u8] {
        self.0.as_mut_slice()
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret<{N}>(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed_by_debug() {
        assert_eq!(
            format!("{:?}", Secret::from_bytes(&[7; 32])),
            "Secret<32>(…)"
        );
    }
}
