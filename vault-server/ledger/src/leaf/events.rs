//! A leaf's events: a chain, of which the leaf holds the end.
//!
//! ```text
//! event = sealed(row of the event before (8 bytes) || its key (32) || plaintext)
//! data  = "backup-key-vault/v2 event" || leaf key || number (8 bytes) || vault id
//! ```
//!
//! Integers are big-endian; before the first event there are zeros. Each is sealed under a key of its
//! own, which is in its successor, the last one's in the leaf's record. So none can be removed,
//! replaced, or put back without the leaf knowing. Rows of all leaves follow each other in the order of
//! time: a batch writes them side by side, and they name no leaf.

use zeroize::Zeroizing;

use crate::error::StorageError;
use crate::key::LeafKey;
use crate::leaf::record::{LastEvent, Plaintext};
use crate::store::Store;
use crate::tree::seal::{KEY_SIZE, Key, Keys, Unreadable};
use crate::tree::{ReadError, if_readable};

const LABEL: &[u8] = b"backup-key-vault/v2 event";

/// How many events of a leaf can be read. When as many more have come, the older ones are removed
/// together. Without a bound, one user who goes on registering could fill the disk of all.
pub(crate) const KEPT_EVENTS: u64 = 1000;

/// The events of one leaf.
pub(crate) struct Events<'a> {
    store: &'a Store,
    vault_id: &'a str,
    key: &'a LeafKey,
}

impl<'a> Events<'a> {
    pub(crate) fn of(store: &'a Store, vault_id: &'a str, key: &'a LeafKey) -> Events<'a> {
        Events {
            store,
            vault_id,
            key,
        }
    }

    /// Stores one more event behind the last one. Reads nothing.
    pub(crate) fn append(
        &self,
        keys: &mut Keys,
        last: Option<LastEvent>,
        event: &[u8],
    ) -> Result<LastEvent, StorageError> {
        let before = last.unwrap_or_else(LastEvent::none);
        let sequence = before.sequence + 1;
        let mut plaintext = Zeroizing::new(Vec::with_capacity(8 + KEY_SIZE + event.len()));
        plaintext.extend_from_slice(&before.row.to_be_bytes());
        plaintext.extend_from_slice(before.key.expose_secret());
        plaintext.extend_from_slice(event);
        let (sealed, key) = keys.draw()?.seal(&self.data(sequence), &plaintext)?;
        let row = self.store.append_event(&sealed)?;
        Ok(LastEvent { sequence, row, key })
    }

    /// At most so many events up to this last one, oldest first.
    pub(crate) fn last(
        &self,
        last: &LastEvent,
        at_most: usize,
    ) -> Result<Vec<Plaintext>, ReadError> {
        let kept = last.sequence.min(KEPT_EVENTS);
        let wanted = u64::try_from(at_most).unwrap_or(u64::MAX).min(kept);
        let mut events = Vec::new();
        let mut end = last.copy();
        for _ in 0..wanted {
            let (event, before) = self.open(&end)?;
            events.push(event);
            end = before;
        }
        events.reverse();
        Ok(events)
    }

    /// The rows of those that give way when so many more come, as far as the chain leads. A chain that is
    /// broken was tampered with; the rest stays, and is never read.
    pub(crate) fn outdated(&self, last: &LastEvent, more: u64) -> Result<Vec<i64>, StorageError> {
        if last.sequence / KEPT_EVENTS == (last.sequence + more) / KEPT_EVENTS {
            return Ok(Vec::new());
        }
        let mut rows = self.rows(last, 2 * KEPT_EVENTS)?;
        let kept = KEPT_EVENTS.saturating_sub(more) as usize;
        Ok(rows.split_off(kept.min(rows.len())))
    }

    /// Copies as many as can be read to another store, each as it is, as far back as the chain leads.
    pub(crate) fn copy_to(&self, other: &Store, last: &LastEvent) -> Result<(), StorageError> {
        for row in self.rows(last, last.sequence.min(KEPT_EVENTS))? {
            if let Some(sealed) = self.store.event(row)? {
                other.put_event(row, &sealed)?;
            }
        }
        Ok(())
    }

    /// The rows of at most so many events that open, from the last one back.
    fn rows(&self, last: &LastEvent, at_most: u64) -> Result<Vec<i64>, StorageError> {
        let (mut rows, mut end) = (Vec::new(), last.copy());
        while (rows.len() as u64) < at_most
            && let Some((_, before)) = if_readable(self.open(&end))?
        {
            rows.push(end.row);
            end = before;
        }
        Ok(rows)
    }

    /// An event, and the end of the chain before it.
    fn open(&self, at: &LastEvent) -> Result<(Plaintext, LastEvent), ReadError> {
        let sealed = self.store.event(at.row)?.ok_or(Unreadable)?;
        let opened = at.key.open(&self.data(at.sequence), &sealed)?;
        let (row, rest) = opened.split_first_chunk().ok_or(Unreadable)?;
        let (key, event) = rest.split_first_chunk().ok_or(Unreadable)?;
        let before = LastEvent {
            sequence: at.sequence.checked_sub(1).ok_or(Unreadable)?,
            row: i64::from_be_bytes(*row),
            key: Key::from_bytes(key),
        };
        Ok((Zeroizing::new(event.to_vec()), before))
    }

    fn data(&self, sequence: u64) -> Vec<u8> {
        let sequence = sequence.to_be_bytes();
        [LABEL, &self.key.0, &sequence, self.vault_id.as_bytes()].concat()
    }
}
