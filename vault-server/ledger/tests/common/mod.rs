//! A vault in a temporary folder, and helpers that look past the ledger at its files.
#![allow(
    dead_code,
    reason = "every test program uses a part of these, and each compiles all of them"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};

use rusqlite::Connection;
use tempfile::TempDir;
use vault_ledger::{
    CommitError, Committed, LeafKey, LeafUnavailable, Ledger, MasterKey, OpenError, Options,
    VaultIdentity,
};
use zeroize::Zeroizing;

pub const ONE: LeafKey = LeafKey([0x01; 32]);
pub const TWO: LeafKey = LeafKey([0x02; 32]);
pub const THREE: LeafKey = LeafKey([0x03; 32]);

pub fn identity() -> VaultIdentity {
    VaultIdentity {
        vault_id: "vault-1".to_owned(),
        keyring_fingerprint: [0xf1; 32],
        master_key: MasterKey::new(&[0x55; 32]),
    }
}

/// A temporary folder and the vault's folder in it.
pub struct Home {
    temporary: TempDir,
}

impl Home {
    pub fn new() -> Home {
        let temporary = tempfile::tempdir().unwrap();
        Home { temporary }
    }

    /// One whose syncs take no time, where there is a disk in memory: for tests of very many vaults.
    pub fn in_memory() -> Home {
        let memory = Path::new("/dev/shm");
        let temporary = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        let temporary = temporary.unwrap();
        Home { temporary }
    }

    /// The home of a new vault, closed again.
    pub fn with_vault() -> Home {
        let home = Home::new();
        home.create().unwrap().close().unwrap();
        home
    }

    pub fn folder(&self) -> PathBuf {
        self.temporary.path().join("vault")
    }

    pub fn database(&self) -> PathBuf {
        self.folder().join("ledger.db")
    }

    /// The anchor's file, in a folder of its own.
    pub fn anchor(&self) -> PathBuf {
        self.temporary.path().join("volume").join("anchor")
    }

    pub fn options(&self) -> Options {
        Options::new(self.folder(), self.anchor())
    }

    pub fn create(&self) -> Result<Ledger, OpenError> {
        Ledger::create(self.options(), identity())
    }

    pub fn open(&self) -> Result<Ledger, OpenError> {
        Ledger::open(self.options(), identity())
    }

    /// Changes the closed database, as an attacker with write access to its file can.
    pub fn tamper(&self, sql: &str) {
        Connection::open(self.database())
            .unwrap()
            .execute_batch(sql)
            .unwrap();
    }

    /// Changes the bytes of the closed database, all of which are in its one file.
    pub fn edit_bytes(&self, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.database()).unwrap();
        edit(&mut bytes);
        fs::write(self.database(), bytes).unwrap();
    }

    /// Every file of the vault's folder, and the anchor.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let anchor = self.anchor();
        fs::read_dir(self.folder())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .chain(anchor.exists().then_some(anchor))
            .map(|path| (path.clone(), fs::read(&path).unwrap()))
            .collect()
    }
}

pub fn bytes(text: &str) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(text.as_bytes().to_vec())
}

pub fn text(state: Option<Zeroizing<Vec<u8>>>) -> Option<String> {
    state.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

pub fn put(ledger: &Ledger, key: LeafKey, state: &str) {
    let state = bytes(state);
    ledger
        .commit_blocking(move |batch| {
            batch.put(&key, state);
            Ok(())
        })
        .unwrap();
}

pub fn read(ledger: &Ledger, key: LeafKey) -> Result<Option<String>, CommitError> {
    let state = ledger.commit_blocking(move |batch| batch.read(&key))?;
    Ok(text(state.into_inner()))
}

pub fn events(ledger: &Ledger, key: LeafKey, last: usize) -> Result<Vec<String>, CommitError> {
    let events = ledger.commit_blocking(move |batch| batch.events(&key, last))?;
    Ok(events
        .iter()
        .map(|e| text(Some(e.clone())).unwrap())
        .collect())
}

pub fn due(ledger: &Ledger, until_ms: u64, limit: usize) -> Vec<LeafKey> {
    let due = ledger.commit_blocking(move |batch| Ok(batch.due(until_ms, limit)));
    due.unwrap().into_inner()
}

/// Polls once, which puts a change into the queue.
pub fn polled<F: Future>(future: F) -> (Pin<Box<F>>, Poll<F::Output>) {
    let mut future = Box::pin(future);
    let poll = future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    (future, poll)
}

/// A change that is in the queue and not answered yet.
pub fn queued<F: Future>(future: F) -> Pin<Box<F>> {
    let (future, poll) = polled(future);
    assert!(poll.is_pending(), "the change was answered at once");
    future
}

/// The writer, held up inside a change until this is released. Changes queued meanwhile
/// becomes one batch.
pub struct Held {
    release: mpsc::Sender<()>,
}

impl Held {
    pub fn hold(ledger: &Ledger) -> Held {
        let (started, has_started) = mpsc::channel();
        let (release, released) = mpsc::channel();
        drop(queued(ledger.commit(move |_| {
            started.send(()).unwrap();
            released.recv().unwrap();
            Ok(())
        })));
        has_started.recv().unwrap();
        Held { release }
    }

    pub fn release(self) {
        self.release.send(()).unwrap();
    }
}

/// A change that stores this state and returns it.
pub async fn store(
    ledger: &Ledger,
    key: LeafKey,
    state: &'static str,
) -> Result<Committed<&'static str>, CommitError> {
    ledger
        .commit(move |batch| {
            batch.put(&key, bytes(state));
            Ok(state)
        })
        .await
}

/// A change that stores, appends, schedules, and then finds a leaf that cannot be opened.
pub async fn give_up(ledger: &Ledger, key: LeafKey) -> Result<Committed<()>, CommitError> {
    ledger
        .commit(move |batch| {
            batch.put(&key, bytes("must not stay"));
            batch.append_event(&key, b"must not stay");
            batch.schedule(&key, Some(1));
            Err(LeafUnavailable)
        })
        .await
}

pub fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

/// A copy of the vault's folder and anchor, each file as it is now.
pub struct Saved(Vec<(PathBuf, Vec<u8>)>);

impl Saved {
    pub fn of(home: &Home) -> Saved {
        Saved(home.files())
    }

    /// Puts the data folder back; the anchor stays as it is.
    pub fn restore_folder(&self, home: &Home) {
        for (path, content) in self.0.iter().filter(|(path, _)| *path != home.anchor()) {
            fs::write(path, content).unwrap();
        }
    }

    pub fn restore_anchor(&self, home: &Home) {
        for (path, content) in self.0.iter().filter(|(path, _)| *path == home.anchor()) {
            fs::write(path, content).unwrap();
        }
    }
}

pub fn copy_private(from: &Path, to: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::copy(from, to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o600)).unwrap();
}
