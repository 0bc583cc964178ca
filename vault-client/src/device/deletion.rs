//! A deletion of the key's record, from before it is sent until it is answered.

use super::error::DeviceError;
use super::place::Place;
use super::state::{Before, DeviceState, Record};
use super::unstored::Unstored;
use crate::error::{Error, Outcome};

/// A deletion that may be sent. Dropped, it stays pending.
pub struct SentDeletion {
    place: Place,
    before: Before,
}

/// The result of a deletion. No record of the device's key is there in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// The record is gone.
    Record,
    /// The account has none.
    Nothing,
    /// The account's record belongs to another key, which was registered since, and was left alone.
    OfAnotherKey,
}

impl DeviceState {
    /// Begins the deletion of the key's record at `place`: the device's own place, also where no record
    /// is known (another device may have registered the same key), or one of [`Self::elsewhere`].
    pub fn begin_deletion(&mut self, place: &Place) -> Result<Unstored<SentDeletion>, DeviceError> {
        if self.key.is_none() {
            return Err(DeviceError::NoKey);
        }
        let before = Before {
            key: None,
            known: self.known.clone(),
        };
        if self.known.is_at(place) {
            let former = self.known.record.former();
            self.known.record = Record::Deleting { former };
        } else if !self.known.elsewhere.iter().any(|at| at.is_same(place)) {
            return Err(DeviceError::NoRecord);
        }
        let place = place.clone();
        Ok(Unstored::new(SentDeletion { place, before }))
    }

    /// Takes over how a deletion ended. Where the vault names another key's record, there is none of
    /// this key. Where nothing was changed, everything is as before. Where the outcome is unknown, or
    /// the record is a newer one by now, the deletion stays pending.
    pub fn deletion_ended(
        &mut self,
        sent: SentDeletion,
        result: Result<(), Error>,
    ) -> Result<Deleted, Error> {
        let deleted = match result {
            Ok(()) => Deleted::Record,
            Err(Error::NotRegistered) => Deleted::Nothing,
            Err(Error::NotThisKey) => Deleted::OfAnotherKey,
            Err(error) => {
                let is_newer = matches!(error, Error::TicketExpired);
                if error.outcome() == Outcome::Unchanged && !is_newer {
                    self.undo(sent.before);
                }
                return Err(error);
            }
        };
        if self.known.is_at(&sent.place) {
            self.known.record = Record::None;
        }
        self.known.remove_elsewhere(&sent.place);
        Ok(deleted)
    }
}

impl From<SentDeletion> for Before {
    fn from(sent: SentDeletion) -> Self {
        sent.before
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{key, place, reference, unknown, unreachable};
    use super::*;

    fn registered() -> (Place, DeviceState) {
        let at = place("alice", &[1]);
        let registered = Some((at.clone(), reference(&at, 1)));
        let state = DeviceState::adopt(key(1), true, registered, vec![]);
        (at, state)
    }

    fn ended(state: &mut DeviceState, at: &Place, result: Result<(), Error>) -> Option<Deleted> {
        let sent = state.begin_deletion(at).unwrap().stored();
        assert!(matches!(state.record(), Record::Deleting { .. }));
        state.deletion_ended(sent, result).ok()
    }

    // Fails if `deletion_ended` takes `NotThisKey` for a failure (no user could go on from there), or for
    // `NotRegistered` (the user would not hear of the record that stays).
    #[test]
    fn a_vault_that_says_whose_record_there_is_has_said_enough() {
        for (result, deleted) in [
            (Ok(()), Deleted::Record),
            (Err(Error::NotRegistered), Deleted::Nothing),
            (Err(Error::NotThisKey), Deleted::OfAnotherKey),
        ] {
            let (at, mut state) = registered();
            assert_eq!(ended(&mut state, &at, result), Some(deleted));
            assert!(!state.may_be_registered());
            assert!(state.key().is_some() && state.is_used());
        }
    }

    // Fails if `deletion_ended` undoes a deletion that may have been made, or leaves one pending that was
    // not sent.
    #[test]
    fn a_deletion_without_an_answer_is_pending_and_one_that_was_not_sent_is_not() {
        for error in [unknown(), Error::Overloaded, Error::TicketExpired] {
            let (at, mut state) = registered();
            assert_eq!(ended(&mut state, &at, Err(error)), None);
            let former = Some(reference(&at, 1));
            assert_eq!(state.record(), &Record::Deleting { former });
            assert_eq!(ended(&mut state, &at, Ok(())), Some(Deleted::Record));
        }
        let (at, mut state) = registered();
        assert_eq!(ended(&mut state, &at, Err(unreachable())), None);
        assert_eq!(state.record(), &Record::Registered(reference(&at, 1)));
    }

    // Fails if `begin_deletion` asks for a record that is known.
    #[test]
    fn the_place_is_asked_although_no_record_is_known() {
        let at = place("alice", &[1]);
        let mut state = DeviceState::adopt(key(1), true, None, vec![]);
        state.use_place(at.clone()).unwrap();
        let result = Err(Error::NotRegistered);
        assert_eq!(ended(&mut state, &at, result), Some(Deleted::Nothing));
    }
}
