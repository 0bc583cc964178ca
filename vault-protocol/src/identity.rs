//! A vault's identity: an Ed25519 key (RFC 8032) that signs statements, and the fingerprint of 60
//! digits by which a device pins it (PROTOCOL.md section 5).

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::binary::Binary;
use crate::labelled::Labelled;

const GROUPS: usize = 12;

/// The vault's half; erased when dropped.
pub struct IdentitySigner(SigningKey);

/// The public half, 32 bytes. It travels beside the statement and is worth nothing until its
/// fingerprint has been compared with a pinned one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IdentityKey(pub Binary<32>);

/// Pinned by a device: 12 groups of 5 digits. With h = SHA-512 over label `backup-key-vault/v1
/// identity` and the key, group i is bytes 5i to 5i+4 of h, big-endian, modulo 100000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u32; GROUPS]);

/// The text has another number of digits, or another character than digits, spaces and hyphens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint has 60 digits (12 groups of 5)")]
pub struct InvalidFingerprint;

impl IdentitySigner {
    /// The seed is the private key of RFC 8032, 32 random bytes.
    pub fn from_seed(seed: &Zeroizing<[u8; 32]>) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The half that travels beside each statement.
    pub fn identity_key(&self) -> IdentityKey {
        IdentityKey(Binary(self.0.verifying_key().to_bytes()))
    }

    /// Ed25519 (RFC 8032). The label keeps a signature from being taken for another kind's.
    pub fn sign(&self, message: &Labelled) -> Binary<64> {
        Binary(self.0.sign(message.as_slice()).to_bytes())
    }
}

impl IdentityKey {
    /// To be compared with a pinned one before the key is used.
    pub fn fingerprint(&self) -> Fingerprint {
        let label = Labelled::new("backup-key-vault/v1 identity");
        let hash = label.bytes(self.0.as_bytes()).sha512();
        let mut groups = [0; GROUPS];
        for (group, bytes) in groups.iter_mut().zip(hash.chunks_exact(5)) {
            let number = bytes
                .iter()
                .fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
            *group = u32::try_from(number % 100_000).expect("below 100000");
        }
        Fingerprint(groups)
    }

    /// Verifies strictly: a key of small order verifies nothing.
    pub fn verify(&self, message: &Labelled, signature: &Binary<64>) -> bool {
        let signature = Signature::from_bytes(&signature.0);
        VerifyingKey::from_bytes(&self.0.0)
            .is_ok_and(|key| key.verify_strict(message.as_slice(), &signature).is_ok())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, group) in self.0.iter().enumerate() {
            let space = if index > 0 { " " } else { "" };
            write!(f, "{space}{group:05}")?;
        }
        Ok(())
    }
}

/// Spaces and hyphens between the digits are forgiven.
impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let mut groups = [0; GROUPS];
        let mut count = 0;
        for character in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
            let digit = character.to_digit(10).ok_or(InvalidFingerprint)?;
            let group: &mut u32 = groups.get_mut(count / 5).ok_or(InvalidFingerprint)?;
            *group = *group * 10 + digit;
            count += 1;
        }
        if count == 5 * GROUPS {
            Ok(Self(groups))
        } else {
            Err(InvalidFingerprint)
        }
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = InvalidFingerprint;
    fn try_from(text: String) -> Result<Self, InvalidFingerprint> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> String {
        fingerprint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_fingerprints_are_refused() {
        for bad in [
            "",
            "12345",
            &"1".repeat(59),
            &"1".repeat(61),
            &"x".repeat(60),
        ] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(InvalidFingerprint));
        }
    }

    #[test]
    fn a_fingerprint_is_read_as_it_is_written() {
        let key = IdentityKey(Binary([7; 32]));
        let text = key.fingerprint().to_string();
        assert_eq!(text.len(), 71);
        assert_eq!(text.parse(), Ok(key.fingerprint()));
        assert_eq!(text.replace(' ', "-").parse(), Ok(key.fingerprint()));
    }
}
