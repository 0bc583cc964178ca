//! The time a command carries.

use serde::{Deserialize, Serialize};
use vault_protocol::Timestamp;

use crate::codec;

/// How long an attempt stays open, in seconds: time to type, to stretch on a slow phone, and to
/// ask again after a lost answer (PROTOCOL.md section 7 step 3).
pub const ATTEMPT_SECONDS: u64 = 15 * 60;

/// How long a started registration can be finished, in seconds (PROTOCOL.md section 6).
pub const REGISTRATION_SECONDS: u64 = 15 * 60;

/// When a command happens. Both times come from the same source: the wall clock at process start
/// plus the time that has passed since, so that a jump of the wall clock during a run changes
/// nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Now.
    #[serde(with = "codec::millis")]
    pub now: Timestamp,
    /// When this process started to serve; not later than `now`.
    #[serde(with = "codec::millis")]
    pub running_since: Timestamp,
}

impl Clock {
    /// When an attempt charged at this time expires. Not before the vault has been reachable for
    /// the whole time: an outage must not cost the owner an attempt.
    pub(crate) fn expiry_of(&self, charged_at: Timestamp) -> Timestamp {
        charged_at
            .max(self.running_since)
            .plus_seconds(ATTEMPT_SECONDS)
    }
}
