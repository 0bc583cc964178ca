//! Leaves and events as plaintext, stored as sealed rows: how state is sealed is decided here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::draft::{Draft, Plaintext};
use crate::error::{LeafUnavailable, StorageError};
use crate::key::LeafKey;
use crate::seal::{Place, Sealer};
use crate::store::{Durable, Store};

/// How many events of a leaf are kept; the oldest gives way. Without a bound, one user who goes on
/// registering could fill the disk of all.
pub(crate) const KEPT_EVENTS: u64 = 1000;

/// The stored state of a vault, for one batch at a time.
pub(crate) struct Leaves {
    store: Store,
    sealer: Sealer,
    /// What this batch has read: a leaf is opened once a batch.
    opened: BTreeMap<LeafKey, Result<Option<Plaintext>, LeafUnavailable>>,
    /// A change cannot be told of a storage error, so that it cannot pass it over: the first one
    /// waits here for the writer.
    failure: Option<StorageError>,
    unavailable: Arc<AtomicU64>,
}

impl Leaves {
    /// `unavailable` counts what did not open.
    pub(crate) fn new(store: Store, sealer: Sealer, unavailable: Arc<AtomicU64>) -> Leaves {
        Leaves {
            store,
            sealer,
            opened: BTreeMap::new(),
            failure: None,
            unavailable,
        }
    }

    /// Begins a batch.
    pub(crate) fn begin(&mut self) -> Result<(), StorageError> {
        self.opened.clear();
        self.store.begin()
    }

    /// The stored state of a leaf, `None` if there is none.
    pub(crate) fn leaf(&mut self, key: &LeafKey) -> Result<Option<&Plaintext>, LeafUnavailable> {
        if !self.opened.contains_key(key) {
            let loaded = self.load(key);
            self.opened.insert(*key, loaded);
        }
        match &self.opened[key] {
            Ok(state) => Ok(state.as_ref()),
            Err(LeafUnavailable) => Err(LeafUnavailable),
        }
    }

    /// The last stored events of a leaf, oldest first.
    pub(crate) fn events(
        &mut self,
        key: &LeafKey,
        last: usize,
    ) -> Result<Vec<Plaintext>, LeafUnavailable> {
        let read = self.store.last_events(key, last);
        let rows = self.noted(read)?;
        let newest = rows.first().map_or(0, |(sequence, _)| *sequence);
        let mut events = Vec::with_capacity(rows.len());
        for (back, (sequence, sealed)) in (0_u64..).zip(&rows) {
            // A gap is a removed row.
            if sequence + back != newest {
                return Err(self.count_unavailable());
            }
            let place = Place::Event(*key, *sequence);
            match self.sealer.open(place, sealed) {
                Ok(event) => events.push(event),
                Err(LeafUnavailable) => return Err(self.count_unavailable()),
            }
        }
        events.reverse();
        Ok(events)
    }

    /// The keys of stored leaves behind this one, in order.
    pub(crate) fn keys_after(&mut self, after: Option<&LeafKey>, at_most: usize) -> Vec<LeafKey> {
        let read = self.store.keys_after(after, at_most);
        self.noted(read).unwrap_or_default()
    }

    /// The leaves that the stored index names, earliest first.
    pub(crate) fn due_until(&mut self, until_ms: u64, at_most: usize) -> Vec<(u64, LeafKey)> {
        let read = self.store.due_until(until_ms, at_most);
        self.noted(read).unwrap_or_default()
    }

    /// Whether storage has failed since the batch began.
    pub(crate) fn check(&mut self) -> Result<(), StorageError> {
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Seals and writes a batch. Returns when it is on the disk.
    pub(crate) fn commit(&mut self, draft: &Draft) -> Result<Durable, StorageError> {
        for (key, state) in &draft.leaves {
            self.write_leaf(key, state.as_ref())?;
        }
        for (key, events) in &draft.events {
            self.write_events(key, events)?;
        }
        for (key, due_ms) in &draft.due {
            self.write_due(key, *due_ms)?;
        }
        let durable = self.store.commit()?;
        self.opened.clear();
        Ok(durable)
    }

    /// What storage does between batches.
    pub(crate) fn maintain(&self) -> Result<(), StorageError> {
        self.store.keep_log_short()
    }

    /// An orderly end.
    pub(crate) fn close(self) -> Result<(), StorageError> {
        self.store.close()
    }

    fn load(&mut self, key: &LeafKey) -> Result<Option<Plaintext>, LeafUnavailable> {
        let read = self.store.leaf(key);
        match self.noted(read)? {
            None => Ok(None),
            Some(sealed) => match self.sealer.open(Place::Leaf(*key), &sealed) {
                Ok(state) => Ok(Some(state)),
                Err(LeafUnavailable) => Err(self.count_unavailable()),
            },
        }
    }

    fn write_leaf(&mut self, key: &LeafKey, state: Option<&Plaintext>) -> Result<(), StorageError> {
        let stored = self
            .leaf(key)
            .map(|state| state.is_some())
            .map_err(|unavailable| StorageError::new("writing a leaf", unavailable))?;
        match (stored, state) {
            (false, None) => Ok(()),
            (true, None) => self.store.delete_leaf(key),
            (stored, Some(state)) => {
                let sealed = self.sealer.seal(Place::Leaf(*key), state)?;
                if stored {
                    self.store.update_leaf(key, &sealed)
                } else {
                    self.store.insert_leaf(key, &sealed)
                }
            }
        }
    }

    fn write_events(&self, key: &LeafKey, events: &[Plaintext]) -> Result<(), StorageError> {
        let last = self.store.last_sequence(key)?;
        for (sequence, event) in (last + 1..).zip(events) {
            let sealed = self.sealer.seal(Place::Event(*key, sequence), event)?;
            self.store.insert_event(key, sequence, &sealed)?;
            if let Some(old @ 1..) = sequence.checked_sub(KEPT_EVENTS) {
                self.store.delete_event(key, old)?;
            }
        }
        Ok(())
    }

    fn write_due(&self, key: &LeafKey, due_ms: Option<u64>) -> Result<(), StorageError> {
        match (self.store.due_of(key)?, due_ms) {
            (None, None) => Ok(()),
            (Some(stored), Some(wanted)) if stored == wanted => Ok(()),
            (None, Some(wanted)) => self.store.insert_due(key, wanted),
            (Some(_), Some(wanted)) => self.store.update_due(key, wanted),
            (Some(_), None) => self.store.delete_due(key),
        }
    }

    fn noted<T>(&mut self, read: Result<T, StorageError>) -> Result<T, LeafUnavailable> {
        read.map_err(|error| {
            self.failure.get_or_insert(error);
            LeafUnavailable
        })
    }

    /// Logged once, without the key; the number is there for whoever watches.
    fn count_unavailable(&self) -> LeafUnavailable {
        if self.unavailable.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::error!(
                "a leaf cannot be opened: the database was altered or is damaged; \
                 its account is unavailable (further ones are only counted)"
            );
        }
        LeafUnavailable
    }
}

#[cfg(test)]
impl Leaves {
    pub(crate) fn refuse_growth(&self) {
        self.store.refuse_growth();
    }

    pub(crate) fn lose_events(&self) {
        self.store.spoil("DROP TABLE event");
    }

    pub(crate) fn ignore_updates(&self) {
        self.store.allow_triggers();
        self.store
            .spoil("CREATE TRIGGER ignore BEFORE UPDATE ON leaf BEGIN SELECT RAISE(IGNORE); END");
    }
}
