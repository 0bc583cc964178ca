//! The state of one account. Its three shapes are types: only `LiveRecord` has room for what a
//! guess could be tested against.

use std::fmt;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use vault_protocol::messages::DestructionReason;
use vault_protocol::{Binary, Policy, StretchingProfile, Timestamp};

use crate::clock::{Clock, REGISTRATION_SECONDS};
use crate::codec;
use crate::counting::Attempts;
use crate::event::{EventKind, Journal};
use crate::outcome::{Refusal, Standing, Status};
use crate::secret::{CredentialIdentifier, RegistrationRecord, WrappedKey};

/// How many registrations of one account can be pending; the oldest gives way (PROTOCOL.md
/// section 6).
pub const MAX_PENDING: usize = 4;

/// Everything the vault keeps about one account. It is changed by commands only, see
/// [`crate::command`], and stored as [`Account::encode`] writes it.
///
/// Not cloneable: a copy would outlive a destruction.
pub struct Account {
    pub(crate) slot: Slot,
    /// Oldest first. They all were started under the present generation: its end, by a completed
    /// registration or by a destruction, drops them.
    pub(crate) pending: Vec<PendingRegistration>,
}

#[derive(Serialize, Deserialize)]
pub(crate) enum Slot {
    /// Generation 0: no registration was ever completed.
    Never,
    Live(Box<LiveRecord>),
    /// Secrets have no place here: to destroy is to become this.
    Destroyed(Tombstone),
}

/// A record that can be attempted.
#[derive(Serialize, Deserialize)]
pub(crate) struct LiveRecord {
    pub(crate) generation: u64,
    #[serde(with = "codec::secret")]
    pub(crate) credential_identifier: CredentialIdentifier,
    #[serde(with = "codec::secret")]
    pub(crate) registration_record: RegistrationRecord,
    #[serde(with = "codec::secret")]
    pub(crate) wrapped_key: WrappedKey,
    /// The device's number; the vault never stretches anything.
    pub(crate) stretching_profile: StretchingProfile,
    #[serde(with = "codec::binary")]
    pub(crate) management_key: Binary<32>,
    /// SHA-256 of the finish that made this record, to know a repetition.
    #[serde(with = "codec::binary")]
    pub(crate) finish_digest: Binary<32>,
    /// Copied when the registration was started, and binding since.
    pub(crate) policy: Policy,
    pub(crate) attempts: Attempts,
}

/// What stays of a destroyed record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The generation that was destroyed.
    pub generation: u64,
    /// When it was destroyed.
    #[serde(with = "codec::millis")]
    pub at: Timestamp,
    /// Why it was destroyed.
    pub reason: DestructionReason,
}

/// A registration that was started and not yet finished.
#[derive(Serialize, Deserialize)]
pub(crate) struct PendingRegistration {
    #[serde(with = "codec::binary")]
    pub(crate) ticket: Binary<32>,
    #[serde(with = "codec::secret")]
    pub(crate) credential_identifier: CredentialIdentifier,
    pub(crate) policy: Policy,
    #[serde(with = "codec::millis")]
    pub(crate) started_at: Timestamp,
}

impl Account {
    /// An account about which nothing is stored.
    pub fn absent() -> Self {
        Self {
            slot: Slot::Never,
            pending: Vec::new(),
        }
    }

    /// 0 before the first completed registration, one more with each. A destruction keeps it.
    pub fn generation(&self) -> u64 {
        match &self.slot {
            Slot::Never => 0,
            Slot::Live(record) => record.generation,
            Slot::Destroyed(tombstone) => tombstone.generation,
        }
    }

    /// Whether there is a record that is not destroyed. Compared before and after a command, it
    /// tells how the tenant's count of live records changes.
    pub fn is_live(&self) -> bool {
        matches!(self.slot, Slot::Live(_))
    }

    /// Whether nothing is left that has to be stored: generation 0 without a pending registration.
    /// Tombstones stay, so that generations are never used twice.
    pub fn is_removable(&self) -> bool {
        matches!(self.slot, Slot::Never) && self.pending.is_empty()
    }

    /// What the owner is told. Costs nothing and changes nothing.
    pub(crate) fn status(&self, clock: Clock) -> Status {
        let standing = match &self.slot {
            Slot::Never => Standing::Absent,
            Slot::Live(record) => Standing::Live {
                attempts_remaining: record.attempts.remaining(&record.policy),
                retry_at: record.attempts.retry_at(&record.policy, clock),
                stretching_profile: record.stretching_profile,
                policy: record.policy.clone(),
            },
            Slot::Destroyed(tombstone) => Standing::Destroyed(*tombstone),
        };
        Status {
            generation: self.generation(),
            standing,
        }
    }

    /// The refusal for a command that needs a live record when there is none.
    pub(crate) fn no_record(&self) -> Refusal {
        match &self.slot {
            Slot::Destroyed(tombstone) => Refusal::Destroyed(*tombstone),
            Slot::Never | Slot::Live(_) => Refusal::NotRegistered,
        }
    }

    /// Destroys the record when a budget is used up and no open attempt can still succeed
    /// (PROTOCOL.md section 7 step 5).
    pub(crate) fn destroy_if_exhausted(&mut self, journal: &mut Journal) {
        if let Slot::Live(record) = &self.slot
            && record.attempts.is_exhausted(&record.policy)
            && !record.attempts.any_open()
        {
            self.destroy(DestructionReason::Exhausted, journal);
        }
    }

    /// Replaces the record by its tombstone and drops every pending registration. What they held
    /// is erased from memory here; that no stored copy survives is the ledger's part.
    pub(crate) fn destroy(&mut self, reason: DestructionReason, journal: &mut Journal) {
        let generation = self.generation();
        self.slot = Slot::Destroyed(Tombstone {
            generation,
            at: journal.now(),
            reason,
        });
        self.pending.clear();
        journal.record(generation, EventKind::Destroyed { reason });
    }
}

impl PendingRegistration {
    /// Whether this is the registration that the ticket refers to. In constant time: the ticket is
    /// all it takes to finish it.
    pub(crate) fn is_referred_to_by(&self, ticket: &Binary<32>) -> bool {
        self.ticket.as_bytes().ct_eq(ticket.as_bytes()).into()
    }

    /// From this moment on it can no longer be finished.
    pub(crate) fn expires_at(&self) -> Timestamp {
        self.started_at.plus_seconds(REGISTRATION_SECONDS)
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.slot {
            Slot::Never => "absent",
            Slot::Live(_) => "live",
            Slot::Destroyed(_) => "destroyed",
        };
        f.debug_struct("Account")
            .field("generation", &self.generation())
            .field("state", &state)
            .field("pending", &self.pending.len())
            .finish_non_exhaustive()
    }
}
