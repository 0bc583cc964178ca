//! One guess, as it is kept between one sending and the next.

use std::fmt;

use vault_protocol::Timestamp;

use crate::error::Error;
use crate::flows::{ProvenRetrieval, Retrieval};

/// How long the same credential request is sent, in seconds. The vault's attempt ends after 15
/// minutes (PROTOCOL.md section 7); sent after that, the request would be charged as another one.
const RESEND_SECONDS: u64 = 10 * 60;

/// One guess on its way. Whatever happens to the connection, it is charged once at most; it can be
/// run again for 10 minutes.
pub struct Attempt {
    pub(super) step: Step,
    /// When the credential request was first sent, if it may have arrived.
    pub(super) sent_at: Option<Timestamp>,
}

pub(super) enum Step {
    Begun(Box<Retrieval>),
    Proven(Box<ProvenRetrieval>),
}

/// An attempt that ended without the key.
#[derive(Debug, thiserror::Error)]
#[error("the backup key could not be retrieved")]
pub struct AttemptFailed {
    /// Why.
    #[source]
    pub error: Error,
    /// If the vault did not answer, or could not for now ([`Error::Overloaded`],
    /// [`Error::Unavailable`]): the same attempt, for [`VaultClient::run`](super::VaultClient::run) a
    /// little later.
    pub attempt: Option<Attempt>,
}

impl Attempt {
    /// Whether the vault may have charged it. If so and it is given up, an attempt may be used up.
    pub fn may_be_charged(&self) -> bool {
        self.sent_at.is_some() || matches!(self.step, Step::Proven(_))
    }
}

impl AttemptFailed {
    pub(super) fn unanswered(error: Error, attempt: Attempt) -> Self {
        Self {
            error,
            attempt: Some(attempt),
        }
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attempt(…)")
    }
}

/// An answer of the vault, or a check that failed, ends the attempt.
impl From<Error> for AttemptFailed {
    fn from(error: Error) -> Self {
        Self {
            error,
            attempt: None,
        }
    }
}

/// Until when a call may be sent again.
pub(super) struct Resending {
    is_limited: bool,
    sendings: u32,
    /// When it was first sent.
    pub(super) sent_at: Option<Timestamp>,
}

impl Resending {
    /// For calls that charge nothing, however late they arrive.
    pub(super) fn unlimited() -> Self {
        Self {
            is_limited: false,
            sendings: 0,
            sent_at: None,
        }
    }

    /// For a credential request, which may have been sent before.
    pub(super) fn while_charged_once(sent_at: Option<Timestamp>) -> Self {
        Self {
            is_limited: true,
            sendings: 0,
            sent_at,
        }
    }

    /// Whether the call may be sent now. Asked directly before each sending, the first included.
    pub(super) fn allows(&mut self, now: Timestamp) -> bool {
        let sent_at = *self.sent_at.get_or_insert(now);
        self.sendings += 1;
        !self.is_limited || !is_stale(sent_at, now)
    }

    /// Whether it was sent more than once: the last answer need not be what became of the first.
    pub(super) fn is_repeated(&self) -> bool {
        self.sendings > 1
    }
}

/// Whether a credential request that was first sent at `sent_at` may not be sent any more. A clock
/// that went back does not say how long ago that was.
fn is_stale(sent_at: Timestamp, now: Timestamp) -> bool {
    now < sent_at || now.seconds_since(sent_at) >= RESEND_SECONDS
}
