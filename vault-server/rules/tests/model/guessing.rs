//! Starting, finishing and abandoning attempts.

use vault_protocol::Binary;
use vault_rules::{
    AbandonRetrieval, Decision, EventKind, FailureCause, FinishRetrieval, Refusal, StartRetrieval,
};

use crate::secrets::{IDENTIFIER, RECORD, WRAPPED, bytes};
use crate::world::{Ticket, World};

impl World {
    pub fn start_new(&mut self, device: usize) {
        self.requests += 1;
        let mut request = [0xee; 32];
        request[..8].copy_from_slice(&self.requests.to_be_bytes());
        self.start(device, request);
    }

    pub fn start(&mut self, device: usize, request: [u8; 32]) {
        let time = self.time;
        let request_digest = Binary(request);
        let is_open_one = self.open_with(request);
        let command = StartRetrieval {
            time,
            request_digest,
        };
        let charge = match self.apply(command) {
            Decision::Granted(charge) => charge,
            Decision::Refused(refusal) => {
                assert!(is_open_one.is_none(), "a_lost_answer_costs_nothing");
                return self.refused_start(refusal);
            }
        };
        let (generation, attempt) = (charge.generation(), charge.attempt());
        assert!(
            is_open_one.is_none_or(|one| one == attempt),
            "a_lost_answer_costs_nothing"
        );
        let ticket = Ticket {
            generation,
            attempt,
            request,
        };
        self.every_guess_is_counted_once(ticket);

        let record = self.facts.live.as_ref().expect("granted by a live record");
        assert_eq!(charge.attempts_remaining(), record.remaining());
        let identifier = charge.credential_identifier().expose_secret();
        assert_eq!(*identifier, bytes(IDENTIFIER, record.signer));
        let registered = charge.registration_record().expose_secret();
        assert_eq!(*registered, bytes(RECORD, record.signer));
        self.tickets.push(ticket);
        self.last_ticket[device] = Some(ticket);
    }

    fn refused_start(&self, refusal: Refusal) {
        match refusal {
            Refusal::NotRegistered => assert_eq!(self.facts.generation, 0),
            Refusal::Destroyed(tombstone) => {
                assert!(self.facts.live.is_none());
                assert_eq!(tombstone.generation, self.facts.generation);
            }
            Refusal::Waiting { retry_at } => self.every_wait_ends(retry_at),
            other => panic!("a start was refused with {other:?}"),
        }
    }

    pub fn finish(&mut self, ticket: Ticket, verified: bool) {
        // What is due is applied first, so that the finish alone is compared below.
        let before = self.status();
        let is_surely_open = self.is_surely_open(ticket);
        let is_surely_over = self.is_surely_over(ticket);
        let told = self.told_by(ticket);
        let owner = self.facts.live.as_ref().map(|live| live.signer);

        let Ticket {
            generation,
            attempt,
            ..
        } = ticket;
        let time = self.time;
        let command = FinishRetrieval {
            time,
            generation,
            attempt,
            verified,
        };
        match self.apply(command) {
            Decision::Granted(release) => {
                assert!(
                    verified && !is_surely_over,
                    "released to who may not have it"
                );
                assert_eq!(release.generation(), generation);
                let owner = owner.expect("released by a live record");
                assert_eq!(
                    *release.wrapped_key().expose_secret(),
                    bytes(WRAPPED, owner)
                );
                let failures = (
                    release.failures_since_success(),
                    release.failures_in_generation(),
                );
                assert_eq!(Some(failures), told, "told as they stood before");
                if self.emitted.is_empty() {
                    self.a_repeated_finish_refills_nothing(&before);
                } else {
                    assert_eq!(self.emitted[0], EventKind::Succeeded { attempt });
                    self.note_told(ticket, failures);
                }
            }
            Decision::Refused(_) => {
                assert!(!(is_surely_open && verified), "no_open_attempt_is_lost");
                let cause = FailureCause::WrongPassword;
                let is_told = self.emitted.contains(&EventKind::Failed { attempt, cause });
                assert!(is_told || !is_surely_open, "a wrong guess ends its attempt");
                self.budgets_did_not_grow(&before);
            }
        }
    }

    /// What a release for this attempt has to tell: what it told before, or how the failures stand.
    fn told_by(&self, ticket: Ticket) -> Option<(u64, u64)> {
        let attempt = self.attempt(ticket)?;
        let live = self.facts.live.as_ref()?;
        let is_new = !attempt.succeeded;
        attempt
            .told
            .or_else(|| is_new.then(|| live.failures_but(ticket.attempt)))
    }

    fn note_told(&mut self, ticket: Ticket, failures: (u64, u64)) {
        // Nothing to note if the record went with its last open attempt.
        if let Some(live) = &mut self.facts.live {
            let attempt = live
                .attempts
                .get_mut(&ticket.attempt)
                .expect("it has succeeded");
            attempt.told = Some(failures);
        }
    }

    pub fn abandon(&mut self, ticket: Ticket) {
        let before = self.status();
        let Ticket {
            generation,
            attempt,
            ..
        } = ticket;
        let time = self.time;
        let command = AbandonRetrieval {
            time,
            generation,
            attempt,
        };
        let decision = self.apply(command);
        let is_current = generation == self.facts.generation;
        assert_eq!(matches!(decision, Decision::Granted(_)), is_current);
        self.budgets_did_not_grow(&before);
    }
}
