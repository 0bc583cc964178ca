//! [`Device`], for apps: a [`DeviceState`](crate::device::DeviceState) over a network. Below it
//! [`VaultClient`]: the flows over a [`Transport`](crate::transport::Transport), with the repeats that
//! are safe and no others.
//!
//! A call whose answer was lost is sent again with identical bytes, sealed anew; an answer outside the
//! seal is none. A guess is never repeated with another credential request, and nothing
//! is registered that was not asked for.

mod attempt;
mod calls;
mod deletion;
mod device;
mod off_thread;
mod sending;
mod vault_client;

pub use self::attempt::{Attempt, AttemptFailed};
pub use self::device::{Device, Restored, Storage};
pub use self::sending::{MAX_REPEATS, PAUSES};
pub use self::vault_client::{Clock, VaultClient};
