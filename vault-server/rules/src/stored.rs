//! The stored form of an account. It is checked when it is read, because arithmetic relies on it.

use vault_protocol::INTEGER_LIMIT;
use zeroize::Zeroizing;

use crate::account::{Account, LiveRecord, MAX_PENDING, RecordSlot};
use crate::counting::{Attempts, MAX_REMEMBERED};
use crate::versioned::{self, StoredError};

/// The version that is written, and the only one that is read.
const VERSION: u8 = 1;

impl Account {
    /// The stored form: below 2 KiB, and some 45 bytes for each open attempt. Contains the record's
    /// secrets, so it is sealed before it is written.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        versioned::encode(VERSION, &(&self.slot, &self.pending))
    }

    /// Accepts no other bytes than those that `encode` writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoredError> {
        let (slot, pending) = versioned::decode(VERSION, bytes)?;
        let account = Self { slot, pending };
        account.check()?;
        Ok(account)
    }

    /// Arithmetic relies on it, and every command keeps it true.
    fn check(&self) -> Result<(), StoredError> {
        require(
            self.pending.len() <= MAX_PENDING,
            "too many pending registrations",
        )?;
        require(self.generation() < INTEGER_LIMIT, "generation out of range")?;
        match &self.slot {
            RecordSlot::Never => Ok(()),
            RecordSlot::Destroyed(_) => {
                require(self.generation() > 0, "a tombstone of generation 0")
            }
            RecordSlot::Live(record) => record.check(),
        }
    }
}

impl LiveRecord {
    fn check(&self) -> Result<(), StoredError> {
        require(self.generation > 0, "a record of generation 0")?;
        self.attempts.check()?;
        let in_a_row = self.attempts.failures_in_a_row() <= self.policy.limit();
        let in_all = self.attempts.failures_in_generation() <= self.policy.total_limit();
        require(
            in_a_row && in_all,
            "more attempts charged than the policy allows",
        )
    }
}

impl Attempts {
    fn check(&self) -> Result<(), StoredError> {
        require(self.charged < INTEGER_LIMIT, "attempts out of range")?;
        require(
            self.last_success <= self.charged,
            "a success that was not charged",
        )?;
        require(
            self.succeeded <= self.last_success,
            "more successes than attempts",
        )?;
        let had_success = self.succeeded > 0;
        require(
            had_success == (self.last_success > 0),
            "successes without a last one",
        )?;
        require(
            had_success == self.last_success_at.is_some(),
            "a success without its time",
        )?;
        let was_charged = self.charged > 0;
        require(
            was_charged == self.latest_charge_at.is_some(),
            "a charge without its time",
        )?;
        self.check_open()?;
        self.check_remembered()
    }

    fn check_open(&self) -> Result<(), StoredError> {
        let ascending = self.open.is_sorted_by(|a, b| a.number < b.number);
        require(ascending, "open attempts out of order")?;
        let charged = self
            .open
            .iter()
            .all(|open| (1..=self.charged).contains(&open.number));
        require(charged, "an open attempt that was not charged")?;
        let few = self.open.len() as u64 <= self.failures_in_generation();
        require(few, "more open attempts than uncredited charges")?;
        let open = self
            .open
            .iter()
            .any(|open| open.number == self.last_success);
        require(!open, "an open attempt that has succeeded")
    }

    fn check_remembered(&self) -> Result<(), StoredError> {
        require(
            self.remembered.len() <= MAX_REMEMBERED,
            "too many remembered successes",
        )?;
        let credited = self.remembered.len() as u64 <= self.succeeded;
        require(credited, "more remembered successes than successes")?;
        let known = self.remembered.iter().enumerate().all(|(index, success)| {
            let is_repeated = self.remembered[..index]
                .iter()
                .any(|s| s.number == success.number);
            let is_open = self.open.iter().any(|open| open.number == success.number);
            (1..=self.last_success).contains(&success.number) && !is_repeated && !is_open
        });
        require(known, "a remembered success that cannot have been")
    }
}

fn require(holds: bool, otherwise: &'static str) -> Result<(), StoredError> {
    if holds {
        Ok(())
    } else {
        Err(StoredError::Contradiction(otherwise))
    }
}
