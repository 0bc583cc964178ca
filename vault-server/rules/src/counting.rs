//! The attempts of one generation: how many were charged, how many succeeded, what is left
//! (PROTOCOL.md section 7). Numbers only: [`crate::retrieval`] decides what follows from them.
//!
//! Two budgets count at the same time, and the smaller one is what is left:
//!
//! - failures in a row = latest attempt - last success. A success moves `last_success` up to *its
//!   own* number, so guesses that were charged after it stay counted.
//! - failures of the generation = charged - succeeded.
//!
//! An attempt counts as a failure from the moment it is charged.

use serde::{Deserialize, Serialize};
use vault_protocol::{Binary, Policy, Timestamp};

use crate::clock::CommandTime;
use crate::codec;

/// How many successes are remembered, so that a lost answer can be fetched again; the oldest gives
/// way (PROTOCOL.md section 7 step 4).
pub(crate) const MAX_REMEMBERED: usize = 8;

/// The counters of one generation. They start at zero with it and end with it.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Attempts {
    /// How many were charged, and the number of the latest.
    pub(crate) charged: u64,
    pub(crate) succeeded: u64,
    /// The highest number that succeeded; 0 before the first success.
    pub(crate) last_success: u64,
    #[serde(with = "codec::optional_millis")]
    pub(crate) last_success_at: Option<Timestamp>,
    #[serde(with = "codec::optional_millis")]
    pub(crate) latest_charge_at: Option<Timestamp>,
    /// By number, lowest first. Fewer than `total_limit` and one, because each counts as a failure.
    pub(crate) open: Vec<OpenAttempt>,
    /// Oldest success first.
    pub(crate) remembered: Vec<RememberedSuccess>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct OpenAttempt {
    pub(crate) number: u64,
    /// SHA-256 of the decoded KE1: the one guess this attempt can test.
    #[serde(with = "codec::binary")]
    pub(crate) request_digest: Binary<32>,
    #[serde(with = "codec::millis")]
    pub(crate) charged_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct RememberedSuccess {
    pub(crate) number: u64,
    #[serde(with = "codec::millis")]
    pub(crate) charged_at: Timestamp,
    pub(crate) before: PriorCounters,
}

/// The counters before a success, its own charge excluded. The device shows them to the owner:
/// those failures may have been an attacker's.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct PriorCounters {
    pub(crate) failures_since_success: u64,
    pub(crate) failures_in_generation: u64,
    #[serde(with = "codec::optional_millis")]
    pub(crate) last_success_at: Option<Timestamp>,
}

pub(crate) enum AttemptState {
    Open,
    /// Succeeded, and its answer can still be fetched again.
    Succeeded(PriorCounters),
    /// Failed, was abandoned, expired, or succeeded too long ago.
    Ended,
    /// No attempt of this generation has this number.
    NeverCharged,
}

impl Attempts {
    pub(crate) fn failures_in_a_row(&self) -> u64 {
        self.charged - self.last_success
    }

    pub(crate) fn failures_in_generation(&self) -> u64 {
        self.charged - self.succeeded
    }

    /// Attempts left, the smaller of both budgets.
    pub(crate) fn remaining(&self, policy: &Policy) -> u64 {
        let in_a_row = policy.limit().saturating_sub(self.failures_in_a_row());
        let in_all = policy
            .total_limit()
            .saturating_sub(self.failures_in_generation());
        in_a_row.min(in_all)
    }

    pub(crate) fn is_exhausted(&self, policy: &Policy) -> bool {
        self.remaining(policy) == 0
    }

    pub(crate) fn any_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// When the next attempt may start; `None` is now. An exhausted record waits for its open
    /// attempts: it ends with the last of them, unless that one succeeds.
    pub(crate) fn retry_at(&self, policy: &Policy, time: CommandTime) -> Option<Timestamp> {
        if self.is_exhausted(policy) {
            return self
                .open
                .iter()
                .map(|open| time.expiry_of(open.charged_at))
                .max();
        }
        self.wait_over_at(policy).filter(|over| *over > time.now)
    }

    /// The end of the wait that the latest charge began; `None` if nothing was charged yet.
    fn wait_over_at(&self, policy: &Policy) -> Option<Timestamp> {
        let wait = policy.wait_after(self.failures_in_a_row());
        self.latest_charge_at
            .map(|charged| charged.plus_seconds(wait))
    }

    /// The open attempt that was charged for this very request.
    pub(crate) fn open_with(&self, request_digest: &Binary<32>) -> Option<u64> {
        let same = self
            .open
            .iter()
            .find(|open| open.request_digest == *request_digest);
        same.map(|open| open.number)
    }

    /// Returns the new attempt's number.
    pub(crate) fn charge(&mut self, request_digest: Binary<32>, now: Timestamp) -> u64 {
        self.charged += 1;
        self.latest_charge_at = Some(now);
        self.open.push(OpenAttempt {
            number: self.charged,
            request_digest,
            charged_at: now,
        });
        self.charged
    }

    pub(crate) fn state_of(&self, number: u64) -> AttemptState {
        if self.open.iter().any(|open| open.number == number) {
            return AttemptState::Open;
        }
        if let Some(success) = self
            .remembered
            .iter()
            .find(|success| success.number == number)
        {
            return AttemptState::Succeeded(success.before);
        }
        if (1..=self.charged).contains(&number) {
            AttemptState::Ended
        } else {
            AttemptState::NeverCharged
        }
    }

    /// An attempt succeeds whose [`AttemptState`] is `Open`.
    pub(crate) fn succeed(&mut self, number: u64, now: Timestamp) -> PriorCounters {
        let index = self.open.iter().position(|open| open.number == number);
        let index = index.expect("only an open attempt succeeds");
        let attempt = self.open.remove(index);
        let before = self.before(number);
        self.succeeded += 1;
        self.last_success = self.last_success.max(number);
        self.last_success_at = Some(now);
        if self.remembered.len() == MAX_REMEMBERED {
            self.remembered.remove(0);
        }
        let charged_at = attempt.charged_at;
        self.remembered.push(RememberedSuccess {
            number,
            charged_at,
            before,
        });
        before
    }

    fn before(&self, number: u64) -> PriorCounters {
        // An attempt below the last success no longer counts among those in a row.
        let own = u64::from(number > self.last_success);
        PriorCounters {
            failures_since_success: self.failures_in_a_row() - own,
            failures_in_generation: self.failures_in_generation() - 1,
            last_success_at: self.last_success_at,
        }
    }

    /// An open attempt fails. Nothing is counted here: it has been, when it was charged.
    pub(crate) fn fail(&mut self, number: u64) {
        self.open.retain(|open| open.number != number);
    }

    /// Ends the attempts, and forgets the successes, whose time is over; returns the numbers of the
    /// attempts that failed by it.
    pub(crate) fn expire(&mut self, time: CommandTime) -> Vec<u64> {
        let is_expired = |charged_at| time.expiry_of(charged_at) <= time.now;
        self.remembered
            .retain(|success| !is_expired(success.charged_at));
        self.open
            .extract_if(.., |open| is_expired(open.charged_at))
            .map(|open| open.number)
            .collect()
    }

    /// When something changes by itself: an attempt or a remembered success expires, or a wait
    /// ends.
    pub(crate) fn next_due(&self, policy: &Policy, time: CommandTime) -> Option<Timestamp> {
        let open = self.open.iter().map(|open| open.charged_at);
        let remembered = self.remembered.iter().map(|success| success.charged_at);
        let expiry = open
            .chain(remembered)
            .map(|charged_at| time.expiry_of(charged_at))
            .min();
        let wait = self.wait_over_at(policy).filter(|over| *over > time.now);
        expiry.into_iter().chain(wait).min()
    }

    /// Every stored time, for a clock that was set back.
    pub(crate) fn times_mut(&mut self) -> impl Iterator<Item = &mut Timestamp> {
        let open = self.open.iter_mut().map(|open| &mut open.charged_at);
        let remembered = self.remembered.iter_mut().flat_map(|success| {
            [&mut success.charged_at]
                .into_iter()
                .chain(&mut success.before.last_success_at)
        });
        let own = self
            .latest_charge_at
            .iter_mut()
            .chain(&mut self.last_success_at);
        own.chain(open).chain(remembered)
    }
}
