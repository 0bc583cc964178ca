//! Every version of every row that the stores of this thread wrote, committed or not.
//!
//! The store notes each row here. So these are the rows that any copy of the
//! data folder, of its log, or of its free pages could ever hold.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::tree::Place;

thread_local! {
    static NOTED: RefCell<Option<History>> = const { RefCell::new(None) };
}

/// The versions of each row, oldest first.
#[derive(Default, Clone)]
pub(crate) struct History {
    pub(super) nodes: HashMap<Place, Vec<Vec<u8>>>,
    pub(super) events: HashMap<i64, Vec<Vec<u8>>>,
}

/// Begins to note what this thread writes; without this call nothing is noted.
pub(super) fn begin() {
    NOTED.set(Some(History::default()));
}

/// What was noted since [`begin`].
pub(super) fn so_far() -> History {
    NOTED.with_borrow(|noted| noted.clone().expect("noting was begun"))
}

pub(crate) fn note_node(place: Place, sealed: &[u8]) {
    note(|history| {
        history
            .nodes
            .entry(place)
            .or_default()
            .push(sealed.to_vec())
    });
}

pub(crate) fn note_event(row: i64, sealed: &[u8]) {
    note(|history| history.events.entry(row).or_default().push(sealed.to_vec()));
}

fn note(add: impl FnOnce(&mut History)) {
    NOTED.with_borrow_mut(|noted| noted.as_mut().map(add));
}
