//! What a leaf is to its user: a state, events, and a due time, as bytes.

pub(crate) mod events;
pub(crate) mod record;
