//! The AEAD and the key derivation of every sealed value (PROTOCOL.md section 2): AES-256-GCM,
//! written as 12 random bytes, ciphertext and tag; HKDF-SHA-512 with an empty salt.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use hkdf::Hkdf;
use rand::{CryptoRng, RngCore};
use sha2::Sha512;
use zeroize::Zeroizing;

/// Bytes that sealing adds: 12 of nonce and 16 of tag.
pub const OVERHEAD: usize = NONCE_LEN + 16;

const NONCE_LEN: usize = 12;

/// The key or the associated data is another, or bytes were changed. Which one cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sealed value does not open")]
pub struct DoesNotOpen;

/// HKDF-SHA-512 (RFC 5869), empty salt, `info` = the label, 32 bytes.
pub fn derive_key(input: &[u8], label: &str) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha512>::new(None, input)
        .expand(label.as_bytes(), key.as_mut())
        .expect("32 bytes is a valid length for HKDF-SHA-512");
    key
}

/// Seals under a fresh random nonce. The key may seal at most 2^32 values (NIST SP 800-38D).
pub fn seal<R: RngCore + CryptoRng>(
    key: &[u8; 32],
    associated_data: &[u8],
    plaintext: &[u8],
    rng: &mut R,
) -> Vec<u8> {
    let mut nonce = [0; NONCE_LEN];
    rng.fill_bytes(&mut nonce);
    let payload = Payload {
        msg: plaintext,
        aad: associated_data,
    };
    let ciphertext = cipher(key)
        .encrypt(&Nonce::from(nonce), payload)
        .expect("AES-GCM seals anything shorter than 64 GiB");
    let mut sealed = nonce.to_vec();
    sealed.extend_from_slice(&ciphertext);
    sealed
}

/// The plaintext is erased when dropped.
pub fn open(
    key: &[u8; 32],
    associated_data: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
    let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(DoesNotOpen)?;
    let payload = Payload {
        msg: ciphertext,
        aad: associated_data,
    };
    let opened = cipher(key).decrypt(&Nonce::from(*nonce), payload);
    opened.map(Zeroizing::new).map_err(|_| DoesNotOpen)
}

fn cipher(key: &[u8; 32]) -> Aes256Gcm {
    let key: &Key<Aes256Gcm> = key.into();
    Aes256Gcm::new(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::OsRng;

    #[test]
    fn another_key_other_data_or_a_changed_bit_does_not_open() {
        let sealed = seal(&[1; 32], b"data", b"secret", &mut OsRng);
        assert_eq!(sealed.len(), 6 + OVERHEAD);
        assert!(open(&[2; 32], b"data", &sealed).is_err());
        assert!(open(&[1; 32], b"date", &sealed).is_err());
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(open(&[1; 32], b"data", &changed).is_err());
        }
        for length in 0..sealed.len() {
            assert!(open(&[1; 32], b"data", &sealed[..length]).is_err());
        }
        assert_eq!(
            open(&[1; 32], b"data", &sealed).unwrap().as_slice(),
            b"secret"
        );
    }
}
