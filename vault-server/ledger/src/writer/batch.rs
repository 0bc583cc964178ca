//! The state as a change sees it, and the changes it makes.

use std::fmt;

use zeroize::Zeroizing;

use super::draft::Draft;
use super::leaves::Leaves;
use crate::engine::verify::Verification;
use crate::error::LeafUnavailable;
use crate::key::LeafKey;
use crate::leaf::record::Plaintext;

/// The state of the vault as a change sees it: the stored one, with the changes before it in the same
/// batch, and its own so far.
///
/// Nothing that a change does here is stored when it returns `Err`, or when it tried to overwrite a
/// leaf that cannot be opened. If storage fails during a read, the read says [`LeafUnavailable`]. Then
/// the batch is not committed and the ledger stops, whatever the change returns.
pub struct Batch<'a> {
    leaves: &'a mut Leaves,
    earlier: &'a Draft,
    own: Draft,
    refused: bool,
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Batch(..)")
    }
}

impl<'a> Batch<'a> {
    pub(crate) fn new(leaves: &'a mut Leaves, earlier: &'a Draft) -> Batch<'a> {
        Batch {
            leaves,
            earlier,
            own: Draft::default(),
            refused: false,
        }
    }

    /// The state of a leaf, `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`LeafUnavailable`] if there is one that cannot be opened.
    pub fn read(&mut self, key: &LeafKey) -> Result<Option<Zeroizing<Vec<u8>>>, LeafUnavailable> {
        match self.drafted(key) {
            Some(state) => Ok(state.clone()),
            None => Ok(self.leaves.leaf(key)?.cloned()),
        }
    }

    /// Makes this the state of a leaf, there or not.
    ///
    /// A stored leaf that cannot be opened is never overwritten: then the whole change is answered
    /// as unavailable.
    pub fn put(&mut self, key: &LeafKey, plaintext: Zeroizing<Vec<u8>>) {
        self.change(key, Some(plaintext));
    }

    /// Removes a leaf, if it is there, and takes it out of the due index. Its events stay.
    ///
    /// A stored leaf that cannot be opened is not removed: as with [`put`](Batch::put).
    pub fn remove(&mut self, key: &LeafKey) {
        self.change(key, None);
        self.schedule(key, None);
    }

    /// Adds an event to a leaf's, stored by the same commit. At least the last 1000 are kept.
    ///
    /// It must not hold a secret: events that give way are removed, but can be read from older copies.
    /// The end of a leaf's chain of events is in the leaf: with one that cannot be opened it is as with
    /// [`put`](Batch::put).
    pub fn append_event(&mut self, key: &LeafKey, plaintext: &[u8]) {
        if self.leaves.leaf(key).is_err() {
            self.refused = true;
        }
        let event = Zeroizing::new(plaintext.to_vec());
        self.own.events.entry(*key).or_default().push(event);
    }

    /// The last `last` events of a leaf, at most 1000 stored ones, oldest first.
    ///
    /// # Errors
    ///
    /// [`LeafUnavailable`] if one of them cannot be opened, or one between them is missing.
    pub fn events(
        &mut self,
        key: &LeafKey,
        last: usize,
    ) -> Result<Vec<Zeroizing<Vec<u8>>>, LeafUnavailable> {
        let drafted = || {
            let (earlier, own) = (self.earlier.events_of(key), self.own.events_of(key));
            earlier.iter().chain(own)
        };
        let count = drafted().count();
        let recent: Vec<Plaintext> = drafted()
            .skip(count.saturating_sub(last))
            .cloned()
            .collect();
        let mut events = self.leaves.events(key, last - recent.len())?;
        events.extend(recent);
        Ok(events)
    }

    /// At most `limit` keys of leaves that were stored before this batch, behind `after`, in order:
    /// for a caller that goes through the whole vault, page by page. Leaves below a node that cannot be
    /// opened are not among them; [`verify`](Batch::verify) counts such nodes.
    pub fn keys_after(&mut self, after: Option<&LeafKey>, limit: usize) -> Vec<LeafKey> {
        self.leaves.keys_after(after, limit)
    }

    /// Says when a sweep should look at a leaf (milliseconds, by the user's clock), `None` for never.
    ///
    /// The due index is a hint in the clear and decides nothing: the leaf's own state does.
    pub fn schedule(&mut self, key: &LeafKey, due_ms: Option<u64>) {
        self.own.due.insert(*key, due_ms);
    }

    /// At most `limit` leaves that are due at or before `until_ms`, earliest first.
    pub fn due(&mut self, until_ms: u64, limit: usize) -> Vec<LeafKey> {
        let mut drafted = self.earlier.due.clone();
        drafted.extend(&self.own.due);
        // As many more as could be put off by this batch.
        let mut due = self
            .leaves
            .due_after(None, until_ms, limit.saturating_add(drafted.len()));
        due.retain(|(_, key)| !drafted.contains_key(key));
        due.extend(
            drafted
                .iter()
                .filter_map(|(key, due_ms)| Some(((*due_ms)?, *key)))
                .filter(|(due_ms, _)| *due_ms <= until_ms),
        );
        due.sort_unstable();
        due.truncate(limit);
        due.into_iter().map(|(_, key)| key).collect()
    }

    /// At most `limit` leaves behind `after` that had a due time before this batch, with it, earliest
    /// first: for a caller that goes through all of them, page by page.
    pub fn scheduled_after(
        &mut self,
        after: Option<(u64, LeafKey)>,
        limit: usize,
    ) -> Vec<(u64, LeafKey)> {
        self.leaves.due_after(after, u64::MAX, limit)
    }

    /// Walks through everything that was stored before this batch, and opens it, up to 1000 events of
    /// each leaf. All changes wait as long as that takes.
    ///
    /// # Errors
    ///
    /// [`LeafUnavailable`] if storage fails. A leaf that cannot be opened is counted, not an error.
    pub fn verify(&mut self) -> Result<Verification, LeafUnavailable> {
        self.leaves.verify()
    }

    /// The change's own draft, if nothing in it was refused.
    pub(crate) fn into_draft(self) -> Result<Draft, LeafUnavailable> {
        if self.refused {
            return Err(LeafUnavailable);
        }
        Ok(self.own)
    }

    fn drafted(&self, key: &LeafKey) -> Option<&Option<Plaintext>> {
        let earlier = || self.earlier.leaves.get(key);
        self.own.leaves.get(key).or_else(earlier)
    }

    fn change(&mut self, key: &LeafKey, state: Option<Plaintext>) {
        match self.leaves.leaf(key) {
            Ok(_) => {
                self.own.leaves.insert(*key, state);
            }
            Err(LeafUnavailable) => self.refused = true,
        }
    }
}
