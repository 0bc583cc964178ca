//! Every transition and every refusal, with the state it leaves behind. Whole sequences are tested
//! by `tests/model.rs` of this crate.

mod debug;
mod expiry;
mod registration;
mod removal;
mod retrieval;
mod retrieval_ends;
mod stored;
mod waiting;

use vault_protocol::management::ManagementSigner;
use vault_protocol::messages::{DestructionReason, finish_digest};
use vault_protocol::{AccountScope, BackupKey, Binary, Policy, StretchingProfile, Timestamp};
use zeroize::Zeroizing;

use crate::account::{LiveRecord, RecordSlot};
use crate::*;

/// 2027-01-15T08:00:00Z
const START: u64 = 1_800_000_000_000;
const MINUTE: u64 = 60;
const YEAR: u64 = 365 * 24 * 60 * MINUTE;

fn digest(of: u8) -> Binary<32> {
    Binary([of; 32])
}

fn policy(limit: u64, total_limit: u64, waits: &[u64]) -> Policy {
    Policy::new(limit, total_limit, waits.to_vec()).unwrap()
}

/// Ten in a row, a hundred in all, no waits.
fn patient() -> Policy {
    policy(10, 100, &[0; 9])
}

fn scope() -> AccountScope {
    AccountScope {
        vault: "vault.example".parse().unwrap(),
        tenant: "app".parse().unwrap(),
        account: "alice".parse().unwrap(),
    }
}

fn signer(of: u8) -> ManagementSigner {
    ManagementSigner::new(&BackupKey::from_bytes(&Zeroizing::new([of; 32])))
}

/// One account, its time, and what the last command did to it.
struct Vault {
    account: Account,
    time: CommandTime,
    /// Whether the last command changed the stored bytes.
    changed: bool,
    /// What the last command emitted.
    events: Vec<EventKind>,
}

impl Vault {
    fn new() -> Self {
        let start = Timestamp::from_millis(START);
        let time = CommandTime {
            now: start,
            running_since: start,
        };
        Self {
            account: Account::absent(),
            time,
            changed: false,
            events: Vec::new(),
        }
    }

    /// With a record of generation 1, made from the number 1.
    fn registered(policy: Policy) -> Self {
        let mut vault = Self::new();
        assert_eq!(vault.register(1, policy), 1);
        vault
    }

    /// Every step goes through the stored form, as it does in the service.
    fn run<C: Command>(&mut self, command: C) -> C::Outcome {
        let before = self.account.encode();
        let Step {
            account,
            outcome,
            events,
        } = command.apply(Account::decode(&before).unwrap());
        assert!(events.iter().all(|event| event.at == self.time.now));
        self.changed = account.encode() != before;
        self.events = events.into_iter().map(|event| event.kind).collect();
        self.account = account;
        outcome
    }

    /// The time passes, within a run.
    fn pass(&mut self, seconds: u64) {
        self.time.now = self.time.now.plus_seconds(seconds);
    }

    /// The process starts anew, with whatever the wall clock says.
    fn restart_at(&mut self, now: Timestamp) {
        self.time = CommandTime {
            now,
            running_since: now,
        };
    }

    fn start_registration(&mut self, number: u8, policy: Policy) -> StartedRegistration {
        let command = StartRegistration {
            time: self.time,
            credential_identifier: CredentialIdentifier::from_bytes(&[0xc0 ^ number; 32]),
            registration_ticket: digest(number),
            policy,
        };
        self.run(command)
    }

    /// What a device sends to finish the registration with this number.
    fn finish_of(&self, number: u8) -> FinishRegistration {
        FinishRegistration {
            time: self.time,
            scope: scope(),
            registration_ticket: digest(number),
            registration_record: RegistrationRecord::from_bytes(&[0xd0 ^ number; 192]),
            wrapped_key: WrappedKey::from_bytes(&[0xe0 ^ number; 60]),
            stretching_profile: StretchingProfile::ONE,
            management_key: signer(number).management_key(),
            replace_proof: None,
        }
    }

    fn send(&mut self, finish: FinishRegistration) -> Decision<Registration> {
        self.run(FinishRegistration {
            time: self.time,
            ..finish
        })
    }

    fn register(&mut self, number: u8, policy: Policy) -> u64 {
        self.start_registration(number, policy);
        granted(self.send(self.finish_of(number))).generation
    }

    /// Signs with the key of the record with number `by`.
    fn with_proof(&self, finish: FinishRegistration, by: u8) -> FinishRegistration {
        let generation = self.account.generation();
        let proof = signer(by).sign_replacement(&scope(), generation, &digest_of(&finish));
        FinishRegistration {
            replace_proof: Some(proof),
            ..finish
        }
    }

    fn start(&mut self, guess: u8) -> Decision<Charge> {
        let command = StartRetrieval {
            time: self.time,
            request_digest: digest(guess),
        };
        self.run(command)
    }

    /// Starts an attempt that has to be charged, and returns its number.
    fn charge(&mut self, guess: u8) -> u64 {
        let before = self.live().attempts.charged;
        let charge = granted(self.start(guess));
        assert_eq!(charge.attempt(), before + 1);
        charge.attempt()
    }

    fn finish(&mut self, generation: u64, attempt: u64, verified: bool) -> Decision<Release> {
        let command = FinishRetrieval {
            time: self.time,
            generation,
            attempt,
            verified,
        };
        self.run(command)
    }

    fn succeed(&mut self, attempt: u64) -> Release {
        granted(self.finish(self.account.generation(), attempt, true))
    }

    fn fail(&mut self, attempt: u64) -> Refusal {
        refused(self.finish(self.account.generation(), attempt, false))
    }

    fn abandon(&mut self, generation: u64, attempt: u64) -> Decision<Status> {
        let command = AbandonRetrieval {
            time: self.time,
            generation,
            attempt,
        };
        self.run(command)
    }

    fn delete(&mut self, proof: Binary<64>) -> Decision<Removed> {
        let command = Delete {
            time: self.time,
            scope: scope(),
            proof,
        };
        self.run(command)
    }

    fn reset(&mut self, generation: u64) -> Decision<Removed> {
        let command = Reset {
            time: self.time,
            generation,
        };
        self.run(command)
    }

    fn status(&mut self) -> Status {
        let command = ReadStatus { time: self.time };
        self.run(command)
    }

    fn sweep(&mut self) {
        let command = Sweep { time: self.time };
        self.run(command);
    }

    fn live(&self) -> &LiveRecord {
        let RecordSlot::Live(record) = &self.account.slot else {
            panic!("no live record")
        };
        record
    }

    fn remaining(&mut self) -> u64 {
        let AccountState::Live {
            attempts_remaining, ..
        } = self.status().state
        else {
            return 0;
        };
        attempts_remaining
    }

    /// Charged, succeeded, last success.
    fn counters(&self) -> (u64, u64, u64) {
        let attempts = &self.live().attempts;
        (attempts.charged, attempts.succeeded, attempts.last_success)
    }

    fn open(&self) -> Vec<u64> {
        self.live()
            .attempts
            .open
            .iter()
            .map(|open| open.number)
            .collect()
    }

    fn remembered(&self) -> Vec<u64> {
        self.live()
            .attempts
            .remembered
            .iter()
            .map(|success| success.number)
            .collect()
    }

    /// The tombstone that a destruction now would leave.
    fn tombstone(&self, generation: u64, reason: DestructionReason) -> Tombstone {
        Tombstone {
            generation,
            at: self.time.now,
            reason,
        }
    }

    #[track_caller]
    fn assert_destroyed(&self, tombstone: Tombstone) {
        let RecordSlot::Destroyed(found) = self.account.slot else {
            panic!("not destroyed")
        };
        assert_eq!(found, tombstone);
        assert!(
            self.account.pending.is_empty(),
            "a destruction drops pending registrations"
        );
    }

    fn now_plus(&self, seconds: u64) -> Timestamp {
        self.time.now.plus_seconds(seconds)
    }
}

fn digest_of(finish: &FinishRegistration) -> [u8; 32] {
    finish_digest(
        &finish.registration_ticket.0,
        finish.registration_record.expose_secret(),
        finish.wrapped_key.expose_secret(),
        finish.stretching_profile,
        &finish.management_key.0,
    )
}

#[track_caller]
fn granted<T>(decision: Decision<T>) -> T {
    match decision {
        Decision::Granted(granted) => granted,
        Decision::Refused(refusal) => panic!("refused: {refusal:?}"),
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(decision: Decision<T>) -> Refusal {
    match decision {
        Decision::Refused(refusal) => refusal,
        Decision::Granted(granted) => panic!("granted: {granted:?}"),
    }
}

/// A vault in each state a record can be in while it is live.
fn live_vaults() -> Vec<(&'static str, Vault)> {
    let fresh = Vault::registered(patient());
    let mut open = Vault::registered(patient());
    open.charge(1);
    let mut waiting = Vault::registered(policy(2, 2, &[3600]));
    waiting.charge(1);
    waiting.fail(1);
    let mut exhausted = Vault::registered(policy(1, 1, &[]));
    exhausted.charge(1);
    vec![
        ("fresh", fresh),
        ("open", open),
        ("waiting", waiting),
        ("exhausted", exhausted),
    ]
}
