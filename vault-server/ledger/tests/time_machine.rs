//! An attacker who saved every file after each of 200 batches, and puts old ones back.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails its test")]

mod common;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::thread;

use common::identity;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;
use vault_ledger::{CommitError, LeafKey, LeafUnavailable, Ledger, OpenError, Options};
use zeroize::Zeroizing;

const BATCHES: usize = 200;
/// Enough that a few batches leave pages of the database alone.
const LEAVES: usize = 300;

/// The content of a leaf: its state, if it has one, and its events.
type Model = BTreeMap<LeafKey, (Option<Vec<u8>>, Vec<Vec<u8>>)>;

/// Every file as it was when a batch had been answered, and the content of the vault then.
struct Moment {
    database: Vec<u8>,
    wal: Vec<u8>,
    anchor: Vec<u8>,
    model: Model,
}

static MOMENTS: LazyLock<Vec<Moment>> = LazyLock::new(moments);

/// A folder for a vault, in memory if this machine has a place for that: 20,000 starts sync a lot.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let memory = Path::new("/dev/shm");
        let made = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        Place(made.unwrap())
    }

    /// A new folder with the database of one moment, the WAL of another one, and the anchor of a
    /// third.
    fn restored(database: &Moment, wal: &Moment, anchor: &Moment) -> Place {
        let place = Place::new();
        for folder in ["vault", "volume"] {
            let folder = place.0.path().join(folder);
            DirBuilder::new().mode(0o700).create(folder).unwrap();
        }
        write(&place.file("vault/ledger.db"), &database.database);
        write(&place.file("vault/ledger.db-wal"), &wal.wal);
        write(&place.file("volume/anchor"), &anchor.anchor);
        place
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn options(&self) -> Options {
        Options::new(self.file("vault"), self.file("volume/anchor"))
    }

    fn open(&self) -> Result<Ledger, OpenError> {
        Ledger::open(self.options(), identity())
    }

    /// As an operator without a better copy does it.
    fn open_with_damage(&self) -> Result<Ledger, OpenError> {
        let mut options = self.options();
        options.accept_damage = true;
        Ledger::open(options, identity())
    }

    fn save(&self, model: &Model) -> Moment {
        let read = |name| fs::read(self.file(name)).unwrap();
        Moment {
            database: read("vault/ledger.db"),
            wal: read("vault/ledger.db-wal"),
            anchor: read("volume/anchor"),
            model: model.clone(),
        }
    }
}

fn write(path: &Path, content: &[u8]) {
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o600);
    options.open(path).unwrap().write_all(content).unwrap();
}

/// The changes of one batch.
#[derive(Clone)]
enum Step {
    Put(LeafKey, Vec<u8>),
    Remove(LeafKey),
    Event(LeafKey, Vec<u8>),
    Due(LeafKey, u64),
}

fn step(rng: &mut StdRng, keys: &[LeafKey]) -> Step {
    let key = keys[rng.gen_range(0..keys.len())];
    let mut bytes = vec![0; rng.gen_range(16..150)];
    rng.fill(bytes.as_mut_slice());
    match rng.gen_range(0..10) {
        0..7 => Step::Put(key, bytes),
        7 => Step::Remove(key),
        8 => Step::Event(key, bytes),
        _ => Step::Due(key, rng.r#gen()),
    }
}

fn apply(model: &mut Model, steps: &[Step]) {
    for step in steps {
        match step.clone() {
            Step::Put(key, state) => model.entry(key).or_default().0 = Some(state),
            Step::Remove(key) => model.entry(key).or_default().0 = None,
            Step::Event(key, event) => model.entry(key).or_default().1.push(event),
            Step::Due(..) => {}
        }
    }
}

fn commit(ledger: &Ledger, steps: Vec<Step>) {
    let change = move |batch: &mut vault_ledger::Batch<'_>| {
        for step in steps {
            match step {
                Step::Put(key, state) => batch.put(&key, Zeroizing::new(state)),
                Step::Remove(key) => batch.remove(&key),
                Step::Event(key, event) => batch.append_event(&key, &event),
                Step::Due(key, due_ms) => batch.schedule(&key, Some(due_ms)),
            }
        }
        Ok(())
    };
    ledger.commit_blocking(change).unwrap();
}

/// The vault's life. Its files are copied while it runs, so changes that are not in the database yet are
/// in the WAL.
fn moments() -> Vec<Moment> {
    let mut rng = StdRng::seed_from_u64(7);
    let keys: Vec<LeafKey> = (0..LEAVES).map(|_| LeafKey(rng.r#gen())).collect();
    let mut place = Place::new();
    let mut ledger = Ledger::create(place.options(), identity()).unwrap();
    let mut model = keys.iter().map(|key| (*key, Default::default())).collect();
    let mut moments: Vec<Moment> = Vec::new();
    for _ in 0..BATCHES {
        if let Some(last) = moments.last()
            && rng.gen_ratio(1, 12)
        {
            ledger.close().unwrap();
            // From where an orderly end leaves it, or from where a kill does.
            if rng.r#gen() {
                place = Place::restored(last, last, last);
            }
            ledger = place.open().unwrap();
        }
        let mut steps: Vec<Step> = (0..rng.gen_range(0..12))
            .map(|_| step(&mut rng, &keys))
            .collect();
        // Every one differs from the one before.
        let state: [u8; 32] = rng.r#gen();
        let key = keys[rng.gen_range(0..keys.len())];
        steps.push(Step::Put(key, state.to_vec()));
        apply(&mut model, &steps);
        commit(&ledger, steps);
        moments.push(place.save(&model));
    }
    moments
}

/// How much of a model is there.
#[derive(Debug, PartialEq, Eq)]
enum Held {
    All,
    /// The rest is unavailable, or reading it stopped the ledger.
    Part,
}

/// Asserts that every leaf and every event is as the model says, or unavailable.
fn assert_never_older(ledger: &Ledger, model: &Model) -> Held {
    let keys: Vec<LeafKey> = model.keys().copied().collect();
    // Compared out here: a change that panics stops the ledger, as a disk that fails does.
    let found = ledger.commit_blocking(move |batch| {
        let found = keys
            .iter()
            .map(|key| (batch.read(key), batch.events(key, 1000)));
        Ok(found.collect::<Vec<_>>())
    });
    let found = match found {
        Ok(found) => found.into_inner(),
        Err(CommitError::Stopped) => return Held::Part,
        Err(other) => panic!("{other}"),
    };
    let mut held = Held::All;
    for ((found, found_events), (state, events)) in found.into_iter().zip(model.values()) {
        match found {
            Ok(found) => assert!(found.as_deref() == state.as_ref(), "another state"),
            Err(LeafUnavailable) => held = Held::Part,
        }
        match found_events {
            Ok(found) => assert!(
                found.iter().map(|event| &**event).eq(events),
                "other events"
            ),
            Err(LeafUnavailable) => held = Held::Part,
        }
    }
    held
}

/// Runs the check for every number below the end, on all processors.
fn for_each(end: usize, check: impl Fn(usize) + Sync) {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let check = &check;
    thread::scope(|scope| {
        for first in 0..threads {
            scope.spawn(move || (first..end).step_by(threads).for_each(check));
        }
    });
}

// Fails when `Anchors::erase` returns at once: then the batch before the last one opens.
#[test]
fn every_older_database_is_refused_with_every_later_anchor() {
    let moments = &*MOMENTS;
    for_each(BATCHES, |newer| {
        for older in 0..newer {
            let (database, anchor) = (&moments[older], &moments[newer]);
            let place = Place::restored(database, database, anchor);
            match place.open() {
                Err(OpenError::NotTheLatest { database, anchors }) => assert!(database < anchors),
                Err(other) => panic!("{older} with the anchor of {newer}: {other:?}"),
                Ok(_) => panic!("{older} opens with the anchor of {newer}"),
            }
        }
    });
}

// Shows that the copies are whole: they are refused for the anchor alone.
#[test]
fn every_database_opens_with_the_anchor_of_its_own_moment() {
    let moments = &*MOMENTS;
    for_each(BATCHES, |number| {
        let moment = &moments[number];
        let place = Place::restored(moment, moment, moment);
        let ledger = place.open().unwrap();
        assert_eq!(assert_never_older(&ledger, &moment.model), Held::All);
    });
}

/// How mixtures of files ended.
#[derive(Debug, Default)]
struct Mixed {
    refused: usize,
    whole: usize,
    in_part: usize,
}

// Fails when `Keys::draw` does not fill the keys it returns, so that all keys are the same.
#[test]
fn a_wal_and_a_database_of_different_moments_never_serve_an_older_state() {
    let moments = &*MOMENTS;
    let mut rng = StdRng::seed_from_u64(8);
    let mut mixed = Mixed::default();
    for newer in 1..BATCHES {
        for _ in 0..4 {
            let (newer, older) = (&moments[newer], &moments[rng.gen_range(0..newer)]);
            for (database, wal) in [(older, newer), (newer, older)] {
                let place = Place::restored(database, wal, newer);
                let mut opened = place.open();
                if let Err(OpenError::Mixture { .. }) = opened {
                    mixed.refused += 1;
                    opened = place.open_with_damage();
                }
                mixed.count(&opened, &newer.model);
            }
        }
    }
    println!("{mixed:?}");
    assert!(mixed.refused > 0 && mixed.whole > 0 && mixed.in_part > 0);
}

impl Mixed {
    fn count(&mut self, opened: &Result<Ledger, OpenError>, newest: &Model) {
        match opened {
            Err(OpenError::NotTheLatest { .. } | OpenError::Storage(_)) => self.refused += 1,
            Err(other) => panic!("{other:?}"),
            Ok(ledger) => match assert_never_older(ledger, newest) {
                Held::All => self.whole += 1,
                Held::Part => self.in_part += 1,
            },
        }
    }
}
