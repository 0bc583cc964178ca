//! The commit order, explored exhaustively: every reachable state of a small model of the vault,
//! its files, a crashing machine, a sick disk, an operator and an attacker.
//!
//! With all rules nothing that must not happen is reachable. Without any single one of them
//! something is, so that each rule is needed and the model can see that. Run it with `--nocapture`
//! for the table and the shortest trace of each row.
//!
//! The model stands for itself: it shares no code with the crate. It leaves out: the tree and
//! the cryptography (a root opens with its key and with nothing else), more than two mirrors, more
//! than one guess in a batch, a medium that changes content that was synced long ago, writes that fail
//! without a crash (a vault that stops at once leaves the same as a kill), and an attacker who puts
//! all anchors back at one moment, which no anchor in a file can notice.
#![allow(
    clippy::print_stdout,
    reason = "the table and the traces are the test's result"
)]

mod disk;
mod faults;
mod plan;
mod rules;
mod search;
mod server;
mod vault;
mod world;

use rules::{Rule, Rules};
use search::{Breach, explore, explore_for};
use world::Budget;

/// Room for everything, in the order of the fields of [`Budget`].
const fn budget(guesses: u8, crashes: u8, failed_syncs: u8, restores: u8, commands: u8) -> Budget {
    Budget {
        guesses,
        crashes,
        failed_syncs,
        restores,
        commands,
    }
}

fn assert_nothing_breaks(budget: Budget) {
    let report = explore(Rules::all(), budget);
    if let Some(found) = &report.found {
        panic!("{}:\n{}", found.breach, found.trace.join("\n"));
    }
    println!(
        "all rules, {budget:?}: {} states, 0 violations",
        report.states
    );
}

#[test]
fn nothing_breaks_by_crashes_and_a_failed_sync() {
    assert_nothing_breaks(budget(2, 2, 1, 0, 0));
}

#[test]
fn nothing_breaks_while_a_mirror_is_removed_and_added() {
    assert_nothing_breaks(budget(1, 2, 0, 0, 2));
}

#[test]
fn nothing_breaks_by_files_put_back() {
    assert_nothing_breaks(budget(2, 1, 0, 2, 0));
}

#[test]
fn nothing_breaks_by_files_put_back_after_crashes() {
    assert_nothing_breaks(budget(1, 2, 0, 1, 0));
}

#[test]
fn nothing_breaks_by_files_put_back_after_a_failed_sync() {
    assert_nothing_breaks(budget(1, 1, 1, 1, 0));
}

#[test]
fn nothing_breaks_by_files_put_back_while_a_mirror_is_removed() {
    assert_nothing_breaks(budget(1, 1, 0, 2, 1));
}

#[test]
#[ignore = "millions of states: minutes without optimization"]
fn nothing_breaks_with_more_of_everything() {
    for more in [
        budget(3, 3, 1, 0, 0),
        budget(1, 2, 1, 0, 2),
        budget(1, 2, 1, 1, 0),
        budget(2, 2, 0, 2, 0),
        budget(1, 1, 1, 2, 0),
        budget(1, 2, 0, 1, 1),
        budget(1, 1, 1, 1, 1),
    ] {
        assert_nothing_breaks(more);
    }
}

/// The breach without a rule, and how much must be allowed to happen for it.
fn consequence(rule: Rule) -> (Breach, Budget) {
    match rule {
        Rule::PrepareBeforeCommit
        | Rule::PrepareSyncedBeforeCommit
        | Rule::PrepareInTheOtherSlot
        | Rule::CommitSyncedBeforeErase
        | Rule::SequenceAboveAllSeen => (Breach::Bricked, budget(1, 1, 0, 0, 0)),
        Rule::StopAfterFailedSync | Rule::WalRewrittenAtStart | Rule::WalSyncedAtStart => {
            (Breach::Bricked, budget(1, 1, 1, 0, 0))
        }
        // The mirror that remains must open the vault.
        Rule::PrepareOnEveryMirror => (Breach::Bricked, budget(1, 1, 0, 0, 1)),
        Rule::LaggingMirrorKeepsItsLowest => (Breach::Bricked, budget(1, 3, 0, 1, 0)),
        Rule::EraseBeforeAnswer | Rule::EraseSyncedBeforeAnswer | Rule::FreshRootKey => {
            (Breach::ChargeGivenBack, budget(1, 1, 0, 1, 0))
        }
        // A number that was only prepared on a new anchor would confirm itself.
        Rule::MarkersConfirm => (Breach::Bricked, budget(1, 1, 0, 0, 2)),
        // The other mirror disappears and is removed, and this one opens the older database.
        Rule::EraseOnEveryMirror => (Breach::ChargeGivenBack, budget(1, 1, 0, 1, 1)),
        Rule::FullBatchAtStart => (Breach::ChargeGivenBack, budget(1, 2, 0, 1, 0)),
        Rule::OldLiveSlotIsNoCandidate | Rule::EveryMirrorPresent => {
            (Breach::ChargeGivenBack, budget(1, 1, 0, 2, 0))
        }
        Rule::Locks => (Breach::ChargeGivenBack, budget(1, 0, 0, 0, 0)),
    }
}

#[test]
fn every_rule_is_needed() {
    let (mut table, mut traces) = (Vec::new(), Vec::new());
    for rule in Rule::ALL {
        let (breach, budget) = consequence(rule);
        let report = explore_for(breach, Rules::without(rule), budget);
        let found = report
            .found
            .unwrap_or_else(|| panic!("not {breach} without: {rule}"));
        assert_eq!(found.breach, breach, "{rule}");
        let (states, length) = (report.states, found.trace.len());
        table.push(format!("{rule:<60} {breach:<24} {states:>8} {length:>6}"));
        traces.push(format!(
            "without: {rule}: {breach}\n  {}\n",
            found.trace.join("\n  ")
        ));
    }
    println!("{}", traces.join("\n"));
    println!(
        "{:<60} {:<24} {:>8} {:>6}",
        "rule left out", "leads to", "states", "moves"
    );
    println!("{}", table.join("\n"));
}
