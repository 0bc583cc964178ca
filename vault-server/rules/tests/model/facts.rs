//! What an onlooker knows who only writes down what was evaluated, released and told, and how much
//! time of a run has passed.

use std::collections::{BTreeMap, HashSet};

use vault_protocol::Policy;

/// An attempt. Times are seconds of one run.
pub struct Attempt {
    pub request: [u8; 32],
    pub run: u64,
    pub charged_at: u64,
    /// It was told to have ended.
    pub ended: bool,
    pub succeeded: bool,
    /// Failures in a row and of the generation, as they stood when it succeeded.
    pub told: Option<(u64, u64)>,
}

/// The live record.
pub struct Generation {
    pub policy: Policy,
    /// The number of its registration.
    pub signer: u8,
    pub attempts: BTreeMap<u64, Attempt>,
}

#[derive(Default)]
pub struct Facts {
    pub generation: u64,
    pub live: Option<Generation>,
    /// 16-byte windows of secrets that must not be found any more.
    pub gone: HashSet<[u8; 16]>,
    /// The present command is a deletion or reset that must be granted if there is a record: it may
    /// take open attempts with it.
    pub end_is_wanted: bool,
    pub run: u64,
    /// Seconds since the process started.
    pub elapsed: u64,
    /// The same at its first command: only then can it see that a stored time is in the future.
    pub first_command_at: Option<u64>,
}

impl Facts {
    /// Notes the end of an attempt, which can only happen once.
    pub fn end(&mut self, attempt: u64) -> &mut Attempt {
        let live = self
            .live
            .as_mut()
            .expect("only attempts of a live record end");
        let attempt = live
            .attempts
            .get_mut(&attempt)
            .expect("only charged attempts end");
        assert!(!attempt.ended, "an attempt ends once");
        attempt.ended = true;
        attempt
    }
}

impl Generation {
    fn last_success(&self) -> u64 {
        let succeeded = self
            .attempts
            .iter()
            .filter(|(_, attempt)| attempt.succeeded);
        succeeded.map(|(number, _)| *number).max().unwrap_or(0)
    }

    /// Different requests that were evaluated since the last success.
    pub fn failures_in_a_row(&self) -> u64 {
        self.attempts.range(self.last_success() + 1..).count() as u64
    }

    /// Different requests that were evaluated without success.
    pub fn failures(&self) -> u64 {
        self.attempts
            .values()
            .filter(|attempt| !attempt.succeeded)
            .count() as u64
    }

    /// Both, without the own charge of an attempt that has not succeeded yet.
    pub fn failures_but(&self, attempt: u64) -> (u64, u64) {
        let own = u64::from(attempt > self.last_success());
        (self.failures_in_a_row() - own, self.failures() - 1)
    }

    pub fn has_open(&self) -> bool {
        self.attempts.values().any(|attempt| !attempt.ended)
    }

    pub fn remaining(&self) -> u64 {
        let in_a_row = self.policy.limit() - self.failures_in_a_row();
        in_a_row.min(self.policy.total_limit() - self.failures())
    }
}
