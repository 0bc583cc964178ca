//! The state of one account, and how a record is destroyed. The three shapes of the state are
//! types: only `LiveRecord` has room for the secrets that a guess is tested against.

use std::fmt;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use vault_protocol::messages::DestructionReason;
use vault_protocol::{Binary, Policy, StretchingProfile, Timestamp};

use crate::clock::REGISTRATION_SECONDS;
use crate::codec;
use crate::counting::Attempts;
use crate::event::{EventKind, Journal};
use crate::outcome::Refusal;
use crate::secret::{CredentialIdentifier, RegistrationRecord, WrappedKey};
use crate::tombstone::Tombstone;

/// How many registrations of one account can be pending; the oldest gives way (PROTOCOL.md
/// section 6).
pub(crate) const MAX_PENDING: usize = 4;

/// Everything the vault keeps about one account. Only a [`Command`](crate::Command) changes it, and
/// [`Account::encode`] writes it.
///
/// Not cloneable: a copy would outlive a destruction.
pub struct Account {
    pub(crate) slot: RecordSlot,
    /// Oldest first. All were started under the present generation: its end, by a completed
    /// registration or by a destruction, drops them.
    pub(crate) pending: Vec<PendingRegistration>,
}

#[derive(Serialize, Deserialize)]
pub(crate) enum RecordSlot {
    /// Generation 0: no registration was ever completed.
    Never,
    Live(Box<LiveRecord>),
    /// Secrets have no place here: to destroy is to become this.
    Destroyed(Tombstone),
}

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
    /// SHA-256 of the finish that made this record: that finish, sent again, is answered again.
    #[serde(with = "codec::binary")]
    pub(crate) finish_digest: Binary<32>,
    /// Copied when the registration was started, and binding since.
    pub(crate) policy: Policy,
    pub(crate) attempts: Attempts,
}

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
    /// The state of an account about which nothing is stored.
    pub fn absent() -> Self {
        Self {
            slot: RecordSlot::Never,
            pending: Vec::new(),
        }
    }

    /// 0 before the first completed registration, one more with each. A destruction keeps it.
    pub fn generation(&self) -> u64 {
        match &self.slot {
            RecordSlot::Never => 0,
            RecordSlot::Live(record) => record.generation,
            RecordSlot::Destroyed(tombstone) => tombstone.generation,
        }
    }

    /// Whether a record can be attempted. Compared before and after a command, it tells how the
    /// tenant's count of live records changes.
    pub fn is_live(&self) -> bool {
        matches!(self.slot, RecordSlot::Live(_))
    }

    /// Whether nothing is left that has to be stored: generation 0 without a pending registration.
    /// Tombstones stay, so that generations are never used twice.
    pub fn is_removable(&self) -> bool {
        matches!(self.slot, RecordSlot::Never) && self.pending.is_empty()
    }

    /// The refusal for a command that needs a live record when there is none.
    pub(crate) fn no_record(&self) -> Refusal {
        match &self.slot {
            RecordSlot::Destroyed(tombstone) => Refusal::Destroyed(*tombstone),
            RecordSlot::Never | RecordSlot::Live(_) => Refusal::NotRegistered,
        }
    }

    /// Destroys the record when a budget is used up and no open attempt can still succeed
    /// (PROTOCOL.md section 7 step 5).
    pub(crate) fn destroy_if_exhausted(&mut self, journal: &mut Journal) {
        if let RecordSlot::Live(record) = &self.slot
            && record.attempts.is_exhausted(&record.policy)
            && !record.attempts.any_open()
        {
            self.destroy(DestructionReason::Exhausted, journal);
        }
    }

    /// **Where a record is destroyed**: its tombstone takes its place, and every pending
    /// registration is dropped. Dropping erases their secrets from memory; that no stored copy
    /// survives is the ledger's part.
    pub(crate) fn destroy(&mut self, reason: DestructionReason, journal: &mut Journal) {
        let generation = self.generation();
        self.slot = RecordSlot::Destroyed(Tombstone {
            generation,
            at: journal.now(),
            reason,
        });
        self.pending.clear();
        journal.record(generation, EventKind::Destroyed { reason });
    }
}

impl PendingRegistration {
    /// Compares in constant time: the ticket alone suffices to finish the registration.
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
            RecordSlot::Never => "absent",
            RecordSlot::Live(_) => "live",
            RecordSlot::Destroyed(_) => "destroyed",
        };
        f.debug_struct("Account")
            .field("generation", &self.generation())
            .field("state", &state)
            .field("pending", &self.pending.len())
            .finish_non_exhaustive()
    }
}
