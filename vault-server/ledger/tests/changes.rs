//! Changes, batches, and answers.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails its test")]

mod common;

use std::task::Poll;

use common::{
    Held, Home, ONE, THREE, TWO, bytes, due, events, give_up, polled, put, queued, read, store,
    text,
};
use vault_ledger::{CommitError, LeafUnavailable, Ledger};

#[tokio::test]
async fn a_full_queue_is_an_answer_at_once() {
    let home = Home::new();
    let mut options = home.options();
    options.queue_capacity = 2;
    let ledger = Ledger::create(options, common::identity()).unwrap();

    let held = Held::hold(&ledger);
    let first = queued(store(&ledger, ONE, "first"));
    let second = queued(store(&ledger, TWO, "second"));
    let (_, third) = polled(store(&ledger, THREE, "third"));
    assert!(matches!(third, Poll::Ready(Err(CommitError::Overloaded))));

    held.release();
    assert_eq!(*first.await.unwrap(), "first");
    assert_eq!(*second.await.unwrap(), "second");
    assert_eq!(read(&ledger, THREE), Ok(None));
    assert!(ledger.is_healthy());
}

// Fails when `Pending::run` hands out the draft of a change that returned `Err`.
#[tokio::test]
async fn an_unavailable_change_leaves_nothing_and_its_neighbours_everything() {
    let home = Home::new();
    let ledger = home.create().unwrap();
    put(&ledger, TWO, "before");

    let held = Held::hold(&ledger);
    let first = queued(store(&ledger, ONE, "first"));
    let fails = queued(give_up(&ledger, TWO));
    let fails_on_new = queued(give_up(&ledger, THREE));
    let last = queued(ledger.commit(|batch| Ok(text(batch.read(&TWO)?))));
    held.release();

    assert_eq!(fails.await.unwrap_err(), CommitError::Unavailable);
    assert_eq!(fails_on_new.await.unwrap_err(), CommitError::Unavailable);
    assert_eq!(*first.await.unwrap(), "first");
    assert_eq!(last.await.unwrap().as_deref(), Some("before"));

    ledger.close().unwrap();
    let ledger = home.open().unwrap();
    assert_eq!(read(&ledger, ONE).unwrap().as_deref(), Some("first"));
    assert_eq!(read(&ledger, TWO).unwrap().as_deref(), Some("before"));
    assert_eq!(read(&ledger, THREE), Ok(None));
    assert!(events(&ledger, TWO, 9).unwrap().is_empty());
    assert!(due(&ledger, u64::MAX, 9).is_empty());
}

#[tokio::test]
async fn nothing_is_taken_after_closing_from_any_handle() {
    let home = Home::new();
    let ledger = home.create().unwrap();
    let other = ledger.clone();
    ledger.close().unwrap();
    assert!(!other.is_healthy());
    let refused = store(&other, ONE, "late").await;
    assert_eq!(refused.unwrap_err(), CommitError::Stopped);
    // A close is not a failure.
    assert!(polled(other.failed()).1.is_pending());
    other.close().unwrap();
}

#[tokio::test]
async fn closing_commits_what_waits() {
    let home = Home::new();
    let ledger = home.create().unwrap();
    let held = Held::hold(&ledger);
    let other = ledger.clone();
    let waiting = queued(store(&other, ONE, "waiting"));
    held.release();
    ledger.close().unwrap();
    assert_eq!(*waiting.await.unwrap(), "waiting");
    let ledger = home.open().unwrap();
    assert_eq!(read(&ledger, ONE).unwrap().as_deref(), Some("waiting"));
}

#[test]
fn dropping_the_last_handle_closes_and_unlocks() {
    let home = Home::new();
    let ledger = home.create().unwrap();
    put(&ledger, ONE, "state");
    drop(ledger.clone());
    assert!(ledger.is_healthy());
    drop(ledger);
    let ledger = home.open().unwrap();
    assert_eq!(read(&ledger, ONE).unwrap().as_deref(), Some("state"));
}

// Fails when `Inner::stop` does not look at whose thread it is on.
#[test]
fn the_last_handle_may_go_inside_a_change() {
    let home = Home::new();
    let ledger = home.create().unwrap();
    let last = ledger.clone();
    let (go, may_go) = std::sync::mpsc::channel();
    drop(queued(ledger.commit(move |batch| {
        may_go.recv().unwrap();
        drop(last);
        batch.put(&ONE, bytes("state"));
        Ok(())
    })));
    drop(ledger);
    go.send(()).unwrap();
    // Waits until the writer has released its lock.
    let lock = std::fs::File::open(home.folder().join("ledger.lock")).unwrap();
    lock.lock().unwrap();
    drop(lock);
    let ledger = home.open().unwrap();
    assert_eq!(read(&ledger, ONE).unwrap().as_deref(), Some("state"));
}

#[tokio::test]
async fn a_change_happens_although_its_requester_went_away() {
    let home = Home::new();
    let ledger = home.create().unwrap();
    let held = Held::hold(&ledger);
    drop(queued(store(&ledger, ONE, "abandoned")));
    held.release();
    assert_eq!(read(&ledger, ONE).unwrap().as_deref(), Some("abandoned"));
    assert!(ledger.is_healthy());
}

#[tokio::test]
async fn a_future_that_was_never_polled_changes_nothing() {
    let home = Home::new();
    let ledger = home.create().unwrap();
    drop(store(&ledger, ONE, "never"));
    assert_eq!(read(&ledger, ONE), Ok(None));
}

#[tokio::test]
async fn every_change_sees_those_before_it_in_its_batch() {
    let home = Home::new();
    let ledger = home.create().unwrap();
    put(&ledger, ONE, "0");
    let noted = ledger.commit(|batch| {
        for event in ["earlier", "early"] {
            batch.append_event(&ONE, event.as_bytes());
        }
        Ok(())
    });
    noted.await.unwrap().into_inner();

    let held = Held::hold(&ledger);
    let counted: Vec<_> = (0..20)
        .map(|_| {
            queued(ledger.commit(|batch| {
                let count: u64 = text(batch.read(&ONE)?).unwrap().parse().unwrap();
                batch.put(&ONE, bytes(&(count + 1).to_string()));
                batch.append_event(&ONE, count.to_string().as_bytes());
                batch.schedule(&TWO, Some(100 - count));
                Ok((count, batch.events(&ONE, 2)?.len(), batch.due(100, 9)))
            }))
        })
        .collect();
    held.release();

    for (expected, counted) in (0..).zip(counted) {
        let (count, events, due) = counted.await.unwrap().into_inner();
        assert_eq!(count, expected);
        assert_eq!(events, 2);
        assert_eq!(due, [TWO]);
    }
    ledger.close().unwrap();
    let ledger = home.open().unwrap();
    assert_eq!(read(&ledger, ONE).unwrap().as_deref(), Some("20"));
    assert_eq!(events(&ledger, ONE, 3).unwrap(), ["17", "18", "19"]);
    assert_eq!(due(&ledger, 81, 9), [TWO]);
    assert!(due(&ledger, 80, 9).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_was_answered_is_there_after_reopening() {
    let home = Home::new();
    let ledger = home.create().unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..500_u16 {
        let ledger = ledger.clone();
        tasks.spawn(async move {
            let mut key = [0; 32];
            key[..2].copy_from_slice(&number.to_be_bytes());
            let change = move |batch: &mut vault_ledger::Batch<'_>| {
                batch.put(&vault_ledger::LeafKey(key), bytes(&number.to_string()));
                Ok(())
            };
            ledger.commit(change).await.map(|_| key)
        });
    }
    let answered = tasks.join_all().await;
    ledger.close().unwrap();

    let ledger = home.open().unwrap();
    for key in answered {
        let key = key.unwrap();
        let number = u16::from_be_bytes([key[0], key[1]]).to_string();
        let stored = read(&ledger, vault_ledger::LeafKey(key)).unwrap();
        assert_eq!(stored, Some(number));
    }
}

#[test]
fn a_long_wal_is_checkpointed_and_nothing_is_lost() {
    let home = Home::new();
    let ledger = home.create().unwrap();
    let wal = home.folder().join("ledger.db-wal");
    let mut longest = 0;
    for number in 0..120_u8 {
        let state = zeroize::Zeroizing::new(vec![number; 300_000]);
        let change = move |batch: &mut vault_ledger::Batch<'_>| {
            batch.put(&vault_ledger::LeafKey([number; 32]), state);
            Ok(())
        };
        ledger.commit_blocking(change).unwrap();
        longest = longest.max(wal.metadata().unwrap().len());
    }
    assert!(longest < 18 * 1024 * 1024, "the WAL had {longest} bytes");
    for number in 0..120_u8 {
        let key = vault_ledger::LeafKey([number; 32]);
        let state = ledger.commit_blocking(move |batch| batch.read(&key));
        let state = state.unwrap().into_inner().unwrap();
        assert_eq!(*state, vec![number; 300_000]);
    }
}

#[test]
fn a_removed_leaf_is_gone_from_the_due_index_too_and_keeps_its_events() {
    let home = Home::new();
    let ledger = home.create().unwrap();
    let made = ledger.commit_blocking(|batch| {
        batch.put(&ONE, bytes("state"));
        batch.append_event(&ONE, b"made");
        batch.schedule(&ONE, Some(5));
        Ok(())
    });
    made.unwrap();
    let removed = ledger.commit_blocking(|batch| {
        batch.remove(&ONE);
        batch.remove(&TWO);
        batch.append_event(&ONE, b"removed");
        Ok((batch.read(&ONE)?.is_none(), batch.due(9, 9).is_empty()))
    });
    assert_eq!(removed.unwrap().into_inner(), (true, true));
    assert_eq!(read(&ledger, ONE), Ok(None));
    assert!(due(&ledger, 9, 9).is_empty());
    assert_eq!(events(&ledger, ONE, 9).unwrap(), ["made", "removed"]);

    put(&ledger, ONE, "again");
    assert_eq!(read(&ledger, ONE).unwrap().as_deref(), Some("again"));
}

#[test]
fn the_due_index_answers_earliest_first_within_its_limits() {
    let home = Home::new();
    let ledger = home.create().unwrap();
    let scheduled = ledger.commit_blocking(|batch| {
        batch.schedule(&ONE, Some(30));
        batch.schedule(&TWO, Some(10));
        batch.schedule(&THREE, Some(u64::MAX));
        Ok(())
    });
    scheduled.unwrap();
    assert!(due(&ledger, 9, 9).is_empty());
    assert!(due(&ledger, 99, 0).is_empty());
    assert_eq!(due(&ledger, 10, 9), [TWO]);
    assert_eq!(due(&ledger, 30, 9), [TWO, ONE]);
    assert_eq!(due(&ledger, 30, 1), [TWO]);
    assert_eq!(due(&ledger, u64::MAX, 9), [TWO, ONE, THREE]);

    let changed = ledger.commit_blocking(|batch| {
        batch.schedule(&TWO, Some(40));
        let put_off = batch.due(30, 1);
        batch.schedule(&ONE, None);
        Ok((put_off, batch.due(99, 9)))
    });
    assert_eq!(changed.unwrap().into_inner(), (vec![ONE], vec![TWO]));
    assert_eq!(due(&ledger, 99, 9), [TWO]);
}

// Fails when `scheduled_after` answers nothing, or begins anew behind every page: the server's start
// looks through all accounts with it.
#[test]
fn all_that_is_scheduled_is_answered_page_by_page() {
    let home = Home::new();
    let ledger = home.create().unwrap();
    let scheduled = ledger.commit_blocking(|batch| {
        for (key, due_ms) in [(ONE, 30), (TWO, 10), (THREE, 30)] {
            batch.schedule(&key, Some(due_ms));
        }
        Ok(())
    });
    scheduled.unwrap();
    let page = |after, limit| {
        let page = ledger.commit_blocking(move |batch| Ok(batch.scheduled_after(after, limit)));
        page.unwrap().into_inner()
    };
    assert_eq!(page(None, 9), [(10, TWO), (30, ONE), (30, THREE)]);
    assert_eq!(page(None, 2), [(10, TWO), (30, ONE)]);
    assert_eq!(page(Some((30, ONE)), 2), [(30, THREE)]);
    assert!(page(Some((30, THREE)), 2).is_empty());
}

#[tokio::test]
async fn blocking_inside_a_runtime_does_not_panic() {
    let home = Home::new();
    let ledger = home.create().unwrap();
    put(&ledger, ONE, "state");
    assert_eq!(read(&ledger, ONE).unwrap().as_deref(), Some("state"));
    ledger.close().unwrap();
}

#[test]
fn nothing_that_is_secret_or_names_an_account_shows_in_debug_output() {
    let home = Home::new();
    let identity = format!("{:?}", common::identity());
    assert!(identity.contains("MasterKey(..)") && !identity.contains("85"));
    assert_eq!(format!("{ONE:?}"), "LeafKey(..)");
    let ledger = home.create().unwrap();
    let committed = ledger.commit_blocking(|batch| {
        assert_eq!(format!("{batch:?}"), "Batch(..)");
        Ok("secret")
    });
    assert_eq!(format!("{:?}", committed.unwrap()), "Committed(..)");
}

#[test]
fn a_change_may_say_unavailable_of_a_leaf_it_cannot_read() {
    let home = Home::new();
    let ledger = home.create().unwrap();
    let refused = ledger.commit_blocking(|_| Err::<(), _>(LeafUnavailable));
    assert_eq!(refused.unwrap_err(), CommitError::Unavailable);
    assert!(ledger.is_healthy());
}

#[test]
fn all_keys_are_found_page_by_page() {
    let home = Home::new();
    let ledger = home.create().unwrap();
    let page = |after: Option<vault_ledger::LeafKey>, limit| {
        let keys = ledger.commit_blocking(move |batch| Ok(batch.keys_after(after.as_ref(), limit)));
        keys.unwrap().into_inner()
    };
    assert!(page(None, 9).is_empty());
    for key in [THREE, ONE, TWO] {
        put(&ledger, key, "x");
    }
    assert_eq!(page(None, 2), [ONE, TWO]);
    assert_eq!(page(Some(TWO), 2), [THREE]);
    assert!(page(Some(THREE), 2).is_empty());
}

/// Fails when `Events::append` removes nothing: one leaf could then fill the disk.
#[test]
fn the_oldest_events_of_a_leaf_give_way() {
    let home = Home::new();
    let ledger = home.create().unwrap();
    for hundred in 0..41_u64 {
        let append = move |batch: &mut vault_ledger::Batch<'_>| {
            (0..100).for_each(|n| batch.append_event(&ONE, &(100 * hundred + n).to_be_bytes()));
            batch.append_event(&TWO, b"another one's");
            Ok(())
        };
        ledger.commit_blocking(append).unwrap();
    }
    let kept = ledger
        .commit_blocking(|batch| batch.events(&ONE, 5000))
        .unwrap();
    assert_eq!(kept.len(), 1000);
    assert_eq!(kept[0].as_slice(), 3100_u64.to_be_bytes());
    assert_eq!(kept[999].as_slice(), 4099_u64.to_be_bytes());
    assert_eq!(events(&ledger, TWO, 99).unwrap().len(), 41);
    ledger.close().unwrap();
    let database = rusqlite::Connection::open(home.database()).unwrap();
    let rows = database.query_row("SELECT count(*) FROM event", [], |row| row.get(0));
    // Those that can be read, and those since the last time that old ones were removed.
    assert_eq!(rows, Ok(1100 + 41_u64));
}
