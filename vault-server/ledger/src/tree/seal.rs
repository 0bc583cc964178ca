//! Sealing: without their own key, sealed bytes cannot be read, altered, or moved.
//!
//! ```text
//! sealed = version (1 byte, 2) || AES-256-GCM ciphertext and tag (16 bytes)
//! key    = 32 bytes from the operating system's generator, for this one sealing
//! nonce  = 12 zero bytes
//! data   = place and kind, as the caller says them, and the vault's id
//! ```
//!
//! A nonce must not repeat under one key (NIST SP 800-38D, section 8). Here a key never repeats: a
//! [`FreshKey`] is consumed by the one sealing it is for, and the [`Key`] that comes back can only open.

use std::fmt;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use rand::RngCore;
use rand::rngs::OsRng;
use zeroize::{Zeroize, Zeroizing};

use crate::error::{During, StorageError};

/// Bytes.
pub(crate) const KEY_SIZE: usize = 32;

/// The version of sealed bytes, their first byte.
const VERSION: u8 = 2;
/// Keys that are drawn together: a system call for each would cost more than sealing.
const DRAWN_TOGETHER: usize = 64;

/// Opens the one thing it sealed. Boxed, so that moving it leaves no copies behind.
pub(crate) struct Key(Box<Zeroizing<[u8; KEY_SIZE]>>);

/// A key that has sealed nothing yet.
pub(crate) struct FreshKey(Key);

/// The bytes do not open: altered, moved, or sealed under another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreadable;

impl Key {
    pub(crate) fn from_bytes(bytes: &[u8; KEY_SIZE]) -> Key {
        let mut key = Key(Box::default());
        key.0.copy_from_slice(bytes);
        key
    }

    /// For storing it one level up, sealed.
    pub(crate) fn expose_secret(&self) -> &[u8; KEY_SIZE] {
        &self.0
    }

    /// Opens the bytes that this key sealed with the same `data`, and no others.
    pub(crate) fn open(
        &self,
        data: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
        let ciphertext = match sealed.split_first() {
            Some((&VERSION, ciphertext)) => ciphertext,
            _ => return Err(Unreadable),
        };
        let payload = Payload {
            msg: ciphertext,
            aad: data,
        };
        let opened = self.cipher().decrypt(&Nonce::default(), payload);
        opened.map(Zeroizing::new).map_err(|_| Unreadable)
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new_from_slice(self.0.as_slice()).expect("the key has AES-256's 32 bytes")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl FreshKey {
    /// Seals the only thing that this key ever seals.
    pub(crate) fn seal(
        self,
        data: &[u8],
        plaintext: &[u8],
    ) -> Result<(Vec<u8>, Key), StorageError> {
        let payload = Payload {
            msg: plaintext,
            aad: data,
        };
        let ciphertext = self
            .0
            .cipher()
            .encrypt(&Nonce::default(), payload)
            .map_err(|_| StorageError::new("sealing", "the plaintext is too long"))?;
        let mut sealed = Vec::with_capacity(1 + ciphertext.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&ciphertext);
        Ok((sealed, self.0))
    }
}

/// Where keys come from.
pub(crate) struct Keys {
    source: Box<dyn RngCore + Send>,
    drawn: Zeroizing<Vec<[u8; KEY_SIZE]>>,
}

impl Keys {
    /// From the operating system's generator.
    pub(crate) fn of_the_system() -> Keys {
        Keys::from_source(Box::new(OsRng))
    }

    pub(crate) fn from_source(source: Box<dyn RngCore + Send>) -> Keys {
        Keys {
            source,
            drawn: Zeroizing::new(Vec::with_capacity(DRAWN_TOGETHER)),
        }
    }

    /// A key that was never drawn before.
    pub(crate) fn draw(&mut self) -> Result<FreshKey, StorageError> {
        if self.drawn.is_empty() {
            let mut bytes = Zeroizing::new([0; DRAWN_TOGETHER * KEY_SIZE]);
            self.source
                .try_fill_bytes(bytes.as_mut())
                .during("drawing keys")?;
            let (keys, _) = bytes.as_chunks::<KEY_SIZE>();
            self.drawn.extend_from_slice(keys);
        }
        let last = self.drawn.last_mut().expect("some were drawn above");
        let key = Key::from_bytes(last);
        // Where it was drawn to as well: taking it off the list leaves the bytes there.
        last.zeroize();
        self.drawn.pop();
        Ok(FreshKey(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(data: &[u8], plaintext: &[u8]) -> (Vec<u8>, Key) {
        let fresh = Keys::of_the_system().draw().unwrap();
        fresh.seal(data, plaintext).unwrap()
    }

    #[test]
    fn sealed_bytes_open_under_no_other_key() {
        let (bytes, _) = sealed(b"place", b"state");
        let (_, other) = sealed(b"place", b"state");
        assert_eq!(other.open(b"place", &bytes), Err(Unreadable));
    }

    // Fails when `open` leaves out the associated data.
    #[test]
    fn sealed_bytes_open_at_no_other_place() {
        let (bytes, key) = sealed(b"place", b"state");
        for other in [&b"plac"[..], b"placf", b"place ", b""] {
            assert_eq!(key.open(other, &bytes), Err(Unreadable));
        }
    }

    // Fails when `open` does not compare the version.
    #[test]
    fn an_edited_byte_or_a_missing_one_is_refused() {
        let (bytes, key) = sealed(b"place", b"state");
        for position in 0..bytes.len() {
            let mut edited = bytes.clone();
            edited[position] ^= 1;
            assert_eq!(key.open(b"place", &edited), Err(Unreadable));
            assert_eq!(key.open(b"place", &bytes[..position]), Err(Unreadable));
        }
    }

    #[test]
    fn no_key_is_drawn_twice() {
        let mut keys = Keys::of_the_system();
        let mut drawn: Vec<_> = (0..3 * DRAWN_TOGETHER)
            .map(|_| *keys.draw().unwrap().0.expose_secret())
            .collect();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 3 * DRAWN_TOGETHER);
        assert!(!drawn.contains(&[0; KEY_SIZE]));
    }

    #[test]
    fn what_was_sealed_opens_at_its_place() {
        for plaintext in [&b""[..], b"state", &[9; 5000]] {
            let (bytes, key) = sealed(b"place", plaintext);
            assert_eq!(bytes.len(), plaintext.len() + 1 + 16);
            assert_eq!(key.open(b"place", &bytes).unwrap().as_slice(), plaintext);
        }
    }
}
