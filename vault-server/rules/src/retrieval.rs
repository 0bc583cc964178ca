//! Where a guess is charged, released or failed (PROTOCOL.md section 7).
//!
//! The device learns from KE2 alone whether its guess was right. So the charge comes before the
//! evaluation: the secrets that OPAQUE needs are inside a [`Charge`], a charge is made in this file
//! only, and the ledger hands it out only after the state that counts it is durable.

use vault_protocol::{Binary, Timestamp};

use crate::account::{Account, LiveRecord, RecordSlot};
use crate::clock::CommandTime;
use crate::command::Rule;
use crate::counting::{AttemptState, PriorCounters};
use crate::event::{EventKind, FailureCause, Journal};
use crate::outcome::{Decision, Refusal};
use crate::secret::{CredentialIdentifier, RegistrationRecord, WrappedKey};
use crate::status::{AccountState, Status};

/// `retrieval/start`.
#[derive(Debug)]
pub struct StartRetrieval {
    /// A wait that has not ended by then refuses the attempt; the next wait begins with it.
    pub time: CommandTime,
    /// SHA-256 of the decoded KE1: the one guess that the attempt can test.
    pub request_digest: Binary<32>,
}

/// `retrieval/finish`.
#[derive(Debug)]
pub struct FinishRetrieval {
    /// An attempt that has expired by then has failed.
    pub time: CommandTime,
    /// From the ticket.
    pub generation: u64,
    /// From the ticket.
    pub attempt: u64,
    /// Whether KE3 verifies against the login state in the ticket. That depends on the ticket
    /// alone, so it is known before the account's state is read.
    pub verified: bool,
}

/// `retrieval/abandon`.
#[derive(Debug)]
pub struct AbandonRetrieval {
    /// The state is told as it is then.
    pub time: CommandTime,
    /// From the ticket.
    pub generation: u64,
    /// From the ticket.
    pub attempt: u64,
}

/// An attempt that has been counted, with the secrets that OPAQUE needs to evaluate its guess. Only
/// [`StartRetrieval`] makes one.
#[derive(Debug)]
pub struct Charge {
    generation: u64,
    attempt: u64,
    attempts_remaining: u64,
    credential_identifier: CredentialIdentifier,
    registration_record: RegistrationRecord,
}

/// The wrapped key, for a device that proved to know the password. Only [`FinishRetrieval`] makes
/// one.
#[derive(Debug)]
pub struct Release {
    generation: u64,
    wrapped_key: WrappedKey,
    before: PriorCounters,
}

impl Rule for StartRetrieval {
    type Outcome = Decision<Charge>;

    fn time(&self) -> CommandTime {
        self.time
    }

    /// **Where a guess is charged**, unless its request is an open attempt already or none may
    /// start.
    fn decide(self, account: &mut Account, journal: &mut Journal) -> Self::Outcome {
        let RecordSlot::Live(record) = &mut account.slot else {
            return Decision::Refused(account.no_record());
        };
        // One blinded element tests one password: a lost answer costs nothing.
        if let Some(attempt) = record.attempts.open_with(&self.request_digest) {
            return Decision::Granted(Charge::of(attempt, record));
        }
        if let Some(retry_at) = record.attempts.retry_at(&record.policy, self.time) {
            return Decision::Refused(Refusal::Waiting { retry_at });
        }
        let attempt = record.charge(self.request_digest, self.time, journal);
        Decision::Granted(Charge::of(attempt, record))
    }
}

impl LiveRecord {
    fn charge(&mut self, request: Binary<32>, time: CommandTime, journal: &mut Journal) -> u64 {
        let attempt = self.attempts.charge(request, time.now);
        journal.record(self.generation, EventKind::Charged { attempt });
        if self.attempts.is_exhausted(&self.policy) {
            journal.record(self.generation, EventKind::Exhausted);
        } else if let Some(until) = self.attempts.retry_at(&self.policy, time) {
            journal.record(self.generation, EventKind::Waiting { until });
        }
        attempt
    }

    fn succeed(&mut self, attempt: u64, journal: &mut Journal) -> Release {
        let before = self.attempts.succeed(attempt, journal.now());
        journal.record(self.generation, EventKind::Succeeded { attempt });
        Release::of(self, before)
    }
}

impl Rule for FinishRetrieval {
    type Outcome = Decision<Release>;

    fn time(&self) -> CommandTime {
        self.time
    }

    /// Releases the wrapped key if KE3 verified. A failure counts nothing here: the start has
    /// charged it.
    fn decide(self, account: &mut Account, journal: &mut Journal) -> Self::Outcome {
        let record = match account.record_of_ticket(self.generation) {
            Decision::Granted(record) => record,
            Decision::Refused(refusal) => return Decision::Refused(refusal),
        };
        match (record.attempts.state_of(self.attempt), self.verified) {
            (AttemptState::Open, true) => {
                let release = record.succeed(self.attempt, journal);
                // An attempt older than the last success takes nothing off the failures in a row.
                // If they have reached the limit and it was the last one open, its key is released
                // all the same, and the record goes with it.
                account.destroy_if_exhausted(journal);
                Decision::Granted(release)
            }
            (AttemptState::Open, false) => {
                account.fail(self.attempt, FailureCause::WrongPassword, journal);
                Decision::Refused(account.wrong_password(self.time))
            }
            (AttemptState::Succeeded(before), true) => {
                Decision::Granted(Release::of(record, before))
            }
            (AttemptState::Succeeded(_), false) => {
                Decision::Refused(account.wrong_password(self.time))
            }
            (AttemptState::Ended | AttemptState::NeverCharged, _) => {
                Decision::Refused(Refusal::TicketExpired)
            }
        }
    }
}

impl Rule for AbandonRetrieval {
    type Outcome = Decision<Status>;

    fn time(&self) -> CommandTime {
        self.time
    }

    /// Ends an open attempt as failed, without waiting for its expiry. Refunds nothing.
    fn decide(self, account: &mut Account, journal: &mut Journal) -> Self::Outcome {
        let record = match account.record_of_ticket(self.generation) {
            Decision::Granted(record) => record,
            Decision::Refused(Refusal::Destroyed(_)) => {
                return Decision::Granted(account.status(self.time));
            }
            Decision::Refused(refusal) => return Decision::Refused(refusal),
        };
        match record.attempts.state_of(self.attempt) {
            AttemptState::Open => account.fail(self.attempt, FailureCause::Abandoned, journal),
            AttemptState::Succeeded(_) | AttemptState::Ended => {}
            AttemptState::NeverCharged => return Decision::Refused(Refusal::TicketExpired),
        }
        Decision::Granted(account.status(self.time))
    }
}

impl Account {
    /// A ticket is good for the record under which it was made, and for no later one.
    fn record_of_ticket(&mut self, generation: u64) -> Decision<&mut LiveRecord> {
        match &mut self.slot {
            RecordSlot::Live(record) if record.generation == generation => {
                Decision::Granted(record)
            }
            RecordSlot::Destroyed(tombstone) if tombstone.generation == generation => {
                Decision::Refused(Refusal::Destroyed(*tombstone))
            }
            RecordSlot::Never | RecordSlot::Live(_) | RecordSlot::Destroyed(_) => {
                Decision::Refused(Refusal::TicketExpired)
            }
        }
    }

    /// Ends an open attempt as failed, and the record with it if that was its last chance.
    fn fail(&mut self, attempt: u64, cause: FailureCause, journal: &mut Journal) {
        if let RecordSlot::Live(record) = &mut self.slot {
            record.attempts.fail(attempt);
            journal.record(record.generation, EventKind::Failed { attempt, cause });
        }
        self.destroy_if_exhausted(journal);
    }

    fn wrong_password(&self, time: CommandTime) -> Refusal {
        match self.status(time).state {
            AccountState::Live {
                attempts_remaining,
                retry_at,
                ..
            } => Refusal::WrongPassword {
                attempts_remaining,
                retry_at,
            },
            AccountState::Absent | AccountState::Destroyed(_) => self.no_record(),
        }
    }
}

impl Charge {
    fn of(attempt: u64, record: &LiveRecord) -> Self {
        Self {
            generation: record.generation,
            attempt,
            attempts_remaining: record.attempts.remaining(&record.policy),
            credential_identifier: record.credential_identifier.duplicate(),
            registration_record: record.registration_record.duplicate(),
        }
    }

    /// The ticket is bound to it.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Numbered from 1 within its generation.
    pub fn attempt(&self) -> u64 {
        self.attempt
    }

    /// After this one; the smaller of both budgets.
    pub fn attempts_remaining(&self) -> u64 {
        self.attempts_remaining
    }

    /// OPAQUE derives the record's OPRF key from it.
    pub fn credential_identifier(&self) -> &CredentialIdentifier {
        &self.credential_identifier
    }

    /// OPAQUE's registration record.
    pub fn registration_record(&self) -> &RegistrationRecord {
        &self.registration_record
    }
}

impl Release {
    fn of(record: &LiveRecord, before: PriorCounters) -> Self {
        let wrapped_key = record.wrapped_key.duplicate();
        Self {
            generation: record.generation,
            wrapped_key,
            before,
        }
    }

    /// The released key is bound to it.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// K, wrapped by the device.
    pub fn wrapped_key(&self) -> &WrappedKey {
        &self.wrapped_key
    }

    /// Failures in a row before this success, its own charge excluded.
    pub fn failures_since_success(&self) -> u64 {
        self.before.failures_since_success
    }

    /// Failures of the generation before this success, its own charge excluded.
    pub fn failures_in_generation(&self) -> u64 {
        self.before.failures_in_generation
    }

    /// When an attempt of this generation had succeeded before, if one had.
    pub fn last_success_at(&self) -> Option<Timestamp> {
        self.before.last_success_at
    }
}
