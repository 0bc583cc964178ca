//! The work of the processes of these tests, and how a vault is compared with it.
//!
//! The work is a script of rounds. A round is committed as one batch; a marker leaf says how many
//! rounds are stored. So the model is a plain map for each number of rounds, and a vault that is in
//! order is one of them, as a whole.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{RwLock, mpsc};

use vault_ledger::{
    Batch, CommitError, LeafKey, LeafUnavailable, Ledger, OpenError, Options, Removed,
};
use zeroize::Zeroizing;

use crate::common::{identity, polled};

/// How many rounds are stored.
const MARKER: LeafKey = LeafKey([0xaa; 32]);
/// For the change that shows that a vault goes on working.
const EXTRA: LeafKey = LeafKey([0xbb; 32]);

/// How much is done.
#[derive(Clone, Copy)]
pub struct Script {
    pub name: &'static str,
    pub rounds: usize,
    /// After these rounds the vault is closed in order and opened again: after the first with one
    /// anchor more, after the second without one of the others.
    reopened_after: [usize; 2],
    /// Whether every opening makes a new database of the old one, which is in order.
    rebuilds: bool,
}

pub const USUAL: Script = Script {
    name: "usual",
    rounds: 12,
    reopened_after: [4, 8],
    rebuilds: false,
};

/// As much as makes the WAL too long, so that a checkpoint comes while the vault is served.
pub const LONG: Script = Script {
    name: "long",
    rounds: 450,
    reopened_after: [usize::MAX; 2],
    rebuilds: false,
};

/// As with a database that is damaged, but for its damage: nothing may be missing.
pub const REBUILT: Script = Script {
    name: "rebuilt",
    rounds: 24,
    reopened_after: [3, 22],
    rebuilds: true,
};

/// The anchors of a vault at first, after one more was added, and after another was removed.
const ANCHORS: [&[&str]; 3] = [
    &["first/anchor", "second/deep/anchor"],
    &["first/anchor", "second/deep/anchor", "third/anchor"],
    &["first/anchor", "third/anchor"],
];

/// Where a process keeps its vault, everything below a root that is watched, and its work.
#[derive(Clone)]
pub struct Place {
    pub root: PathBuf,
    pub script: Script,
}

impl Place {
    fn options(&self, anchors: usize) -> Options {
        let mut paths = ANCHORS[anchors].iter().map(|path| self.root.join(path));
        let first = paths.next().expect("a vault has an anchor");
        let mut options = Options::new(self.root.join("vault/data"), first);
        options.anchors.extend(paths);
        options.accept_damage = self.script.rebuilds;
        options
    }

    pub fn open(&self, anchors: usize) -> Result<Ledger, OpenError> {
        Ledger::open(self.options(anchors), identity())
    }

    /// With the first of these sets of anchors that are the vault's.
    fn open_any(&self, sets: RangeInclusive<usize>) -> Result<(Ledger, usize), OpenError> {
        let last = (*sets.end()).min(ANCHORS.len() - 1);
        for anchors in *sets.start()..last {
            match self.open(anchors) {
                // The refusals of a wrong configuration.
                Err(
                    OpenError::AnchorNotConfigured(_)
                    | OpenError::AnchorUnknown(_)
                    | OpenError::AnchorMissing(_)
                    | OpenError::NotTheLatest { .. },
                ) => {}
                opened => return Ok((opened?, anchors)),
            }
        }
        Ok((self.open(last)?, last))
    }

    fn add_anchor(&self) -> Result<(), OpenError> {
        let added = self.root.join("third/anchor");
        Ledger::add_anchor(&self.options(0), &identity(), &added)
    }

    fn remove_anchor(&self) -> Result<Vec<Removed>, OpenError> {
        let removed = self.root.join("second/deep/anchor");
        Ledger::remove_anchors(&self.options(2), &identity(), &[removed])
    }

    pub fn create(&self) -> Result<Ledger, OpenError> {
        Ledger::create(self.options(0), identity())
    }
}

/// Lines said to the outside, in order with the calls on the disk.
pub struct Notes(File);

impl Notes {
    pub fn at(path: &Path) -> Notes {
        let file = OpenOptions::new().create(true).append(true).open(path);
        Notes(file.unwrap())
    }

    pub fn say(&mut self, what: &str) {
        // One write, so that a note is one record.
        self.0.write_all(format!("{what}\n").as_bytes()).unwrap();
    }
}

/// One step of a round.
#[derive(Clone)]
enum Step {
    Put(LeafKey, Vec<u8>),
    Remove(LeafKey),
    Append(LeafKey, Vec<u8>),
    Schedule(LeafKey, Option<u64>),
}

/// The content of a vault.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    leaves: BTreeMap<LeafKey, Vec<u8>>,
    events: BTreeMap<LeafKey, Vec<Vec<u8>>>,
    due: BTreeMap<LeafKey, u64>,
}

impl Step {
    fn run(&self, batch: &mut Batch<'_>) {
        match self {
            Step::Put(key, state) => batch.put(key, Zeroizing::new(state.clone())),
            Step::Remove(key) => batch.remove(key),
            Step::Append(key, event) => batch.append_event(key, event),
            Step::Schedule(key, due_ms) => batch.schedule(key, *due_ms),
        }
    }

    fn apply(self, model: &mut Model) {
        match self {
            Step::Put(key, state) => {
                model.leaves.insert(key, state);
            }
            Step::Remove(key) => {
                model.leaves.remove(&key);
                model.due.remove(&key);
            }
            Step::Append(key, event) => model.events.entry(key).or_default().push(event),
            Step::Schedule(key, Some(due_ms)) => {
                model.due.insert(key, due_ms);
            }
            Step::Schedule(key, None) => {
                model.due.remove(&key);
            }
        }
    }
}

fn leaf(number: usize) -> LeafKey {
    // Neighbours and strangers, as in a tree of many leaves.
    let mut key = [u8::try_from(number * 41 % 251).unwrap(); 32];
    key[0] = u8::try_from(number % 3 * 16).unwrap();
    LeafKey(key)
}

/// The changes of a round, from 1: each a list of steps, all of one batch.
fn round(number: usize) -> Vec<Vec<Step>> {
    let state = |salt: usize| {
        let length = 10 + (number * 977 + salt * 331) % 2_500;
        let byte = u8::try_from((number * 16 + salt) % 256).unwrap();
        vec![byte; length]
    };
    let mut changes = vec![vec![
        Step::Put(MARKER, number.to_string().into_bytes()),
        Step::Put(leaf(number), state(0)),
        Step::Put(leaf(number / 2), state(1)),
        Step::Append(leaf(number), format!("round {number}").into_bytes()),
    ]];
    if number.is_multiple_of(2) {
        changes.push(vec![
            Step::Remove(leaf(number / 2 + 1)),
            Step::Schedule(leaf(number), Some(number as u64)),
        ]);
    }
    if number.is_multiple_of(5) {
        changes.push(vec![
            Step::Put(leaf(200), vec![0x77; 30_000]),
            Step::Append(leaf(1), vec![0x78; 700]),
            Step::Schedule(leaf(number - 1), None),
        ]);
    }
    changes
}

fn model(rounds: usize) -> Model {
    let mut model = Model::default();
    let steps = (1..=rounds).flat_map(round).flatten();
    steps.for_each(|step| step.apply(&mut model));
    model
}

/// Makes the vault if there is none, and works from the round where it stands. Says the answers.
pub fn work(place: &Place, notes: &mut Notes) -> Result<(), CommitError> {
    let opened = match place.open_any(0..=2) {
        Err(OpenError::NotFound(_)) => place.create().map(|ledger| (ledger, 0)),
        opened => opened,
    };
    let (mut ledger, mut anchors) = opened.map_err(|_| CommitError::Stopped)?;
    notes.say("open");
    for number in rounds_stored(&ledger)? + 1..=place.script.rounds {
        run_round(&ledger, number)?;
        notes.say(&format!("answered {number}"));
        if place.script.reopened_after.contains(&number) {
            ledger.close().map_err(|_| CommitError::Stopped)?;
            notes.say("closed");
            anchors = change_anchors(place, anchors)?;
            notes.say(&format!("anchors {anchors}"));
            ledger = place.open(anchors).map_err(|_| CommitError::Stopped)?;
            notes.say("open");
        }
    }
    ledger.close().map_err(|_| CommitError::Stopped)?;
    notes.say("closed");
    Ok(())
}

fn change_anchors(place: &Place, anchors: usize) -> Result<usize, CommitError> {
    let is_done = match anchors {
        0 => place.add_anchor().is_ok(),
        // A disk that does not take the erasing of the one that leaves does not stop the others. It
        // has to be said, and counts as a refusal here.
        1 => matches!(place.remove_anchor().as_deref(), Ok([Removed::Erased])),
        _ => return Ok(anchors),
    };
    if is_done {
        Ok(anchors + 1)
    } else {
        Err(CommitError::Stopped)
    }
}

/// Commits a round's changes as one batch: they wait together behind one that holds the writer up.
fn run_round(ledger: &Ledger, number: usize) -> Result<(), CommitError> {
    let (started, has_started) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let (held, _) = polled(ledger.commit(move |_| {
        started.send(()).ok();
        released.recv().ok();
        Ok(())
    }));
    has_started.recv().map_err(|_| CommitError::Stopped)?;
    let changes: Vec<_> = round(number)
        .into_iter()
        .map(|steps| {
            ledger.commit(move |batch| {
                steps.iter().for_each(|step| step.run(batch));
                Ok(())
            })
        })
        .map(|change| polled(change).0)
        .collect();
    drop(release);
    let runtime = tokio::runtime::Builder::new_current_thread();
    let answered = { runtime }.build().unwrap().block_on(async {
        held.await?;
        let mut answers = Vec::new();
        for change in changes {
            answers.push(change.await.map(drop));
        }
        answers.into_iter().collect()
    });
    if answered == Err(CommitError::Stopped) {
        assert!(!ledger.is_healthy());
        let after = ledger.commit_blocking(|_| Ok(()));
        assert_eq!(after.unwrap_err(), CommitError::Stopped);
    }
    answered
}

fn rounds_stored(ledger: &Ledger) -> Result<usize, CommitError> {
    let marker = ledger.commit_blocking(|batch| batch.read(&MARKER))?;
    let number = |bytes: &[u8]| std::str::from_utf8(bytes).unwrap().parse().unwrap();
    Ok(marker.as_ref().map_or(0, |marker| number(marker)))
}

/// The lines of a process when its disk lost power, or it was killed, or it stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Said {
    /// The vault was open once. Before, it may be refused.
    pub created: bool,
    /// The last round that was answered.
    pub answered: usize,
    /// Which of the sets of anchors the vault has.
    pub anchors: usize,
}

impl Said {
    pub fn hear(&mut self, note: &str) {
        for line in note.lines() {
            self.created |= line == "open";
            match line.split_once(' ') {
                Some(("answered", number)) => self.answered = number.parse().unwrap(),
                Some(("anchors", number)) => self.anchors = number.parse().unwrap(),
                _ => {}
            }
        }
    }
}

/// Held for writing while a process is started, for reading while a vault is open here: a process has
/// copies of all open files until it runs its own program, and with them the vault's lock.
pub static STARTING: RwLock<()> = RwLock::new(());

/// Opens a vault, compares it with the lines said, changes it once more, and opens it again.
pub fn check(place: &Place, said: Said) -> Result<(), String> {
    let _held = STARTING.read().unwrap();
    let mut place = place.clone();
    place.script.rebuilds = false;
    let opened = match place.open_any(said.anchors..=said.anchors + 1) {
        // Interrupted, a creation leaves nothing that has to be cleaned up.
        Err(OpenError::NotFound(_)) if !said.created => place.create().map(|ledger| (ledger, 0)),
        opened => opened,
    };
    let (mut ledger, anchors) = opened.map_err(|error| reason(&error))?;
    let mut stored = rounds_stored(&ledger).map_err(|error| error.to_string())?;
    if stored != said.answered && stored != said.answered + 1 {
        return Err(format!("{stored} rounds are stored, said was {said:?}"));
    }
    let mut expected = model(stored);
    compare(&ledger, &expected)?;
    expected.leaves.insert(EXTRA, b"one more".to_vec());
    let more = ledger.commit_blocking(|batch| {
        batch.put(&EXTRA, Zeroizing::new(b"one more".to_vec()));
        Ok(())
    });
    more.map_err(|error| format!("one more change: {error}"))?;
    ledger.close().map_err(|error| error.to_string())?;
    ledger = place.open(anchors).map_err(|error| reason(&error))?;
    stored = rounds_stored(&ledger).map_err(|error| error.to_string())?;
    compare(&ledger, &expected).map_err(|error| format!("after {stored} and one more: {error}"))
}

fn compare(ledger: &Ledger, expected: &Model) -> Result<(), String> {
    let found = ledger
        .commit_blocking(contents)
        .map_err(|error| format!("reading: {error}"))?
        .into_inner();
    if ledger.unavailable_reads() != 0 {
        return Err("something is unavailable".to_owned());
    }
    if found != *expected {
        return Err(format!(
            "holds {}, expected {}",
            outline(&found),
            outline(expected)
        ));
    }
    Ok(())
}

fn contents(batch: &mut Batch<'_>) -> Result<Model, LeafUnavailable> {
    if !batch.verify()?.is_clean() {
        return Err(LeafUnavailable);
    }
    let mut model = Model::default();
    for key in batch.keys_after(None, 1_000) {
        if let Some(state) = batch.read(&key)? {
            model.leaves.insert(key, state.to_vec());
        }
    }
    for number in (0..=LONG.rounds).chain([200]) {
        let key = leaf(number);
        let events = batch.events(&key, 1_000)?;
        if !events.is_empty() {
            let events = events.iter().map(|event| event.to_vec()).collect();
            model.events.insert(key, events);
        }
    }
    for due_ms in 0..=LONG.rounds as u64 {
        for key in batch.due(due_ms, 1_000) {
            model.due.entry(key).or_insert(due_ms);
        }
    }
    Ok(model)
}

fn outline(model: &Model) -> String {
    let sizes = |key: &LeafKey, size: usize| format!("{:02x}{:02x}:{size}", key.0[0], key.0[1]);
    let leaves: Vec<_> = model
        .leaves
        .iter()
        .map(|(key, state)| sizes(key, state.len()))
        .collect();
    let events: Vec<_> = model
        .events
        .iter()
        .map(|(key, events)| sizes(key, events.len()))
        .collect();
    format!(
        "leaves {leaves:?}, events {events:?}, due {:?}",
        model.due.values()
    )
}

fn reason(error: &dyn std::error::Error) -> String {
    let mut text = format!("does not open: {error}");
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(&format!(": {inner}"));
        source = inner.source();
    }
    text
}
