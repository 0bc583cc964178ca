//! How states and events are stored: a version byte, then postcard. Each value has exactly one
//! encoding, so equal bytes mean an unchanged state.

use postcard::ser_flavors::Size;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use vault_protocol::INTEGER_LIMIT;
use zeroize::Zeroizing;

use crate::account::{Account, LiveRecord, MAX_PENDING, PendingRegistration, Slot};
use crate::counting::{Attempts, MAX_REMEMBERED};

/// The version that is written, and the only one that is read.
const VERSION: u8 = 1;

/// Stored bytes are not what this version writes. The account is then unavailable: never absent,
/// never an older budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoredStateError {
    /// There are no bytes.
    #[error("stored state is empty")]
    Empty,
    /// Another version wrote them.
    #[error("stored state has version {0}, this program reads version {VERSION}")]
    Version(u8),
    /// They are truncated, too long, or not in the one form that is written.
    #[error("stored state is malformed")]
    Malformed,
    /// They say what no sequence of commands leads to.
    #[error("stored state contradicts itself: {0}")]
    Contradiction(&'static str),
}

/// An account as it is written. A type of its own, so that [`Account`] itself cannot be serialized.
#[derive(Serialize)]
struct Outgoing<'a> {
    slot: &'a Slot,
    pending: &'a [PendingRegistration],
}

#[derive(Serialize, Deserialize)]
struct Incoming {
    slot: Slot,
    pending: Vec<PendingRegistration>,
}

impl Account {
    /// The stored form: below 2 KiB, and some 45 bytes for each open attempt. Contains the record's
    /// secrets, so it is sealed before it is written.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        encode(&Outgoing {
            slot: &self.slot,
            pending: &self.pending,
        })
    }

    /// Reads the stored form. No other bytes are accepted than those that `encode` writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoredStateError> {
        let Incoming { slot, pending } = decode(bytes)?;
        let account = Self { slot, pending };
        account.check()?;
        Ok(account)
    }

    /// What arithmetic relies on, and what every command keeps true.
    fn check(&self) -> Result<(), StoredStateError> {
        require(
            self.pending.len() <= MAX_PENDING,
            "too many pending registrations",
        )?;
        require(self.generation() < INTEGER_LIMIT, "generation out of range")?;
        match &self.slot {
            Slot::Never => Ok(()),
            Slot::Destroyed(_) => require(self.generation() > 0, "a tombstone of generation 0"),
            Slot::Live(record) => record.check(),
        }
    }
}

impl LiveRecord {
    fn check(&self) -> Result<(), StoredStateError> {
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
    fn check(&self) -> Result<(), StoredStateError> {
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

    fn check_open(&self) -> Result<(), StoredStateError> {
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

    fn check_remembered(&self) -> Result<(), StoredStateError> {
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

/// Writes the version byte and the value into a buffer of the final size: one that grows would
/// leave copies behind.
pub(crate) fn encode<T: Serialize>(value: &T) -> Zeroizing<Vec<u8>> {
    let size = postcard::serialize_with_flavor(value, Size::default())
        .expect("counting the bytes of plain data cannot fail");
    let mut bytes = Zeroizing::new(vec![0; 1 + size]);
    bytes[0] = VERSION;
    postcard::to_slice(value, &mut bytes[1..]).expect("the size was measured");
    bytes
}

/// Reads what [`encode`] wrote. Postcard accepts trailing bytes and longer forms of integers, so
/// the value is written again and compared.
pub(crate) fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, StoredStateError> {
    let (version, body) = bytes.split_first().ok_or(StoredStateError::Empty)?;
    if *version != VERSION {
        return Err(StoredStateError::Version(*version));
    }
    let value = postcard::from_bytes(body).map_err(|_| StoredStateError::Malformed)?;
    if *encode(&value) != bytes {
        return Err(StoredStateError::Malformed);
    }
    Ok(value)
}

fn require(holds: bool, otherwise: &'static str) -> Result<(), StoredStateError> {
    if holds {
        Ok(())
    } else {
        Err(StoredStateError::Contradiction(otherwise))
    }
}
