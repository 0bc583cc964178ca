//! The format of a slot: one page that only this vault's keyring can make or read.
//!
//! ```text
//! slot      = version (1 byte, 1) || salt (32 random bytes) || sealed (73 bytes) || zeros up to 4,096
//! key       = HKDF-SHA-512(ikm = master key, salt = salt, info = "backup-key-vault/v1 anchor")
//! sealed    = AES-256-GCM ciphertext and tag, nonce = 12 zero bytes
//! data      = "backup-key-vault/v1 anchor" || version || vault id
//! plaintext = kind (1 byte: 1 live, 2 empty) || anchor id (16 bytes)
//!             || sequence (8 bytes, big-endian) || root key (32 bytes, zeros if empty)
//! ```
//!
//! Every write draws a salt, so a key seals once and the constant nonce repeats under none. A live
//! slot and an empty marker look alike without the master key. The zeros are checked: a slot is
//! exactly as it was written, or it is not read.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use hkdf::Hkdf;
use rand::RngCore;
use rand::rngs::OsRng;
use sha2::Sha512;
use zeroize::Zeroizing;

use super::{AnchorId, Live, RootKey, Slot};
use crate::error::{During, StorageError};
use crate::key::{MasterKey, VaultIdentity};

/// One page of memory, and whole sectors of any disk.
pub(super) const SLOT_SIZE: usize = 4096;

/// The version of a slot, its first byte.
const VERSION: u8 = 1;
const LABEL: &[u8] = b"backup-key-vault/v1 anchor";
const KIND_LIVE: u8 = 1;
const KIND_EMPTY: u8 = 2;
const NO_KEY: &[u8; KEY_SIZE] = &[0; KEY_SIZE];

const SALT_SIZE: usize = 32;
const ID_SIZE: usize = 16;
const SEQUENCE_SIZE: usize = 8;
const KEY_SIZE: usize = 32;
const PLAINTEXT_SIZE: usize = 1 + ID_SIZE + SEQUENCE_SIZE + KEY_SIZE;
const SEALED_SIZE: usize = PLAINTEXT_SIZE + 16;
const NONCE: [u8; 12] = [0; 12];

/// Seals and opens the slots of one vault's anchors.
pub(super) struct SlotSealer {
    vault_id: String,
    master_key: MasterKey,
}

impl SlotSealer {
    pub(super) fn new(identity: &VaultIdentity) -> SlotSealer {
        SlotSealer {
            vault_id: identity.vault_id.clone(),
            master_key: MasterKey::new(identity.master_key.expose_secret()),
        }
    }

    pub(super) fn seal_live(&self, id: AnchorId, live: &Live) -> Result<Vec<u8>, StorageError> {
        self.seal(KIND_LIVE, id, live.sequence, live.key.expose_secret())
    }

    pub(super) fn seal_empty(&self, id: AnchorId, sequence: u64) -> Result<Vec<u8>, StorageError> {
        self.seal(KIND_EMPTY, id, sequence, NO_KEY)
    }

    fn seal(
        &self,
        kind: u8,
        id: AnchorId,
        sequence: u64,
        key: &[u8; KEY_SIZE],
    ) -> Result<Vec<u8>, StorageError> {
        let mut plaintext = Zeroizing::new([0; PLAINTEXT_SIZE]);
        let (start, rest) = plaintext.split_at_mut(1 + ID_SIZE);
        start[0] = kind;
        start[1..].copy_from_slice(&id.0);
        rest[..SEQUENCE_SIZE].copy_from_slice(&sequence.to_be_bytes());
        rest[SEQUENCE_SIZE..].copy_from_slice(key);

        let mut salt = [0; SALT_SIZE];
        OsRng.try_fill_bytes(&mut salt).during("drawing a salt")?;
        let payload = Payload {
            msg: plaintext.as_ref(),
            aad: &self.associated_data(),
        };
        let sealed = self
            .cipher(&salt)
            .encrypt(&NONCE.into(), payload)
            .expect("the plaintext is far below AES-GCM's limit");
        let mut slot = [&[VERSION][..], &salt, &sealed].concat();
        slot.resize(SLOT_SIZE, 0);
        Ok(slot)
    }

    /// Opens a slot that was sealed for an anchor of this vault, and no other bytes.
    pub(super) fn open(&self, slot: &[u8; SLOT_SIZE]) -> Option<(AnchorId, Slot)> {
        let (&version, rest) = slot.split_first()?;
        let (salt, rest) = rest.split_first_chunk::<SALT_SIZE>()?;
        let (sealed, padding) = rest.split_first_chunk::<SEALED_SIZE>()?;
        if version != VERSION || padding.iter().any(|byte| *byte != 0) {
            return None;
        }
        let payload = Payload {
            msg: sealed,
            aad: &self.associated_data(),
        };
        let opened = self.cipher(salt).decrypt(&NONCE.into(), payload).ok()?;
        decode(&Zeroizing::new(opened))
    }

    fn cipher(&self, salt: &[u8; SALT_SIZE]) -> Aes256Gcm {
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha512>::new(Some(salt), self.master_key.expose_secret())
            .expand(LABEL, key.as_mut())
            .expect("32 bytes are within HKDF-SHA-512's 16,320");
        Aes256Gcm::new_from_slice(key.as_ref()).expect("the key has AES-256's 32 bytes")
    }

    fn associated_data(&self) -> Vec<u8> {
        [LABEL, &[VERSION], self.vault_id.as_bytes()].concat()
    }
}

fn decode(plaintext: &[u8]) -> Option<(AnchorId, Slot)> {
    let (&kind, rest) = plaintext.split_first()?;
    let (id, rest) = rest.split_first_chunk::<ID_SIZE>()?;
    let (sequence, key) = rest.split_first_chunk::<SEQUENCE_SIZE>()?;
    let key: &[u8; KEY_SIZE] = key.try_into().ok()?;
    let sequence = u64::from_be_bytes(*sequence);
    let slot = match kind {
        KIND_LIVE => Slot::Live(Live {
            sequence,
            key: RootKey::new(key),
        }),
        KIND_EMPTY if key == NO_KEY => Slot::Empty { sequence },
        _ => return None,
    };
    Some((AnchorId(*id), slot))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: AnchorId = AnchorId([5; 16]);

    fn sealer(vault_id: &str, master_key: u8) -> SlotSealer {
        SlotSealer::new(&VaultIdentity {
            vault_id: vault_id.to_owned(),
            keyring_fingerprint: [1; 32],
            master_key: MasterKey::new(&[master_key; 32]),
        })
    }

    fn page(bytes: &[u8]) -> &[u8; SLOT_SIZE] {
        bytes.try_into().unwrap()
    }

    fn live(sequence: u64, key: u8) -> Live {
        Live {
            sequence,
            key: RootKey::new(&[key; 32]),
        }
    }

    // Fails when `open` does not look at the version or at the padding.
    #[test]
    fn a_flipped_bit_anywhere_in_a_slot_is_refused() {
        let sealer = sealer("vault", 1);
        let sealed = sealer.seal_live(ID, &live(7, 9)).unwrap();
        for position in 0..SLOT_SIZE {
            for bit in 0..8 {
                let mut edited = sealed.clone();
                edited[position] ^= 1 << bit;
                let opened = sealer.open(page(&edited));
                assert!(opened.is_none(), "bit {bit} of byte {position}");
            }
        }
    }

    // Fails when `associated_data` leaves out the vault's id.
    #[test]
    fn a_slot_opens_in_no_other_vault() {
        let sealed = sealer("vault", 1).seal_live(ID, &live(7, 9)).unwrap();
        assert!(sealer("other", 1).open(page(&sealed)).is_none());
    }

    #[test]
    fn a_slot_opens_with_no_other_master_key() {
        let sealed = sealer("vault", 1).seal_live(ID, &live(7, 9)).unwrap();
        assert!(sealer("vault", 2).open(page(&sealed)).is_none());
    }

    // Only the master key's owner could make these; the decoder still takes no second encoding.
    // Fails when `decode` takes a marker with any key, or any kind for a marker.
    #[test]
    fn an_unknown_kind_and_a_marker_with_a_key_are_refused() {
        let sealer = sealer("vault", 1);
        for (kind, key) in [(0, [0; 32]), (3, [0; 32]), (KIND_EMPTY, [9; 32])] {
            let sealed = sealer.seal(kind, ID, 7, &key).unwrap();
            assert!(sealer.open(page(&sealed)).is_none(), "kind {kind}");
        }
    }

    // The same key and nonce twice would give away the XOR of two root keys.
    // Fails when `seal` does not fill the salt.
    #[test]
    fn sealing_the_same_key_twice_gives_different_bytes() {
        let sealer = sealer("vault", 1);
        let first = sealer.seal_live(ID, &live(7, 9)).unwrap();
        let second = sealer.seal_live(ID, &live(7, 9)).unwrap();
        assert_ne!(first[1..][..SALT_SIZE], second[1..][..SALT_SIZE]);
        assert_ne!(
            first[1 + SALT_SIZE..][..SEALED_SIZE],
            second[1 + SALT_SIZE..][..SEALED_SIZE]
        );
    }

    #[test]
    fn what_was_sealed_opens() {
        let sealer = sealer("vault", 1);
        for sequence in [0, 1, u64::MAX] {
            let sealed = sealer.seal_live(ID, &live(sequence, 9)).unwrap();
            let (id, slot) = sealer.open(page(&sealed)).unwrap();
            assert_eq!(id, ID);
            assert!(slot.live().unwrap().is(&live(sequence, 9)));

            let sealed = sealer.seal_empty(ID, sequence).unwrap();
            let (id, slot) = sealer.open(page(&sealed)).unwrap();
            assert_eq!(id, ID);
            assert!(matches!(slot, Slot::Empty { sequence: read } if read == sequence));
        }
    }

    // The format is written down above and checked against an implementation that is not this one:
    // the fixture was made with Python's `cryptography`.
    #[test]
    fn the_committed_fixture_of_version_1_still_opens() {
        let fixture = include_bytes!("../../tests/fixtures/anchor-v1.slot");
        let (id, slot) = sealer("fixture-vault", 0x11).open(fixture).unwrap();
        assert_eq!(id, AnchorId([0x33; 16]));
        assert!(slot.live().unwrap().is(&live(258, 0x44)));
        assert_eq!(fixture[1..33], [0x22; 32]);
    }

    #[test]
    fn the_debug_form_shows_no_key() {
        let shown = format!("{:?}", Slot::Live(live(7, 9)));
        assert_eq!(shown, "Live(Live { sequence: 7, key: RootKey(..) })");
    }
}
