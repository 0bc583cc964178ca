//! A vault on the test's own thread, its expected content, and everything it was ever told.
//!
//! It goes through `open.rs`, `Leaves`, and `commit.rs`, as the writer's thread does, with SQLite, an
//! anchor in a file, and a mirror.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rand::rngs::{OsRng, StdRng};
use rand::{Error, Rng, RngCore, SeedableRng};
use zeroize::Zeroizing;

use super::adversary::root_keys;
use super::history::History;
use super::traffic::Traffic;
use crate::Options;
use crate::anchor::file::FileAnchor;
use crate::anchor::{Anchor, AnchorId, Live, Locator, Slot};
use crate::engine::commit::Engine;
use crate::engine::open;
use crate::error::StorageError;
use crate::key::{LeafKey, MasterKey, VaultIdentity};
use crate::store::{Folder, Store};
use crate::tree::seal::Keys;
use crate::writer::batch::Batch;
use crate::writer::draft::Draft;
use crate::writer::leaves::Leaves;

pub(super) const VAULT_ID: &str = "vault-1";

/// Two leaves that hold keys which are replaced while the vault runs: the present one first, then
/// the one before it.
pub(super) const TRAFFIC_KEYS: [LeafKey; 2] = [LeafKey([0x0a; 32]), LeafKey([0x71; 32])];

const FULL_BATCH: usize = Options::BATCH_LIMIT;
/// The part of a record that stays when only its budget changes.
const SECRET_SIZE: usize = 64;

/// The mistake of a control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    Nothing,
    /// Nodes of this depth keep their key when they change.
    KeepsNodeKeys(u32),
    /// The mirror's former slot is not erased.
    KeepsFormerSlot,
    /// The oldest traffic key stays when the others are replaced.
    KeepsTrafficKey,
}

/// One thing that a change does.
#[derive(Clone)]
pub(super) enum Step {
    Put(LeafKey, Vec<u8>),
    Remove(LeafKey),
    Event(LeafKey, Vec<u8>),
    Due(LeafKey, Option<u64>),
}

/// The content of a leaf's record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Known {
    pub(super) state: Option<Vec<u8>>,
    pub(super) due_ms: Option<u64>,
    /// The number of the last event.
    pub(super) events: u64,
}

/// The expected content of the vault.
#[derive(Default)]
pub(super) struct Model {
    pub(super) now: BTreeMap<LeafKey, Known>,
    /// All that ever happened, oldest first.
    pub(super) events: BTreeMap<LeafKey, Vec<Vec<u8>>>,
}

/// An open vault. The folder's lock comes last.
struct Open {
    leaves: Leaves,
    _folder: Folder,
}

pub(super) struct Run {
    pub(super) model: Model,
    pub(super) traffic: Vec<Traffic>,
    pub(super) master_key: [u8; 32],
    /// Every state that the vault was ever given.
    pub(super) states: Vec<Vec<u8>>,
    /// The content of the anchors' files after every batch.
    pub(super) former_anchors: Vec<Vec<u8>>,
    pub(super) history: History,
    options: Options,
    wrong: Wrong,
    drawn: Drawn,
    rng: StdRng,
    /// The next number of a state, so that no two are the same.
    next: u64,
    open: Option<Open>,
}

/// The same for every run, so that a failure can be repeated; the vault's own keys differ.
const SEED: u64 = 3;

impl Run {
    /// A new vault in `home`, with its two leaves of traffic keys.
    pub(super) fn new(home: &Path, wrong: Wrong) -> Run {
        let mut rng = StdRng::seed_from_u64(SEED);
        let mut options = Options::new(home.join("vault"), home.join("volume").join("anchor"));
        options.anchors.push(home.join("mirror").join("anchor"));
        let mut run = Run {
            model: Model::default(),
            traffic: Vec::new(),
            master_key: rng.r#gen(),
            states: Vec::new(),
            former_anchors: Vec::new(),
            history: History::default(),
            options,
            wrong,
            drawn: Drawn::default(),
            rng,
            next: 0,
            open: None,
        };
        let folder = Folder::create(&run.options.folder).unwrap();
        open::create(&folder, &run.options, &run.identity()).unwrap();
        run.former_anchors.push(run.anchors());
        let store = Store::open(&folder).unwrap();
        run.history.note(&store);
        store.close().unwrap();
        drop(folder);
        run.note_root_key();
        run.start();
        run.replace_traffic_keys();
        run
    }

    /// The content of the files of all anchors, one behind the other.
    pub(super) fn anchors(&self) -> Vec<u8> {
        let files = self.options.anchors.iter();
        files.flat_map(|path| fs::read(path).unwrap()).collect()
    }

    /// Every key that was drawn for a node, a leaf's events, or a root.
    pub(super) fn drawn(&self) -> Vec<[u8; 32]> {
        self.drawn.0.lock().unwrap().clone()
    }

    /// Names for new accounts. Many begin alike, so that the tree has buckets at several depths.
    pub(super) fn new_accounts(&mut self, count: usize) -> Vec<LeafKey> {
        let mut accounts = Vec::with_capacity(count);
        for number in 0..count {
            let mut key: [u8; 32] = self.rng.r#gen();
            match number % 4 {
                0 => (key[0], key[1]) = (0, key[1] & 0x0f),
                1 => key[0] &= 0x03,
                _ => {}
            }
            accounts.push(LeafKey(key));
        }
        accounts
    }

    /// All of it as one batch, as the writer makes one.
    pub(super) fn batch(&mut self, steps: &[Step]) {
        let leaves = &mut self.open.as_mut().unwrap().leaves;
        leaves.begin();
        let mut draft = Draft::default();
        for step in steps {
            let mut batch = Batch::new(leaves, &draft);
            step.apply(&mut batch);
            let own = batch.into_draft().unwrap();
            draft.absorb(own);
            leaves.check().unwrap();
        }
        leaves.commit(draft).unwrap();
        leaves.maintain().unwrap();
        for step in steps {
            self.model.apply(step);
            if let Step::Put(_, state) = step {
                self.states.push(state.clone());
            }
        }
        self.note_what_is_stored();
    }

    fn note_what_is_stored(&mut self) {
        self.former_anchors.push(self.anchors());
        let open = self.open.as_ref().unwrap();
        self.history.note(&open.leaves.engine.store);
    }

    /// All of it, in batches that are full or of one change.
    pub(super) fn batches(&mut self, mut steps: Vec<Step>) {
        while !steps.is_empty() {
            let size = if self.rng.gen_ratio(1, 4) {
                1
            } else {
                FULL_BATCH
            };
            let batch: Vec<Step> = steps.drain(..size.min(steps.len())).collect();
            self.batch(&batch);
            if self.rng.gen_ratio(1, 40) {
                self.reopen();
            }
        }
    }

    /// An orderly end, or an end as by a kill; and a start.
    pub(super) fn reopen(&mut self) {
        if self.rng.r#gen() {
            self.close();
        }
        self.open = None;
        self.start();
    }

    pub(super) fn close(&mut self) {
        self.open.take().unwrap().leaves.close().unwrap();
    }

    pub(super) fn start(&mut self) {
        let folder = Folder::open(&self.options.folder).unwrap();
        let mut engine = open::open(&folder, &self.options, &self.identity()).unwrap();
        self.spoil(&mut engine);
        self.note_root_key();
        engine.keys = Keys::from_source(Box::new(self.drawn.clone()));
        self.open = Some(Open {
            leaves: Leaves::new(engine, Arc::default()),
            _folder: folder,
        });
        self.note_what_is_stored();
    }

    /// New keys for traffic; the former ones are kept until the next time, the ones before are gone.
    pub(super) fn replace_traffic_keys(&mut self) {
        let steps = TRAFFIC_KEYS.map(|leaf| {
            let known = self.model.state(&leaf).cloned().unwrap_or_default();
            let new: [u8; 32] = self.rng.r#gen();
            let mut keys = [&new, &known[..known.len().min(32)]].concat();
            if self.wrong == Wrong::KeepsTrafficKey && known.len() >= 64 {
                keys.extend_from_slice(&known[known.len() - 32..]);
            }
            Step::Put(leaf, keys)
        });
        self.batch(&steps);
    }

    /// A new record for an account. It came in over the network, under one of the present keys.
    pub(super) fn register(&mut self, account: LeafKey) -> Step {
        let mut record = vec![0; SECRET_SIZE];
        self.rng.fill_bytes(&mut record);
        record.extend_from_slice(&self.number().to_be_bytes());
        let leaf = &TRAFFIC_KEYS[self.rng.gen_range(0..TRAFFIC_KEYS.len())];
        let key = &self.model.state(leaf).unwrap()[..32];
        self.traffic.push(Traffic::seal(key, &record));
        Step::Put(account, record)
    }

    /// The same record with another budget.
    fn change(&mut self, account: LeafKey) -> Step {
        let state = self.model.state(&account).filter(|state| is_record(state));
        let Some(state) = state else {
            return self.register(account);
        };
        let mut state = state[..SECRET_SIZE].to_vec();
        state.extend_from_slice(&self.number().to_be_bytes());
        Step::Put(account, state)
    }

    /// A small state says that the record is gone, or nothing does.
    pub(super) fn destroy(&mut self, account: LeafKey) -> Step {
        if self.rng.r#gen() {
            return Step::Remove(account);
        }
        let number = self.number().to_be_bytes();
        Step::Put(account, [b"destroyed", &number[..]].concat())
    }

    pub(super) fn event(&mut self, account: LeafKey) -> Step {
        let event: [u8; 24] = self.rng.r#gen();
        Step::Event(account, event.to_vec())
    }

    /// So many changes of all kinds.
    pub(super) fn churn(&mut self, accounts: &[LeafKey], changes: usize) {
        let mut left = changes;
        while left > 0 {
            let steps: Vec<Step> = (0..left.min(10 * FULL_BATCH))
                .map(|_| {
                    let account = accounts[self.rng.gen_range(0..accounts.len())];
                    self.any_step(account)
                })
                .collect();
            left -= steps.len();
            self.batches(steps);
            self.replace_traffic_keys();
        }
    }

    fn any_step(&mut self, account: LeafKey) -> Step {
        match self.rng.gen_range(0..100) {
            0..45 => self.change(account),
            45..60 => self.register(account),
            60..75 => self.event(account),
            75..85 => Step::Due(account, Some(self.rng.gen_range(0..1 << 40))),
            85..90 => Step::Due(account, None),
            _ => self.destroy(account),
        }
    }

    /// Creation and start draw one key by themselves, for the root.
    fn note_root_key(&self) {
        let roots = root_keys(&self.master_key, &self.anchors());
        assert!(!roots.is_empty());
        self.drawn.0.lock().unwrap().extend(roots);
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn identity(&self) -> VaultIdentity {
        VaultIdentity {
            vault_id: VAULT_ID.to_owned(),
            keyring_fingerprint: [1; 32],
            master_key: MasterKey::new(&self.master_key),
        }
    }

    fn spoil(&self, engine: &mut Engine) {
        match self.wrong {
            Wrong::Nothing | Wrong::KeepsTrafficKey => {}
            Wrong::KeepsNodeKeys(depth) => engine.tree.not_rekeyed = Some(depth),
            Wrong::KeepsFormerSlot => {
                let mirror = &Locator::parse(&self.options.anchors[1]);
                // Its lock has to end first.
                drop(engine.anchors.take(mirror));
                let mirror = FileAnchor::open(mirror, &self.identity()).unwrap();
                engine.anchors.push(Box::new(NeverErased(mirror))).unwrap();
            }
        }
    }
}

pub(super) fn is_record(state: &[u8]) -> bool {
    state.len() == SECRET_SIZE + 8
}

impl Step {
    fn apply(&self, batch: &mut Batch<'_>) {
        match self {
            Step::Put(key, state) => batch.put(key, Zeroizing::new(state.clone())),
            Step::Remove(key) => batch.remove(key),
            Step::Event(key, event) => batch.append_event(key, event),
            Step::Due(key, due_ms) => batch.schedule(key, *due_ms),
        }
    }

    fn leaf(&self) -> LeafKey {
        match self {
            Step::Put(key, _) | Step::Remove(key) | Step::Event(key, _) | Step::Due(key, _) => *key,
        }
    }
}

impl Model {
    pub(super) fn state(&self, key: &LeafKey) -> Option<&Vec<u8>> {
        self.now.get(key)?.state.as_ref()
    }

    fn apply(&mut self, step: &Step) {
        let key = step.leaf();
        let known = self.now.entry(key).or_default();
        match step {
            Step::Put(_, state) => known.state = Some(state.clone()),
            Step::Remove(_) => (known.state, known.due_ms) = (None, None),
            Step::Event(_, event) => {
                known.events += 1;
                self.events.entry(key).or_default().push(event.clone());
            }
            Step::Due(_, due_ms) => known.due_ms = *due_ms,
        }
        if *known == Known::default() {
            self.now.remove(&key);
        }
    }
}

/// The system's generator, and everything that was drawn from it.
#[derive(Clone, Default)]
struct Drawn(Arc<Mutex<Vec<[u8; 32]>>>);

impl RngCore for Drawn {
    fn next_u32(&mut self) -> u32 {
        unreachable!("keys are drawn as bytes")
    }

    fn next_u64(&mut self) -> u64 {
        unreachable!("keys are drawn as bytes")
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        OsRng.fill_bytes(bytes);
        let (keys, rest) = bytes.as_chunks::<32>();
        assert!(rest.is_empty());
        self.0.lock().unwrap().extend_from_slice(keys);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

/// An anchor that says it has erased and has not.
struct NeverErased(FileAnchor);

impl Anchor for NeverErased {
    fn id(&self) -> AnchorId {
        self.0.id()
    }

    fn locator(&self) -> &Locator {
        self.0.locator()
    }

    fn is_in_place(&self) -> bool {
        self.0.is_in_place()
    }

    fn slots(&self) -> &[Slot; 2] {
        self.0.slots()
    }

    fn prepare(&mut self, expected: u64, next: &Live) -> Result<(), StorageError> {
        self.0.prepare(expected, next)
    }

    fn erase(&mut self, _kept: u64) -> Result<(), StorageError> {
        Ok(())
    }

    fn retire(&mut self) -> Result<(), StorageError> {
        Ok(())
    }
}

/// A temporary folder, in memory if this machine has a place for that: these tests sync a lot, and
/// power losses are tested elsewhere.
pub(super) fn scratch() -> tempfile::TempDir {
    let memory = PathBuf::from("/dev/shm");
    let made = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    made.unwrap()
}
