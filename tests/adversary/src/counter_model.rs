//! The counters as PROTOCOL.md section 7 words them, kept apart from the product's: gates compare an
//! account with them.

use vault_protocol::Policy;

/// The attempts of one generation.
pub struct CounterModel {
    policy: Policy,
    charged: u64,
    succeeded: u64,
    last_success: u64,
}

impl CounterModel {
    /// Of a record with this policy that was just registered.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            charged: 0,
            succeeded: 0,
            last_success: 0,
        }
    }

    /// The record's policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Latest attempt - last success.
    pub fn failures_in_a_row(&self) -> u64 {
        self.charged - self.last_success
    }

    /// Charged minus succeeded.
    pub fn failures_in_generation(&self) -> u64 {
        self.charged - self.succeeded
    }

    /// The smaller of both budgets.
    pub fn remaining(&self) -> u64 {
        let in_a_row = self.policy.limit() - self.failures_in_a_row();
        in_a_row.min(self.policy.total_limit() - self.failures_in_generation())
    }

    /// One more attempt; returns its number.
    pub fn charge(&mut self) -> u64 {
        self.charged += 1;
        self.charged
    }

    /// An open attempt succeeds, for the first time.
    pub fn succeed(&mut self, number: u64) {
        self.succeeded += 1;
        self.last_success = self.last_success.max(number);
    }

    /// What the finish of an open attempt has to return: failures in a row and of the generation
    /// before it, its own charge excluded.
    pub fn before(&self, number: u64) -> (u64, u64) {
        let own = u64::from(number > self.last_success);
        let in_a_row = self.failures_in_a_row() - own;
        (in_a_row, self.failures_in_generation() - 1)
    }
}
