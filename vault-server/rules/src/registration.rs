//! Registering: start draws a credential identifier and remembers it, finish makes a record of it
//! (PROTOCOL.md section 6).

use std::fmt;

use vault_protocol::messages::finish_digest;
use vault_protocol::{AccountScope, Binary, Policy, StretchingProfile, Timestamp, management};

use crate::account::{Account, LiveRecord, MAX_PENDING, PendingRegistration, RecordSlot};
use crate::clock::CommandTime;
use crate::command::Rule;
use crate::counting::Attempts;
use crate::event::{EventKind, Journal};
use crate::outcome::{Decision, Refusal};
use crate::secret::{CredentialIdentifier, RegistrationRecord, WrappedKey};

/// `registration/start`.
#[derive(Debug)]
pub struct StartRegistration {
    /// The finish has to come within 15 minutes of it.
    pub time: CommandTime,
    /// 32 fresh random bytes.
    pub credential_identifier: CredentialIdentifier,
    /// 32 fresh random bytes, by which the finish refers to this registration.
    pub registration_ticket: Binary<32>,
    /// The tenant's policy as it is now. It becomes the record's, whatever the tenant's is then.
    pub policy: Policy,
}

/// `registration/finish`.
#[derive(Debug)]
pub struct FinishRegistration {
    /// Registrations that have expired by then cannot be finished.
    pub time: CommandTime,
    /// The account that the proof has to name.
    pub scope: AccountScope,
    /// As the start returned it.
    pub registration_ticket: Binary<32>,
    /// OPAQUE's.
    pub registration_record: RegistrationRecord,
    /// K, wrapped by the device.
    pub wrapped_key: WrappedKey,
    /// The device's number for how it stretches the password.
    pub stretching_profile: StretchingProfile,
    /// An Ed25519 public key: its holder may replace or delete the record.
    pub management_key: Binary<32>,
    /// The Ed25519 signature that allows to replace a live record.
    pub replace_proof: Option<Binary<64>>,
}

/// A registration that waits for its finish. Only [`StartRegistration`] makes one, so that OPAQUE
/// evaluates a registration request under a fresh identifier and no other.
pub struct StartedRegistration {
    generation: u64,
    policy: Policy,
    expires_at: Timestamp,
    credential_identifier: CredentialIdentifier,
}

/// A completed registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The generation that it began.
    pub generation: u64,
    /// Binding for this generation.
    pub policy: Policy,
}

impl Rule for StartRegistration {
    type Outcome = StartedRegistration;

    fn time(&self) -> CommandTime {
        self.time
    }

    /// Adds a pending registration; a fifth drops the oldest. A live record is not touched.
    fn decide(self, account: &mut Account, _: &mut Journal) -> StartedRegistration {
        if account.pending.len() == MAX_PENDING {
            account.pending.remove(0);
        }
        let pending = PendingRegistration {
            ticket: self.registration_ticket,
            credential_identifier: self.credential_identifier.duplicate(),
            policy: self.policy.clone(),
            started_at: self.time.now,
        };
        let expires_at = pending.expires_at();
        account.pending.push(pending);
        StartedRegistration {
            generation: account.generation(),
            policy: self.policy,
            expires_at,
            credential_identifier: self.credential_identifier,
        }
    }
}

impl Rule for FinishRegistration {
    type Outcome = Decision<Registration>;

    fn time(&self) -> CommandTime {
        self.time
    }

    /// Turns a pending registration into the record, in one change with the end of the former
    /// record and of every other pending registration.
    ///
    /// The order of the checks is PROTOCOL.md's: the repetition of the finish that made the record
    /// comes first, because its ticket is used up.
    fn decide(self, account: &mut Account, journal: &mut Journal) -> Self::Outcome {
        let digest = self.digest();
        if let RecordSlot::Live(record) = &account.slot
            && record.finish_digest == digest
        {
            return Decision::Granted(record.registration());
        }
        let ticket = &self.registration_ticket;
        let Some(index) = account
            .pending
            .iter()
            .position(|p| p.is_referred_to_by(ticket))
        else {
            return Decision::Refused(Refusal::TicketExpired);
        };
        match &account.slot {
            RecordSlot::Live(record) => {
                if let Some(refusal) = self.refusal_to_replace(record, &digest) {
                    return Decision::Refused(refusal);
                }
                journal.record(record.generation, EventKind::Replaced);
            }
            // The record that was to be replaced is gone, and the user has not heard of it yet. To
            // register anew is the user's decision.
            RecordSlot::Never | RecordSlot::Destroyed(_) if self.replace_proof.is_some() => {
                return Decision::Refused(Refusal::TicketExpired);
            }
            RecordSlot::Never | RecordSlot::Destroyed(_) => {}
        }
        let pending = account.pending.swap_remove(index);
        Decision::Granted(self.complete(account, pending, digest, journal))
    }
}

impl FinishRegistration {
    fn digest(&self) -> Binary<32> {
        Binary(finish_digest(
            &self.registration_ticket.0,
            self.registration_record.expose_secret(),
            self.wrapped_key.expose_secret(),
            self.stretching_profile,
            &self.management_key.0,
        ))
    }

    /// A live record, whatever its state, is replaced only by the holder of its K: an attacker with
    /// a stolen login must not take the owner's record away, nor refill its budget.
    fn refusal_to_replace(&self, record: &LiveRecord, digest: &Binary<32>) -> Option<Refusal> {
        let generation = record.generation;
        let Some(proof) = &self.replace_proof else {
            return Some(Refusal::AlreadyRegistered { generation });
        };
        let is_allowed = management::verify_replacement(
            &record.management_key.0,
            &self.scope,
            generation,
            &digest.0,
            &proof.0,
        );
        (!is_allowed).then_some(Refusal::Forbidden)
    }

    fn complete(
        self,
        account: &mut Account,
        pending: PendingRegistration,
        finish_digest: Binary<32>,
        journal: &mut Journal,
    ) -> Registration {
        let record = LiveRecord {
            generation: account.generation() + 1,
            credential_identifier: pending.credential_identifier,
            registration_record: self.registration_record,
            wrapped_key: self.wrapped_key,
            stretching_profile: self.stretching_profile,
            management_key: self.management_key,
            finish_digest,
            policy: pending.policy,
            attempts: Attempts::default(),
        };
        let registration = record.registration();
        journal.record(record.generation, EventKind::Registered);
        account.slot = RecordSlot::Live(Box::new(record));
        account.pending.clear();
        registration
    }
}

impl LiveRecord {
    fn registration(&self) -> Registration {
        Registration {
            generation: self.generation,
            policy: self.policy.clone(),
        }
    }
}

impl StartedRegistration {
    /// The one that a finish would replace.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The tenant's policy, which becomes the record's.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// From this moment on the registration can no longer be finished.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// OPAQUE derives from it the key that evaluates the registration request.
    pub fn credential_identifier(&self) -> &CredentialIdentifier {
        &self.credential_identifier
    }
}

impl fmt::Debug for StartedRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartedRegistration")
            .field("generation", &self.generation)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
