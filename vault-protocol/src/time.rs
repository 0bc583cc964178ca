//! Times: milliseconds inside, RFC 3339 in UTC with whole seconds on the wire (PROTOCOL.md
//! section 2).

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds since 1970-01-01T00:00:00Z. On the wire whole seconds, *rounded up*: a device that
/// waits until the time named has waited long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// The last moment that RFC 3339 can write: the end of the year 9999, in milliseconds.
const LAST_MS: u64 = 253_402_300_799_000;

impl Timestamp {
    /// A time after the year 9999 becomes its last second: RFC 3339 cannot write it.
    pub const fn from_millis(millis: u64) -> Self {
        Self(if millis > LAST_MS { LAST_MS } else { millis })
    }

    /// Since 1970-01-01T00:00:00Z.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// At most the end of the year 9999.
    pub const fn plus_seconds(self, seconds: u64) -> Self {
        Self::from_millis(self.0.saturating_add(seconds.saturating_mul(1000)))
    }

    /// Whole seconds from `earlier` until this time, rounded up; 0 when it has passed.
    pub const fn seconds_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0).div_ceil(1000)
    }

    /// RFC 3339 in UTC, whole seconds, rounded up.
    pub fn to_rfc3339(self) -> String {
        let seconds = i64::try_from(self.0.div_ceil(1000)).expect("milliseconds are bounded");
        OffsetDateTime::from_unix_timestamp(seconds)
            .ok()
            .and_then(|time| time.format(&Rfc3339).ok())
            .expect("the constructor keeps the year at most 9999")
    }

    /// Reads RFC 3339 in UTC with whole seconds; anything else is `None`.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let millis = u64::try_from(time.unix_timestamp())
            .ok()?
            .checked_mul(1000)?;
        let parsed = Self::from_millis(millis);
        // One spelling only, the one that we write ourselves.
        (parsed.to_rfc3339() == text).then_some(parsed)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_rfc3339())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_rfc3339(&text).ok_or_else(|| D::Error::custom("not RFC 3339 in UTC"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_spellings_of_a_time_are_refused() {
        for bad in [
            "2026-11-22T10:00:00+00:00",
            "2026-11-22T10:00:00.5Z",
            "2026-11-22 10:00:00Z",
            "1969-12-31T23:59:59Z",
            "yesterday",
        ] {
            assert_eq!(Timestamp::from_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_fraction_of_a_second_rounds_up() {
        assert_eq!(
            Timestamp::from_millis(1).to_rfc3339(),
            "1970-01-01T00:00:01Z"
        );
        assert_eq!(
            Timestamp::from_millis(1000).to_rfc3339(),
            "1970-01-01T00:00:01Z"
        );
    }

    #[test]
    fn the_end_of_time_can_be_written_and_read() {
        let last = Timestamp::from_millis(u64::MAX);
        assert_eq!(last.to_rfc3339(), "9999-12-31T23:59:59Z");
        assert_eq!(Timestamp::from_rfc3339(&last.to_rfc3339()), Some(last));
    }
}
