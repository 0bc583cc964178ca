//! Leaves with their type: the key and the codec of a stored value in one place.

use std::marker::PhantomData;

use vault_ledger::{Batch, LeafKey, LeafUnavailable};
use zeroize::Zeroizing;

/// The bytes are no value of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored value is damaged, or was written by another version")]
pub struct Unreadable;

/// A value that is stored as one leaf.
pub trait Stored: Sized {
    /// The bytes of the leaf. They may hold secrets.
    fn encode(&self) -> Zeroizing<Vec<u8>>;

    /// Reads the bytes of [`Stored::encode`], and no others.
    fn decode(bytes: &[u8]) -> Result<Self, Unreadable>;
}

/// A leaf that holds a `T`.
pub struct Leaf<T> {
    key: Key,
    value: PhantomData<fn() -> T>,
}

enum Key {
    /// Computed at each use: a hash is no constant.
    Fixed(fn() -> LeafKey),
    Of(LeafKey),
}

impl<T> Leaf<T> {
    /// The one leaf of its kind.
    pub(crate) const fn fixed(key: fn() -> LeafKey) -> Self {
        Self {
            key: Key::Fixed(key),
            value: PhantomData,
        }
    }

    /// One leaf of many.
    pub const fn at(key: LeafKey) -> Self {
        Self {
            key: Key::Of(key),
            value: PhantomData,
        }
    }

    /// Where in the ledger it is.
    pub(crate) fn key(&self) -> LeafKey {
        match self.key {
            Key::Fixed(key) => key(),
            Key::Of(key) => key,
        }
    }
}

/// Typed access to the leaves of a batch.
pub trait Leaves {
    /// The value, `None` if there is none. A value that does not decode is unavailable.
    fn get<T: Stored>(&mut self, leaf: &Leaf<T>) -> Result<Option<T>, LeafUnavailable>;

    /// Stores the value, unless the same value is stored already: that costs no write.
    fn set<T: Stored>(&mut self, leaf: &Leaf<T>, value: &T);
}

impl Leaves for Batch<'_> {
    fn get<T: Stored>(&mut self, leaf: &Leaf<T>) -> Result<Option<T>, LeafUnavailable> {
        let bytes = self.read(&leaf.key())?;
        bytes
            .map(|bytes| T::decode(&bytes).map_err(|Unreadable| LeafUnavailable))
            .transpose()
    }

    fn set<T: Stored>(&mut self, leaf: &Leaf<T>, value: &T) {
        let (key, bytes) = (leaf.key(), value.encode());
        match self.read(&key) {
            Ok(Some(stored)) if stored == bytes => {}
            // With a leaf that cannot be opened, `put` refuses the whole change.
            _ => self.put(&key, bytes),
        }
    }
}
