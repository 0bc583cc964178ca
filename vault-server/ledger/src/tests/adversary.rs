//! An attacker with the unsealed keyring, the present anchors, every version of every row, and recorded
//! traffic.
//!
//! The formats are written out here once more: an adversary does not ask the vault's code. If one of
//! them changes, the search no longer reaches the present state, and the tests say so.

use std::collections::{HashMap, HashSet};

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use hkdf::Hkdf;
use sha2::Sha512;

use super::churn::{Known, Model, TRAFFIC_KEYS, VAULT_ID};
use super::history::History;
use super::traffic::Traffic;
use crate::key::LeafKey;

type KeyBytes = [u8; 32];

/// The number of the root's row.
const ROOT: i64 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Row {
    Node(i64),
    Event(Event),
}

/// One of a leaf's events, and where it is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Event {
    leaf: LeafKey,
    number: u64,
    row: i64,
}

/// Which versions a recovered key is tried on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    /// Those of the row that it is the key of: the place is sealed with the bytes.
    ItsRow,
    /// All that there are.
    EveryRow,
}

/// All that could be read.
#[derive(Default)]
pub(super) struct Reached {
    records: HashMap<LeafKey, HashSet<Known>>,
    events: HashMap<(LeafKey, u64), HashSet<Vec<u8>>>,
    traffic: HashSet<Vec<u8>>,
}

struct Adversary<'a> {
    history: &'a History,
    search: Search,
    /// Keys that were not tried yet, each with its row.
    clues: Vec<(Row, KeyBytes)>,
    tried: HashSet<(Row, KeyBytes)>,
    reached: Reached,
}

/// Tries every key that can be recovered on every version of each row that it may be the key of.
pub(super) fn attack(
    master_key: &KeyBytes,
    anchors: &[u8],
    history: &History,
    traffic: &[Traffic],
    search: Search,
) -> Reached {
    let roots = root_keys(master_key, anchors).into_iter();
    let mut adversary = Adversary {
        history,
        search,
        clues: roots.map(|key| (Row::Node(ROOT), key)).collect(),
        tried: HashSet::new(),
        reached: Reached::default(),
    };
    while let Some((row, key)) = adversary.clues.pop() {
        if adversary.tried.insert((row, key)) {
            adversary.try_key(row, &key);
        }
    }
    adversary.reached.open_traffic(traffic);
    adversary.reached
}

impl Adversary<'_> {
    fn try_key(&mut self, row: Row, key: &KeyBytes) {
        let cipher = Aes256Gcm::new_from_slice(key).unwrap();
        let History { nodes, events } = self.history;
        match (self.search, row) {
            (Search::ItsRow, Row::Node(place)) => self.try_row(row, nodes.get(&place), &cipher),
            (Search::ItsRow, Row::Event(event)) => {
                self.try_row(row, events.get(&event.row), &cipher);
            }
            (Search::EveryRow, _) => {
                for (place, versions) in nodes {
                    self.try_row(Row::Node(*place), Some(versions), &cipher);
                }
                // A node's key names no leaf whose event it could open.
                for versions in events.values().filter(|_| matches!(row, Row::Event(_))) {
                    self.try_row(row, Some(versions), &cipher);
                }
            }
        }
    }

    fn try_row(&mut self, row: Row, versions: Option<&Vec<Vec<u8>>>, cipher: &Aes256Gcm) {
        for version in versions.into_iter().flatten() {
            let Some(plaintext) = open_row(row, version, cipher) else {
                continue;
            };
            match row {
                Row::Node(ROOT) => {
                    let (length, rest) = plaintext.split_first_chunk().unwrap();
                    let node = &rest[usize::from(u16::from_be_bytes(*length))..];
                    self.read_node(ROOT, node);
                }
                Row::Node(place) => self.read_node(place, &plaintext),
                Row::Event(event) => self.read_event(event, &plaintext),
            }
        }
    }

    fn read_node(&mut self, place: i64, node: &[u8]) {
        let (kind, mut rest) = node.split_first().unwrap();
        if *kind == 1 {
            let (present, keys) = rest.split_first_chunk().unwrap();
            let present = u64::from_be_bytes(*present);
            let slots = (0..64).filter(|slot| present >> slot & 1 == 1);
            for (slot, key) in slots.zip(keys.as_chunks().0) {
                self.clues.push((Row::Node(place << 6 | slot), *key));
            }
            return;
        }
        while let Some((leaf, behind)) = rest.split_first_chunk() {
            let (length, behind) = behind.split_first_chunk().unwrap();
            let (record, behind) = behind.split_at(u32::from_be_bytes(*length) as usize);
            self.read_record(LeafKey(*leaf), record);
            rest = behind;
        }
    }

    fn read_record(&mut self, leaf: LeafKey, record: &[u8]) {
        let (parts, mut rest) = (record[1], &record[2..]);
        let mut known = Known::default();
        if parts & 1 != 0 {
            known.events = number(&mut rest);
            rest = self.follow(leaf, known.events, rest);
        }
        if parts & 2 != 0 {
            known.due_ms = Some(number(&mut rest));
        }
        if parts & 4 != 0 {
            known.state = Some(rest.to_vec());
        }
        self.reached.records.entry(leaf).or_default().insert(known);
    }

    fn read_event(&mut self, at: Event, plaintext: &[u8]) {
        let text = self.follow(at.leaf, at.number - 1, plaintext);
        let events = self.reached.events.entry((at.leaf, at.number));
        events.or_default().insert(text.to_vec());
    }

    /// Takes row and key of an event from the beginning of these bytes.
    fn follow<'b>(&mut self, leaf: LeafKey, number: u64, bytes: &'b [u8]) -> &'b [u8] {
        let (row, rest) = bytes.split_first_chunk().unwrap();
        let (key, rest) = rest.split_first_chunk().unwrap();
        let row = i64::from_be_bytes(*row);
        let event = Event { leaf, number, row };
        self.clues.push((Row::Event(event), *key));
        rest
    }
}

impl Reached {
    /// Everything in reach of an attacker who reaches this state, and nothing of any former one. Events are not
    /// replaced: all that ever happened to an account is part of its present state.
    pub(super) fn all_of(model: &Model, traffic: &[Traffic]) -> Reached {
        let mut reached = Reached::default();
        for (leaf, known) in &model.now {
            reached.records.insert(*leaf, [known.clone()].into());
        }
        for (leaf, events) in &model.events {
            for (number, event) in (1..).zip(events) {
                reached
                    .events
                    .insert((*leaf, number), [event.clone()].into());
            }
        }
        reached.open_traffic(traffic);
        reached
    }

    /// The records that were read in stored leaves or in traffic and are no account's present one.
    pub(super) fn former_records(&self, model: &Model) -> HashSet<&[u8]> {
        let now: HashSet<&[u8]> = (model.now.values())
            .filter_map(|known| known.state.as_deref())
            .collect();
        let records = self.records.values().flatten();
        let records = records.filter_map(|known| known.state.as_ref());
        let records = records.chain(&self.traffic).map(Vec::as_slice);
        records.filter(|record| !now.contains(record)).collect()
    }

    /// Nothing is missing and nothing more is there.
    pub(super) fn assert_is(&self, wanted: &Reached) {
        let counts = |reached: &Reached| {
            let records: usize = reached.records.values().map(HashSet::len).sum();
            let events: usize = reached.events.values().map(HashSet::len).sum();
            (records, events, reached.traffic.len())
        };
        assert_eq!(counts(self), counts(wanted), "records, events, traffic");
        assert!(self.records == wanted.records, "other records");
        assert!(self.events == wanted.events, "other events");
        assert!(self.traffic == wanted.traffic, "other traffic");
    }

    /// With every key in every state of the leaves that hold such keys.
    fn open_traffic(&mut self, traffic: &[Traffic]) {
        let leaves = TRAFFIC_KEYS
            .iter()
            .filter_map(|leaf| self.records.get(leaf));
        let keys: HashSet<KeyBytes> = leaves
            .flatten()
            .filter_map(|known| known.state.as_ref())
            .flat_map(|state| state.as_chunks().0)
            .copied()
            .collect();
        for key in keys {
            let opened = traffic.iter().filter_map(|traffic| traffic.open(&key));
            self.traffic.extend(opened);
        }
    }
}

/// The root keys in anchors' files.
pub(super) fn root_keys(master_key: &KeyBytes, anchors: &[u8]) -> Vec<KeyBytes> {
    let slots = anchors.chunks(4096);
    slots
        .filter_map(|slot| root_key(master_key, slot))
        .collect()
}

/// The root key in a slot of an anchor, if there is one in it.
fn root_key(master_key: &KeyBytes, slot: &[u8]) -> Option<KeyBytes> {
    const LABEL: &[u8] = b"backup-key-vault/v1 anchor";
    let (salt, sealed) = slot[1..].split_first_chunk::<32>()?;
    let mut key = [0; 32];
    Hkdf::<Sha512>::new(Some(salt), master_key)
        .expand(LABEL, &mut key)
        .unwrap();
    let payload = Payload {
        msg: &sealed[..73],
        aad: &[LABEL, &slot[..1], VAULT_ID.as_bytes()].concat(),
    };
    let cipher = Aes256Gcm::new_from_slice(&key).unwrap();
    let opened = cipher.decrypt(&Nonce::default(), payload).ok()?;
    let is_live = opened[0] == 1;
    is_live.then(|| opened[25..].try_into().unwrap())
}

fn open_row(row: Row, version: &[u8], cipher: &Aes256Gcm) -> Option<Vec<u8>> {
    let (head, sealed) = match row {
        Row::Node(ROOT) => version.split_at(8),
        Row::Node(_) | Row::Event(..) => version.split_at(0),
    };
    let place = match row {
        Row::Node(place) => [b"backup-key-vault/v2 node", &place.to_be_bytes()[..], head].concat(),
        Row::Event(event) => [
            b"backup-key-vault/v2 event",
            &event.leaf.0[..],
            &event.number.to_be_bytes(),
        ]
        .concat(),
    };
    let payload = Payload {
        msg: &sealed[1..],
        aad: &[&place, VAULT_ID.as_bytes()].concat(),
    };
    cipher.decrypt(&Nonce::default(), payload).ok()
}

fn number(bytes: &mut &[u8]) -> u64 {
    let (number, rest) = bytes.split_first_chunk().unwrap();
    *bytes = rest;
    u64::from_be_bytes(*number)
}
