//! Every page of the database, damaged in turn: it costs the accounts that are on it, and no others.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails its test")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Home, Saved, bytes, identity};
use vault_ledger::{Batch, CommitError, LeafKey, LeafUnavailable, Ledger, OpenError, Verification};

const PAGE: usize = 4096;
const LEAVES: u8 = 75;

/// The bytes that damage to a disk leaves where a page was, given all pages and its number.
type Damage = fn(&[u8], usize) -> Vec<u8>;
const DAMAGES: [Damage; 3] = [
    |_, _| vec![0; PAGE],
    |_, number| {
        (0..PAGE)
            .map(|at| (at * 31 + number * 7 + at / 251) as u8)
            .collect()
    },
    // A write that went astray.
    |pages, number| {
        let other = (number * 7 + 3) % (pages.len() / PAGE);
        pages[other * PAGE..][..PAGE].to_vec()
    },
];

fn key(number: u8) -> LeafKey {
    LeafKey(
        [number.wrapping_mul(101), number, 3]
            .map(|byte| [byte; 11])
            .concat()[..32]
            .try_into()
            .unwrap(),
    )
}

fn state(number: u8) -> String {
    format!("state {number} ").repeat(20 + usize::from(number) * 2)
}

/// Some of the leaves have events, some are due, and some are gone, so that there are free pages.
fn fill(ledger: &Ledger) {
    for number in 0..LEAVES {
        let filled = ledger.commit_blocking(move |batch| {
            batch.put(&key(number), bytes(&state(number)));
            batch.schedule(
                &key(number),
                (number % 2 == 0).then_some(1000 + u64::from(number)),
            );
            for event in 0..number % 7 {
                batch.append_event(&key(number), &[event; 100]);
            }
            Ok(())
        });
        filled.unwrap();
    }
    let removed = ledger.commit_blocking(|batch| {
        (0..LEAVES)
            .filter(|n| is_gone(*n))
            .for_each(|n| batch.remove(&key(n)));
        Ok(())
    });
    removed.unwrap();
}

fn is_gone(number: u8) -> bool {
    number % 5 == 4
}

type States = BTreeMap<u8, Result<Option<String>, LeafUnavailable>>;

fn states(ledger: &Ledger) -> States {
    let read = ledger.commit_blocking(|batch| {
        let state = |n| Ok(common::text(batch.read(&key(n))?));
        Ok((0..LEAVES)
            .map(state)
            .zip(0..)
            .map(|(state, n)| (n, state))
            .collect::<States>())
    });
    read.unwrap().into_inner()
}

/// The leaves that cannot be had; every other one has to be as it was.
fn unavailable(ledger: &Ledger, case: &str) -> BTreeSet<u8> {
    let mut unavailable = BTreeSet::new();
    for (number, found) in states(ledger) {
        match found {
            Ok(found) => assert_eq!(found, (!is_gone(number)).then(|| state(number)), "{case}"),
            Err(LeafUnavailable) => drop(unavailable.insert(number)),
        }
    }
    unavailable
}

/// As the sweep does it. Only the commit reads these leaves: it fails when its transaction begins before
/// that.
fn forget_due(ledger: &Ledger, lost: &BTreeSet<u8>) {
    let lost = lost.clone();
    let forgotten = ledger.commit_blocking(move |batch| {
        lost.iter()
            .for_each(|number| batch.schedule(&key(*number), None));
        Ok(())
    });
    forgotten.unwrap();
}

/// Writes to every leaf that can be had, and to as many new ones.
fn write(ledger: &Ledger) -> Result<(), CommitError> {
    let numbers: Vec<u8> = (0..LEAVES).collect();
    for some in numbers.chunks(25) {
        let some = some.to_vec();
        ledger.commit_blocking(move |batch| {
            some.iter().for_each(|number| write_one(batch, *number));
            Ok(())
        })?;
    }
    Ok(())
}

fn write_one(batch: &mut Batch<'_>, number: u8) {
    let (old, mut new) = (key(number), key(number));
    new.0[31] = 0xff;
    for key in [old, new] {
        if batch.read(&key).is_ok() {
            batch.put(&key, bytes(&"written".repeat(40)));
            batch.append_event(&key, &[7; 300]);
            batch.schedule(&key, Some(u64::from(number)));
        }
    }
}

/// Unavailable: leaves, and leaves' events.
#[derive(Debug, PartialEq)]
struct Lost {
    leaves: BTreeSet<u8>,
    chains: u64,
}

fn look(ledger: &Ledger, case: &str) -> (Lost, Verification) {
    let leaves = unavailable(ledger, case);
    let found = ledger.commit_blocking(|batch| batch.verify());
    let found = found.expect(case).into_inner();
    assert!(ledger.is_healthy(), "{case}");
    let chains = found.broken_events;
    (Lost { leaves, chains }, found)
}

/// The outcomes of all the pages, with and without the flag.
#[derive(Default)]
struct Seen {
    refused: u32,
    refused_for_good: BTreeSet<usize>,
    lost_leaves: u32,
    stopped_by_writes: u32,
}

// Fails when `Store::sealed` passes an error of damage on.
fn open_as_it_is(home: &Home, case: &str, seen: &mut Seen) -> Option<Lost> {
    let ledger = match home.open() {
        Ok(ledger) => ledger,
        Err(_) => {
            seen.refused += 1;
            return None;
        }
    };
    let (lost, found) = look(&ledger, case);
    assert!(lost.leaves.is_empty() || !found.is_clean(), "{case}");
    forget_due(&ledger, &lost.leaves);
    match write(&ledger) {
        Ok(()) => drop(states(&ledger)),
        Err(CommitError::Stopped) => seen.stopped_by_writes += 1,
        Err(error) => panic!("{case}: {error}"),
    }
    seen.lost_leaves += lost.leaves.len() as u32;
    Some(lost)
}

fn open_with_damage(home: &Home) -> Result<Ledger, OpenError> {
    let mut options = home.options();
    options.accept_damage = true;
    Ledger::open(options, identity())
}

// Each part fails without the line of `rebuild.rs` that it is about, and without `rebuild` itself.
#[test]
fn a_damaged_page_costs_what_is_on_it_and_the_rest_goes_on_in_a_new_database() {
    let home = Home::in_memory();
    let ledger = home.create().unwrap();
    fill(&ledger);
    ledger.close().unwrap();
    let saved = Saved::of(&home);
    let whole = std::fs::read(home.database()).unwrap();
    let pages = whole.len() / PAGE;
    let mut seen = Seen::default();
    for (page, (kind, damage)) in
        (0..pages).flat_map(|page| (0..).zip(DAMAGES).map(move |damage| (page, damage)))
    {
        let case = format!("page {page}, damage {kind}");
        let put_damaged = || {
            saved.restore_folder(&home);
            saved.restore_anchor(&home);
            home.edit_bytes(|bytes| {
                bytes[page * PAGE..][..PAGE].copy_from_slice(&damage(&whole, page))
            });
        };
        put_damaged();
        let lost = open_as_it_is(&home, &case, &mut seen);
        put_damaged();
        let ledger = match open_with_damage(&home) {
            Ok(ledger) => ledger,
            Err(error) => {
                assert!(lost.is_none(), "{case}: {error}");
                seen.refused_for_good.insert(page);
                continue;
            }
        };
        let (still_lost, found) = look(&ledger, &case);
        assert!(lost.is_none_or(|lost| lost == still_lost), "{case}");
        assert!(!found.damaged, "{case}");
        assert_eq!([found.stray, found.unscheduled], [0; 2], "{case}");
        let due = common::due(&ledger, u64::MAX, 1000).len();
        let readable =
            (0..LEAVES).filter(|n| n % 2 == 0 && !is_gone(*n) && !still_lost.leaves.contains(n));
        assert_eq!(due, readable.count(), "{case}");
        write(&ledger).unwrap();
        ledger.close().unwrap();
        home.open().unwrap().close().unwrap();
    }
    println!(
        "{pages} pages: {} refused, {:?} for good, {} leaves lost, {} stopped by writes",
        seen.refused, seen.refused_for_good, seen.lost_leaves, seen.stopped_by_writes
    );
    // The file's head, the vault's name, and the path to the root of the key tree.
    assert!(seen.refused_for_good.len() <= 4);
    // Otherwise nothing of this was looked at.
    assert!(seen.lost_leaves > 0 && seen.stopped_by_writes > 0);
}
