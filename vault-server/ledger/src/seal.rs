//! Sealing: what makes a row unreadable, unalterable, and unmovable without the master key.
//!
//! ```text
//! key    = HKDF-SHA-512(ikm = master key, salt = empty, info = "backup-key-vault/v1 leaf" || place)
//! sealed = version (1 byte, 1) || nonce (12 random bytes) || AES-256-GCM ciphertext and tag
//! data   = "backup-key-vault/v1 leaf" || version || place || vault id
//! place  = 1 || leaf key (32 bytes)                        for a leaf
//!          2 || leaf key || sequence (8 bytes, big-endian) for an event
//! ```
//!
//! The kind fixes the length of the place, and the only field of variable length is the last one, so
//! no two inputs have the same encoding. A key seals one place only. Random nonces of 96 bits are then
//! safe for 2^32 versions of one leaf (NIST SP 800-38D, section 8.3), which no account reaches.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use hkdf::Hkdf;
use rand::RngCore;
use rand::rngs::OsRng;
use sha2::Sha512;
use zeroize::Zeroizing;

use crate::error::{During, LeafUnavailable, StorageError};
use crate::key::{LeafKey, MasterKey};

/// The version of sealed bytes, their first byte.
const VERSION: u8 = 1;
const LABEL: &[u8] = b"backup-key-vault/v1 leaf";
const NONCE_SIZE: usize = 12;

/// Where something sealed belongs. It opens nowhere else.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    /// The state of a leaf.
    Leaf(LeafKey),
    /// The event of a leaf with this sequence number.
    Event(LeafKey, u64),
}

/// Seals and opens for one vault.
pub(crate) struct Sealer {
    vault_id: String,
    master_key: MasterKey,
}

impl Sealer {
    pub(crate) fn new(vault_id: String, master_key: MasterKey) -> Sealer {
        Sealer {
            vault_id,
            master_key,
        }
    }

    /// Seals under a fresh nonce from the operating system's generator.
    pub(crate) fn seal(&self, place: Place, plaintext: &[u8]) -> Result<Vec<u8>, StorageError> {
        let mut nonce = [0; NONCE_SIZE];
        OsRng.try_fill_bytes(&mut nonce).during("drawing a nonce")?;
        let payload = Payload {
            msg: plaintext,
            aad: &self.associated_data(place),
        };
        let ciphertext = self
            .cipher(place)
            .encrypt(&nonce.into(), payload)
            .map_err(|_| StorageError::new("sealing", "the plaintext is too long"))?;
        Ok([&[VERSION][..], &nonce, &ciphertext].concat())
    }

    /// Opens what was sealed for this place, or refuses any other bytes.
    pub(crate) fn open(
        &self,
        place: Place,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, LeafUnavailable> {
        let (&version, rest) = sealed.split_first().ok_or(LeafUnavailable)?;
        if version != VERSION {
            return Err(LeafUnavailable);
        }
        let (nonce, ciphertext) = rest
            .split_first_chunk::<NONCE_SIZE>()
            .ok_or(LeafUnavailable)?;
        let payload = Payload {
            msg: ciphertext,
            aad: &self.associated_data(place),
        };
        self.cipher(place)
            .decrypt(nonce.into(), payload)
            .map(Zeroizing::new)
            .map_err(|_| LeafUnavailable)
    }

    fn cipher(&self, place: Place) -> Aes256Gcm {
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha512>::new(None, self.master_key.expose_secret())
            .expand_multi_info(&[LABEL, &place.encode()], key.as_mut())
            .expect("32 bytes are within HKDF-SHA-512's 16,320");
        Aes256Gcm::new_from_slice(key.as_ref()).expect("the key has AES-256's 32 bytes")
    }

    fn associated_data(&self, place: Place) -> Vec<u8> {
        [LABEL, &[VERSION], &place.encode(), self.vault_id.as_bytes()].concat()
    }
}

impl Place {
    fn encode(self) -> Vec<u8> {
        match self {
            Place::Leaf(key) => [&[1][..], &key.0].concat(),
            Place::Event(key, sequence) => [&[2][..], &key.0, &sequence.to_be_bytes()].concat(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(vault_id: &str, master_key: u8) -> Sealer {
        Sealer::new(vault_id.to_owned(), MasterKey::new([master_key; 32]))
    }

    const LEAF: Place = Place::Leaf(LeafKey([7; 32]));
    const EVENT: Place = Place::Event(LeafKey([7; 32]), 1);

    // Fails when `open` ignores `place` in `associated_data` and in `cipher`.
    #[test]
    fn sealed_bytes_open_at_no_other_place() {
        let sealer = sealer("vault", 1);
        let sealed = sealer.seal(LEAF, b"state").unwrap();
        for other in [
            Place::Leaf(LeafKey([8; 32])),
            EVENT,
            Place::Event(LeafKey([7; 32]), 0),
        ] {
            assert_eq!(sealer.open(other, &sealed), Err(LeafUnavailable));
        }
        let event = sealer.seal(EVENT, b"event").unwrap();
        let next = Place::Event(LeafKey([7; 32]), 2);
        assert_eq!(sealer.open(next, &event), Err(LeafUnavailable));
    }

    // Fails when `associated_data` leaves out the vault's id.
    #[test]
    fn sealed_bytes_open_in_no_other_vault() {
        let sealed = sealer("vault", 1).seal(LEAF, b"state").unwrap();
        assert_eq!(sealer("other", 1).open(LEAF, &sealed), Err(LeafUnavailable));
    }

    #[test]
    fn sealed_bytes_open_with_no_other_master_key() {
        let sealed = sealer("vault", 1).seal(LEAF, b"state").unwrap();
        assert_eq!(sealer("vault", 2).open(LEAF, &sealed), Err(LeafUnavailable));
    }

    // Fails when `open` does not compare the version.
    #[test]
    fn an_edited_byte_or_a_missing_one_is_refused() {
        let sealer = sealer("vault", 1);
        let sealed = sealer.seal(LEAF, b"state").unwrap();
        for position in 0..sealed.len() {
            let mut edited = sealed.clone();
            edited[position] ^= 1;
            assert_eq!(sealer.open(LEAF, &edited), Err(LeafUnavailable));
            assert_eq!(sealer.open(LEAF, &sealed[..position]), Err(LeafUnavailable));
        }
    }

    #[test]
    fn sealing_the_same_bytes_twice_gives_different_bytes() {
        let sealer = sealer("vault", 1);
        let first = sealer.seal(LEAF, b"state").unwrap();
        assert_ne!(first, sealer.seal(LEAF, b"state").unwrap());
    }

    #[test]
    fn what_was_sealed_opens_at_its_place() {
        let sealer = sealer("vault", 1);
        for plaintext in [&b""[..], b"state", &[9; 5000]] {
            let sealed = sealer.seal(EVENT, plaintext).unwrap();
            assert_eq!(sealed.len(), 1 + 12 + plaintext.len() + 16);
            assert_eq!(sealer.open(EVENT, &sealed).unwrap().as_slice(), plaintext);
        }
    }

    // The format is written down above and checked against an implementation that is not this one:
    // the fixtures were made with Python's `cryptography`.
    #[test]
    fn the_committed_fixtures_of_version_1_still_open() {
        let sealer = sealer("fixture-vault", 0x11);
        let leaf: &[u8] = include_bytes!("../tests/fixtures/leaf-v1.sealed");
        let event: &[u8] = include_bytes!("../tests/fixtures/event-v1.sealed");
        let key = LeafKey([0x22; 32]);
        assert_eq!(
            sealer.open(Place::Leaf(key), leaf).unwrap().as_slice(),
            b"the state of a leaf"
        );
        assert_eq!(
            sealer
                .open(Place::Event(key, 258), event)
                .unwrap()
                .as_slice(),
            b"an event of a leaf"
        );
    }
}
