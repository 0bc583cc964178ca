//! What must hold.

use vault_protocol::Timestamp;
use vault_rules::{Account, AccountState, EventKind, Status};

use crate::facts::Attempt;
use crate::secrets::{IDENTIFIER, RECORD, TICKET, WRAPPED, bytes, windows};
use crate::world::{Ticket, World};

/// How long an attempt is open, in seconds.
const OPEN: u64 = 15 * 60;

/// The longest that a start can have to wait, in seconds: the longest wait of the policies here.
const LONGEST_WAIT: u64 = 2000;

impl World {
    /// After each operation.
    pub fn check(&mut self) {
        self.generations_only_grow();
        self.nothing_destroyed_is_left();
        self.stored_and_read();
        self.budgets_are_as_the_facts_say();
    }

    /// A granted start is a new attempt with the next number, within both budgets and after the
    /// wait; or it is the open attempt that was charged for the same request.
    pub fn every_guess_is_counted_once(&mut self, ticket: Ticket) {
        let Ticket {
            generation,
            attempt: number,
            request,
        } = ticket;
        assert_eq!(generation, self.facts.generation);
        let was_charged = self
            .emitted
            .contains(&EventKind::Charged { attempt: number });
        if let Some(attempt) = self.attempt(ticket) {
            assert_eq!(attempt.request, request, "one attempt tests one request");
            assert!(
                !attempt.ended && !was_charged,
                "only an open attempt is evaluated again"
            );
            return;
        }
        assert!(was_charged, "what is charged is told");
        self.no_wait_is_cut_short();
        let (run, charged_at) = (self.facts.run, self.facts.elapsed);
        let live = self.facts.live.as_mut().expect("granted by a live record");
        assert_eq!(number, live.attempts.len() as u64 + 1, "the next number");
        let (ended, succeeded, told) = (false, false, None);
        let attempt = Attempt {
            request,
            run,
            charged_at,
            ended,
            succeeded,
            told,
        };
        live.attempts.insert(number, attempt);
        self.guesses_stay_within_both_budgets();
    }

    fn guesses_stay_within_both_budgets(&self) {
        let live = self.facts.live.as_ref().expect("a live record");
        assert!(
            live.failures_in_a_row() <= live.policy.limit(),
            "too many between successes"
        );
        assert!(
            live.failures() <= live.policy.total_limit(),
            "too many in a generation"
        );
    }

    /// Within one run, where no clock can jump.
    fn no_wait_is_cut_short(&self) {
        let live = self.facts.live.as_ref().expect("a live record");
        let latest = live.attempts.values().next_back();
        let latest = latest.filter(|attempt| attempt.run == self.facts.run);
        let index = live.failures_in_a_row().checked_sub(1);
        if let (Some(latest), Some(index)) = (latest, index) {
            let wait = live.policy.waits()[usize::try_from(index).unwrap()];
            assert!(
                self.facts.elapsed - latest.charged_at >= wait,
                "a wait was cut short"
            );
        }
    }

    /// Whatever the clock has done.
    pub fn every_wait_ends(&self, retry_at: Timestamp) {
        assert!(retry_at > self.time.now, "a wait is not over yet");
        assert!(
            retry_at <= self.time.now.plus_seconds(LONGEST_WAIT),
            "and is not endless"
        );
    }

    pub fn a_repeated_finish_refills_nothing(&mut self, before: &Status) {
        assert!(self.emitted.is_empty());
        assert_eq!(self.status(), *before);
    }

    pub fn budgets_did_not_grow(&mut self, before: &Status) {
        let left = |status: &Status| match status.state {
            AccountState::Live {
                attempts_remaining, ..
            } => attempts_remaining,
            AccountState::Absent | AccountState::Destroyed(_) => 0,
        };
        assert!(
            left(&self.status()) <= left(before),
            "a failure refilled a budget"
        );
    }

    /// A success ends the failures before it and none after it, and nothing else ends any. Also:
    /// asking has no effect of its own.
    pub fn budgets_are_as_the_facts_say(&mut self) {
        let status = self.status();
        assert_eq!(status.generation, self.facts.generation);
        match (&self.facts.live, status.state) {
            (
                Some(live),
                AccountState::Live {
                    attempts_remaining,
                    policy,
                    ..
                },
            ) => {
                assert_eq!(attempts_remaining, live.remaining());
                assert_eq!(policy, live.policy);
            }
            (None, AccountState::Absent | AccountState::Destroyed(_)) => {}
            (_, state) => panic!("the record should not be {state:?}"),
        }
    }

    /// At a destruction that nobody asked for.
    pub fn no_open_attempt_is_lost(&self) {
        let live = self
            .facts
            .live
            .as_ref()
            .expect("a live record was destroyed");
        let is_open = |attempt: &Attempt| self.is_within_its_time(attempt);
        let was_open = live.attempts.values().any(is_open);
        assert!(
            !was_open || self.facts.end_is_wanted,
            "destroyed while an attempt was open"
        );
    }

    /// At an expiry.
    pub fn no_attempt_expires_early(&self, number: u64) {
        let live = self
            .facts
            .live
            .as_ref()
            .expect("only attempts of a live record expire");
        assert!(
            !self.is_within_its_time(&live.attempts[&number]),
            "expired while open"
        );
    }

    pub fn every_destruction_is_told_once(&self, was_live: bool) {
        let is_told = |event: &&EventKind| matches!(event, EventKind::Destroyed { .. });
        let told = self.emitted.iter().filter(is_told).count();
        assert_eq!(told, usize::from(was_live && !self.account.is_live()));
    }

    fn nothing_destroyed_is_left(&self) {
        let stored = self.account.encode();
        assert!(!windows(&stored).any(|window| self.facts.gone.contains(&window)));
        if !self.account.is_live() && self.started.is_empty() {
            assert!(stored.len() < 24, "a tombstone has no room for a secret");
        }
    }

    /// The facts' generation grows by 1 with each registration that was granted for the first time.
    fn generations_only_grow(&self) {
        assert_eq!(self.account.generation(), self.facts.generation);
    }

    pub fn nothing_stays_due(&self) {
        let due = self.account.next_due(self.time);
        assert!(
            due.is_none_or(|due| due > self.time.now),
            "a sweep does all that is due"
        );
        let is_exhausted = self
            .facts
            .live
            .as_ref()
            .is_some_and(|live| live.remaining() == 0);
        assert!(
            due.is_some() || !is_exhausted,
            "an exhausted record does not stay"
        );
    }

    /// A record does not outlive its budget and its last open attempt.
    pub fn nothing_exhausted_is_left(&self) {
        let Some(live) = &self.facts.live else { return };
        assert!(
            live.remaining() > 0 || live.has_open(),
            "exhausted, and not destroyed"
        );
    }

    pub fn stored_and_read(&self) -> Account {
        let stored = self.account.encode();
        let read = Account::decode(&stored).expect("what was stored can be read");
        assert_eq!(*read.encode(), *stored, "and is written as the same bytes");
        read
    }

    pub fn attempt(&self, ticket: Ticket) -> Option<&Attempt> {
        let is_current = ticket.generation == self.facts.generation;
        let live = self.facts.live.as_ref().filter(|_| is_current)?;
        live.attempts.get(&ticket.attempt)
    }

    pub fn is_surely_open(&self, ticket: Ticket) -> bool {
        self.attempt(ticket)
            .is_some_and(|attempt| self.is_within_its_time(attempt))
    }

    /// The surely open attempt that was charged for this request.
    pub fn open_with(&self, request: [u8; 32]) -> Option<u64> {
        let live = self.facts.live.as_ref()?;
        let is_it =
            |attempt: &Attempt| attempt.request == request && self.is_within_its_time(attempt);
        live.attempts
            .iter()
            .find(|(_, attempt)| is_it(attempt))
            .map(|(number, _)| *number)
    }

    /// Less than 15 minutes of the vault's own running time have passed.
    fn is_within_its_time(&self, attempt: &Attempt) -> bool {
        let since = if attempt.run == self.facts.run {
            attempt.charged_at
        } else {
            0
        };
        !attempt.ended && self.facts.elapsed - since < OPEN
    }

    /// Of another generation, or 15 minutes have passed since the first command of this run.
    pub fn is_surely_over(&self, ticket: Ticket) -> bool {
        let Some(attempt) = self.attempt(ticket) else {
            return true;
        };
        let first = self.facts.first_command_at.unwrap_or(self.facts.elapsed);
        let since = if attempt.run == self.facts.run {
            attempt.charged_at
        } else {
            first
        };
        self.facts.elapsed - since >= OPEN
    }

    /// From now on the live record's secrets must not be found.
    pub fn forget_record(&mut self) {
        let Some(live) = self.facts.live.take() else {
            return;
        };
        let number = live.signer;
        self.facts
            .gone
            .extend(windows(&bytes::<32>(IDENTIFIER, number)));
        self.facts
            .gone
            .extend(windows(&bytes::<192>(RECORD, number)));
        self.facts
            .gone
            .extend(windows(&bytes::<60>(WRAPPED, number)));
    }

    /// From now on no pending registration must be found, but the one that became the record.
    pub fn forget_pending(&mut self, finished: Option<u8>) {
        for number in self.started.drain(..) {
            self.facts
                .gone
                .extend(windows(&bytes::<32>(TICKET, number)));
            if Some(number) != finished {
                self.facts
                    .gone
                    .extend(windows(&bytes::<32>(IDENTIFIER, number)));
            }
        }
    }
}
