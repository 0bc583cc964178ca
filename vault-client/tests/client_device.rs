//! A device over a relay that loses, with a disk that fails: what is stored when, and what a restart
//! finds.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "each test file uses its part of the common vault")]
mod common;

use crate::common::one_call::OneCall as _;
use std::sync::{Arc, Mutex};

use common::wire::{Fault, Wire};
use common::{NOW, RIGHT, TestVault, key, password, registered};
use vault_client::client::{Device, MAX_REPEATS, Storage};
use vault_client::device::{Deleted, DeviceError, DeviceState, Kept, Place, Planned, Record};
use vault_client::error::{Error, Source};
use vault_client::protection::{Protection, Reason};
use vault_protocol::messages::DestructionReason;
use vault_protocol::{Policy, Problem};

const NEW: &str = "another horse battery";

/// A disk; clones are the same one.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<(Option<Vec<u8>>, bool)>>);

impl Disk {
    /// What a restart finds.
    fn state(&self) -> DeviceState {
        match &self.0.lock().unwrap().0 {
            Some(stored) => DeviceState::from_json(stored).unwrap(),
            None => DeviceState::new(),
        }
    }

    fn is_full(&self, is_full: bool) {
        self.0.lock().unwrap().1 = is_full;
    }
}

impl Storage for Disk {
    fn store(&mut self, state: &[u8]) -> Result<(), Source> {
        let mut disk = self.0.lock().unwrap();
        if disk.1 {
            return Err("no space left on device".into());
        }
        disk.0 = Some(state.to_vec());
        Ok(())
    }
}

fn place(wire: &Wire) -> Place {
    let state = wire.state();
    let (scope, pin) = (&state.vault.scope, state.vault.identity());
    let pins = [pin.identity_key().fingerprint()];
    Place::new(scope.tenant.clone(), scope.account.clone(), pins, "relay")
}

/// A device that is started with what is on its disk.
fn start(wire: &Wire, disk: &Disk) -> Device<Wire, Disk> {
    let clock = Box::new(|| NOW);
    Device::open(wire.clone(), place(wire), clock, disk.state(), disk.clone()).with_pauses(&[])
}

fn lose_answers(wire: &Wire, endpoint: &'static str) {
    for _ in 0..=MAX_REPEATS {
        wire.on(endpoint, Fault::LoseAnswer);
    }
}

fn is_unknown(error: &DeviceError) -> bool {
    matches!(error, DeviceError::Vault(Error::UnknownOutcome(_)))
}

#[tokio::test]
async fn a_key_lives_from_one_phone_to_the_next() {
    let wire = Wire::new(TestVault::new());
    let (phone, next) = (Disk::default(), Disk::default());
    let mut device = start(&wire, &phone);
    device.enable(password(RIGHT)).await.unwrap().unwrap();
    assert!(device.enable(password(NEW)).await.unwrap().is_none());
    assert_eq!(wire.state().vault.generation, 1);

    let mut other = start(&wire, &next);
    let attempt = other.begin(password(RIGHT)).await.unwrap();
    let restored = other.run(attempt).await.unwrap();
    assert_eq!(restored.kept.unwrap(), Kept::Held);
    let held = phone.state();
    assert!(restored.retrieved.key.is_same(held.key().unwrap()));
    assert!(next.state().key().unwrap().is_same(held.key().unwrap()));
    assert_eq!(next.state().record(), held.record());

    let changed = other.change_password(password(NEW)).await.unwrap();
    assert_eq!(changed.registration.generation, 2);
    let found = device.check().await.unwrap();
    assert_eq!(found, Some(Protection::NeedsRegistration(Reason::Replaced)));
    let status = device.status().await.unwrap();
    assert_eq!(device.state().compare(&status, &Policy::default()), found);
    assert_eq!(other.check().await.unwrap(), Some(Protection::Protected));
    let refused = device.enable(password(RIGHT)).await;
    assert!(matches!(refused, Err(DeviceError::RegisteredSince)));

    assert_eq!(device.disable().await.unwrap(), Deleted::Record);
    assert_eq!(phone.state().record(), &Record::None);
    assert!(phone.state().is_used() && phone.state().key().is_some());
    let refused = device.change_password(password(RIGHT)).await;
    assert!(matches!(refused, Err(DeviceError::NoRecord)));
}

// Fails if `commit` or `disable` sends before it stores, or although that failed.
#[tokio::test]
async fn nothing_is_sent_that_is_not_stored_before() {
    let wire = Wire::new(TestVault::new());
    let disk = Disk::default();
    let mut device = start(&wire, &disk);
    device.status().await.unwrap();
    disk.is_full(true);
    let failed = device.enable(password(RIGHT)).await;
    assert!(matches!(failed, Err(DeviceError::NotStored(_))));
    assert_eq!(wire.state().vault.count("registration/finish"), 0);
    assert!(device.state().key().is_none());
    disk.is_full(false);

    let seen = Arc::new(Mutex::new(Vec::new()));
    for endpoint in ["registration/finish", "deletion"] {
        let (disk, seen) = (disk.clone(), Arc::clone(&seen));
        let look = move |_: &mut TestVault| seen.lock().unwrap().push(disk.state());
        wire.on(endpoint, Fault::Before(Box::new(look)));
    }
    device.enable(password(RIGHT)).await.unwrap().unwrap();
    disk.is_full(true);
    let failed = device.disable().await;
    assert!(matches!(failed, Err(DeviceError::NotStored(_))));
    assert_eq!(wire.state().vault.count("deletion"), 0);
    assert!(matches!(device.state().record(), Record::Registered(_)));
    disk.is_full(false);
    device.disable().await.unwrap();

    let seen = seen.lock().unwrap();
    let [finish, deletion] = &seen[..] else {
        panic!("two messages arrived");
    };
    assert_eq!(finish.record(), &Record::Registering { former: None });
    assert!(matches!(
        deletion.record(),
        Record::Deleting { former: Some(_) }
    ));
    for state in [finish, deletion] {
        assert!(state.key().is_some());
    }
}

// Fails if a pending registration is taken for none: the record could not be deleted any more.
#[tokio::test]
async fn a_registration_without_an_answer_is_gone_on_with_or_deleted_after_a_restart() {
    for goes_on in [true, false] {
        let wire = Wire::new(TestVault::new());
        let disk = Disk::default();
        lose_answers(&wire, "registration/finish");
        let unknown = start(&wire, &disk).enable(password(RIGHT)).await;
        assert!(is_unknown(&unknown.unwrap_err()));
        assert_eq!(wire.state().vault.generation, 1);
        assert_eq!(disk.state().record(), &Record::Registering { former: None });

        let mut device = start(&wire, &disk);
        if goes_on {
            let registered = device.enable(password(NEW)).await.unwrap().unwrap();
            assert_eq!(registered.registration.generation, 2);
            let retrieved = wire.client().retrieve(password(NEW)).await.unwrap();
            assert!(retrieved.key.is_same(disk.state().key().unwrap()));
        } else {
            assert_eq!(device.disable().await.unwrap(), Deleted::Record);
            assert!(wire.state().vault.record.is_none());
            assert!(!disk.state().may_be_registered());
        }
    }
}

#[tokio::test]
async fn a_deletion_without_an_answer_is_pending_after_a_restart() {
    let wire = Wire::new(TestVault::new());
    let disk = Disk::default();
    let mut device = start(&wire, &disk);
    device.enable(password(RIGHT)).await.unwrap();
    lose_answers(&wire, "deletion");
    assert!(is_unknown(&device.disable().await.unwrap_err()));
    assert!(matches!(disk.state().record(), Record::Deleting { .. }));
    let deleted = start(&wire, &disk).disable().await.unwrap();
    assert_eq!(deleted, Deleted::Record);
    assert!(!disk.state().may_be_registered());
}

// Fails if `disable` marks the deletion before it has asked for the status.
#[tokio::test]
async fn a_deletion_that_was_never_sent_is_not_pending() {
    let wire = Wire::new(TestVault::new());
    let disk = Disk::default();
    let mut device = start(&wire, &disk);
    device.enable(password(RIGHT)).await.unwrap();
    wire.on("", Fault::Inner(Problem::Overloaded));
    let busy = device.disable().await;
    assert!(matches!(busy, Err(DeviceError::Vault(Error::Overloaded))));
    assert!(matches!(disk.state().record(), Record::Registered(_)));
    assert_eq!(wire.state().vault.count("deletion"), 0);
}

// Fails if `register` does not ask the plan.
#[tokio::test]
async fn a_destroyed_record_is_followed_by_another_one_only_if_the_user_says_so() {
    let wire = Wire::new(TestVault::new());
    let disk = Disk::default();
    let mut device = start(&wire, &disk);
    device.enable(password(RIGHT)).await.unwrap();
    wire.client()
        .disable(disk.state().key().unwrap())
        .await
        .unwrap();
    let refused = device.enable(password(NEW)).await.unwrap_err();
    let is_destroyed = matches!(refused, DeviceError::Vault(Error::Destroyed { .. }));
    assert!(is_destroyed, "{refused:?}");
    let Planned::Register(plan) = device.plan(None).await.unwrap() else {
        panic!("protected without a record");
    };
    let reason = plan.destroyed().unwrap().reason;
    assert_eq!(reason, DestructionReason::Deleted);
    let plan = plan.although_destroyed();
    let registered = device.register(plan, password(NEW)).await.unwrap();
    assert_eq!(registered.registration.generation, 2);
}

#[tokio::test]
async fn the_record_of_another_key_stays_and_so_does_the_key_that_is_used() {
    let wire = Wire::new(registered());
    let disk = Disk::default();
    let mut used = DeviceState::adopt(key(8), true, None, vec![]);
    used.use_place(place(&wire)).unwrap();
    disk.clone().store(&used.to_json().unwrap()).unwrap();
    let mut device = start(&wire, &disk);
    let refused = device.enable(password(NEW)).await.unwrap_err();
    assert!(matches!(refused, DeviceError::Vault(Error::NotThisKey)));
    assert_eq!(disk.state().record(), &Record::None);
    assert_eq!(device.disable().await.unwrap(), Deleted::OfAnotherKey);

    let attempt = device.begin(password(RIGHT)).await.unwrap();
    let restored = device.run(attempt).await.unwrap();
    assert_eq!(restored.kept.unwrap(), Kept::OtherKey);
    assert!(restored.retrieved.key.is_same(&key(7)));
    assert!(disk.state().key().unwrap().is_same(&key(8)));
}

// Fails if `disable` deletes at the device's own place only, or leaves the place named.
#[tokio::test]
async fn what_was_left_behind_is_deleted_from_another_place() {
    let former = Wire::new(TestVault::new());
    let mut vault = TestVault::new();
    vault.identity_seed = 3;
    let new = Wire::new(vault);
    let disk = Disk::default();
    let mut device = start(&former, &disk);
    device.enable(password(RIGHT)).await.unwrap();
    let moved = start(&new, &disk).enable(password(RIGHT)).await;
    assert!(matches!(moved, Err(DeviceError::RecordElsewhere)));

    // Fails if `check` compares names and generations alone.
    new.state().vault.generation = 1;
    new.state().vault.record = former.state().vault.record.clone();
    let found = start(&new, &disk).check().await.unwrap();
    assert_eq!(found, Some(Protection::NeedsRegistration(Reason::Moved)));
    new.state().vault.record = None;

    device.leave_record().unwrap();
    start(&new, &disk).enable(password(RIGHT)).await.unwrap();
    assert!(disk.state().elsewhere()[0].is_same(&place(&former)));
    let deleted = start(&former, &disk).disable().await.unwrap();
    assert_eq!(deleted, Deleted::Record);
    assert_eq!(disk.state().elsewhere(), []);
    assert!(matches!(disk.state().record(), Record::Registered(_)));
    assert!(new.state().vault.record.is_some());
}

// Fails if `learn` does not store after a call that failed.
#[tokio::test]
async fn what_was_learnt_of_the_vault_is_kept_without_a_key() {
    let wire = Wire::new(TestVault::new());
    let disk = Disk::default();
    wire.state().vault.serial = 5;
    let refused = start(&wire, &disk).begin(password(RIGHT)).await;
    let is_refused = matches!(refused, Err(DeviceError::Vault(Error::NotRegistered)));
    assert!(is_refused);
    assert!(disk.state().key().is_none());
    wire.state().vault.serial = 4;
    let refused = start(&wire, &disk).status().await;
    let is_alarm = matches!(refused, Err(DeviceError::Vault(Error::StatementRefused(_))));
    assert!(is_alarm);
}
