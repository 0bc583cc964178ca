//! Random sequences of everything that devices, apps, clocks and restarts can do to one account,
//! with what must hold after each step.
//!
//! The rules are called as the service calls them, through the stored form each time. Beside them
//! run the `facts`: what an onlooker knows who only writes down which guesses were evaluated, which
//! keys were released, and how much time of a run has passed.
//!
//! Controls: each of these changes to the rules was made once, and the model failed.
//!
//! | change | what fails |
//! |---|---|
//! | `Attempts::charge` does not add 1 | `every_guess_is_counted_once` |
//! | `StartRetrieval::decide` does not ask `open_with` | "a_lost_answer_costs_nothing" |
//! | `Attempts::succeed` sets `last_success` to the latest attempt | `budgets_are_as_the_facts_say` |
//! | a repeated success sets `last_success` to the latest attempt | `stored_and_read`, `a_repeated_finish_refills_nothing` |
//! | `Command::apply` keeps the former account when a finish is refused | `budgets_are_as_the_facts_say` |
//! | `wait_over_at` indexes the waits one too low | `no_wait_is_cut_short` |
//! | `remaining` leaves out one of the budgets, or is off by one | `budgets_are_as_the_facts_say` |
//! | `destroy` leaves `pending` alone | `nothing_destroyed_is_left` |
//! | `destroy_if_exhausted` does not ask `any_open` | `no_open_attempt_is_lost` |
//! | `fail` does not call `destroy_if_exhausted` | `nothing_exhausted_is_left` |
//! | `expiry_of` leaves out `running_since` | `no_attempt_expires_early` |
//! | `clamp_to` is not called | `every_wait_ends` |
//! | `complete` does not add 1 to the generation | `World::begin` |
//! | a proof is not verified | "no record is replaced without its proof" |
//! | a proof without a live record is not looked at | "what was to be replaced is gone" |
//! | `Delete` leaves `pending` alone where there is no record | `nothing_destroyed_is_left` |

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod facts;
mod guessing;
mod invariants;
mod op;
mod registering;
mod secrets;
mod world;

use proptest::prelude::*;
use vault_protocol::Policy;

use crate::op::{Op, Proof};
use crate::world::World;

const YEAR: i64 = 365 * 24 * 3600;

fn policies() -> impl Strategy<Value = Policy> {
    let wait = prop_oneof![3 => Just(0), 1 => Just(60), 1 => Just(2000)];
    let waits = (1_u64..=4).prop_flat_map(move |limit| {
        let count = usize::try_from(limit).unwrap() - 1;
        (
            Just(limit),
            limit..=limit + 4,
            prop::collection::vec(wait.clone(), count),
        )
    });
    waits.prop_map(|(limit, total, waits)| Policy::new(limit, total, waits).unwrap())
}

fn ops() -> impl Strategy<Value = Op> {
    let device = || 0..2_usize;
    let proof = prop_oneof![
        Just(Proof::None),
        Just(Proof::OfAnotherKey),
        Just(Proof::Right)
    ];
    let jump = prop_oneof![
        Just(0),
        Just(30),
        Just(-30),
        Just(10 * YEAR),
        Just(-10 * YEAR)
    ];
    prop_oneof![
        3 => (device(), policies()).prop_map(|(device, policy)| Op::StartRegistration(device, policy)),
        3 => (device(), proof).prop_map(|(device, proof)| Op::FinishRegistration(device, proof)),
        1 => Just(Op::SameFinish),
        12 => device().prop_map(Op::Start),
        3 => device().prop_map(Op::SameStart),
        8 => (device(), any::<bool>()).prop_map(|(device, right)| Op::Finish(device, right)),
        3 => (0..20_usize, any::<bool>()).prop_map(|(index, right)| Op::OldFinish(index, right)),
        2 => device().prop_map(Op::Abandon),
        1 => (0..20_usize).prop_map(Op::OldAbandon),
        1 => prop::bool::weighted(0.3).prop_map(Op::Delete),
        1 => prop::bool::weighted(0.3).prop_map(Op::Reset),
        1 => Just(Op::Status),
        1 => Just(Op::Sweep),
        5 => prop_oneof![Just(1), Just(59), Just(400), Just(899), Just(900), Just(2000)].prop_map(Op::Pass),
        2 => (jump, any::<bool>()).prop_map(|(jump, sweep)| Op::Restart(jump, sweep)),
    ]
}

/// Always begins with a record, so that most steps have one to act on.
fn play(policy: Policy, ops: impl IntoIterator<Item = Op>) {
    let mut world = World::new();
    world.run(Op::StartRegistration(0, policy));
    world.run(Op::FinishRegistration(0, Proof::None));
    for op in ops {
        world.run(op);
        world.check();
    }
}

proptest! {
    #[test]
    fn whatever_happens_no_guess_is_free_and_no_honest_one_is_lost(
        policy in policies(),
        ops in prop::collection::vec(ops(), 1..100),
    ) {
        play(policy, ops);
    }
}

/// The guesses after the last success have used up the budget while an older attempt is open. Its
/// success is released, and the record is destroyed by the same command.
#[test]
fn replay_of_an_older_attempt_that_succeeds_last() {
    let policy = Policy::new(2, 10, vec![0]).unwrap();
    let wrong = [Op::Start(1), Op::Finish(1, false)];
    let ops = [Op::Start(0), Op::Start(1), Op::Finish(1, true)].into_iter();
    let end = [Op::Finish(0, true), Op::Finish(0, true)];
    play(policy, ops.chain(wrong.clone()).chain(wrong).chain(end));
}

/// Two devices; the finish of one is on its way while the other switches the password off.
#[test]
fn replay_of_a_deletion_that_meets_a_pending_registration_only() {
    let policy = || Policy::new(2, 10, vec![0]).unwrap();
    let (begun, finish) = (
        Op::StartRegistration(1, policy()),
        Op::FinishRegistration(1, Proof::None),
    );
    let ops = [Op::Delete(true), begun, Op::Delete(false), finish];
    play(policy(), ops.clone());
    let mut world = World::new();
    for op in ops.into_iter().skip(1) {
        world.run(op);
        world.check();
    }
    assert!(world.account.is_removable());
}

/// The record is destroyed between the status and the start of its replacement.
#[test]
fn replay_of_a_replacement_that_finds_a_tombstone() {
    let policy = || Policy::new(2, 10, vec![0]).unwrap();
    let begun = Op::StartRegistration(1, policy());
    let finish = Op::FinishRegistration(1, Proof::Right);
    play(policy(), [Op::Delete(true), begun, finish]);
}
