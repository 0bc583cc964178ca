//! The stored form of the server's own values: the rules' form, with a version of its own.

use serde::Serialize;
use serde::de::DeserializeOwned;
use vault_rules::versioned;
use zeroize::Zeroizing;

use super::leaf::{Stored, Unreadable};

const VERSION: u8 = 1;

/// A value in the one stored form that the server's own values have.
pub(crate) trait Versioned: Serialize + DeserializeOwned {
    /// Whether any run could have written it. Other values are unreadable.
    fn is_sound(&self) -> bool {
        true
    }
}

impl<T: Versioned> Stored for T {
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        versioned::encode(VERSION, self)
    }

    fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let value: Self = versioned::decode(VERSION, bytes).map_err(|_| Unreadable)?;
        value.is_sound().then_some(value).ok_or(Unreadable)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Pair(u64, String);

    impl Versioned for Pair {}

    #[test]
    fn other_versions_trailing_bytes_and_truncations_are_unreadable() {
        let bytes = Pair(7, String::from("x")).encode();
        let read = |bytes: &[u8]| Pair::decode(bytes);
        assert_eq!(read(&bytes), Ok(Pair(7, String::from("x"))));
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
