//! [`Device`]: a device's state over a network, each change stored before it is sent.

use std::time::Duration;

use rand::rngs::OsRng;
use vault_protocol::messages::Status;
use vault_protocol::password::Password;
use vault_protocol::{BackupKey, Policy};

use super::attempt::{Attempt, AttemptFailed};
use super::vault_client::{Clock, VaultClient};
use crate::device::{Deleted, DeviceError, DeviceState, Kept, Place, Plan, Planned, Record, copy};
use crate::error::{Error, Source};
use crate::flows::{PreparedRegistration, Registered, Retrieved};
use crate::protection::{Protection, Reason};
use crate::transport::Transport;

/// Where an app keeps the state: the platform's secret store, or a file that its owner alone can read.
pub trait Storage {
    /// Replaces the stored state as a whole: after a crash the old or the new one is there. It is on
    /// the disk when this returns.
    fn store(&mut self, state: &[u8]) -> Result<(), Source>;
}

impl<S: Storage + ?Sized> Storage for &mut S {
    fn store(&mut self, state: &[u8]) -> Result<(), Source> {
        (**self).store(state)
    }
}

/// A device at one place. After [`DeviceError::NotStored`] open another one with the stored state.
pub struct Device<T, S> {
    client: VaultClient<T>,
    place: Place,
    state: DeviceState,
    storage: S,
}

/// A key that came back with its password.
#[derive(Debug)]
pub struct Restored {
    /// The key, and the vault's counters.
    pub retrieved: Retrieved,
    /// Whether the device holds it from now on.
    pub kept: Result<Kept, DeviceError>,
}

impl<T: Transport, S: Storage> Device<T, S> {
    /// A device that reaches `place` over `transport`: its own place, one where a record was left
    /// behind, or a new one.
    pub fn open(transport: T, place: Place, clock: Clock, state: DeviceState, storage: S) -> Self {
        let place = state.remembering(place);
        let (tenant, account) = (place.tenant.clone(), place.account.clone());
        Self {
            client: VaultClient::new(transport, place.trust(), tenant, account, clock),
            place,
            state,
            storage,
        }
    }

    /// See [`VaultClient::with_maximum_policy`].
    #[must_use]
    pub fn with_maximum_policy(mut self, maximum: Policy) -> Self {
        self.client = self.client.with_maximum_policy(maximum);
        self
    }

    /// See [`VaultClient::with_pauses`].
    #[must_use]
    pub fn with_pauses(mut self, pauses: &'static [Duration]) -> Self {
        self.client = self.client.with_pauses(pauses);
        self
    }

    /// The state, as it is stored.
    pub fn state(&self) -> &DeviceState {
        &self.state
    }

    /// The place, with the newest statement of its vault that was seen.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The state and where it is kept, for a device at another place.
    pub fn into_parts(self) -> (DeviceState, S) {
        (self.state, self.storage)
    }

    /// The account's status. Costs nothing.
    pub async fn status(&mut self) -> Result<Status, DeviceError> {
        let status = self.client.status().await;
        self.learnt(status)
    }

    /// Whether the registered key is still protected, and at this place: ask once a day or so. `None`
    /// where nothing is registered, or a change is pending. Costs nothing.
    pub async fn check(&mut self) -> Result<Option<Protection>, DeviceError> {
        let status = self.status().await?;
        let Record::Registered(registered) = self.state.record() else {
            return Ok(None);
        };
        // The app may have moved to another vault, which may have the former one's name.
        let registered_at = self.state.place();
        if !registered_at.is_some_and(|place| place.is_same(&self.place)) {
            return Ok(Some(Protection::NeedsRegistration(Reason::Moved)));
        }
        let scope = self.place.scope().ok_or(Error::NotUnderstood)?;
        let protection = registered.compare(&scope, &status, self.client.maximum_policy());
        Ok(Some(protection))
    }

    /// Finds out whether the key has to be registered: the given one, the one that is held, or a new
    /// one. Costs nothing.
    pub async fn plan(&mut self, given: Option<BackupKey>) -> Result<Planned, DeviceError> {
        let status = self.status().await?;
        let scope = self.place.scope().ok_or(Error::NotUnderstood)?;
        let maximum = self.client.maximum_policy();
        let state = &self.state;
        let planned = state.plan(given, &self.place, &scope, &status, maximum, &mut OsRng)?;
        if let Planned::Protected = planned {
            // The way there may be a new one, and has worked.
            self.state.use_place(self.place.clone())?;
            self.store()?;
        }
        Ok(planned)
    }

    /// Protects the key with a password, as planned. An error says by its
    /// [`outcome`](Error::outcome) whether that is still pending; then plan and register again.
    pub async fn register(
        &mut self,
        plan: Plan,
        password: Password,
    ) -> Result<Registered, DeviceError> {
        let replaces = plan.replaces();
        let key = plan.into_key()?;
        let current = replaces.then_some(&key);
        let prepared = self.client.prepare(password, &key, current).await;
        let prepared = self.learnt(prepared)?;
        self.commit(key, &prepared).await
    }

    /// [`Self::plan`] and [`Self::register`], where no destroyed record is replaced. `None` if the key
    /// is protected already.
    pub async fn enable(&mut self, password: Password) -> Result<Option<Registered>, DeviceError> {
        match self.plan(None).await? {
            Planned::Protected => Ok(None),
            Planned::Register(plan) => self.register(plan, password).await.map(Some),
        }
    }

    /// Gives the key's record another password; the key stays the same. [`DeviceError::NoRecord`] if
    /// nothing was registered here.
    pub async fn change_password(&mut self, password: Password) -> Result<Registered, DeviceError> {
        let key = copy(self.state.key().ok_or(DeviceError::NoKey)?);
        if *self.state.record() == Record::None {
            return Err(DeviceError::NoRecord);
        }
        let prepared = self.client.prepare(password, &key, Some(&key)).await;
        let prepared = self.learnt(prepared)?;
        self.commit(key, &prepared).await
    }

    /// Prepares a guess, as [`VaultClient::begin`] does. Charges nothing.
    pub async fn begin(&mut self, password: Password) -> Result<Attempt, DeviceError> {
        let attempt = self.client.begin(password).await;
        self.learnt(attempt)
    }

    /// Makes the guess, as [`VaultClient::run`] does, and keeps the key unless the device has to keep
    /// another one.
    pub async fn run(&mut self, attempt: Attempt) -> Result<Restored, AttemptFailed> {
        let retrieved = match self.client.run(attempt).await {
            Ok(retrieved) => retrieved,
            Err(failed) => {
                // The failure is the one to report.
                let _ = self.learn();
                return Err(failed);
            }
        };
        self.remember();
        let (key, at) = (copy(&retrieved.key), retrieved.registration.clone());
        let kept = self.state.keep_retrieved(key, self.place.clone(), at);
        let kept = self.store().map(|()| kept);
        Ok(Restored { retrieved, kept })
    }

    /// Switches the password off: deletes the key's record at this place. The key stays; without its
    /// digits it is lost with the device.
    pub async fn disable(&mut self) -> Result<Deleted, DeviceError> {
        // First the question, which leaves nothing pending if it fails.
        let status = self.client.status_to_delete().await;
        let status = self.learnt(status)?;
        let unstored = self.state.begin_deletion(&self.place)?;
        let storage = &mut self.storage;
        let sent = unstored.store_with(&mut self.state, |state| store(storage, state))?;
        let key = self.state.key().ok_or(DeviceError::NoKey)?;
        let result = self.client.delete_record(status, key).await;
        let deleted = self.state.deletion_ended(sent, result);
        self.remember();
        let stored = self.store();
        let deleted = deleted?;
        stored.map(|()| deleted)
    }

    /// See [`DeviceState::leave_record`].
    pub fn leave_record(&mut self) -> Result<(), DeviceError> {
        self.state.leave_record()?;
        self.store()
    }

    /// Sends the finish, which is pending from before it is sent until it is answered.
    async fn commit(
        &mut self,
        key: BackupKey,
        prepared: &PreparedRegistration,
    ) -> Result<Registered, DeviceError> {
        let unstored = self.state.begin_registration(key, self.place.clone())?;
        let storage = &mut self.storage;
        let sent = unstored.store_with(&mut self.state, |state| store(storage, state))?;
        let result = self.client.commit(prepared).await;
        self.state.registration_ended(sent, &result);
        self.remember();
        let stored = self.store();
        let registered = result?;
        stored.map(|()| registered)
    }

    /// Remembers the vault's newest statement, however the call ended: an older one is refused from then
    /// on.
    fn learnt<R>(&mut self, result: Result<R, Error>) -> Result<R, DeviceError> {
        let kept = self.learn();
        let done = result?;
        kept.map(|()| done)
    }

    fn learn(&mut self) -> Result<(), DeviceError> {
        if self.remember() {
            return self.store();
        }
        Ok(())
    }

    /// Whether anything has to be stored.
    fn remember(&mut self) -> bool {
        if let Some(memory) = self.client.trust_memory() {
            self.place.memory = Some(memory);
        }
        self.state.learn(&self.place)
    }

    fn store(&mut self) -> Result<(), DeviceError> {
        store(&mut self.storage, &self.state)
    }
}

fn store(storage: &mut impl Storage, state: &DeviceState) -> Result<(), DeviceError> {
    let state = state.to_json()?;
    storage.store(&state).map_err(DeviceError::NotStored)
}
