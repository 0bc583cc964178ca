//! The bytes of a leaf in the tree: its state, its due time, and the end of its chain of events.
//!
//! ```text
//! record = version (1 byte, 1) || parts (1 byte)
//!          || if parts & 1: the last event's number (8 bytes) || its row (8) || its key (32)
//!          || if parts & 2: due time (8)
//!          || if parts & 4: the state, to the end
//! ```
//!
//! Integers are big-endian.

use zeroize::Zeroizing;

use crate::tree::seal::{KEY_SIZE, Key, Unreadable};

const VERSION: u8 = 1;
const EVENTS: u8 = 1;
const DUE: u8 = 2;
const STATE: u8 = 4;

/// The plaintext of a leaf or an event.
pub(crate) type Plaintext = Zeroizing<Vec<u8>>;

/// The end of a leaf's chain of events.
pub(crate) struct LastEvent {
    /// Its number; the first one's is 1.
    pub(crate) sequence: u64,
    /// Where it is stored.
    pub(crate) row: i64,
    pub(crate) key: Key,
}

impl LastEvent {
    /// The end of an empty chain.
    pub(crate) fn none() -> LastEvent {
        LastEvent {
            sequence: 0,
            row: 0,
            key: Key::from_bytes(&[0; KEY_SIZE]),
        }
    }

    /// A second one, to go back from.
    pub(crate) fn copy(&self) -> LastEvent {
        LastEvent {
            sequence: self.sequence,
            row: self.row,
            key: Key::from_bytes(self.key.expose_secret()),
        }
    }
}

#[derive(Default)]
pub(crate) struct LeafRecord {
    pub(crate) last_event: Option<LastEvent>,
    /// Milliseconds, at most `i64::MAX`: the store's integers are signed.
    pub(crate) due_ms: Option<u64>,
    pub(crate) state: Option<Plaintext>,
}

impl LeafRecord {
    /// The bytes, or `None` if there is nothing to keep. Sized first: growing it would leave copies
    /// of secrets behind.
    pub(crate) fn encode(&self) -> Option<Zeroizing<Vec<u8>>> {
        let part = |is_there: bool, part: u8| if is_there { part } else { 0 };
        let parts = part(self.last_event.is_some(), EVENTS)
            | part(self.due_ms.is_some(), DUE)
            | part(self.state.is_some(), STATE);
        if parts == 0 {
            return None;
        }
        let state = self.state.as_deref().map_or(&[][..], Vec::as_slice);
        let size = 2 + 8 + 8 + KEY_SIZE + 8 + state.len();
        let mut bytes = Zeroizing::new(Vec::with_capacity(size));
        bytes.extend_from_slice(&[VERSION, parts]);
        if let Some(last) = &self.last_event {
            bytes.extend_from_slice(&last.sequence.to_be_bytes());
            bytes.extend_from_slice(&last.row.to_be_bytes());
            bytes.extend_from_slice(last.key.expose_secret());
        }
        if let Some(due_ms) = self.due_ms {
            bytes.extend_from_slice(&due_ms.to_be_bytes());
        }
        bytes.extend_from_slice(state);
        debug_assert!(bytes.len() <= size, "it has grown");
        Some(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<LeafRecord, Unreadable> {
        let ([version, parts], mut rest) = bytes.split_first_chunk().ok_or(Unreadable)?;
        if *version != VERSION || !(1..=EVENTS | DUE | STATE).contains(parts) {
            return Err(Unreadable);
        }
        let mut record = LeafRecord::default();
        if parts & EVENTS != 0 {
            let sequence = number(&mut rest)?;
            let row = number(&mut rest)?.cast_signed();
            let (key, behind) = rest.split_first_chunk().ok_or(Unreadable)?;
            let key = Key::from_bytes(key);
            record.last_event = Some(LastEvent { sequence, row, key });
            rest = behind;
        }
        if parts & DUE != 0 {
            record.due_ms = Some(number(&mut rest)?);
        }
        if parts & STATE != 0 {
            record.state = Some(Zeroizing::new(rest.to_vec()));
        } else if !rest.is_empty() {
            return Err(Unreadable);
        }
        Ok(record)
    }
}

fn number(bytes: &mut &[u8]) -> Result<u64, Unreadable> {
    let (number, rest) = bytes.split_first_chunk().ok_or(Unreadable)?;
    *bytes = rest;
    Ok(u64::from_be_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(parts: u8) -> LeafRecord {
        LeafRecord {
            last_event: (parts & EVENTS != 0).then(|| LastEvent {
                sequence: 7,
                row: -1,
                key: Key::from_bytes(&[8; 32]),
            }),
            due_ms: (parts & DUE != 0).then_some(9),
            state: (parts & STATE != 0).then(|| Zeroizing::new(b"state".to_vec())),
        }
    }

    #[test]
    fn other_versions_unknown_parts_and_truncations_are_unreadable() {
        for parts in 1..=7 {
            let bytes = record(parts).encode().unwrap();
            // A state has no end of its own; the seal around it has.
            let without_state = bytes.len() - if parts & STATE != 0 { 5 } else { 0 };
            for length in 0..without_state {
                assert!(
                    LeafRecord::decode(&bytes[..length]).is_err(),
                    "{parts} {length}"
                );
            }
            for (at, byte) in [(0, 0), (0, 2), (1, 0), (1, 8), (1, 0xff)] {
                let mut edited = bytes.to_vec();
                edited[at] = byte;
                assert!(LeafRecord::decode(&edited).is_err(), "{parts} {at} {byte}");
            }
            if parts & STATE == 0 {
                assert!(LeafRecord::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
            }
        }
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        for parts in 1..=7 {
            let bytes = record(parts).encode().unwrap();
            let read = LeafRecord::decode(&bytes).unwrap();
            assert_eq!(read.encode().unwrap(), bytes);
        }
        assert!(record(0).encode().is_none());
    }
}
