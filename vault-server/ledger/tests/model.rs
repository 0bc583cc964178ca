//! Random changes against a plain map, with reopening.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails its test")]

mod common;

use std::collections::BTreeMap;

use common::Home;
use proptest::prelude::*;
use vault_ledger::{CommitError, LeafKey, LeafUnavailable, Ledger};
use zeroize::Zeroizing;

#[derive(Debug, Clone)]
enum Step {
    Put(u8, Vec<u8>),
    Remove(u8),
    Append(u8, Vec<u8>),
    Schedule(u8, Option<u64>),
}

#[derive(Debug, Clone)]
enum Action {
    /// One change of these steps, kept or given up at its end.
    Change(Vec<Step>, bool),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let content = || proptest::collection::vec(any::<u8>(), 0..600);
    let key = 0_u8..6;
    prop_oneof![
        4 => (key.clone(), content()).prop_map(|(key, state)| Step::Put(key, state)),
        1 => key.clone().prop_map(Step::Remove),
        2 => (key.clone(), content()).prop_map(|(key, event)| Step::Append(key, event)),
        2 => (key, proptest::option::of(0_u64..50)).prop_map(|(key, due)| Step::Schedule(key, due)),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let steps = proptest::collection::vec(step(), 0..8);
    prop_oneof![
        8 => (steps, proptest::bool::weighted(0.8)).prop_map(|(steps, keep)| Action::Change(steps, keep)),
        1 => Just(Action::Reopen),
    ]
}

/// The content of the vault, in the clear.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    leaves: BTreeMap<u8, Vec<u8>>,
    events: BTreeMap<u8, Vec<Vec<u8>>>,
    due: BTreeMap<u8, u64>,
}

impl Model {
    fn apply(&mut self, step: &Step) {
        match step {
            Step::Put(key, state) => {
                self.leaves.insert(*key, state.clone());
            }
            Step::Remove(key) => {
                self.leaves.remove(key);
                self.due.remove(key);
            }
            Step::Append(key, event) => self.events.entry(*key).or_default().push(event.clone()),
            Step::Schedule(key, Some(due_ms)) => {
                self.due.insert(*key, *due_ms);
            }
            Step::Schedule(key, None) => {
                self.due.remove(key);
            }
        }
    }

    fn due_until(&self, until_ms: u64, limit: usize) -> Vec<LeafKey> {
        let mut due: Vec<_> = self
            .due
            .iter()
            .map(|(key, due_ms)| (*due_ms, leaf_key(*key)))
            .filter(|(due_ms, _)| *due_ms <= until_ms)
            .collect();
        due.sort_unstable();
        due.into_iter().map(|(_, key)| key).take(limit).collect()
    }
}

fn leaf_key(number: u8) -> LeafKey {
    LeafKey([number; 32])
}

fn run(ledger: &Ledger, steps: Vec<Step>, keep: bool) -> Result<(), CommitError> {
    let change = move |batch: &mut vault_ledger::Batch<'_>| {
        for step in steps {
            match step {
                Step::Put(key, state) => batch.put(&leaf_key(key), Zeroizing::new(state)),
                Step::Remove(key) => batch.remove(&leaf_key(key)),
                Step::Append(key, event) => batch.append_event(&leaf_key(key), &event),
                Step::Schedule(key, due_ms) => batch.schedule(&leaf_key(key), due_ms),
            }
        }
        if keep { Ok(()) } else { Err(LeafUnavailable) }
    };
    ledger.commit_blocking(change).map(|_| ())
}

fn assert_equal(ledger: &Ledger, model: &Model) {
    let wanted = model.clone();
    let change = move |batch: &mut vault_ledger::Batch<'_>| {
        for number in 0..6 {
            let key = leaf_key(number);
            let state = batch.read(&key)?.map(|state| state.to_vec());
            assert_eq!(state.as_ref(), wanted.leaves.get(&number));
            let all = wanted.events.get(&number).cloned().unwrap_or_default();
            for last in [0, 1, 3, 100] {
                let events = batch.events(&key, last)?;
                let events: Vec<_> = events.iter().map(|event| event.to_vec()).collect();
                assert_eq!(events, all[all.len().saturating_sub(last)..]);
            }
        }
        for (until_ms, limit) in [(0, 9), (20, 2), (20, 9), (100, 3), (100, 9)] {
            assert_eq!(
                batch.due(until_ms, limit),
                wanted.due_until(until_ms, limit)
            );
        }
        Ok(())
    };
    ledger.commit_blocking(change).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_ledger_is_a_map_that_survives_reopening(
        actions in proptest::collection::vec(action(), 1..24)
    ) {
        let home = Home::new();
        let mut ledger = home.create().unwrap();
        let mut model = Model::default();
        for action in actions {
            match action {
                Action::Change(steps, keep) => {
                    let outcome = run(&ledger, steps.clone(), keep);
                    prop_assert_eq!(outcome.is_ok(), keep);
                    if keep {
                        steps.iter().for_each(|step| model.apply(step));
                    }
                }
                Action::Reopen => {
                    ledger.close().unwrap();
                    ledger = home.open().unwrap();
                }
            }
            assert_equal(&ledger, &model);
        }
    }
}
