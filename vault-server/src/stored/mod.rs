//! The stored form of what the server itself keeps: a version byte, then postcard, strict both ways.

pub mod keys;
pub mod rotation;

use serde::Serialize;
use serde::de::DeserializeOwned;
use vault_rules::versioned;
use zeroize::Zeroizing;

/// The version all our stored values begin with.
const VERSION: u8 = 1;

/// The bytes are no value of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored value is damaged, or was written by another version")]
pub struct Unreadable;

/// Writes a value.
pub fn encode<T: Serialize>(value: &T) -> Zeroizing<Vec<u8>> {
    versioned::encode(VERSION, value)
}

/// Reads what [`encode`] wrote, and no other bytes.
pub fn decode<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T, Unreadable> {
    versioned::decode(VERSION, bytes).map_err(|_| Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_versions_trailing_bytes_and_truncations_are_unreadable() {
        let bytes = encode(&(7_u64, String::from("x")));
        let read = |bytes: &[u8]| decode::<(u64, String)>(bytes);
        assert_eq!(read(&bytes), Ok((7, String::from("x"))));
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert_eq!(read(&longer), Err(Unreadable));
        let mut newer = bytes.to_vec();
        newer[0] = 2;
        assert_eq!(read(&newer), Err(Unreadable));
        for length in 0..bytes.len() {
            assert_eq!(read(&bytes[..length]), Err(Unreadable));
        }
    }
}
