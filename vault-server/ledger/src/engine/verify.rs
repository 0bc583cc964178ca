//! Looking through everything that is stored, page by page or as a whole.

use std::ops::ControlFlow;

use crate::engine::commit::Engine;
use crate::error::StorageError;
use crate::key::LeafKey;
use crate::leaf::events::Events;
use crate::leaf::record::LeafRecord;
use crate::tree::if_readable;
use crate::tree::walk::Found;

/// The result of opening everything that is stored. Numbers only: it holds no keys and no content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verification {
    /// Leaves that can be opened.
    pub leaves: u64,
    /// Nodes of the key tree that can be opened.
    pub nodes: u64,
    /// Nodes that are not there: which leaves were below them is unknown.
    pub missing: u64,
    /// Nodes and leaves that are there and do not open: altered, moved, or older ones.
    pub unreadable: u64,
    /// Rows that belong to no node. They are never read.
    pub stray: u64,
    /// Leaves with an event that is missing or does not open.
    pub broken_events: u64,
    /// Leaves whose due time is not in the index: a sweep does not find them. The next change of one
    /// puts it there again.
    pub unscheduled: u64,
    /// Whether the store finds damaged pages. The leaves on them are counted above; a write near one
    /// stops the vault.
    pub damaged: bool,
}

impl Verification {
    /// Whether everything that is stored can be read, and nothing else is there.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let Verification { leaves, nodes, .. } = *self;
        let clean = Verification {
            leaves,
            nodes,
            ..Verification::default()
        };
        *self == clean
    }
}

/// The keys of leaves with a state behind this one, in order. Those below a node that cannot be
/// opened are unknown.
pub(crate) fn keys_after(
    engine: &Engine,
    after: Option<&LeafKey>,
    at_most: usize,
) -> Result<Vec<LeafKey>, StorageError> {
    let mut keys = Vec::new();
    let mut visit = |found: Found<'_>| {
        if keys.len() >= at_most {
            return Ok(ControlFlow::Break(()));
        }
        if let Found::Leaf(key, value) = found
            && LeafRecord::decode(value).is_ok_and(|record| record.state.is_some())
        {
            keys.push(*key);
        }
        Ok(ControlFlow::Continue(()))
    };
    engine.tree.walk(&engine.store, after, &mut visit)?;
    Ok(keys)
}

/// Opens everything.
pub(crate) fn verify(engine: &Engine) -> Result<Verification, StorageError> {
    let mut found = Verification::default();
    let mut unreadable_rows = 0;
    let mut visit = |met: Found<'_>| {
        match met {
            Found::Node(_) => found.nodes += 1,
            Found::Missing => found.missing += 1,
            Found::Unreadable => unreadable_rows += 1,
            Found::Leaf(key, value) => look_at(engine, key, value, &mut found)?,
        }
        Ok(ControlFlow::Continue(()))
    };
    engine.tree.walk(&engine.store, None, &mut visit)?;
    found.damaged = engine.store.is_damaged()?;
    // The rows on damaged pages cannot be counted.
    if !found.damaged {
        let rows = engine.store.count_rows()?;
        found.stray = rows.saturating_sub(found.nodes + unreadable_rows);
    }
    found.unreadable += unreadable_rows;
    Ok(found)
}

fn look_at(
    engine: &Engine,
    key: &LeafKey,
    value: &[u8],
    found: &mut Verification,
) -> Result<(), StorageError> {
    let Ok(record) = LeafRecord::decode(value) else {
        found.unreadable += 1;
        return Ok(());
    };
    found.leaves += 1;
    if let Some(due_ms) = record.due_ms
        && !engine.store.has_due(key, due_ms)?
    {
        found.unscheduled += 1;
    }
    let events = Events::of(&engine.store, &engine.vault_id, key);
    if let Some(last) = &record.last_event
        && if_readable(events.last(last, usize::MAX))?.is_none()
    {
        found.broken_events += 1;
    }
    Ok(())
}
