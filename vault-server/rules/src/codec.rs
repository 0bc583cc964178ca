//! How serde writes single fields of stored states: bytes without a length, because theirs is
//! fixed; times as milliseconds, because the wire's form rounds.
//!
//! Secrets are read into their final place: no other buffer has to be erased.

use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::SerializeTuple as _;
use serde::{Deserializer, Serializer};

/// For [`crate::Secret`].
pub(crate) mod secret {
    use super::{Deserializer, Serializer, fill, write};
    use crate::Secret;

    pub(crate) fn serialize<const N: usize, S: Serializer>(
        secret: &Secret<N>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        write(secret.expose_secret(), serializer)
    }

    pub(crate) fn deserialize<'de, const N: usize, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Secret<N>, D::Error> {
        let mut secret = Secret::zeroes();
        fill(secret.as_mut_bytes(), deserializer)?;
        Ok(secret)
    }
}

/// For [`vault_protocol::Binary`].
pub(crate) mod binary {
    use vault_protocol::Binary;

    use super::{Deserializer, Serializer, fill, write};

    pub(crate) fn serialize<const N: usize, S: Serializer>(
        binary: &Binary<N>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        write(binary.as_bytes(), serializer)
    }

    pub(crate) fn deserialize<'de, const N: usize, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Binary<N>, D::Error> {
        let mut bytes = [0; N];
        fill(&mut bytes, deserializer)?;
        Ok(Binary(bytes))
    }
}

/// For [`vault_protocol::Timestamp`].
pub(crate) mod millis {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use vault_protocol::Timestamp;

    pub(crate) fn serialize<S: Serializer>(
        time: &Timestamp,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        time.millis().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Timestamp, D::Error> {
        u64::deserialize(deserializer).map(Timestamp::from_millis)
    }
}

/// For `Option<Timestamp>`.
pub(crate) mod optional_millis {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use vault_protocol::Timestamp;

    pub(crate) fn serialize<S: Serializer>(
        time: &Option<Timestamp>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(Timestamp::millis).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        let millis = Option::<u64>::deserialize(deserializer)?;
        Ok(millis.map(Timestamp::from_millis))
    }
}

fn write<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    let mut tuple = serializer.serialize_tuple(bytes.len())?;
    for byte in bytes {
        tuple.serialize_element(byte)?;
    }
    tuple.end()
}

fn fill<'de, D: Deserializer<'de>>(target: &mut [u8], deserializer: D) -> Result<(), D::Error> {
    deserializer.deserialize_tuple(target.len(), Fill(target))
}

struct Fill<'a>(&'a mut [u8]);

impl<'de> Visitor<'de> for Fill<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut bytes: A) -> Result<(), A::Error> {
        for target in self.0.iter_mut() {
            *target = bytes
                .next_element()?
                .ok_or_else(|| A::Error::custom("too few bytes"))?;
        }
        Ok(())
    }
}
