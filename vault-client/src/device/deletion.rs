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

/// What became of a deletion. Of the device's key there is no record there in any case.
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

    /// Takes over how a deletion ended. A vault that says whose record there is has said enough: there
    /// is none of this key. Where nothing was changed, everything is as before; where it is not known,
    /// or the record is a newer one by now, the deletion stays pending.
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
