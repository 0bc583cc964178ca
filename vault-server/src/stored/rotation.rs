//! How long a key is used, and when it is forgotten: the same for ticket keys and channel keys.

use serde::{Deserialize, Serialize};
use vault_protocol::time::Timestamp;

/// The life of one key, in milliseconds since 1970.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct KeyLife {
    /// When it came into use.
    since_ms: u64,
    /// When another took over; `None` while it is in use.
    until_ms: Option<u64>,
}

impl KeyLife {
    /// A key that comes into use now.
    pub(crate) fn begin(now: Timestamp) -> Self {
        Self {
            since_ms: now.millis(),
            until_ms: None,
        }
    }

    /// A life with these two times, for tests of stored forms.
    #[cfg(test)]
    pub(crate) fn of(since_ms: u64, until_ms: Option<u64>) -> Self {
        Self { since_ms, until_ms }
    }

    /// The two times, for tests of stored forms.
    #[cfg(test)]
    pub(crate) fn times(self) -> (u64, Option<u64>) {
        (self.since_ms, self.until_ms)
    }

    /// Whether another key took over from every one but the last of them, as they are stored: one
    /// behind which there is another and which was not replaced would never be forgotten.
    pub(crate) fn are_successive(lives: impl DoubleEndedIterator<Item = Self>) -> bool {
        lives.rev().skip(1).all(|life| life.until_ms.is_some())
    }

    /// Another key takes over.
    pub(crate) fn end(&mut self, now: Timestamp) {
        self.until_ms = Some(now.millis());
    }

    /// Times in the future become now: the clock was set back between runs, and a key must not
    /// live as long as the clock was wrong. Returns whether one did.
    pub(crate) fn clamp_to(&mut self, now: Timestamp) -> bool {
        let before = (self.since_ms, self.until_ms);
        self.since_ms = self.since_ms.min(now.millis());
        self.until_ms = self.until_ms.map(|until| until.min(now.millis()));
        before != (self.since_ms, self.until_ms)
    }

    /// Whether it was in use for so long that another has to take over.
    pub(crate) fn is_due_for_rotation(&self, now: Timestamp, period_seconds: u64) -> bool {
        Timestamp::from_millis(self.since_ms).plus_seconds(period_seconds) <= now
    }

    /// Whether it was replaced so long ago that it has to be forgotten.
    pub(crate) fn is_expired(&self, now: Timestamp, kept_seconds: u64) -> bool {
        let until = self.until_ms.map(Timestamp::from_millis);
        until.is_some_and(|until| until.plus_seconds(kept_seconds) <= now)
    }

    /// When it is worn, or, once replaced, over.
    pub(crate) fn next_change(&self, period_seconds: u64, kept_seconds: u64) -> Timestamp {
        match self.until_ms {
            Some(until) => Timestamp::from_millis(until).plus_seconds(kept_seconds),
            None => Timestamp::from_millis(self.since_ms).plus_seconds(period_seconds),
        }
    }
}
