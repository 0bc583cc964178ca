//! Fail-stop: the disk is full, SQLite errs, or a change panics.

mod adversary;
mod churn;
mod closure;
mod history;
mod residue;
mod traffic;

use std::fs;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::{Arc, mpsc};
use std::task::{Context, Waker};

use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::anchor::file::FileAnchor;
use crate::anchor::{Anchor, Locator, Slot};
use crate::engine::commit::Engine;
use crate::engine::open;
use crate::store::Folder;
use crate::writer::leaves::Leaves;
use crate::{
    Batch, CommitError, LeafKey, LeafUnavailable, Ledger, LedgerFailed, MasterKey, Options,
    VaultIdentity,
};

const ONE: LeafKey = LeafKey([1; 32]);
const TWO: LeafKey = LeafKey([2; 32]);
const THREE: LeafKey = LeafKey([3; 32]);
const FAR: LeafKey = LeafKey([0xff; 32]);

fn identity() -> VaultIdentity {
    VaultIdentity {
        vault_id: "vault".to_owned(),
        keyring_fingerprint: [1; 32],
        master_key: MasterKey::new(&[2; 32]),
    }
}

/// A vault with a small and a large leaf, open for `prepare` to spoil before its writer starts.
fn spoiled(prepare: impl FnOnce(&Engine)) -> (TempDir, Options, Ledger) {
    let temporary = tempfile::tempdir().unwrap();
    let paths = ["vault", "anchor"].map(|name| temporary.path().join(name));
    let options = Options::new(&paths[0], &paths[1]);
    let ledger = Ledger::create(options.clone(), identity()).unwrap();
    ledger.commit_blocking(put(ONE, 1)).unwrap();
    // Not in the root, which a start reads.
    ledger.commit_blocking(put(FAR, 4_000)).unwrap();
    ledger.close().unwrap();
    let folder = Folder::open(&options.folder).unwrap();
    let engine = open::open(&folder, &options, &identity()).unwrap();
    prepare(&engine);
    let ledger = Ledger::start(engine, folder, &options).unwrap();
    (temporary, options, ledger)
}

fn put(
    key: LeafKey,
    size: usize,
) -> impl FnOnce(&mut Batch<'_>) -> Result<(), LeafUnavailable> + Send + 'static {
    move |batch| {
        batch.put(&key, Zeroizing::new(vec![7; size]));
        Ok(())
    }
}

fn size_of(ledger: &Ledger, key: LeafKey) -> Option<usize> {
    let size = ledger.commit_blocking(move |batch| Ok(batch.read(&key)?.map(|state| state.len())));
    size.unwrap().into_inner()
}

/// Polls once: puts a change into the queue, or asks whether something has happened.
fn is_ready<F: Future>(future: Pin<&mut F>) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    future.poll(&mut context).is_ready()
}

/// Runs three changes as one batch, of which the middle one is given, and a fourth after it. Asserts
/// that none is answered as done, and that the ledger has stopped. They wait behind a change that is
/// held up until all are queued.
async fn assert_stops<F>(ledger: &Ledger, middle: F)
where
    F: FnOnce(&mut Batch<'_>) -> Result<(), LeafUnavailable> + Send + 'static,
{
    let (started, has_started) = mpsc::channel::<()>();
    let (release, released) = mpsc::channel::<()>();
    let mut holding = pin!(ledger.commit(move |_| {
        started.send(()).unwrap();
        released.recv().unwrap();
        Ok(())
    }));
    assert!(!is_ready(holding.as_mut()));
    has_started.recv().unwrap();
    let mut first = pin!(ledger.commit(put(ONE, 2)));
    let mut middle = pin!(ledger.commit(middle));
    let mut last = pin!(ledger.commit(put(THREE, 2)));
    assert!(!is_ready(first.as_mut()));
    assert!(!is_ready(middle.as_mut()));
    assert!(!is_ready(last.as_mut()));
    release.send(()).unwrap();

    holding.await.unwrap();
    for outcome in [first.await, middle.await, last.await] {
        assert_eq!(outcome.unwrap_err(), CommitError::Stopped);
    }
    assert!(!ledger.is_healthy());
    ledger.failed().await;
    let after = ledger.commit(put(THREE, 3)).await;
    assert_eq!(after.unwrap_err(), CommitError::Stopped);
}

// Fails when `Tree::seal` passes over an error of `put_row`.
#[tokio::test]
async fn a_full_disk_stops_the_ledger_and_nothing_of_the_batch_is_answered_or_kept() {
    let (_temporary, options, ledger) = spoiled(|engine| engine.store.refuse_growth());
    assert_stops(&ledger, put(TWO, 1_000_000)).await;
    assert_eq!(ledger.close(), Err(LedgerFailed));
    let ledger = Ledger::open(options, identity()).unwrap();
    assert_eq!(size_of(&ledger, ONE), Some(1));
    assert_eq!(size_of(&ledger, TWO), None);
    assert_eq!(size_of(&ledger, THREE), None);
}

#[tokio::test]
async fn a_panic_in_a_change_stops_the_ledger_and_nothing_of_its_batch_is_kept() {
    let (_temporary, options, ledger) = spoiled(|_| {});
    assert_stops(&ledger, |_| panic!("on purpose")).await;
    drop(ledger);
    let ledger = Ledger::open(options, identity()).unwrap();
    assert_eq!(size_of(&ledger, ONE), Some(1));
    assert_eq!(size_of(&ledger, TWO), None);
    assert_eq!(size_of(&ledger, THREE), None);
}

// Fails when `Writer::turn` does not call `Leaves::check`.
#[tokio::test]
async fn a_storage_error_during_a_read_cannot_be_passed_over_by_its_change() {
    let (_temporary, _, ledger) = spoiled(|engine| engine.store.spoil("DROP TABLE event"));
    assert_stops(&ledger, |batch| {
        assert_eq!(batch.events(&ONE, 1), Err(LeafUnavailable));
        Ok(())
    })
    .await;
}

// A stop would lose the last copy. Fails when `is_in_place` or `lost_path` looks for the name only.
#[test]
fn files_that_have_lost_their_path_are_found_out_and_the_vault_goes_on() {
    let (_temporary, options, ledger) = spoiled(|_| {});
    ledger.close().unwrap();
    let folder = Folder::open(&options.folder).unwrap();
    let engine = open::open(&folder, &options, &identity()).unwrap();
    let mut leaves = Leaves::new(engine, Arc::default());
    assert!(leaves.lost_paths().is_empty());
    let paths = [options.folder.join("ledger.db"), options.anchors[0].clone()];
    for path in &paths {
        std::fs::remove_file(path).unwrap();
    }
    assert_eq!(leaves.lost_paths(), paths);
    for path in &paths {
        std::fs::write(path, b"another file").unwrap();
    }
    assert_eq!(leaves.lost_paths(), paths);
    leaves.maintain().unwrap();
    let ledger = Ledger::start(leaves.engine, folder, &options).unwrap();
    ledger.commit_blocking(put(ONE, 2)).unwrap();
    assert_eq!(size_of(&ledger, ONE), Some(2));
    assert!(ledger.is_healthy());
}

// As with a cleaned-up folder. Fails when `Store::maintain` stops for a lost WAL alone.
#[tokio::test]
async fn a_vault_whose_files_are_all_removed_goes_on() {
    let (_temporary, options, ledger) = spoiled(|_| {});
    for file in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        fs::remove_file(options.folder.join(file)).ok();
    }
    fs::remove_file(&options.anchors[0]).unwrap();
    for size in [2, 3, 4] {
        ledger.commit(put(ONE, size)).await.unwrap();
    }
    assert_eq!(size_of(&ledger, ONE), Some(4));
    assert!(ledger.is_healthy());
}

// Of such a leaf the commit reads the first, after the changes' own reads were looked at. Fails when
// `Leaves::read_for` does not call `check`.
#[tokio::test]
async fn a_storage_error_during_the_commit_of_a_due_time_stops_the_ledger() {
    let (_temporary, _, ledger) = spoiled(|engine| engine.store.spoil("DROP TABLE node"));
    let scheduled = ledger.commit(|batch| {
        batch.schedule(&FAR, None);
        Ok(())
    });
    assert_eq!(scheduled.await.unwrap_err(), CommitError::Stopped);
    assert!(!ledger.is_healthy());
}

// Fails when `Store::change_one` does not look at the count.
#[tokio::test]
async fn a_row_that_does_not_change_stops_the_ledger() {
    let (_temporary, _, ledger) = spoiled(|engine| {
        engine.store.allow_triggers();
        engine
            .store
            .spoil("CREATE TRIGGER ignore BEFORE UPDATE ON node BEGIN SELECT RAISE(IGNORE); END");
    });
    assert_stops(&ledger, put(ONE, 3)).await;
}

// Fails when `Writer::run` goes on after an error.
#[tokio::test]
async fn an_error_between_batches_stops_the_ledger_although_the_next_batch_would_work() {
    let (_temporary, options, ledger) = spoiled(|_| {});
    fs::remove_file(options.folder.join("ledger.db-wal")).unwrap();
    // This one was on the disk, in a file that had no name any more.
    ledger.commit(put(ONE, 2)).await.unwrap();
    ledger.failed().await;
    let after = ledger.commit(put(ONE, 3)).await;
    assert_eq!(after.unwrap_err(), CommitError::Stopped);
    drop(ledger);
    // Fails when `Store::maintain` does not save the content of the lost file.
    let ledger = Ledger::open(options, identity()).unwrap();
    assert_eq!(size_of(&ledger, ONE), Some(2));
}

// A torn slot may have shown any number, and one that is used twice names two states. Fails when
// `next_sequence` does not ask `has_unreadable`.
#[test]
fn a_start_that_finds_a_torn_slot_does_not_take_the_next_number() {
    let (_temporary, options, ledger) = spoiled(|_| {});
    ledger.close().unwrap();
    let start = || {
        let folder = Folder::open(&options.folder).unwrap();
        let engine = open::open(&folder, &options, &identity()).unwrap();
        engine.tree.sequence()
    };
    let first = start();
    assert_eq!(start(), first + 1);
    tear_the_empty_slot(&options.anchors[0]);
    assert!(start() > first + 2);
}

fn tear_the_empty_slot(path: &Path) {
    let anchor = FileAnchor::open(&Locator::parse(path), &identity()).unwrap();
    let mut slots = anchor.slots().iter();
    let empty = slots.position(|slot| matches!(slot, Slot::Empty { .. }));
    let mut pages = fs::read(path).unwrap();
    pages[empty.unwrap() * 4096 + 50] ^= 1;
    fs::write(path, pages).unwrap();
}
