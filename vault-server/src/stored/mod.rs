//! The stored form of what the server itself keeps: a version byte, then postcard. Strict both
//! ways: no other bytes are read than those that were written.

pub mod keys;
pub mod rotation;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// The version all our stored values begin with.
const VERSION: u8 = 1;

/// The bytes are no value of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored value is damaged, or was written by another version")]
pub struct Unreadable;

/// Writes a value. The buffer is sized first: growing it would leave copies of secrets behind.
pub fn encode<T: Serialize>(value: &T) -> Zeroizing<Vec<u8>> {
    let length = postcard::experimental::serialized_size(value)
        .expect("our stored types have a size in postcard");
    let mut bytes = Zeroizing::new(vec![0; 1 + length]);
    let (version, content) = bytes.split_at_mut(1);
    version[0] = VERSION;
    postcard::to_slice(value, content).expect("the size was computed from the same value");
    bytes
}

/// Reads what [`encode`] wrote.
pub fn decode<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T, Unreadable> {
    let content = match bytes.split_first() {
        Some((&VERSION, content)) => content,
        _ => return Err(Unreadable),
    };
    let value: T = postcard::from_bytes(content).map_err(|_| Unreadable)?;
    // Trailing bytes and longer spellings of the same number do not come from us.
    if *encode(&value) == bytes {
        Ok(value)
    } else {
        Err(Unreadable)
    }
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
