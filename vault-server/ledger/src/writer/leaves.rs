//! Leaves, events, and due times as plaintext, over the key tree and the tables beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::draft::Draft;
use crate::anchor::Locator;
use crate::engine::commit::{Durable, Engine};
use crate::engine::verify::{self, Verification};
use crate::error::{LeafUnavailable, StorageError};
use crate::key::LeafKey;
use crate::leaf::events::Events;
use crate::leaf::record::{LastEvent, LeafRecord, Plaintext};
use crate::tree::{Change, ReadError};

/// How many rows of the due index are read together.
const DUE_PAGE: usize = 256;
/// How many wrong rows of the due index one change removes.
const REMOVED_TOGETHER: usize = 1024;

/// The stored state of a vault, for one batch at a time.
pub(crate) struct Leaves {
    pub(crate) engine: Engine,
    /// The leaves that this batch has read: each is opened once a batch.
    opened: BTreeMap<LeafKey, Result<LeafRecord, LeafUnavailable>>,
    /// A change cannot be told of a storage error, so that it cannot pass it over: the first one
    /// waits here for the writer.
    failure: Option<StorageError>,
    /// Rows of the due index that no leaf confirms. The commit removes them.
    wrong_due: Vec<(u64, LeafKey)>,
    unavailable: Arc<AtomicU64>,
    /// After how many batches in a row a file was not found at its path.
    batches_without: u64,
}

impl Leaves {
    /// `unavailable` counts the reads of leaves that did not open.
    pub(crate) fn new(engine: Engine, unavailable: Arc<AtomicU64>) -> Leaves {
        Leaves {
            engine,
            opened: BTreeMap::new(),
            failure: None,
            wrong_due: Vec::new(),
            unavailable,
            batches_without: 0,
        }
    }

    /// Begins a batch. Its transaction begins when it is committed: in one in which a read has met a
    /// damaged page, nothing more can be written. No other process changes the rows meanwhile.
    pub(crate) fn begin(&mut self) {
        self.opened.clear();
        self.wrong_due.clear();
    }

    /// The stored state of a leaf, `None` if there is none.
    pub(super) fn leaf(&mut self, key: &LeafKey) -> Result<Option<&Plaintext>, LeafUnavailable> {
        Ok(self.record(key)?.state.as_ref())
    }

    /// The last stored events of a leaf, oldest first.
    pub(super) fn events(
        &mut self,
        key: &LeafKey,
        last: usize,
    ) -> Result<Vec<Plaintext>, LeafUnavailable> {
        let Some(end) = self.record(key)?.last_event.as_ref().map(LastEvent::copy) else {
            return Ok(Vec::new());
        };
        let events = Events::of(&self.engine.store, &self.engine.vault_id, key);
        let read = events.last(&end, last);
        read.map_err(|error| self.unavailable(error))
    }

    /// The keys of stored leaves with a state behind this one, in order.
    pub(super) fn keys_after(&mut self, after: Option<&LeafKey>, at_most: usize) -> Vec<LeafKey> {
        let found = verify::keys_after(&self.engine, after, at_most);
        found.unwrap_or_else(|error| {
            self.note(error);
            Vec::new()
        })
    }

    /// The leaves behind this one that are due until then, with their times, earliest first.
    ///
    /// The index is a hint, and an attacker who can write the file can write it. A row that its leaf does
    /// not confirm is left out and removed, a limited number a batch, so that changes do not wait long.
    pub(super) fn due_after(
        &mut self,
        after: Option<(u64, LeafKey)>,
        until_ms: u64,
        at_most: usize,
    ) -> Vec<(u64, LeafKey)> {
        let (mut due, mut last, mut removed) = (Vec::new(), after, 0);
        while due.len() < at_most && removed < REMOVED_TOGETHER {
            let page = (at_most - due.len()).min(DUE_PAGE);
            let rows = match self.engine.store.due_after(last, until_ms, page) {
                Ok(rows) => rows,
                Err(error) => {
                    self.note(error);
                    return Vec::new();
                }
            };
            for row in &rows {
                // In a database that was tampered with, nothing says that rows are in order.
                if last.is_some_and(|last| *row <= last) {
                    return due;
                }
                last = Some(*row);
                if self.is_due_at(&row.1, row.0) {
                    due.push(*row);
                    continue;
                }
                // A leaf that could not be read may well be due.
                if self.failure.is_some() {
                    return Vec::new();
                }
                self.wrong_due.push(*row);
                removed += 1;
            }
            if rows.len() < page {
                break;
            }
        }
        due
    }

    /// Walks through everything that is stored.
    pub(super) fn verify(&mut self) -> Result<Verification, LeafUnavailable> {
        verify::verify(&self.engine).map_err(|error| self.note(error))
    }

    /// Whether storage has failed since the batch began.
    pub(crate) fn check(&mut self) -> Result<(), StorageError> {
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Seals and writes a batch. Returns when it is on the disk, and its predecessor gone.
    pub(crate) fn commit(&mut self, draft: Draft) -> Result<Durable, StorageError> {
        let keys = draft.keys();
        let outdated = self.read_for(&draft, &keys)?;
        self.engine.store.begin()?;
        for (due_ms, key) in mem::take(&mut self.wrong_due) {
            self.engine.store.remove_due(&key, due_ms)?;
        }
        for event in outdated {
            self.engine.store.remove_event(event)?;
        }
        let changes = self.changes(draft, keys)?;
        let durable = self.engine.commit(changes)?;
        self.opened.clear();
        Ok(durable)
    }

    /// The store's work between batches.
    pub(crate) fn maintain(&mut self) -> Result<(), StorageError> {
        self.report_lost_files();
        self.engine.store.maintain()
    }

    /// Where an anchor or the database should be and is not. Only the open file is left of it, and that
    /// ends with this process. So the vault goes on, and the operator has to save it.
    pub(crate) fn lost_paths(&self) -> Vec<PathBuf> {
        let store = self.engine.store.lost_path().map(ToOwned::to_owned);
        let anchors = self.engine.anchors.lost().map(Locator::shown);
        store.into_iter().chain(anchors).collect()
    }

    /// Ever more rarely, as with unavailable leaves.
    fn report_lost_files(&mut self) {
        let batches = self.batches_without + 1;
        let lost = self.lost_paths();
        for path in lost.iter().filter(|_| batches.is_power_of_two()) {
            let pid = std::process::id();
            tracing::error!(
                ?path,
                "this file is open and was removed, moved or replaced; all that is written to it is lost \
                 when the vault stops. Save it, as root: `kill -STOP {pid}`, find it with `ls -l /proc/{pid}/fd`, \
                 copy /proc/{pid}/fd/NUMBER to its path (mode 0600, owner as before), `kill -KILL {pid}`, start the vault \
                 again"
            );
        }
        self.batches_without = if lost.is_empty() { 0 } else { batches };
    }

    /// An orderly end.
    pub(crate) fn close(self) -> Result<(), StorageError> {
        self.engine.store.close()
    }

    /// A leaf's record; an empty one if there is none.
    fn record(&mut self, key: &LeafKey) -> Result<&LeafRecord, LeafUnavailable> {
        if !self.opened.contains_key(key) {
            let loaded = self.load(key);
            self.opened.insert(*key, loaded);
        }
        self.opened[key]
            .as_ref()
            .map_err(|unavailable| *unavailable)
    }

    fn load(&mut self, key: &LeafKey) -> Result<LeafRecord, LeafUnavailable> {
        let found = match self.engine.tree.get(&self.engine.store, key) {
            Ok(None) => return Ok(LeafRecord::default()),
            Ok(Some(value)) => LeafRecord::decode(value).map_err(|_| ReadError::Unreadable),
            Err(error) => Err(error),
        };
        found.map_err(|error| self.unavailable(error))
    }

    /// Without keeping the record: there may be many.
    fn is_due_at(&mut self, key: &LeafKey, due_ms: u64) -> bool {
        let is_due_at = |record: &LeafRecord| record.due_ms == Some(due_ms);
        match self.opened.get(key) {
            Some(record) => record.as_ref().is_ok_and(is_due_at),
            None => self.load(key).is_ok_and(|record| is_due_at(&record)),
        }
    }

    /// Reads what the changes need and no change has read yet. Returns the events that give way.
    fn read_for(
        &mut self,
        draft: &Draft,
        keys: &BTreeSet<LeafKey>,
    ) -> Result<Vec<i64>, StorageError> {
        let mut outdated = Vec::new();
        for key in keys {
            // One that does not open has no events that could be found.
            let _ = self.record(key);
            self.check()?;
            let more = draft.events_of(key).len() as u64;
            if more > 0
                && let Ok(LeafRecord {
                    last_event: Some(last),
                    ..
                }) = &self.opened[key]
            {
                let events = Events::of(&self.engine.store, &self.engine.vault_id, key);
                outdated.extend(events.outdated(last, more)?);
            }
        }
        Ok(outdated)
    }

    /// The draft as changes of the tree, in the order of keys. Events and due times are written.
    fn changes(
        &mut self,
        mut draft: Draft,
        keys: BTreeSet<LeafKey>,
    ) -> Result<Vec<Change>, StorageError> {
        let mut changes = Vec::with_capacity(keys.len());
        for key in keys {
            if let Some(record) = self.changed(&key, &mut draft)? {
                changes.push(Change {
                    key,
                    value: record.encode(),
                });
            }
        }
        Ok(changes)
    }

    /// A leaf's new record, or `None` if nothing in it changes.
    fn changed(
        &mut self,
        key: &LeafKey,
        draft: &mut Draft,
    ) -> Result<Option<LeafRecord>, StorageError> {
        let (state, events) = (draft.leaves.remove(key), draft.events.remove(key));
        let mut is_changed = state.is_some() || events.is_some();
        let mut record = match self.opened.remove(key) {
            Some(Ok(record)) => record,
            // Its due time is all that a draft may hold of it, and that decides nothing.
            _ if !is_changed => return Ok(None),
            _ => return Err(StorageError::new("writing a leaf", LeafUnavailable)),
        };
        if let Some(state) = state {
            record.state = state;
        }
        for event in events.unwrap_or_default() {
            let last = record.last_event.take();
            let events = Events::of(&self.engine.store, &self.engine.vault_id, key);
            record.last_event = Some(events.append(&mut self.engine.keys, last, &event)?);
        }
        if let Some(due_ms) = draft.due.remove(key) {
            is_changed |= self.reschedule(key, &mut record, due_ms)?;
        }
        Ok(is_changed.then_some(record))
    }

    /// Whether that made a difference.
    fn reschedule(
        &self,
        key: &LeafKey,
        record: &mut LeafRecord,
        due_ms: Option<u64>,
    ) -> Result<bool, StorageError> {
        // The store's integers are signed; a time beyond them is as good as never.
        let due_ms = due_ms.map(|due_ms| due_ms.min(i64::MAX.unsigned_abs()));
        if let Some(due_ms) = due_ms {
            // Also if it should be there: an attacker may have removed it.
            self.engine.store.put_due(key, due_ms)?;
        }
        if record.due_ms == due_ms {
            return Ok(false);
        }
        if let Some(former) = record.due_ms {
            self.engine.store.remove_due(key, former)?;
        }
        record.due_ms = due_ms;
        Ok(true)
    }

    fn unavailable(&mut self, error: ReadError) -> LeafUnavailable {
        match error {
            ReadError::Storage(error) => self.note(error),
            ReadError::Missing | ReadError::Unreadable => self.count_unavailable(),
        }
    }

    fn note(&mut self, error: StorageError) -> LeafUnavailable {
        self.failure.get_or_insert(error);
        LeafUnavailable
    }

    /// Logged without the key, and ever more rarely: the log must not fill the disk.
    fn count_unavailable(&self) -> LeafUnavailable {
        let reads = self.unavailable.fetch_add(1, Ordering::Relaxed) + 1;
        if reads.is_power_of_two() {
            tracing::error!(
                reads,
                "a leaf cannot be opened: the database was altered or is damaged; \
                 its account is unavailable"
            );
        }
        LeafUnavailable
    }
}
