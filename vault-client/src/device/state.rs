//! The state itself, and the changes in it that concern no vault.

use std::fmt;

use rand::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};
use vault_protocol::backup_key::BACKUP_KEY_LEN;
use vault_protocol::messages::Status;
use vault_protocol::{BackupKey, Policy};
use zeroize::Zeroizing;

use super::error::DeviceError;
use super::place::Place;
use crate::protection::{Protection, RegistrationRef};

/// A key, the places where a record of it is or may be, and the vaults' newest statements.
#[derive(Default)]
pub struct DeviceState {
    pub(super) key: Option<BackupKey>,
    pub(super) known: Known,
}

/// All but the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) is_used: bool,
    pub(super) place: Option<Place>,
    pub(super) record: Record,
    pub(super) elsewhere: Vec<Place>,
}

/// The key's record at the device's place, as far as the device knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Record {
    /// There is none, and no message on its way can make one.
    #[default]
    None,
    /// A registration may have been sent, and was not answered.
    Registering {
        /// The registration before that.
        former: Option<RegistrationRef>,
    },
    /// The vault has answered that it is registered.
    Registered(RegistrationRef),
    /// A deletion may have been sent, and was not answered.
    Deleting {
        /// The registration before that.
        former: Option<RegistrationRef>,
    },
}

/// The state before a change that may have to be taken back.
pub struct Before {
    /// The key that was held, if the change put another in its place.
    pub(super) key: Option<Option<BackupKey>>,
    pub(super) known: Known,
}

impl DeviceState {
    /// A device that has nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over the data of an app that did not have this type: a key, whether it is used, its
    /// registration, and all places where one may have been sent.
    pub fn adopt(
        key: BackupKey,
        is_used: bool,
        registered: Option<(Place, RegistrationRef)>,
        may_be_at: Vec<Place>,
    ) -> Self {
        let mut known = Known {
            is_used: is_used || registered.is_some(),
            ..Known::default()
        };
        let mut rest = may_be_at.into_iter();
        (known.place, known.record) = match registered {
            Some((place, reference)) => (Some(place), Record::Registered(reference)),
            None => match rest.next() {
                Some(place) => (Some(place), Record::Registering { former: None }),
                None => (None, Record::None),
            },
        };
        for place in rest {
            if !known.place.as_ref().is_some_and(|at| at.is_same(&place)) {
                known.add_elsewhere(place);
            }
        }
        Self {
            key: Some(key),
            known,
        }
    }

    /// The key that the device holds.
    pub fn key(&self) -> Option<&BackupKey> {
        self.key.as_ref()
    }

    /// The key alone, for a use of it that changes no state.
    pub fn into_key(self) -> Option<BackupKey> {
        self.key
    }

    /// Whether a backup may be encrypted with the key, or a person has its digits.
    pub fn is_used(&self) -> bool {
        self.known.is_used
    }

    /// The place that the device talks to. There may be one without a key.
    pub fn place(&self) -> Option<&Place> {
        self.known.place.as_ref()
    }

    /// The key's record at [`Self::place`].
    pub fn record(&self) -> &Record {
        &self.known.record
    }

    /// Other places where a record of the key may be.
    pub fn elsewhere(&self) -> &[Place] {
        &self.known.elsewhere
    }

    /// Whether a vault may have a record of the key.
    pub fn may_be_registered(&self) -> bool {
        self.known.record != Record::None || !self.known.elsewhere.is_empty()
    }

    /// Compares the registration with the status that was just read at [`Self::place`]. `None` where
    /// nothing is registered, or a change is pending.
    pub fn compare(&self, status: &Status, maximum: &Policy) -> Option<Protection> {
        let Record::Registered(reference) = &self.known.record else {
            return None;
        };
        let scope = self.known.place.as_ref().and_then(Place::scope)?;
        Some(reference.compare(&scope, status, maximum))
    }

    /// Protects the key by its digits, which the user writes down: the given key, the one that is
    /// held, or a new one. Store the state before the digits are shown.
    pub fn use_digits<R: RngCore + CryptoRng>(
        &mut self,
        given: Option<BackupKey>,
        rng: &mut R,
    ) -> Result<(), DeviceError> {
        let key = self.choose_key(given, rng)?;
        self.hold(key);
        self.known.is_used = true;
        Ok(())
    }

    /// Takes over the newest statement that `place` remembers, for all places of that vault. Where no
    /// place is known, `place` becomes the device's once its vault has shown itself. If this returns
    /// true, store the state.
    pub fn learn(&mut self, place: &Place) -> bool {
        let before = self.known.clone();
        self.known.learn(place);
        self.known != before
    }

    /// Talks to `place` from now on.
    pub fn use_place(&mut self, place: Place) -> Result<(), DeviceError> {
        self.check_place(&place)?;
        self.known.set_place(place);
        Ok(())
    }

    /// `place` with the newest statement that is remembered of its vault.
    pub fn remembering(&self, mut place: Place) -> Place {
        self.known.places().for_each(|known| place.learn(known));
        place
    }

    /// Leaves the record where it is: its password opens the key for as long as it is there. The place
    /// stays in [`Self::elsewhere`] until the record is deleted.
    pub fn leave_record(&mut self) -> Result<(), DeviceError> {
        match &self.known.place {
            Some(place) if self.known.record != Record::None => {
                self.known.add_elsewhere(place.clone());
                self.known.record = Record::None;
                Ok(())
            }
            Some(_) | None => Err(DeviceError::NoRecord),
        }
    }

    /// Forgets the key. Without its digits all backups are lost.
    pub fn forget(&mut self) -> Result<(), DeviceError> {
        if self.may_be_registered() {
            return Err(DeviceError::MayBeRegistered);
        }
        self.forget_leaving_records();
        Ok(())
    }

    /// Forgets the key although a vault may have a record of it, which nothing deletes any more.
    pub fn forget_leaving_records(&mut self) {
        self.key = None;
        self.known = Known {
            place: self.known.place.take(),
            ..Known::default()
        };
    }

    /// The key that is to be used: the given one, the one that is held, or a new one.
    pub(super) fn choose_key<R: RngCore + CryptoRng>(
        &self,
        given: Option<BackupKey>,
        rng: &mut R,
    ) -> Result<BackupKey, DeviceError> {
        match (&self.key, given) {
            (_, Some(given)) => self.check_key(&given).map(|()| given),
            (Some(held), None) => Ok(copy(held)),
            (None, None) => Ok(BackupKey::generate(rng)),
        }
    }

    /// A key makes room for another one only while nothing depends on it.
    pub(super) fn check_key(&self, given: &BackupKey) -> Result<(), DeviceError> {
        match &self.key {
            Some(held) if !held.is_same(given) && !self.is_spare() => Err(DeviceError::OtherKey {
                held: held.key_id(),
                given: given.key_id(),
                may_be_registered: self.may_be_registered(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn check_place(&self, place: &Place) -> Result<(), DeviceError> {
        let is_elsewhere = !self.known.is_at(place) && self.known.record != Record::None;
        if is_elsewhere {
            return Err(DeviceError::RecordElsewhere);
        }
        Ok(())
    }

    /// Puts `key` in the place of the held one, which comes back if it was another.
    pub(super) fn hold(&mut self, key: BackupKey) -> Option<Option<BackupKey>> {
        let is_held = self.key.as_ref().is_some_and(|held| held.is_same(&key));
        (!is_held).then(|| self.key.replace(key))
    }

    /// Statements that were seen meanwhile stay remembered.
    pub(super) fn undo(&mut self, before: Before) {
        let learnt = std::mem::replace(&mut self.known, before.known);
        learnt.places().for_each(|place| self.known.learn(place));
        if let Some(key) = before.key {
            self.key = key;
        }
    }

    fn is_spare(&self) -> bool {
        !self.known.is_used && !self.may_be_registered()
    }
}

impl Known {
    pub(super) fn is_at(&self, place: &Place) -> bool {
        self.place.as_ref().is_some_and(|at| at.is_same(place))
    }

    /// Makes `place` the device's, with the newest statement that is remembered of its vault.
    pub(super) fn set_place(&mut self, mut place: Place) {
        self.places().for_each(|known| place.learn(known));
        self.learn(&place);
        self.place = Some(place);
    }

    pub(super) fn add_elsewhere(&mut self, place: Place) {
        self.remove_elsewhere(&place);
        self.elsewhere.push(place);
    }

    pub(super) fn remove_elsewhere(&mut self, place: &Place) {
        self.elsewhere.retain(|known| !known.is_same(place));
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        self.place.iter().chain(&self.elsewhere)
    }

    fn learn(&mut self, place: &Place) {
        let known = self.place.iter_mut().chain(&mut self.elsewhere);
        known.for_each(|known| known.learn(place));
        if self.place.is_none() && place.memory.is_some() {
            self.place = Some(place.clone());
        }
    }
}

impl Record {
    /// The registration before a change that begins now.
    pub(super) fn former(&self) -> Option<RegistrationRef> {
        match self {
            Self::None => None,
            Self::Registering { former } | Self::Deleting { former } => former.clone(),
            Self::Registered(reference) => Some(reference.clone()),
        }
    }
}

impl fmt::Debug for DeviceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceState(…)")
    }
}

pub(crate) fn copy(key: &BackupKey) -> BackupKey {
    let mut bytes = Zeroizing::new([0; BACKUP_KEY_LEN]);
    bytes.copy_from_slice(key.expose_secret());
    BackupKey::from_bytes(&bytes)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{key, place, reference};
    use super::super::{Deleted, Unstored};
    use super::*;
    use crate::error::Error;
    use rand::rngs::OsRng;

    fn used(number: u8) -> DeviceState {
        DeviceState::adopt(key(number), true, None, vec![])
    }

    fn digits(state: &mut DeviceState, given: Option<u8>) -> Result<(), DeviceError> {
        state.use_digits(given.map(key), &mut OsRng)
    }

    // Fails if `check_key` lets a given key take the place of any other.
    #[test]
    fn a_key_that_is_used_is_never_replaced() {
        let refused = digits(&mut used(1), Some(2));
        let is_other = matches!(
            refused,
            Err(DeviceError::OtherKey {
                may_be_registered: false,
                ..
            })
        );
        assert!(is_other);
    }

    // Fails if `is_spare` looks at no record, or at none elsewhere.
    #[test]
    fn a_key_that_may_be_registered_makes_room_for_none() {
        let mut pending = DeviceState::adopt(key(1), false, None, vec![place("alice", &[1])]);
        let refused = digits(&mut pending, Some(2));
        let is_other = |refused| {
            matches!(
                refused,
                Err(DeviceError::OtherKey {
                    may_be_registered: true,
                    ..
                })
            )
        };
        assert!(is_other(refused));
        pending.leave_record().unwrap();
        assert!(is_other(digits(&mut pending, Some(2))));
    }

    #[test]
    fn a_key_of_which_nothing_depends_makes_room_and_the_held_one_stays_otherwise() {
        let mut spare = DeviceState::adopt(key(1), false, None, vec![]);
        digits(&mut spare, None).unwrap();
        assert!(spare.key().unwrap().is_same(&key(1)) && spare.is_used());
        let mut spare = DeviceState::adopt(key(1), false, None, vec![]);
        digits(&mut spare, Some(2)).unwrap();
        assert!(spare.key().unwrap().is_same(&key(2)));
        digits(&mut spare, Some(2)).unwrap();
        let mut new = DeviceState::new();
        digits(&mut new, None).unwrap();
        assert!(new.key().is_some());
    }

    // Fails if `forget` looks at nothing.
    #[test]
    fn a_key_is_not_forgotten_while_it_may_be_registered() {
        let at = place("alice", &[1]);
        let mut state = DeviceState::adopt(key(1), true, None, vec![at.clone()]);
        assert!(matches!(state.forget(), Err(DeviceError::MayBeRegistered)));
        state.leave_record().unwrap();
        assert!(matches!(state.forget(), Err(DeviceError::MayBeRegistered)));
        assert!(state.key().is_some());
        state.forget_leaving_records();
        assert!(state.key().is_none() && !state.may_be_registered());
        assert_eq!(state.place(), Some(&at));
        used(1).forget().unwrap();
    }

    // Fails if `leave_record` only drops the record.
    #[test]
    fn a_record_that_is_left_behind_stays_named_until_it_is_deleted() {
        let (alice, bob) = (place("alice", &[1]), place("bob", &[2]));
        let registered = Some((alice.clone(), reference(&alice, 1)));
        let mut state = DeviceState::adopt(key(1), true, registered, vec![]);
        let refused = state.begin_registration(key(1), bob.clone());
        assert!(matches!(refused, Err(DeviceError::RecordElsewhere)));
        state.leave_record().unwrap();
        assert!(matches!(state.leave_record(), Err(DeviceError::NoRecord)));

        let moved = state.begin_registration(key(1), bob.clone()).unwrap();
        drop(moved.stored());
        assert_eq!(state.place(), Some(&bob));
        assert_eq!(state.elsewhere(), std::slice::from_ref(&alice));
        let sent = state.begin_deletion(&alice).map(Unstored::stored).unwrap();
        assert!(matches!(state.record(), Record::Registering { .. }));
        let deleted = state.deletion_ended(sent, Ok(()));
        assert_eq!(deleted.unwrap(), Deleted::Record);
        assert_eq!(state.elsewhere(), []);
    }

    // Fails if `adopt` leaves a place out.
    #[test]
    fn every_place_is_taken_over() {
        let [alice, bob] = ["alice", "bob"].map(|account| place(account, &[1]));
        let both = vec![alice.clone(), bob.clone()];
        let state = DeviceState::adopt(key(1), false, None, both.clone());
        assert_eq!(state.record(), &Record::Registering { former: None });
        assert_eq!(state.place(), Some(&alice));
        assert_eq!(state.elsewhere(), std::slice::from_ref(&bob));
        let registered = Some((bob.clone(), reference(&bob, 3)));
        let state = DeviceState::adopt(key(1), true, registered, both);
        assert_eq!(state.record(), &Record::Registered(reference(&bob, 3)));
        assert_eq!(state.elsewhere(), [alice]);
    }

    #[test]
    fn a_device_prints_nothing_and_needs_a_key_to_delete() {
        let mut state = DeviceState::new();
        assert_eq!(format!("{state:?}"), "DeviceState(…)");
        let refused = state.begin_deletion(&place("alice", &[1]));
        assert!(matches!(refused, Err(DeviceError::NoKey)));
        let refused = used(1).begin_deletion(&place("alice", &[1]));
        assert!(matches!(refused, Err(DeviceError::NoRecord)));
        let error = DeviceError::from(Error::NotThisKey);
        assert_eq!(error.to_string(), Error::NotThisKey.to_string());
    }
}
