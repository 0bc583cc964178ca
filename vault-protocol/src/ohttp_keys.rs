//! Key configurations of the sealed channel (RFC 9458, section 3) and the choice among them
//! (PROTOCOL.md section 5): X-Wing where it is offered, X25519 otherwise, each with HKDF-SHA256
//! and AES-128-GCM.

use ohttp::hpke::{Aead, Kdf, Kem};
use ohttp::{ClientRequest, KeyConfig, SymmetricSuite};
use zeroize::Zeroizing;

/// Media type of a list of key configurations.
pub const KEYS_MEDIA_TYPE: &str = "application/ohttp-keys";
/// Media type of a sealed request.
pub const REQUEST_MEDIA_TYPE: &str = "message/ohttp-req";
/// Media type of a sealed answer.
pub const RESPONSE_MEDIA_TYPE: &str = "message/ohttp-res";

/// Key encapsulation, best first: X-Wing (0x647a, ML-KEM-768 with X25519) and DHKEM(X25519,
/// HKDF-SHA256) (0x0020, RFC 9180), with the length of their public keys in bytes.
const PREFERENCE: [(Kem, usize); 2] = [(Kem::XWing, 1216), (Kem::X25519Sha256, 32)];

/// None of the key configurations can be used. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the vault offers no key configuration that this client can use")]
pub struct NoUsableKey;

/// The key encapsulations for which a vault has keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Post-quantum hybrid.
    XWing,
    /// Classical, for clients without X-Wing.
    X25519,
}

/// The vault's half of a key configuration, derived (RFC 9180, section 7.1.3) from 32 stored
/// random bytes: the library cannot export private keys.
pub fn derive_key_config(id: u8, kind: KeyKind, seed: &Zeroizing<[u8; 32]>) -> KeyConfig {
    let kem = match kind {
        KeyKind::XWing => Kem::XWing,
        KeyKind::X25519 => Kem::X25519Sha256,
    };
    let suite = SymmetricSuite::new(Kdf::HkdfSha256, Aead::Aes128Gcm);
    KeyConfig::derive(id, kem, vec![suite], seed.as_slice())
        .expect("both key encapsulations derive from 32 bytes")
}

/// Picks the best configuration of a list. The list is parsed here because the library's client
/// takes the last entry, and its first suite, whatever they are.
pub fn select(list: &[u8]) -> Result<ClientRequest, NoUsableKey> {
    let entries = entries(list).ok_or(NoUsableKey)?;
    PREFERENCE
        .iter()
        .flat_map(|(kem, key_len)| entries.iter().filter_map(|e| usable(e, *kem, *key_len)))
        .find_map(|config| ClientRequest::from_encoded_config(&config).ok())
        .ok_or(NoUsableKey)
}

/// The entries of a list, each behind its length in two bytes.
fn entries(mut list: &[u8]) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::new();
    while !list.is_empty() {
        let (length, rest) = list.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        if rest.len() < length {
            return None;
        }
        let (entry, rest) = rest.split_at(length);
        entries.push(entry);
        list = rest;
    }
    Some(entries)
}

/// The entry with our suite alone: key id, KEM, public key, suites (4 bytes each).
fn usable(entry: &[u8], kem: Kem, key_len: usize) -> Option<Vec<u8>> {
    let (head, suites) = entry.split_at_checked(3 + key_len)?;
    if head[1..3] != u16::from(kem).to_be_bytes() {
        return None;
    }
    let (length, suites) = suites.split_first_chunk::<2>()?;
    if usize::from(u16::from_be_bytes(*length)) != suites.len() || suites.len() % 4 != 0 {
        return None;
    }
    let [kdf, aead] =
        [u16::from(Kdf::HkdfSha256), u16::from(Aead::Aes128Gcm)].map(u16::to_be_bytes);
    let ours = [kdf, aead].concat();
    suites
        .chunks_exact(4)
        .any(|suite| suite == ours)
        .then(|| [head, [0, 4].as_slice(), ours.as_slice()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn config(id: u8, kind: KeyKind) -> KeyConfig {
        derive_key_config(id, kind, &Zeroizing::new([id; 32]))
    }

    fn chosen_kem(list: &[u8]) -> u16 {
        let (request, _) = select(list).unwrap().encapsulate(b"x").unwrap();
        u16::from_be_bytes([request[1], request[2]])
    }

    #[test]
    fn lists_that_cannot_be_used_are_refused() {
        let list = KeyConfig::encode_list(&[config(1, KeyKind::X25519)]).unwrap();
        for bad in [
            &[][..],
            &[0],
            &[0, 5, 1],
            &list[..list.len() - 1],
            &[&list[..], &[1]].concat(),
        ] {
            assert!(select(bad).is_err());
        }
    }

    #[test]
    fn x_wing_is_chosen_wherever_it_stands() {
        let (a, b) = (config(1, KeyKind::XWing), config(2, KeyKind::X25519));
        let first = KeyConfig::encode_list(&[a.clone(), b.clone()]).unwrap();
        let last = KeyConfig::encode_list(&[b.clone(), a]).unwrap();
        assert_eq!(chosen_kem(&first), 0x647a);
        assert_eq!(chosen_kem(&last), 0x647a);
        assert_eq!(chosen_kem(&KeyConfig::encode_list(&[b]).unwrap()), 0x0020);
    }

    #[test]
    fn a_key_derives_to_the_same_public_key_every_time() {
        let encode = |kind| config(3, kind).encode().unwrap();
        assert_eq!(encode(KeyKind::XWing), encode(KeyKind::XWing));
        assert_eq!(encode(KeyKind::X25519), encode(KeyKind::X25519));
    }

    proptest! {
        #[test]
        fn no_bytes_crash_the_selection(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = select(&bytes);
        }
    }
}
