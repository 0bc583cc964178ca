//! Where a guess is charged, and what it leads to (PROTOCOL.md section 7).
//!
//! The device learns from KE2 alone whether its guess was right. So the charge comes before the
//! evaluation: what OPAQUE needs for it is inside a [`Charge`], a charge is made in this file only,
//! and the ledger hands it out only after the state that counts it is durable.

use vault_protocol::{Binary, Timestamp};

use crate::account::{Account, LiveRecord, Slot};
use crate::clock::Clock;
use crate::command::{AbandonRetrieval, FinishRetrieval, StartRetrieval};
use crate::counting::{Before, Fate};
use crate::event::{EventKind, FailureCause, Journal};
use crate::outcome::{Decision, Refusal, Standing, Status, Step, step};
use crate::secret::{CredentialIdentifier, RegistrationRecord, WrappedKey};

/// An attempt that has been counted, with what it takes to evaluate its guess. Only
/// [`StartRetrieval::apply`] makes one.
#[derive(Debug)]
pub struct Charge {
    generation: u64,
    attempt: u64,
    attempts_remaining: u64,
    credential_identifier: CredentialIdentifier,
    registration_record: RegistrationRecord,
}

/// The wrapped key, for who proved to know the password. Only [`FinishRetrieval::apply`] makes one.
#[derive(Debug)]
pub struct Release {
    generation: u64,
    wrapped_key: WrappedKey,
    before: Before,
}

impl StartRetrieval {
    /// Charges an attempt, unless this request is an open one already or none may start.
    pub fn apply(self, account: Account) -> Step<Decision<Charge>> {
        step(account, self.clock, |account, journal| {
            self.decide(account, journal)
        })
    }

    fn decide(self, account: &mut Account, journal: &mut Journal) -> Decision<Charge> {
        let Slot::Live(record) = &mut account.slot else {
            return Decision::Refused(account.no_record());
        };
        // One blinded element tests one password: a lost answer costs nothing.
        if let Some(attempt) = record.attempts.open_with(&self.request_digest) {
            return Decision::Granted(Charge::of(attempt, record));
        }
        if let Some(retry_at) = record.attempts.retry_at(&record.policy, self.clock) {
            return Decision::Refused(Refusal::Waiting { retry_at });
        }
        let attempt = record.charge(self.request_digest, self.clock, journal);
        Decision::Granted(Charge::of(attempt, record))
    }
}

impl LiveRecord {
    fn charge(&mut self, request: Binary<32>, clock: Clock, journal: &mut Journal) -> u64 {
        let attempt = self.attempts.charge(request, clock.now);
        journal.record(self.generation, EventKind::Charged { attempt });
        if self.attempts.is_exhausted(&self.policy) {
            journal.record(self.generation, EventKind::Exhausted);
        } else if let Some(until) = self.attempts.retry_at(&self.policy, clock) {
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

impl FinishRetrieval {
    /// Releases the wrapped key if KE3 verified, and counts nothing: that was done by the start.
    pub fn apply(self, account: Account) -> Step<Decision<Release>> {
        step(account, self.clock, |account, journal| {
            self.decide(account, journal)
        })
    }

    fn decide(self, account: &mut Account, journal: &mut Journal) -> Decision<Release> {
        let record = match account.record_of_ticket(self.generation) {
            Decision::Granted(record) => record,
            Decision::Refused(refusal) => return Decision::Refused(refusal),
        };
        match (record.attempts.fate(self.attempt), self.verified) {
            (Fate::Open, true) => {
                let release = record.succeed(self.attempt, journal);
                // An attempt older than the last success takes nothing off the failures in a row:
                // if they have reached the limit and it was the last one open, its key is released
                // all the same, and the record is gone with it.
                account.destroy_if_exhausted(journal);
                Decision::Granted(release)
            }
            (Fate::Open, false) => {
                account.fail(self.attempt, FailureCause::WrongPassword, journal);
                Decision::Refused(account.wrong_password(self.clock))
            }
            (Fate::Succeeded(before), true) => Decision::Granted(Release::of(record, before)),
            (Fate::Succeeded(_), false) => Decision::Refused(account.wrong_password(self.clock)),
            (Fate::Ended | Fate::NeverCharged, _) => Decision::Refused(Refusal::TicketExpired),
        }
    }
}

impl AbandonRetrieval {
    /// Ends an open attempt as failed, without waiting for its expiry. Refunds nothing. The answer
    /// is how the account stands then.
    pub fn apply(self, account: Account) -> Step<Decision<Status>> {
        step(account, self.clock, |account, journal| {
            self.decide(account, journal)
        })
    }

    fn decide(self, account: &mut Account, journal: &mut Journal) -> Decision<Status> {
        let record = match account.record_of_ticket(self.generation) {
            Decision::Granted(record) => record,
            Decision::Refused(Refusal::Destroyed(_)) => {
                return Decision::Granted(account.status(self.clock));
            }
            Decision::Refused(refusal) => return Decision::Refused(refusal),
        };
        match record.attempts.fate(self.attempt) {
            Fate::Open => account.fail(self.attempt, FailureCause::Abandoned, journal),
            Fate::Succeeded(_) | Fate::Ended => {}
            Fate::NeverCharged => return Decision::Refused(Refusal::TicketExpired),
        }
        Decision::Granted(account.status(self.clock))
    }
}

impl Account {
    /// The live record that a ticket of this generation is about.
    fn record_of_ticket(&mut self, generation: u64) -> Decision<&mut LiveRecord> {
        match &mut self.slot {
            Slot::Live(record) if record.generation == generation => Decision::Granted(record),
            Slot::Destroyed(tombstone) if tombstone.generation == generation => {
                Decision::Refused(Refusal::Destroyed(*tombstone))
            }
            Slot::Never | Slot::Live(_) | Slot::Destroyed(_) => {
                Decision::Refused(Refusal::TicketExpired)
            }
        }
    }

    /// Ends an open attempt as failed, and the record with it if that was its last chance.
    fn fail(&mut self, attempt: u64, cause: FailureCause, journal: &mut Journal) {
        if let Slot::Live(record) = &mut self.slot {
            record.attempts.fail(attempt);
            journal.record(record.generation, EventKind::Failed { attempt, cause });
        }
        self.destroy_if_exhausted(journal);
    }

    fn wrong_password(&self, clock: Clock) -> Refusal {
        match self.status(clock).standing {
            Standing::Live {
                attempts_remaining,
                retry_at,
                ..
            } => Refusal::WrongPassword {
                attempts_remaining,
                retry_at,
            },
            Standing::Absent | Standing::Destroyed(_) => self.no_record(),
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

    /// The record's generation.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The attempt's number within its generation.
    pub fn attempt(&self) -> u64 {
        self.attempt
    }

    /// Attempts left after this one, the smaller of both budgets.
    pub fn attempts_remaining(&self) -> u64 {
        self.attempts_remaining
    }

    /// What OPAQUE derives the OPRF key from.
    pub fn credential_identifier(&self) -> &CredentialIdentifier {
        &self.credential_identifier
    }

    /// OPAQUE's registration record.
    pub fn registration_record(&self) -> &RegistrationRecord {
        &self.registration_record
    }
}

impl Release {
    fn of(record: &LiveRecord, before: Before) -> Self {
        let wrapped_key = record.wrapped_key.duplicate();
        Self {
            generation: record.generation,
            wrapped_key,
            before,
        }
    }

    /// The record's generation.
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
