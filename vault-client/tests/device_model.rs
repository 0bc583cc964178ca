//! A property test of the state machine: a device that crashes, and a relay that loses, keeps and
//! delivers messages as it likes. The model knows from the vaults which keys may be registered, and
//! compares that with the state that the device stored last.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use vault_client::device::{DeviceState, Kept, Place, Record};
use vault_client::error::{Error, NoAnswer};
use vault_client::flows::Registered;
use vault_client::protection::RegistrationRef;
use vault_client::{AccountId, BackupKey, Fingerprint, Policy, TenantId, VaultId};
use zeroize::Zeroizing;

/// The account at a vault that has these identities.
fn place(account: &str, pins: &[u8]) -> Place {
    let pin = |digit: &u8| -> Fingerprint { digit.to_string().repeat(60).parse().unwrap() };
    let (tenant, account) = (
        TenantId::new("app").unwrap(),
        AccountId::new(account).unwrap(),
    );
    Place::new(
        tenant,
        account,
        pins.iter().map(pin),
        "https://relay.example",
    )
}

fn key(number: u8) -> BackupKey {
    BackupKey::from_bytes(&Zeroizing::new([number; 32]))
}

fn unknown() -> Error {
    Error::UnknownOutcome(NoAnswer::NotSealed)
}

fn unreachable() -> Error {
    Error::Network(NoAnswer::NotSealed)
}

fn registered(at: &Place, generation: u64) -> Registered {
    Registered {
        registration: RegistrationRef {
            vault: VaultId::new("v").unwrap(),
            tenant: at.tenant.clone(),
            account: at.account.clone(),
            generation,
        },
        policy: Policy::default(),
    }
}

const PLACES: usize = 3;
/// The key of another device.
const FOREIGN: u8 = 99;
/// A key that is drawn; the second time a person has typed it in from its digits.
const FRESH: u8 = 50;

/// The way of a message that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// It is not sent at all.
    Unsent,
    /// It arrives, and so does the answer.
    Answered,
    /// It arrives, the answer does not.
    AnswerLost,
    /// The relay keeps it and can deliver it later.
    Kept,
    /// The device crashes; the relay keeps the message.
    Crash,
    /// The state cannot be stored.
    NotStored,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Register {
        at: usize,
        given: Option<u8>,
        way: Way,
    },
    Delete {
        at: usize,
        way: Way,
    },
    Leave,
    Digits {
        given: Option<u8>,
    },
    Retrieve {
        at: usize,
    },
    Forget,
    ForgetLeaving,
    Deliver {
        index: usize,
    },
    /// Another device registers its own key.
    Foreign {
        at: usize,
    },
    Crash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Finish { replaces: bool },
    Deletion,
}

#[derive(Clone, Copy, Debug)]
struct Message {
    id: usize,
    at: usize,
    key: u8,
    generation: u64,
    what: What,
}

/// One account: PROTOCOL.md section 6.
#[derive(Default)]
struct Account {
    generation: u64,
    /// Whose key is live, and which finish made it so.
    live: Option<(u8, usize)>,
    /// The finishes whose tickets are dropped are those before this one.
    dropped_before: usize,
}

#[derive(Default)]
struct World {
    accounts: [Account; PLACES],
    kept: Vec<Message>,
    messages: usize,
}

struct Model {
    state: DeviceState,
    stored: Vec<u8>,
    world: World,
    /// The number of the key that is used, as the app knows it.
    used: Option<u8>,
    /// The records that the user said may stay at a vault for ever.
    given_up: Vec<(usize, u8)>,
}

impl Account {
    fn may_land(&self, message: &Message) -> bool {
        let is_open = message.id >= self.dropped_before && message.generation == self.generation;
        match (message.what, self.live) {
            (What::Deletion, _) => false,
            (What::Finish { .. }, None) => is_open,
            (What::Finish { replaces }, Some((live, _))) => {
                is_open && replaces && live == message.key
            }
        }
    }
}

impl World {
    fn send(&mut self, at: usize, key: u8, what: What) -> Message {
        self.messages += 1;
        Message {
            id: self.messages,
            at,
            key,
            generation: self.accounts[at].generation,
            what,
        }
    }

    fn arrive(&mut self, message: Message) -> Result<u64, Error> {
        let next = self.messages + 1;
        let account = &mut self.accounts[message.at];
        match (message.what, account.live) {
            (What::Finish { .. }, Some((_, id))) if id == message.id => Ok(account.generation),
            (What::Finish { .. }, _) if account.may_land(&message) => {
                account.live = Some((message.key, message.id));
                account.generation += 1;
                account.dropped_before = next;
                Ok(account.generation)
            }
            (What::Finish { replaces: true }, Some((live, _))) if live != message.key => {
                Err(Error::NotThisKey)
            }
            (What::Finish { .. }, _) => Err(Error::TicketExpired),
            (What::Deletion, Some((live, _))) if live != message.key => Err(Error::NotThisKey),
            (What::Deletion, _) => {
                account.live = None;
                account.dropped_before = next;
                match account.generation {
                    0 => Err(Error::NotRegistered),
                    generation => Ok(generation),
                }
            }
        }
    }

    /// Where there is a record of this device's, or may still come to be one.
    fn registrations(&self) -> Vec<(usize, u8)> {
        let live = self.accounts.iter().enumerate();
        let live = live.filter_map(|(at, account)| Some((at, account.live?.0)));
        let kept = self.kept.iter().filter(|m| self.accounts[m.at].may_land(m));
        live.chain(kept.map(|message| (message.at, message.key)))
            .filter(|&(_, key)| key != FOREIGN)
            .collect()
    }
}

fn at(index: usize) -> Place {
    // Two accounts of one vault, and one of another.
    place(["alice", "bob", "alice"][index], [&[1], &[1], &[2]][index])
}

fn number(key: &BackupKey) -> u8 {
    key.expose_secret()[0]
}

fn names(state: &DeviceState, index: usize) -> bool {
    let current = state.place().filter(|_| *state.record() != Record::None);
    let mut all = current.into_iter().chain(state.elsewhere());
    all.any(|known| known.is_same(&at(index)))
}

impl Model {
    fn new() -> Self {
        let state = DeviceState::new();
        Self {
            stored: state.to_json().unwrap().to_vec(),
            state,
            world: World::default(),
            used: None,
            given_up: Vec::new(),
        }
    }

    fn store(&mut self) {
        self.stored = self.state.to_json().unwrap().to_vec();
    }

    fn crash(&mut self) {
        self.state = DeviceState::from_json(&self.stored).unwrap();
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Register { at, given, way } => self.register(at, given, way),
            Op::Delete { at, way } => self.delete(at, way),
            Op::Leave => drop(self.state.leave_record()),
            Op::Digits { given } => {
                let given = given.map(key);
                if self.state.use_digits(given, &mut rand::rngs::OsRng).is_ok() {
                    self.used = self.state.key().map(number);
                }
            }
            Op::Retrieve { at } => self.retrieve(at),
            Op::Forget => {
                if self.state.forget().is_ok() {
                    self.used = None;
                }
            }
            Op::ForgetLeaving => {
                self.given_up.extend(self.world.registrations());
                self.state.forget_leaving_records();
                self.used = None;
            }
            Op::Deliver { index } => {
                if !self.world.kept.is_empty() {
                    let index = index % self.world.kept.len();
                    let message = self.world.kept.swap_remove(index);
                    drop(self.world.arrive(message));
                }
            }
            Op::Foreign { at } => {
                let message = self
                    .world
                    .send(at, FOREIGN, What::Finish { replaces: false });
                drop(self.world.arrive(message));
            }
            Op::Crash => return self.crash(),
        }
        self.store();
    }

    fn register(&mut self, index: usize, given: Option<u8>, way: Way) {
        let held = self.state.key().map(number);
        let number = given.or(held).unwrap_or(FRESH);
        let replaces = self.world.accounts[index].live.is_some();
        let Ok(unstored) = self.state.begin_registration(key(number), at(index)) else {
            return;
        };
        if way == Way::NotStored {
            return unstored.take_back(&mut self.state);
        }
        self.store();
        let sent = unstored.stored();
        let message = self.world.send(index, number, What::Finish { replaces });
        let Some(result) = self.transmit(message, way) else {
            return;
        };
        let result = result.map(|generation| registered(&at(index), generation));
        if result.is_ok() {
            self.used = Some(number);
        }
        self.state.registration_ended(sent, &result);
    }

    fn delete(&mut self, index: usize, way: Way) {
        let Ok(unstored) = self.state.begin_deletion(&at(index)) else {
            return;
        };
        if way == Way::NotStored {
            return unstored.take_back(&mut self.state);
        }
        self.store();
        let sent = unstored.stored();
        let number = number(self.state.key().unwrap());
        let message = self.world.send(index, number, What::Deletion);
        if let Some(result) = self.transmit(message, way) {
            let result = result.map(|_| ());
            drop(self.state.deletion_ended(sent, result));
        }
    }

    /// `None` after a crash.
    fn transmit(&mut self, message: Message, way: Way) -> Option<Result<u64, Error>> {
        if way != Way::Unsent {
            self.is_pending(&message);
        }
        match way {
            Way::Unsent | Way::NotStored => Some(Err(unreachable())),
            Way::Answered => Some(self.world.arrive(message)),
            Way::AnswerLost => {
                drop(self.world.arrive(message));
                Some(Err(unknown()))
            }
            Way::Kept => {
                self.world.kept.push(message);
                Some(Err(unknown()))
            }
            Way::Crash => {
                self.world.kept.push(message);
                self.crash();
                None
            }
        }
    }

    fn retrieve(&mut self, index: usize) {
        let account = &self.world.accounts[index];
        let Some((live, _)) = account.live else {
            return;
        };
        let reference = registered(&at(index), account.generation).registration;
        if self.state.keep_retrieved(key(live), at(index), reference) == Kept::Held {
            self.used = Some(live);
        }
    }

    /// The first invariant: a message that is sent is pending in the stored state.
    fn is_pending(&self, message: &Message) {
        let stored = DeviceState::from_json(&self.stored).unwrap();
        assert_eq!(stored.key().map(number), Some(message.key), "{message:?}");
        let is_elsewhere = stored
            .elsewhere()
            .iter()
            .any(|p| p.is_same(&at(message.at)));
        let is_pending = match stored.record() {
            Record::Registering { .. } => message.what != What::Deletion,
            Record::Deleting { .. } => message.what == What::Deletion,
            Record::None | Record::Registered(_) => false,
        };
        assert!(is_pending || (is_elsewhere && message.what == What::Deletion));
        assert!(names(&stored, message.at), "{message:?}");
    }

    /// The second and the third invariant.
    fn check(&self) {
        let stored = DeviceState::from_json(&self.stored).unwrap();
        for (index, number) in self.world.registrations() {
            if self.given_up.contains(&(index, number)) {
                continue;
            }
            let held = stored.key().map(self::number);
            assert_eq!(held, Some(number), "a registered key is forgotten");
            assert!(names(&stored, index), "a record is named nowhere");
        }
        let held = self.state.key().map(number);
        assert!(self.used.is_none() || held == self.used, "a used key");
        assert_eq!(self.state.is_used(), self.used.is_some());
    }
}

fn ways() -> impl Strategy<Value = Way> {
    prop_oneof![
        Just(Way::Unsent),
        Just(Way::Answered),
        Just(Way::AnswerLost),
        Just(Way::Kept),
        Just(Way::Crash),
        Just(Way::NotStored),
    ]
}

fn given() -> impl Strategy<Value = Option<u8>> {
    proptest::option::weighted(0.3, 1..4u8)
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..PLACES, given(), ways()).prop_map(|(at, given, way)| Op::Register { at, given, way }),
        4 => (0..PLACES, ways()).prop_map(|(at, way)| Op::Delete { at, way }),
        1 => Just(Op::Leave),
        1 => given().prop_map(|given| Op::Digits { given }),
        2 => (0..PLACES).prop_map(|at| Op::Retrieve { at }),
        1 => Just(Op::Forget),
        1 => Just(Op::ForgetLeaving),
        3 => (0..8usize).prop_map(|index| Op::Deliver { index }),
        1 => (0..PLACES).prop_map(|at| Op::Foreign { at }),
        1 => Just(Op::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    // Fails if `begin_registration` leaves the record or the key as it was, if `registration_ended`
    // undoes a change that may have been made or `undo` brings back no pending one, if `leave_record` names no
    // place, if `deletion_ended` forgets the place after a loss, or if `check_key`, `check_place` or
    // `makes_room_at` allow everything.
    #[test]
    fn whatever_happens_a_registration_can_be_deleted(
        ops in proptest::collection::vec(ops(), 1..40)
    ) {
        let mut model = Model::new();
        for op in ops {
            model.run(op);
            model.check();
        }
    }
}
