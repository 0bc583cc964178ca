//! Registering: start draws a credential identifier and remembers it, finish makes a record of it
//! (PROTOCOL.md section 6).

use std::fmt;

use vault_protocol::messages::finish_digest;
use vault_protocol::{Binary, Policy, Timestamp, management};

use crate::account::{Account, LiveRecord, MAX_PENDING, PendingRegistration, Slot};
use crate::command::{FinishRegistration, StartRegistration};
use crate::counting::Attempts;
use crate::event::{EventKind, Journal};
use crate::outcome::{Decision, Refusal, Step, step};
use crate::secret::CredentialIdentifier;

/// A started registration. Only [`StartRegistration::apply`] makes one.
pub struct Enrolment {
    generation: u64,
    policy: Policy,
    expires_at: Timestamp,
    credential_identifier: CredentialIdentifier,
}

/// A completed registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The generation it began.
    pub generation: u64,
    /// The policy that is binding for it.
    pub policy: Policy,
}

impl StartRegistration {
    /// Adds a pending registration; a fifth drops the oldest. A live record is not touched.
    pub fn apply(self, account: Account) -> Step<Enrolment> {
        step(account, self.clock, |account, journal| {
            self.decide(account, journal)
        })
    }

    fn decide(self, account: &mut Account, journal: &Journal) -> Enrolment {
        if account.pending.len() == MAX_PENDING {
            account.pending.remove(0);
        }
        let pending = PendingRegistration {
            ticket: self.registration_ticket,
            credential_identifier: self.credential_identifier.duplicate(),
            policy: self.policy.clone(),
            started_at: journal.now(),
        };
        let expires_at = pending.expires_at();
        account.pending.push(pending);
        Enrolment {
            generation: account.generation(),
            policy: self.policy,
            expires_at,
            credential_identifier: self.credential_identifier,
        }
    }
}

impl FinishRegistration {
    /// Turns a pending registration into the record, in one change with the end of the former
    /// record and of every other pending registration.
    pub fn apply(self, account: Account) -> Step<Decision<Registration>> {
        step(account, self.clock, |account, journal| {
            self.decide(account, journal)
        })
    }

    /// The order of the checks is PROTOCOL.md's: the repetition of the finish that made the record
    /// comes first, because its ticket is used up.
    fn decide(self, account: &mut Account, journal: &mut Journal) -> Decision<Registration> {
        let digest = self.digest();
        if let Slot::Live(record) = &account.slot
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
            Slot::Live(record) => {
                if let Some(refusal) = self.refusal_to_replace(record, &digest) {
                    return Decision::Refused(refusal);
                }
                journal.record(record.generation, EventKind::Replaced);
            }
            // What was to be replaced is gone. Registering anew over it is for the user to decide,
            // who has not heard of that yet.
            Slot::Never | Slot::Destroyed(_) if self.replace_proof.is_some() => {
                return Decision::Refused(Refusal::TicketExpired);
            }
            Slot::Never | Slot::Destroyed(_) => {}
        }
        let pending = account.pending.swap_remove(index);
        Decision::Granted(self.complete(account, pending, digest, journal))
    }

    fn digest(&self) -> Binary<32> {
        Binary(finish_digest(
            &self.registration_ticket.0,
            self.registration_record.expose_secret(),
            self.wrapped_key.expose_secret(),
            self.stretching_profile,
            &self.management_key.0,
        ))
    }

    /// Who replaces a live record, whatever its state, has to hold its K: a stolen login must not
    /// take the owner's record away, nor refill its budget.
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
        account.slot = Slot::Live(Box::new(record));
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

impl Enrolment {
    /// The account's generation: the one that a finish would replace.
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

    /// What OPAQUE evaluates the registration request with.
    pub fn credential_identifier(&self) -> &CredentialIdentifier {
        &self.credential_identifier
    }
}

impl fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enrolment")
            .field("generation", &self.generation)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
