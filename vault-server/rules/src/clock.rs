//! The time that a command carries, and how long things last.

use vault_protocol::Timestamp;

/// How long an attempt stays open, in seconds: time to type, to stretch on a slow phone, and to
/// ask again after a lost answer (PROTOCOL.md section 7 step 3).
pub const ATTEMPT_SECONDS: u64 = 15 * 60;

/// How long a started registration can be finished, in seconds (PROTOCOL.md section 6).
pub(crate) const REGISTRATION_SECONDS: u64 = 15 * 60;

/// When a command happens. Both times come from one source: the wall clock at the start of the
/// process, plus the time that has passed since. So a jump of the wall clock during a run changes
/// nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandTime {
    /// Waits, expiry and stored times count from it.
    pub now: Timestamp,
    /// When this process started to serve; not later than `now`.
    pub running_since: Timestamp,
}

impl CommandTime {
    /// When an attempt charged at this time expires. Not before the vault has been reachable for
    /// the whole time: an outage must not cost the owner an attempt.
    pub(crate) fn expiry_of(&self, charged_at: Timestamp) -> Timestamp {
        charged_at
            .max(self.running_since)
            .plus_seconds(ATTEMPT_SECONDS)
    }
}
