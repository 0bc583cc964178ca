//! One account, two devices, an app, a clock: how each operation is done.

use vault_protocol::{Policy, Timestamp};
use vault_rules::{
    Account, Command, CommandTime, Decision, Delete, EventKind, FailureCause, ReadStatus, Refusal,
    Reset, Status, Sweep,
};

use crate::facts::Facts;
use crate::op::Op;
use crate::secrets::{scope, signer};

const START: u64 = 1_800_000_000_000;

/// What a device holds of a started retrieval.
#[derive(Clone, Copy)]
pub struct Ticket {
    pub generation: u64,
    pub attempt: u64,
    pub request: [u8; 32],
}

/// What a device holds of a started registration.
#[derive(Clone)]
pub struct Pending {
    pub number: u8,
    pub generation: u64,
    pub policy: Policy,
}

pub struct World {
    pub account: Account,
    pub time: CommandTime,
    pub facts: Facts,
    /// What the last command emitted.
    pub emitted: Vec<EventKind>,
    /// Counts what is drawn, so that no two secrets or requests are equal.
    pub drawn: u8,
    pub requests: u64,
    pub tickets: Vec<Ticket>,
    pub last_ticket: [Option<Ticket>; 2],
    pub pending: [Option<Pending>; 2],
    /// Numbers of the registrations whose identifier may still be stored.
    pub started: Vec<u8>,
    /// Number and generation.
    pub last_finish: Option<(u8, u64)>,
}

impl World {
    pub fn new() -> Self {
        let start = Timestamp::from_millis(START);
        Self {
            account: Account::absent(),
            time: CommandTime {
                now: start,
                running_since: start,
            },
            facts: Facts::default(),
            emitted: Vec::new(),
            drawn: 0,
            requests: 0,
            tickets: Vec::new(),
            last_ticket: [None; 2],
            pending: [None, None],
            started: Vec::new(),
            last_finish: None,
        }
    }

    pub fn run(&mut self, op: Op) {
        let last = |device: usize| self.last_ticket[device];
        let earlier = |index: usize| self.tickets.get(index).copied();
        match op {
            Op::StartRegistration(device, policy) => self.start_registration(device, policy),
            Op::FinishRegistration(device, proof) => self.finish_registration(device, proof),
            Op::SameFinish => self.same_finish(),
            Op::Start(device) => self.start_new(device),
            Op::SameStart(device) => {
                last(device)
                    .into_iter()
                    .for_each(|ticket| self.start(device, ticket.request));
            }
            Op::Finish(device, right) => {
                last(device)
                    .into_iter()
                    .for_each(|ticket| self.finish(ticket, right));
            }
            Op::OldFinish(index, right) => {
                earlier(index)
                    .into_iter()
                    .for_each(|ticket| self.finish(ticket, right));
            }
            Op::Abandon(device) => {
                last(device)
                    .into_iter()
                    .for_each(|ticket| self.abandon(ticket));
            }
            Op::OldAbandon(index) => {
                earlier(index)
                    .into_iter()
                    .for_each(|ticket| self.abandon(ticket));
            }
            Op::Delete(right) => self.delete(right),
            Op::Reset(right) => self.reset(right),
            Op::Status => drop(self.status()),
            Op::Sweep => self.sweep(),
            Op::Pass(seconds) => self.pass(seconds),
            Op::Restart(jump, sweep) => self.restart(jump, sweep),
        }
    }

    /// Applies a command as the service does, through the stored form, and notes what it emitted.
    pub fn apply<C: Command>(&mut self, command: C) -> C::Outcome {
        self.facts
            .first_command_at
            .get_or_insert(self.facts.elapsed);
        let was_live = self.account.is_live();
        let step = command.apply(self.stored_and_read());
        self.account = step.account;
        assert!(step.events.iter().all(|event| event.at == self.time.now));
        self.emitted = step.events.into_iter().map(|event| event.kind).collect();
        for event in self.emitted.clone() {
            self.note(event);
        }
        self.every_destruction_is_told_once(was_live);
        self.nothing_exhausted_is_left();
        step.outcome
    }

    fn note(&mut self, event: EventKind) {
        match event {
            EventKind::Succeeded { attempt } => self.facts.end(attempt).succeeded = true,
            EventKind::Failed { attempt, cause } => {
                if matches!(cause, FailureCause::Expired) {
                    self.no_attempt_expires_early(attempt);
                }
                self.facts.end(attempt);
            }
            EventKind::Destroyed { .. } => {
                self.no_open_attempt_is_lost();
                self.forget_record();
                self.forget_pending(None);
            }
            _ => {}
        }
    }

    fn delete(&mut self, right: bool) {
        let owner = self
            .facts
            .live
            .as_ref()
            .filter(|_| right)
            .map_or(0, |live| live.signer);
        let proof = signer(owner).sign_deletion(&scope(), self.facts.generation);
        let command = Delete {
            time: self.time,
            scope: scope(),
            proof,
        };
        self.facts.end_is_wanted = right;
        let decision = self.apply(command);
        if !self.account.is_live() {
            // Whether a record was destroyed or there was none: no registration is under way.
            self.forget_pending(None);
        }
        match decision {
            Decision::Granted(_) => assert!(!self.account.is_live() && self.facts.generation > 0),
            Decision::Refused(Refusal::NotRegistered) => assert_eq!(self.facts.generation, 0),
            Decision::Refused(refusal) => {
                assert_eq!(refusal, Refusal::Forbidden);
                assert!(!right && self.account.is_live());
            }
        }
        self.facts.end_is_wanted = false;
    }

    fn reset(&mut self, right: bool) {
        let generation = self.facts.generation + u64::from(!right);
        let command = Reset {
            time: self.time,
            generation,
        };
        self.facts.end_is_wanted = right;
        match self.apply(command) {
            Decision::Granted(_) => assert!(right && !self.account.is_live()),
            Decision::Refused(Refusal::NotRegistered) => assert_eq!(self.facts.generation, 0),
            Decision::Refused(_) => assert!(!right),
        }
        self.facts.end_is_wanted = false;
    }

    pub fn status(&mut self) -> Status {
        let command = ReadStatus { time: self.time };
        self.apply(command)
    }

    fn sweep(&mut self) {
        let command = Sweep { time: self.time };
        self.apply(command);
        self.nothing_stays_due();
    }

    fn pass(&mut self, seconds: u64) {
        self.time.now = self.time.now.plus_seconds(seconds);
        self.facts.elapsed += seconds;
    }

    fn restart(&mut self, jump: i64, sweep: bool) {
        let millis = self.time.now.millis().saturating_add_signed(jump * 1000);
        let now = Timestamp::from_millis(millis);
        self.time = CommandTime {
            now,
            running_since: now,
        };
        self.facts.run += 1;
        self.facts.elapsed = 0;
        self.facts.first_command_at = None;
        if sweep {
            self.sweep();
        }
    }
}
