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

    /// Takes over how a registration ended. Where nothing was changed, everything is as before: also
    /// what was pending before, of which this answer says nothing. Where it is not known, the
    /// registration stays pending.
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
