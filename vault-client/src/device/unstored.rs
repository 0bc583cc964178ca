//! Storing before sending, as a type.

use super::state::{Before, DeviceState};

/// A change that has begun in memory and must not be sent yet.
#[must_use = "store the state, say that it is stored, and only then send"]
pub struct Unstored<T>(T);

impl<T> Unstored<T> {
    pub(super) fn new(change: T) -> Self {
        Self(change)
    }

    /// The state is stored, so that it is there after a crash: the change may be sent.
    pub fn stored(self) -> T {
        self.0
    }
}

impl<T: Into<Before>> Unstored<T> {
    /// The state could not be stored, and nothing is sent: everything is as before.
    pub fn take_back(self, state: &mut DeviceState) {
        state.undo(self.0.into());
    }

    /// Stores the state. If that fails, the change is taken back.
    pub fn store_with<E>(
        self,
        state: &mut DeviceState,
        store: impl FnOnce(&DeviceState) -> Result<(), E>,
    ) -> Result<T, E> {
        match store(state) {
            Ok(()) => Ok(self.stored()),
            Err(error) => {
                self.take_back(state);
                Err(error)
            }
        }
    }
}
