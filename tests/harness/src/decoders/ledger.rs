//! The ledger's plaintexts, below its seals: a whole ledger is opened on files with these bytes.
//!
//! The ledger's decoders are private. They are reached as an attacker with the files and the master
//! key reaches them: by sealing. The seals are written out once more here, from their descriptions
//! in `anchor/slot.rs` and `tree/mod.rs`.

mod clear;

use std::cell::RefCell;
use std::fs;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use hkdf::Hkdf;
use rusqlite::Connection;
use sha2::Sha512;
use tempfile::TempDir;
use vault_ledger::{LeafKey, Ledger, MasterKey, Options, VaultIdentity, Verification};
use zeroize::Zeroizing;

use self::clear::{FINGERPRINT, VAULT_ID};

const MASTER_KEY: [u8; 32] = [2; 32];
const ROOT_KEY: [u8; 32] = [3; 32];
const CHILD_KEY: [u8; 32] = [4; 32];
const EVENT_KEY: [u8; 32] = [6; 32];
const ANCHOR_ID: [u8; 16] = [5; 16];
const SEQUENCE: u64 = 7;
/// Below the root's first child.
const LEAF: LeafKey = LeafKey([0; 32]);
const NEIGHBOUR: LeafKey = LeafKey([1; 32]);
const DUE: u64 = 1_800_000_000_000;

const ROOT: i64 = 1;
const FIRST_CHILD: i64 = 1 << 6;
const SLOT_SIZE: usize = 4096;

/// The files that a ledger is opened on.
struct Planted {
    anchor: Vec<u8>,
    root: Vec<u8>,
    child: Option<Vec<u8>>,
    event: Option<Vec<u8>>,
    clear: Option<clear::Rows>,
}

/// The ledger that was opened.
struct Opened {
    verification: Option<Verification>,
    /// Whether the leaf could be read, and its events.
    leaf: bool,
    events: bool,
    /// The leaves that a sweep would look at.
    due: Vec<LeafKey>,
}

/// Short ones are the beginnings of both slots, so that few bytes are a whole file.
pub(super) fn anchor_file(bytes: &[u8]) -> bool {
    let anchor = if bytes.len() <= 512 {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        [slot(first.to_vec()), slot(second.to_vec())].concat()
    } else {
        bytes.to_vec()
    };
    open(&Planted {
        anchor,
        ..planted(&bucket(&[]))
    })
    .is_some()
}

/// Both plaintexts, one behind the other.
pub(super) fn anchor_slots(plaintexts: &[u8]) -> bool {
    let (first, second) = plaintexts.split_at(plaintexts.len() / 2);
    open(&Planted {
        anchor: [sealed_slot(first), sealed_slot(second)].concat(),
        ..planted(&bucket(&[]))
    })
    .is_some()
}

pub(super) fn tree_row(row: &[u8]) -> bool {
    open(&Planted {
        root: row.to_vec(),
        ..planted(&bucket(&[]))
    })
    .is_some()
}

pub(super) fn tree_root(plaintext: &[u8]) -> bool {
    open(&Planted {
        root: root_row(plaintext),
        ..planted(&bucket(&[]))
    })
    .is_some()
}

pub(super) fn tree_node(plaintext: &[u8]) -> bool {
    open(&below_the_root(plaintext)).is_some_and(|opened| opened.leaf)
}

pub(super) fn tree_record(record: &[u8]) -> bool {
    let below = below_the_root(&bucket(record));
    open(&below).is_some_and(|opened| opened.leaf)
}

pub(super) fn tree_event(plaintext: &[u8]) -> bool {
    let (sequence, row) = (1_u64.to_be_bytes(), 1_u64.to_be_bytes());
    let record = [&[1, 1][..], &sequence, &row, &EVENT_KEY].concat();
    let label = b"backup-key-vault/v2 event";
    let data = [&label[..], &LEAF.0, &sequence, VAULT_ID.as_bytes()].concat();
    let planted = Planted {
        event: Some(seal(&EVENT_KEY, &data, plaintext)),
        ..below_the_root(&bucket(&record))
    };
    let opened = open(&planted).expect("the tree is intact");
    let verification = opened.verification.expect("nothing fails");
    assert_eq!(verification.leaves, 1);
    assert_eq!(verification.broken_events == 0, opened.events);
    opened.events
}

/// Whatever is in the rows that are not sealed: with another name or format the ledger does not open,
/// and what is due is what the leaf confirms.
pub(super) fn clear_rows(bytes: &[u8]) -> bool {
    let Some(rows) = clear::Rows::decode(bytes) else {
        return false;
    };
    let (is_ours, is_indexed) = (rows.are_of_our_vault(), rows.have_due(DUE, &LEAF));
    let record = [&[1, 6][..], &DUE.to_be_bytes(), b"state"].concat();
    let planted = Planted {
        clear: Some(rows),
        ..below_the_root(&bucket(&record))
    };
    let opened = open(&planted);
    assert_eq!(opened.is_some(), is_ours);
    let Some(opened) = opened else {
        return false;
    };
    let verification = opened.verification.expect("nothing fails");
    assert_eq!(verification.unscheduled == 0, is_indexed);
    assert_eq!(opened.due.as_slice(), &[LEAF][..usize::from(is_indexed)]);
    is_indexed
}

/// Rows of our vault and of other vaults; due times that are right, of no account, and malformed.
pub(super) fn clear_rows_of_all_kinds() -> Vec<Vec<u8>> {
    clear::examples(DUE, &LEAF)
}

/// An intact ledger with this node as its root.
fn planted(node: &[u8]) -> Planted {
    Planted {
        anchor: [sealed_slot(&live()), sealed_slot(&empty())].concat(),
        root: root_row(&[&metadata()[..], node].concat()),
        child: None,
        event: None,
        clear: None,
    }
}

/// An intact ledger, and this node below its root.
fn below_the_root(plaintext: &[u8]) -> Planted {
    let first_slot = 1_u64.to_be_bytes();
    let inner = [&[1][..], &first_slot, &CHILD_KEY].concat();
    Planted {
        child: Some(seal(&CHILD_KEY, &node_data(FIRST_CHILD, &[]), plaintext)),
        ..planted(&inner)
    }
}

/// A bucket with one leaf, or without.
pub(super) fn bucket(record: &[u8]) -> Vec<u8> {
    if record.is_empty() {
        return vec![2];
    }
    let length = u32::try_from(record.len()).expect("inputs are short");
    [&[2][..], &LEAF.0, &length.to_be_bytes(), record].concat()
}

/// That this anchor is the only one, at a path that matters to messages only.
pub(super) fn metadata() -> Vec<u8> {
    let members = [&ANCHOR_ID[..], &[0, 2], b"/a"].concat();
    let length = u16::try_from(members.len()).expect("one member");
    [&length.to_be_bytes()[..], &members].concat()
}

/// A root without leaves, with the metadata before it.
pub(super) fn root() -> Vec<u8> {
    [&metadata()[..], &[2]].concat()
}

/// Records with a state, with a due time, and with both.
pub(super) fn records() -> Vec<Vec<u8>> {
    let due = DUE.to_be_bytes();
    vec![
        b"\x01\x04state".to_vec(),
        [&[1, 2][..], &due].concat(),
        [&[1, 6][..], &due, b"state"].concat(),
        [&[1, 1][..], &[0; 48]].concat(),
    ]
}

pub(super) fn live() -> Vec<u8> {
    [&[1][..], &ANCHOR_ID, &SEQUENCE.to_be_bytes(), &ROOT_KEY].concat()
}

pub(super) fn empty() -> Vec<u8> {
    let before = (SEQUENCE - 1).to_be_bytes();
    [&[2][..], &ANCHOR_ID, &before, &[0; 32]].concat()
}

pub(super) fn root_row(plaintext: &[u8]) -> Vec<u8> {
    let sequence = SEQUENCE.to_be_bytes();
    let sealed = seal(&ROOT_KEY, &node_data(ROOT, &sequence), plaintext);
    [&sequence[..], &sealed].concat()
}

fn node_data(row: i64, sequence: &[u8]) -> Vec<u8> {
    let label = b"backup-key-vault/v2 node";
    [
        &label[..],
        &row.to_be_bytes(),
        sequence,
        VAULT_ID.as_bytes(),
    ]
    .concat()
}

fn seal(key: &[u8; 32], data: &[u8], plaintext: &[u8]) -> Vec<u8> {
    [&[2][..], &encrypt(key, data, plaintext)].concat()
}

pub(super) fn sealed_slot(plaintext: &[u8]) -> Vec<u8> {
    let (label, salt) = (b"backup-key-vault/v1 anchor", [9; 32]);
    let mut key = [0; 32];
    Hkdf::<Sha512>::new(Some(&salt), &MASTER_KEY)
        .expand(label, &mut key)
        .expect("32 bytes are few");
    let data = [&label[..], &[1], VAULT_ID.as_bytes()].concat();
    slot([&[1][..], &salt, &encrypt(&key, &data, plaintext)].concat())
}

fn slot(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(SLOT_SIZE, 0);
    bytes
}

fn encrypt(key: &[u8; 32], data: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let payload = Payload {
        msg: plaintext,
        aad: data,
    };
    Aes256Gcm::new(key.into())
        .encrypt(&[0; 12].into(), payload)
        .expect("inputs are short")
}

/// Opens a ledger on these files, if it opens; looks at everything, and changes something.
fn open(planted: &Planted) -> Option<Opened> {
    DISK.with_borrow(|disk| {
        disk.plant(planted);
        let ledger = Ledger::open(disk.options(), identity()).ok()?;
        let opened = look_at(&ledger);
        // It may have failed meanwhile, as it should when it cannot change its files.
        let _ = ledger.close();
        Some(opened)
    })
}

fn look_at(ledger: &Ledger) -> Opened {
    let verification = ledger.commit_blocking(|batch| batch.verify());
    let leaf = ledger.commit_blocking(|batch| batch.read(&LEAF)).is_ok();
    let events = ledger.commit_blocking(|batch| batch.events(&LEAF, usize::MAX));
    let listed = ledger.commit_blocking(|batch| Ok(batch.keys_after(None, usize::MAX)));
    let due = ledger.commit_blocking(|batch| Ok(batch.due(u64::MAX, usize::MAX)));
    assert!(listed.is_ok() && ledger.is_healthy());
    let written = ledger.commit_blocking(|batch| {
        batch.put(&NEIGHBOUR, Zeroizing::new(b"state".to_vec()));
        batch.append_event(&NEIGHBOUR, b"event");
        Ok(())
    });
    if written.is_ok() {
        let read = ledger.commit_blocking(|batch| batch.read(&NEIGHBOUR));
        let read = read.expect("it was written").into_inner();
        assert_eq!(read.expect("a state").as_slice(), b"state");
    }
    Opened {
        verification: verification.ok().map(|found| found.into_inner()),
        leaf,
        events: events.is_ok(),
        due: due.expect("a hint fails nothing").into_inner(),
    }
}

fn identity() -> VaultIdentity {
    VaultIdentity {
        vault_id: VAULT_ID.to_owned(),
        keyring_fingerprint: FINGERPRINT,
        master_key: MasterKey::new(&MASTER_KEY),
    }
}

thread_local! {
    static DISK: RefCell<Disk> = RefCell::new(Disk::new());
}

/// A folder in which one ledger after the other is opened.
struct Disk {
    folder: TempDir,
    /// A database without leaves.
    database: Vec<u8>,
}

impl Disk {
    fn new() -> Self {
        let folder = super::common::folder_in_memory();
        let mut disk = Self {
            folder,
            database: Vec::new(),
        };
        let ledger = Ledger::create(disk.options(), identity()).expect("a new ledger");
        ledger.close().expect("no storage error");
        disk.database = fs::read(disk.path("data/ledger.db")).expect("a database");
        disk
    }

    fn options(&self) -> Options {
        Options::new(self.path("data"), self.path("anchor/anchor"))
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// The files keep their owners and modes.
    fn plant(&self, planted: &Planted) {
        for name in ["data/ledger.db-wal", "data/ledger.db-shm"] {
            let _ = fs::remove_file(self.path(name));
        }
        fs::write(self.path("data/ledger.db"), &self.database).expect("the same file");
        fs::write(self.path("anchor/anchor"), &planted.anchor).expect("the same file");
        let database = Connection::open(self.path("data/ledger.db")).expect("a database");
        let put = "INSERT OR REPLACE INTO node (id, sealed) VALUES (?, ?)";
        let nodes = [
            (ROOT, Some(&planted.root)),
            (FIRST_CHILD, planted.child.as_ref()),
        ];
        for (row, sealed) in nodes {
            if let Some(sealed) = sealed {
                database.execute(put, (row, sealed)).expect("a row");
            }
        }
        if let Some(sealed) = &planted.event {
            let put = "INSERT INTO event (id, sealed) VALUES (1, ?)";
            database.execute(put, [sealed]).expect("a row");
        }
        if let Some(rows) = &planted.clear {
            rows.plant(&database).expect("rows of any kind");
        }
        database.close().expect("no storage error");
    }
}
