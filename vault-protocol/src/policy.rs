//! How many guesses a record allows, and the waits between them (PROTOCOL.md section 2).

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// The longest wait a policy can ask for, in seconds: 30 days.
pub const MAX_WAIT_SECONDS: u64 = 30 * 24 * 60 * 60;
/// The largest `limit`.
pub const MAX_LIMIT: u64 = 32;
/// The largest `total_limit`.
pub const MAX_TOTAL_LIMIT: u64 = 1000;

/// A policy that is within its bounds. It is copied into a record at registration, and binding for
/// it.
///
/// - `limit`, 1 to 32: so many failures in a row destroy the record.
/// - `total_limit`, `limit` to 1000: so many failures of one generation destroy it, whatever
///   succeeded in between.
/// - `waits`, `limit - 1` entries of at most 30 days in seconds: `waits[i]` pass after failure
///   `i + 1` before the next attempt may start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Policy {
    limit: u64,
    total_limit: u64,
    waits: Vec<u64>,
}

/// Why a policy was refused. The message says what to write instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicy {
    /// `limit` is out of range.
    #[error("limit must be 1 to {MAX_LIMIT} failures in a row")]
    Limit,
    /// `total_limit` is out of range.
    #[error("total_limit must be at least limit and at most {MAX_TOTAL_LIMIT}")]
    TotalLimit,
    /// `waits` has another length than `limit - 1`.
    #[error("waits must have limit - 1 entries, one for each failure that does not destroy")]
    WaitsLength,
    /// One wait is longer than 30 days.
    #[error("each wait must be at most {MAX_WAIT_SECONDS} seconds (30 days)")]
    WaitTooLong,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    limit: u64,
    total_limit: u64,
    waits: Vec<u64>,
}

impl Policy {
    /// The waits are in seconds.
    pub fn new(limit: u64, total_limit: u64, waits: Vec<u64>) -> Result<Self, InvalidPolicy> {
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(InvalidPolicy::Limit);
        }
        if !(limit..=MAX_TOTAL_LIMIT).contains(&total_limit) {
            return Err(InvalidPolicy::TotalLimit);
        }
        if waits.len() as u64 != limit - 1 {
            return Err(InvalidPolicy::WaitsLength);
        }
        if waits.iter().any(|wait| *wait > MAX_WAIT_SECONDS) {
            return Err(InvalidPolicy::WaitTooLong);
        }
        Ok(Self {
            limit,
            total_limit,
            waits,
        })
    }

    /// Failures in a row that destroy the record.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Failures of one generation that destroy the record.
    pub fn total_limit(&self) -> u64 {
        self.total_limit
    }

    /// The waits in seconds, `limit - 1` of them.
    pub fn waits(&self) -> &[u64] {
        &self.waits
    }

    /// Seconds to wait after this many failures in a row; none before the first failure.
    pub fn wait_after(&self, failures_in_a_row: u64) -> u64 {
        let index = failures_in_a_row
            .checked_sub(1)
            .and_then(|i| usize::try_from(i).ok());
        index.and_then(|i| self.waits.get(i)).copied().unwrap_or(0)
    }

    /// Whether this policy gives an attacker more guesses than `maximum` does (PROTOCOL.md section
    /// 6).
    pub fn is_looser_than(&self, maximum: &Self) -> bool {
        self.limit > maximum.limit || self.total_limit > maximum.total_limit
    }
}

impl Default for Policy {
    /// Ten failures in a row, a hundred in all; waiting begins after the fifth with 5 minutes.
    fn default() -> Self {
        Self {
            limit: 10,
            total_limit: 100,
            waits: vec![0, 0, 0, 0, 300, 900, 3_600, 14_400, 86_400],
        }
    }
}

impl TryFrom<Unchecked> for Policy {
    type Error = InvalidPolicy;
    fn try_from(policy: Unchecked) -> Result<Self, InvalidPolicy> {
        Self::new(policy.limit, policy.total_limit, policy.waits)
    }
}

/// Reads the policy of an answer. A policy that an operator writes has no unknown fields; one in
/// an answer may, from a later vault, and they are ignored (PROTOCOL.md section 2).
pub(crate) fn of_answer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Policy, D::Error> {
    #[derive(Deserialize)]
    struct Answered {
        limit: u64,
        total_limit: u64,
        waits: Vec<u64>,
    }
    let policy = Answered::deserialize(deserializer)?;
    Policy::new(policy.limit, policy.total_limit, policy.waits).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_out_of_bounds_are_refused() {
        assert_eq!(Policy::new(0, 10, vec![]), Err(InvalidPolicy::Limit));
        assert_eq!(Policy::new(33, 100, vec![0; 32]), Err(InvalidPolicy::Limit));
        assert_eq!(Policy::new(2, 1, vec![0]), Err(InvalidPolicy::TotalLimit));
        assert_eq!(
            Policy::new(2, 1001, vec![0]),
            Err(InvalidPolicy::TotalLimit)
        );
        assert_eq!(Policy::new(2, 2, vec![]), Err(InvalidPolicy::WaitsLength));
        let long = vec![MAX_WAIT_SECONDS + 1];
        assert_eq!(Policy::new(2, 2, long), Err(InvalidPolicy::WaitTooLong));
    }

    #[test]
    fn a_policy_with_an_unknown_field_is_refused() {
        let text = r#"{"limit":1,"total_limit":1,"waits":[],"grace":1}"#;
        assert!(serde_json::from_str::<Policy>(text).is_err());
    }

    #[test]
    fn the_default_is_the_one_the_protocol_names() {
        let text = serde_json::to_string(&Policy::default()).unwrap();
        assert_eq!(
            text,
            r#"{"limit":10,"total_limit":100,"waits":[0,0,0,0,300,900,3600,14400,86400]}"#
        );
        assert!(serde_json::from_str::<Policy>(&text).is_ok());
    }
}
