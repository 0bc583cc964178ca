//! The data in reach after a destruction, of an attacker who kept everything but the anchor.
//!
//! The vault's promise is that this is its present state, and nothing of any former one: neither a
//! destroyed record nor an older state of an account, whatever copies of the data folder were made.

use std::collections::HashSet;

use rusqlite::Connection;
use tempfile::TempDir;

use super::adversary::{Reached, Search, attack};
use super::churn::{Run, Step, Wrong, is_record, scratch};
use crate::key::LeafKey;

struct Size {
    accounts: usize,
    changes: usize,
    destroyed: usize,
}

const LARGE: Size = Size {
    accounts: 10_000,
    changes: 10_000,
    destroyed: 3_000,
};

/// For the controls: with buckets at depths 1, 2, and 3.
const MEDIUM: Size = Size {
    accounts: 1_000,
    changes: 2_000,
    destroyed: 300,
};

/// For trying every key on everything.
const SMALL: Size = Size {
    accounts: 200,
    changes: 600,
    destroyed: 60,
};

/// A vault after its life, and everything that the adversary has of it.
struct Aftermath {
    run: Run,
    /// The records as they were when they were destroyed.
    destroyed: HashSet<Vec<u8>>,
    /// The one that the very last batch destroyed.
    last: Vec<u8>,
    _home: TempDir,
}

impl Aftermath {
    /// Creation, churn, destruction, churn again, new traffic keys, and one more destruction at the
    /// very end.
    fn of(size: &Size, wrong: Wrong) -> Aftermath {
        let home = scratch();
        let mut run = Run::new(home.path(), wrong);
        let accounts = run.new_accounts(size.accounts);
        for some in accounts.chunks(size.accounts.div_ceil(4)) {
            register(&mut run, some);
            run.replace_traffic_keys();
        }
        run.churn(&accounts, size.changes);
        let (doomed, others) = accounts.split_at(size.destroyed);
        let destroyed = destroy(&mut run, doomed);
        run.churn(others, size.changes / 4);
        register(&mut run, &others[..1]);
        let last = run.model.state(&others[0]).unwrap().clone();
        // After the second time no key is left that carried a record until now.
        run.replace_traffic_keys();
        run.replace_traffic_keys();
        let newcomers = run.new_accounts(size.accounts / 50);
        register(&mut run, &newcomers);
        run.batch(&[Step::Remove(others[0])]);
        Aftermath {
            run,
            destroyed,
            last,
            _home: home,
        }
    }

    fn reached(&self, search: Search) -> Reached {
        let (run, anchors) = (&self.run, self.run.anchors());
        attack(
            &run.master_key,
            &anchors,
            &run.history,
            &run.traffic,
            search,
        )
    }

    fn assert_only_the_present_is_reached(&self, search: Search) {
        let reached = self.reached(search);
        assert!(reached.former_records(&self.run.model).is_empty());
        reached.assert_is(&Reached::all_of(&self.run.model, &self.run.traffic));
    }
}

fn register(run: &mut Run, accounts: &[LeafKey]) {
    let steps = accounts.iter().map(|account| run.register(*account));
    let steps = steps.collect();
    run.batches(steps);
}

/// Destroys the record of each account, and returns these records.
fn destroy(run: &mut Run, accounts: &[LeafKey]) -> HashSet<Vec<u8>> {
    let has_record = |run: &Run, account| run.model.state(account).is_some_and(|s| is_record(s));
    let without = accounts.iter().filter(|account| !has_record(run, account));
    let without: Vec<LeafKey> = without.copied().collect();
    register(run, &without);
    let records = accounts.iter().map(|account| run.model.state(account));
    let records = records.map(|record| record.unwrap().clone()).collect();
    let steps = accounts.iter().flat_map(|account| {
        let event = run.event(*account);
        [run.destroy(*account), event, Step::Due(*account, None)]
    });
    let steps = steps.collect();
    run.batches(steps);
    records
}

// Fails when `Anchors::erase` returns at once.
#[test]
fn ten_thousand_accounts_three_thousand_destroyed_and_only_the_present_can_be_read() {
    let mut after = Aftermath::of(&LARGE, Wrong::Nothing);
    assert_eq!(after.destroyed.len(), LARGE.destroyed);
    after.assert_only_the_present_is_reached(Search::ItsRow);

    // A start replaces the root's key once more, and an orderly end changes nothing.
    after.run.reopen();
    after.assert_only_the_present_is_reached(Search::ItsRow);
    after.run.close();
    after.assert_only_the_present_is_reached(Search::ItsRow);
}

// Fails when `Keys::draw` puts a drawn key on its list twice.
#[test]
fn a_key_opens_nothing_but_what_it_was_drawn_for() {
    let after = Aftermath::of(&SMALL, Wrong::Nothing);
    after.assert_only_the_present_is_reached(Search::EveryRow);
}

#[test]
fn the_adversary_finds_a_level_of_the_tree_that_keeps_its_keys() {
    for depth in 1..=3 {
        let after = Aftermath::of(&MEDIUM, Wrong::KeepsNodeKeys(depth));
        let reached = after.reached(Search::ItsRow);
        let former = reached.former_records(&after.run.model);
        let is_found = |record: &&Vec<u8>| former.contains(record.as_slice());
        let destroyed = after.destroyed.iter().filter(is_found).count();
        println!(
            "depth {depth}: {} former records, {destroyed} destroyed",
            former.len()
        );
        assert!(destroyed > 0, "depth {depth}");
        assert!(former.len() > destroyed, "depth {depth}");
    }
}

#[test]
fn the_adversary_finds_a_former_root_key_that_a_mirror_did_not_erase() {
    let after = Aftermath::of(&SMALL, Wrong::KeepsFormerSlot);
    let reached = after.reached(Search::ItsRow);
    let former = reached.former_records(&after.run.model);
    // The state before the last batch, and that one only: the record that it destroyed.
    assert_eq!(former, HashSet::from([after.last.as_slice()]));
}

#[test]
fn the_adversary_finds_a_traffic_key_that_was_not_replaced() {
    let after = Aftermath::of(&SMALL, Wrong::KeepsTrafficKey);
    let reached = after.reached(Search::ItsRow);
    let former = reached.former_records(&after.run.model);
    println!("traffic: {} former records", former.len());
    assert!(!former.is_empty());
}

// A limit, and the reason why no event may hold a secret: old events give way so that no account fills
// the disk. They are removed and not destroyed; the key of each is in its successor.
#[test]
fn events_that_gave_way_can_still_be_read_in_old_copies() {
    let home = scratch();
    let mut run = Run::new(home.path(), Wrong::Nothing);
    let account = run.new_accounts(1)[0];
    for _ in 0..20 {
        let events: Vec<Step> = (0..100).map(|_| run.event(account)).collect();
        run.batch(&events);
    }
    run.close();
    let database = Connection::open(home.path().join("vault/ledger.db")).unwrap();
    let count = database.query_row("SELECT count(*) FROM event", [], |row| row.get::<_, i64>(0));
    assert_eq!(count, Ok(1000));

    let anchors = run.anchors();
    let reached = attack(&run.master_key, &anchors, &run.history, &[], Search::ItsRow);
    reached.assert_is(&Reached::all_of(&run.model, &[]));
}
