//! The proof that a change is durable, in a file of its own: only a function in this file can make one.

use std::fmt;
use std::ops::Deref;

use crate::engine::commit::Durable;

/// The result of a change that is on the disk.
///
/// Only the writer makes one, and only from the proof that a commit returned. A function that takes a
/// `Committed<T>` can therefore not run before the change is durable. That keeps a charged guess ahead
/// of its evaluation (PROTOCOL.md section 7).
///
/// ```
/// fn evaluate(charged: vault_ledger::Committed<u8>) -> u8 {
///     charged.into_inner()
/// }
/// ```
///
/// No other code can make one:
///
/// ```compile_fail,E0423
/// fn evaluate(charged: vault_ledger::Committed<u8>) -> u8 {
///     charged.into_inner()
/// }
/// evaluate(vault_ledger::Committed(1));
/// ```
pub struct Committed<T>(T);

impl<T> Committed<T> {
    pub(super) fn new(value: T, _proof: &Durable) -> Committed<T> {
        Committed(value)
    }

    /// The result itself, without the proof that it is durable.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Committed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Committed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Committed(..)")
    }
}
