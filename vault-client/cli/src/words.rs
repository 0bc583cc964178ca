//! Times, sizes, policies and reasons in words.

pub(crate) use vault_client::error::describe_reason as reason;
use vault_client::http::system_clock;
use vault_client::protection::Reason;
use vault_client::{Policy, Timestamp};
use vault_protocol::messages::DestructionReason;

/// How far off a time is, for a person who does not count in UTC, and the time in RFC 3339.
pub(crate) fn until(time: Timestamp) -> String {
    let distance = duration(time.seconds_since(system_clock()));
    format!("{} (in {distance})", time.to_rfc3339())
}

/// The same for a time that has passed.
pub(crate) fn since(time: Timestamp) -> String {
    let distance = duration(system_clock().seconds_since(time));
    format!("{} ({distance} ago)", time.to_rfc3339())
}

/// `1 byte`, `2 bytes`, `1.00 KiB`.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => count(bytes, "byte"),
        _ => indicatif::BinaryBytes(bytes).to_string(),
    }
}

/// `1 file`, `2 files`.
pub(crate) fn count(number: u64, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {one}{plural}")
}

pub(crate) fn policy(policy: &Policy) -> String {
    format!(
        "{} wrong passwords in a row, or {} in all, destroy the record",
        policy.limit(),
        policy.total_limit()
    )
}

/// Why a key has to be registered again: its name for programs; and for people, with the remedy.
pub(crate) fn need(reason: Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::Moved => (
            "moved",
            "this device now uses another vault or account than the key is registered at: switch the password off there with vault-client disable, then register the key with vault-client enable",
        ),
        Reason::Lost => (
            "lost",
            "the vault has no record of this key: register it again with vault-client enable",
        ),
        Reason::Destroyed(DestructionReason::Exhausted) => (
            "destroyed",
            "too many wrong passwords have destroyed the record: register the key again with vault-client enable --after-destroyed, and with another password",
        ),
        Reason::Destroyed(DestructionReason::Deleted | DestructionReason::Reset) => (
            "destroyed",
            "the record was deleted: if that was not meant so, register the key again with vault-client enable --after-destroyed",
        ),
        Reason::Replaced => (
            "replaced",
            "another device has registered since: with the same key if it was yours; vault-client change-password sets the password from here, if the key is the same",
        ),
        Reason::WeakStretching => (
            "weak-stretching",
            "the password is stretched less than it should be today: register it again with vault-client enable",
        ),
        Reason::LooserPolicy => (
            "looser-policy",
            "the vault allows more wrong passwords than it should: register the key again with vault-client enable",
        ),
    }
}

fn duration(seconds: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    match seconds {
        0..120 => count(seconds, "second"),
        120..7200 => count((seconds + MINUTE / 2) / MINUTE, "minute"),
        7200..172_800 => count((seconds + HOUR / 2) / HOUR, "hour"),
        _ => count((seconds + DAY / 2) / DAY, "day"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rounded_in_words() {
        for (seconds, words) in [
            (1, "1 second"),
            (119, "119 seconds"),
            (121, "2 minutes"),
            (301, "5 minutes"),
            (86_400, "24 hours"),
            (172_801, "2 days"),
        ] {
            assert_eq!(duration(seconds), words);
        }
    }
}
