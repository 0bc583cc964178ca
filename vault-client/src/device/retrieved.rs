//! A key that the vault gave back.

use vault_protocol::BackupKey;

use super::place::Place;
use super::state::{DeviceState, Record};
use crate::protection::RegistrationRef;

/// Whether a retrieved key is the device's from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Yes.
    Held,
    /// No: the device holds another one, which is used or may be registered.
    OtherKey,
}

impl DeviceState {
    /// Takes over a key that was retrieved from `place`, where it is registered as `reference`.
    pub fn keep_retrieved(
        &mut self,
        key: BackupKey,
        place: Place,
        reference: RegistrationRef,
    ) -> Kept {
        let is_held = self.key.as_ref().is_some_and(|held| held.is_same(&key));
        if is_held && self.check_place(&place).is_err() {
            self.known.is_used = true;
            // The device's place stays the one where its own record is.
            self.known.add_elsewhere(place);
            return Kept::Held;
        }
        if !is_held && !self.makes_room_at(&place) {
            return Kept::OtherKey;
        }
        self.hold(key);
        self.known.is_used = true;
        self.known.remove_elsewhere(&place);
        self.known.set_place(place);
        self.known.record = Record::Registered(reference);
        Kept::Held
    }

    /// Whether the held key makes room for one that is registered at `place`: it is not used, and
    /// nowhere else may there be a record of it.
    fn makes_room_at(&self, place: &Place) -> bool {
        let mut others = self.known.elsewhere.iter().filter(|at| !at.is_same(place));
        let is_free = !self.known.is_used && others.next().is_none();
        self.key.is_none() || (is_free && self.check_place(place).is_ok())
    }
}
