//! The rest of a destroyed record.

use serde::{Deserialize, Serialize};
use vault_protocol::Timestamp;
use vault_protocol::messages::DestructionReason;

use crate::codec;

/// It names the generation, so that no generation is used twice, and has no room for a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The generation that was destroyed.
    pub generation: u64,
    /// Moves back with a clock that is set back, see `Account::clamp_to`.
    #[serde(with = "codec::millis")]
    pub at: Timestamp,
    /// Which rule destroyed it.
    pub reason: DestructionReason,
}
