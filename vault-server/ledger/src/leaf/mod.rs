//! A leaf as its user sees it: a state, events, and a due time, in bytes.

pub(crate) mod events;
pub(crate) mod record;
