//! Events, which `account show` prints, and notifications and an audit log can be made from. Each is
//! stored by the commit of the change that it tells of. They hold no secret and no name.

use serde::{Deserialize, Serialize};
use vault_protocol::Timestamp;
use vault_protocol::messages::DestructionReason;

use crate::codec;
use crate::versioned::{self, StoredError};

/// The version that is written, and the only one that is read.
const VERSION: u8 = 1;

/// One step in the history of an account.
///
/// An answer that is given again (the same start, finish or deletion) causes none. A refused
/// command causes none either, unless something had become due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The time of the command that caused it.
    #[serde(with = "codec::millis")]
    pub at: Timestamp,
    /// The record that it is about.
    pub generation: u64,
    /// With its attempt, time or reason.
    pub kind: EventKind,
}

/// A start that is refused has no kind: an attempt that was not charged did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// A registration was completed and began this generation.
    Registered,
    /// The record of this generation gave way to a new registration; `Registered` follows.
    Replaced,
    /// An attempt was charged: from now on its guess may be evaluated.
    Charged {
        /// Its number within the generation.
        attempt: u64,
    },
    /// The wrapped key was released for the first time to this attempt.
    Succeeded {
        /// Its number within the generation.
        attempt: u64,
    },
    /// An open attempt ended without success.
    Failed {
        /// Its number within the generation.
        attempt: u64,
        /// Told apart by the request that ended it, or by none.
        cause: FailureCause,
    },
    /// A charge began a wait. Follows `Charged`, because that is when the wait begins; a success
    /// of that attempt ends it early.
    Waiting {
        /// When it ends.
        #[serde(with = "codec::millis")]
        until: Timestamp,
    },
    /// A charge used up a budget; follows `Charged`. Nothing more is charged, unless an open
    /// attempt succeeds.
    Exhausted,
    /// Only the record's tombstone is left. Exactly one event for each tombstone.
    Destroyed {
        /// The tombstone's.
        reason: DestructionReason,
    },
    /// The owner deleted the record; `Destroyed` follows.
    Deleted,
    /// The app reset the account; `Destroyed` follows.
    Reset,
}

/// How an open attempt ended without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureCause {
    /// KE3 did not verify.
    WrongPassword,
    /// The device gave up: it saw from KE2 that the password was wrong.
    Abandoned,
    /// Neither KE3 nor an abandonment came in time.
    Expired,
}

impl Event {
    /// A version byte and the event.
    pub fn encode(&self) -> Vec<u8> {
        versioned::encode(VERSION, self).to_vec()
    }

    /// Accepts no other bytes than those that `encode` writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoredError> {
        versioned::decode(VERSION, bytes)
    }
}

/// Collects the events of one command, all at its time. Only `Command::apply` makes one.
pub struct Journal {
    now: Timestamp,
    events: Vec<Event>,
}

impl Journal {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            now,
            events: Vec::new(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    pub(crate) fn record(&mut self, generation: u64, kind: EventKind) {
        self.events.push(Event {
            at: self.now,
            generation,
            kind,
        });
    }

    pub(crate) fn into_events(self) -> Vec<Event> {
        self.events
    }
}
