//! What happened, for notifications and the audit log. Events are stored by the same commit as the
//! change they tell of. They hold no secret and no name.

use serde::{Deserialize, Serialize};
use vault_protocol::Timestamp;
use vault_protocol::messages::DestructionReason;

use crate::codec;
use crate::versioned::{self, StoredError};

/// The version of stored events.
const VERSION: u8 = 1;

/// One thing that happened to an account.
///
/// Answers that are given again (the same start, the same finish, the same deletion) cause none,
/// refused commands neither, unless something had become due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When the command was applied that caused it.
    #[serde(with = "codec::millis")]
    pub at: Timestamp,
    /// The generation it happened to.
    pub generation: u64,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// A registration was completed and began this generation.
    Registered,
    /// The record of this generation gave way to a new registration; `Registered` follows.
    Replaced,
    /// An attempt was charged: from now on its guess may be evaluated.
    Charged {
        /// Its number.
        attempt: u64,
    },
    /// The wrapped key was released for the first time to this attempt.
    Succeeded {
        /// Its number.
        attempt: u64,
    },
    /// An open attempt ended without success.
    Failed {
        /// Its number.
        attempt: u64,
        /// How it ended.
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
    /// The record was destroyed and only its tombstone is left. Exactly one for each tombstone.
    Destroyed {
        /// Why.
        reason: DestructionReason,
    },
    /// The owner deleted the record; `Destroyed` follows.
    Deleted,
    /// The app reset the account; `Destroyed` follows.
    Reset,
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureCause {
    /// KE3 did not verify.
    WrongPassword,
    /// The device gave up: it saw from KE2 that the password was wrong.
    Abandoned,
    /// Nothing came in time.
    Expired,
}

impl Event {
    /// The stored form: a version byte and the event.
    pub fn encode(&self) -> Vec<u8> {
        versioned::encode(VERSION, self).to_vec()
    }

    /// Reads the stored form. No other bytes are accepted than those that `encode` writes.
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
