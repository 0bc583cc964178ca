//! Errors of a device and its state.

use vault_protocol::KeyId;

use crate::error::{Error, Source};

/// Why a device did not do its task.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The vault, or the way to it.
    #[error(transparent)]
    Vault(#[from] Error),
    /// The device holds another key, which is used or may be registered.
    #[error(
        "this device already holds the key {held}, not {given}: write down its digits, then remove it"
    )]
    OtherKey {
        /// The one it holds.
        held: KeyId,
        /// The one that was to take its place.
        given: KeyId,
        /// Whether a vault may have a record of the held one.
        may_be_registered: bool,
    },
    /// A record of the key is at another place, or may be.
    #[error(
        "a record of the key is at another vault or account, or may be: switch the password off there first, or leave that record behind if the vault is gone"
    )]
    RecordElsewhere,
    /// The vault cannot tell whether it was this key or another one.
    #[error(
        "another device has registered since: if it was yours, nothing needs to be done; to set the password from here, change it, which works if the key is the same"
    )]
    RegisteredSince,
    /// The device holds no key.
    #[error("this device has no backup key yet: protect a new one, or retrieve one")]
    NoKey,
    /// The device knows of no record there.
    #[error("this device knows of no record at that place: protect the key with a password first")]
    NoRecord,
    /// See [`DeviceState::forget`](super::DeviceState::forget).
    #[error(
        "a vault may have a record of the key: switch the password off first, or say that the record is to be left behind"
    )]
    MayBeRegistered,
    /// Nothing was sent because of that.
    #[error("the device's state cannot be stored: make room, or check where it is kept")]
    NotStored(#[source] Source),
    /// Nothing was sent: the state would be too long to be read again.
    #[error("the device's state is too long: give shorter addresses or fewer fingerprints")]
    TooLong,
}

/// Why bytes are no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidState {
    /// No version of this library wrote them.
    #[error("the device's state is damaged: retrieve the key with its password, or use its digits")]
    Damaged,
    /// A later version wrote them.
    #[error("the device's state has version {version}, which is newer than this app: update it")]
    Newer {
        /// Which.
        version: u64,
    },
    /// An earlier version wrote them, which only the command line had.
    #[error("the device's state has version {version}, which this app does not read")]
    Older {
        /// Which.
        version: u64,
    },
}
