//! A version byte, then postcard. Each value has exactly one encoding, so equal bytes mean an
//! unchanged value.

use postcard::ser_flavors::Size;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// Stored bytes that this program does not write. The account is then unavailable: never absent,
/// never with an older budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoredError {
    /// There are no bytes.
    #[error("stored value is empty")]
    Empty,
    /// Another version wrote them.
    #[error("stored value has version {found}, this program reads version {known}")]
    Version {
        /// The first byte.
        found: u8,
        /// The only version that is read.
        known: u8,
    },
    /// They are truncated, too long, or not in the one form that is written.
    #[error("stored value is malformed")]
    Malformed,
    /// They describe a state that no sequence of commands leads to.
    #[error("stored value contradicts itself: {0}")]
    Contradiction(&'static str),
}

/// Writes the version byte and the value into a buffer of the final size: one that grows would
/// leave copies of secrets behind.
pub fn encode<T: Serialize>(version: u8, value: &T) -> Zeroizing<Vec<u8>> {
    let size = postcard::serialize_with_flavor(value, Size::default())
        .expect("counting the bytes of plain data cannot fail");
    let mut bytes = Zeroizing::new(vec![0; 1 + size]);
    bytes[0] = version;
    postcard::to_slice(value, &mut bytes[1..]).expect("the size was measured");
    bytes
}

/// Reads what [`encode`] wrote. Postcard accepts trailing bytes and longer forms of integers, so
/// the value is written again and compared.
pub fn decode<T: Serialize + DeserializeOwned>(
    version: u8,
    bytes: &[u8],
) -> Result<T, StoredError> {
    let (found, body) = bytes.split_first().ok_or(StoredError::Empty)?;
    if *found != version {
        return Err(StoredError::Version {
            found: *found,
            known: version,
        });
    }
    let value = postcard::from_bytes(body).map_err(|_| StoredError::Malformed)?;
    if *encode(version, &value) != bytes {
        return Err(StoredError::Malformed);
    }
    Ok(value)
}
