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

#[cfg(test)]
mod tests {
    use super::super::tests::{key, place, reference};
    use super::*;

    // Fails if `makes_room_at` looks at no places: a record at the other one would be forgotten.
    #[test]
    fn a_key_that_may_be_registered_elsewhere_stays_on_the_device() {
        let [alice, bob] = ["alice", "bob"].map(|account| place(account, &[1]));
        let held = |places: &[&Place]| {
            let places = places.iter().copied().cloned().collect();
            DeviceState::adopt(key(1), false, None, places)
        };
        let retrieve = |mut state: DeviceState, number| {
            let at = reference(&alice, 1);
            let kept = state.keep_retrieved(key(number), alice.clone(), at);
            (kept, state)
        };
        for room in [DeviceState::new(), held(&[]), held(&[&alice])] {
            let (kept, state) = retrieve(room, 2);
            assert_eq!(kept, Kept::Held);
            assert!(state.key().unwrap().is_same(&key(2)) && state.is_used());
            assert_eq!(state.record(), &Record::Registered(reference(&alice, 1)));
            assert_eq!(state.elsewhere(), []);
        }
        let used = DeviceState::adopt(key(1), true, None, vec![]);
        for full in [held(&[&alice, &bob]), held(&[&bob]), used] {
            let (kept, state) = retrieve(full, 2);
            assert_eq!(kept, Kept::OtherKey);
            assert!(state.key().unwrap().is_same(&key(1)));
        }
    }

    // Fails if a second place takes that of the first, or is forgotten.
    #[test]
    fn the_same_key_from_a_second_place_makes_that_place_known() {
        let [alice, bob] = ["alice", "bob"].map(|account| place(account, &[1]));
        let mut state = DeviceState::adopt(key(1), false, None, vec![bob.clone()]);
        let kept = state.keep_retrieved(key(1), alice.clone(), reference(&alice, 1));
        assert_eq!((kept, state.is_used()), (Kept::Held, true));
        assert_eq!(state.place(), Some(&bob));
        assert_eq!(state.elsewhere(), std::slice::from_ref(&alice));
        let kept = state.keep_retrieved(key(1), bob.clone(), reference(&bob, 4));
        assert_eq!(kept, Kept::Held);
        assert_eq!(state.record(), &Record::Registered(reference(&bob, 4)));
    }
}
