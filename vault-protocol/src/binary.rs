//! Binary values in JSON: base64url without padding (PROTOCOL.md section 2), of exact lengths.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Exactly `N` bytes. Another length does not decode: opaque-ke's own decoders accept trailing
/// bytes, so the length is checked here (PROTOCOL.md section 4).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Binary<const N: usize>(pub [u8; N]);

/// The longest retrieval ticket that is decoded, in bytes.
pub const MAX_TICKET_LEN: usize = 1024;

/// A retrieval ticket: sealed by the vault and opaque to the device, 1 to [`MAX_TICKET_LEN`] bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket(pub Vec<u8>);

/// Base64url without padding (RFC 4648, section 5).
pub fn to_base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads base64url without padding. `None` for anything that [`to_base64url`] would not write.
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

impl<const N: usize> Binary<N> {
    /// All `N` of them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<const N: usize> From<[u8; N]> for Binary<N> {
    fn from(bytes: [u8; N]) -> Self {
        Self(bytes)
    }
}

impl<const N: usize> TryFrom<&[u8]> for Binary<N> {
    type Error = std::array::TryFromSliceError;
    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self)
    }
}

// Not derived: a record or wrapped key in here must not reach a log.
impl<const N: usize> fmt::Debug for Binary<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Binary<{N}>(…)")
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket(… {} bytes)", self.0.len())
    }
}

impl<const N: usize> Serialize for Binary<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_base64url(&self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Binary<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = decode(deserializer)?;
        let exact = bytes
            .try_into()
            .map_err(|_| D::Error::custom("wrong length"))?;
        Ok(Self(exact))
    }
}

impl Serialize for Ticket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_base64url(&self.0))
    }
}

impl<'de> Deserialize<'de> for Ticket {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = decode(deserializer)?;
        if bytes.is_empty() || bytes.len() > MAX_TICKET_LEN {
            return Err(D::Error::custom("wrong length"));
        }
        Ok(Self(bytes))
    }
}

/// Reads bytes of any length.
pub(crate) fn decode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    from_base64url(&text).ok_or_else(|| D::Error::custom("not base64url without padding"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_lengths_padding_and_alphabets_are_refused() {
        for bad in [
            "\"\"",
            "\"AAA\"",
            "\"AAAAAA\"",
            "\"AAAA==\"",
            "\"+/8A\"",
            "[0,0,0]",
            "null",
        ] {
            assert!(serde_json::from_str::<Binary<3>>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn non_zero_trailing_bits_are_refused() {
        assert!(serde_json::from_str::<Binary<1>>("\"AA\"").is_ok());
        assert!(serde_json::from_str::<Binary<1>>("\"AB\"").is_err());
    }

    #[test]
    fn a_ticket_longer_than_the_limit_is_refused() {
        let text = serde_json::to_string(&Ticket(vec![0; MAX_TICKET_LEN + 1])).unwrap();
        assert!(serde_json::from_str::<Ticket>(&text).is_err());
    }

    #[test]
    fn bytes_are_not_printed_by_debug() {
        assert_eq!(format!("{:?}", Binary([7; 4])), "Binary<4>(…)");
    }
}
