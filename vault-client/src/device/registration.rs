//! A registration of the key, from before it is sent until it is answered.

use vault_protocol::BackupKey;

use super::error::DeviceError;
use super::place::Place;
use super::state::{Before, DeviceState, Record};
use super::unstored::Unstored;
use crate::error::{Error, Outcome};
use crate::flows::Registered;

/// A registration that may be sent. Dropped, it stays pending.
pub struct SentRegistration(Before);

impl DeviceState {
    /// Begins a registration of `key` at `place`, new or in place of a record of the same key. The key
    /// and the place are in the state from here on.
    ///
    /// # Errors
    ///
    /// [`DeviceError::OtherKey`] where another key is held that cannot make room,
    /// [`DeviceError::RecordElsewhere`] where a record is at another place, or may be.
    pub fn begin_registration(
        &mut self,
        key: BackupKey,
        place: Place,
    ) -> Result<Unstored<SentRegistration>, DeviceError> {
        self.check_key(&key)?;
        self.check_place(&place)?;
        let known = self.known.clone();
        let former = known.record.former();
        let before = Before {
            key: self.hold(key),
            known,
        };
        self.known.remove_elsewhere(&place);
        self.known.set_place(place);
        self.known.record = Record::Registering { former };
        Ok(Unstored::new(SentRegistration(before)))
    }

    /// Takes over how a registration ended. Where nothing was changed, everything is as before. That
    /// includes an earlier change that was pending: this answer says nothing of it. Where the outcome
    /// is unknown, the registration stays pending.
    pub fn registration_ended(
        &mut self,
        sent: SentRegistration,
        result: &Result<Registered, Error>,
    ) {
        match result.as_ref().map_err(Error::outcome) {
            Ok(registered) => {
                self.known.record = Record::Registered(registered.registration.clone());
                self.known.is_used = true;
            }
            Err(Outcome::Unchanged) => self.undo(sent.0),
            Err(Outcome::Unknown) => {}
        }
    }
}

impl From<SentRegistration> for Before {
    fn from(sent: SentRegistration) -> Self {
        sent.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{key, memory, place, reference, registered, unknown, unreachable};
    use super::*;

    fn begin(state: &mut DeviceState, number: u8, at: &Place) -> SentRegistration {
        let unstored = state.begin_registration(key(number), at.clone());
        unstored.unwrap().stored()
    }

    fn refusals() -> [Error; 4] {
        [
            unreachable(),
            Error::NotThisKey,
            Error::TicketExpired,
            Error::AlreadyRegistered { generation: 1 },
        ]
    }

    // Fails if `begin_registration` marks nothing, or not a key of digits alone. Fails if
    // `registration_ended` leaves the mark, or takes away that of an earlier run.
    #[test]
    fn every_key_remembers_where_a_registration_was_sent() {
        let [alice, bob] = ["alice", "bob"].map(|account| place(account, &[1]));
        for is_used in [false, true] {
            for error in refusals() {
                let mut state = DeviceState::adopt(key(1), is_used, None, vec![]);
                state.use_place(alice.clone()).unwrap();
                let sent = begin(&mut state, 1, &bob);
                assert_eq!(state.place(), Some(&bob));
                assert_eq!(state.record(), &Record::Registering { former: None });
                state.registration_ended(sent, &Err(error));
                assert_eq!(state.place(), Some(&alice));
                assert_eq!(state.record(), &Record::None);
                assert_eq!(state.is_used(), is_used);

                let sent = begin(&mut state, 1, &bob);
                state.registration_ended(sent, &Err(unknown()));
                let sent = begin(&mut state, 1, &bob);
                state.registration_ended(sent, &Err(Error::TicketExpired));
                assert_eq!(state.record(), &Record::Registering { former: None });
                assert_eq!(state.place(), Some(&bob));
                assert!(state.begin_registration(key(1), alice.clone()).is_err());
            }
        }
    }

    #[test]
    fn an_answered_registration_is_the_one_that_counts() {
        let at = place("alice", &[1]);
        let mut state = DeviceState::new();
        drop(begin(&mut state, 1, &at));
        let sent = begin(&mut state, 1, &at);
        state.registration_ended(sent, &Ok(registered(&at, 1)));
        assert_eq!(state.record(), &Record::Registered(reference(&at, 1)));
        assert!(state.is_used());
        let former = Some(reference(&at, 1));
        let sent = begin(&mut state, 1, &at);
        assert_eq!(state.record(), &Record::Registering { former });
        state.registration_ended(sent, &Err(Error::NotThisKey));
        assert_eq!(state.record(), &Record::Registered(reference(&at, 1)));
    }

    // Fails if `undo` keeps the new key, or brings no other back.
    #[test]
    fn a_key_that_was_never_protected_makes_room_and_comes_back_after_a_failure() {
        let at = place("alice", &[1]);
        for held in [None, Some(1)] {
            let mut state = match held {
                Some(held) => DeviceState::adopt(key(held), false, None, vec![]),
                None => DeviceState::new(),
            };
            let is_as_before = |state: &DeviceState| match (state.key(), held) {
                (Some(now), Some(before)) => now.is_same(&key(before)),
                (now, before) => now.is_none() && before.is_none(),
            };
            let unstored = state.begin_registration(key(2), at.clone()).unwrap();
            assert!(state.key().unwrap().is_same(&key(2)));
            let failed = unstored.store_with(&mut state, |_| Err("the disk is full"));
            assert!(failed.is_err() && is_as_before(&state));
            let sent = begin(&mut state, 2, &at);
            state.registration_ended(sent, &Err(Error::NotThisKey));
            assert!(is_as_before(&state) && !state.may_be_registered());
        }
    }

    // Fails if `undo` takes back a newer statement.
    #[test]
    fn what_was_learnt_of_the_vault_survives_a_failure() {
        let [mut alice, bob] = ["alice", "bob"].map(|account| place(account, &[1]));
        alice.memory = memory("v", 1);
        for former in [Some(alice), None] {
            let mut other = bob.clone();
            let mut state = DeviceState::new();
            if let Some(former) = former {
                state.use_place(former).unwrap();
            }
            let sent = begin(&mut state, 1, &other);
            other.memory = memory("v", 2);
            assert!(state.learn(&other));
            state.registration_ended(sent, &Err(unreachable()));
            assert!(state.key().is_none());
            assert_eq!(state.place().unwrap().memory, other.memory);
        }
    }

    // Fails if `begin_registration` leaves the place in `elsewhere`, or `undo` does not put it back.
    #[test]
    fn a_place_that_was_left_behind_can_be_gone_back_to() {
        let at = place("alice", &[1]);
        let mut state = DeviceState::adopt(key(1), true, None, vec![at.clone()]);
        state.leave_record().unwrap();
        let sent = begin(&mut state, 1, &at);
        assert_eq!(state.elsewhere(), []);
        state.registration_ended(sent, &Err(unreachable()));
        assert_eq!(state.elsewhere(), std::slice::from_ref(&at));
        let sent = begin(&mut state, 1, &at);
        state.registration_ended(sent, &Ok(registered(&at, 2)));
        assert_eq!(state.elsewhere(), []);
    }
}
