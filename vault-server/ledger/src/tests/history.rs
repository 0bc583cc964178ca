//! Every version of every row that a store held after a batch: all that any copy of the data folder, of
//! its WAL, or of its free pages could hold. Within a batch each row is written once: the rows of `tree/tests.rs`
//! fail at a second write.

use std::collections::HashMap;

use crate::store::Store;

/// The versions of each row by its number, oldest first.
#[derive(Default)]
pub(crate) struct History {
    pub(super) nodes: HashMap<i64, Vec<Vec<u8>>>,
    pub(super) events: HashMap<i64, Vec<Vec<u8>>>,
}

impl History {
    /// Takes up every row that is not as it was last time.
    pub(super) fn note(&mut self, store: &Store) {
        store.each_row("node", |row, sealed| note(&mut self.nodes, row, sealed));
        store.each_row("event", |row, sealed| note(&mut self.events, row, sealed));
    }
}

fn note(rows: &mut HashMap<i64, Vec<Vec<u8>>>, row: i64, sealed: &[u8]) {
    let versions = rows.entry(row).or_default();
    if versions.last().is_none_or(|last| last != sealed) {
        versions.push(sealed.to_vec());
    }
}
