//! The gates of the adversary, each a little shorter than in `prove`, with the controls that need no
//! build of their own. What each tries, and what makes it fail, is in `tests/adversary/`.

use vault_tests::adversary::gate::{Arena, Gate, Scale};
use vault_tests::adversary::{
    GATES, drop_ke3, parallel_start, relay, resources, restored_files, run, secrets,
};
use vault_tests::programs::Programs;

fn check(gate: &Gate) -> anyhow::Result<()> {
    assert!(
        GATES.iter().any(|listed| listed.name == gate.name),
        "not in the report"
    );
    assert!(
        !gate.controls.is_empty(),
        "a gate that cannot be seen to fail"
    );
    let programs = Programs::of(env!("CARGO_BIN_EXE_demo"));
    run::check(gate, &Arena::new(programs, Scale::Short))
}

#[test]
fn who_never_finishes_guesses_no_more_often() -> anyhow::Result<()> {
    check(&drop_ke3::GATE)
}

#[test]
fn guessing_at_once_gains_nothing() -> anyhow::Result<()> {
    check(&parallel_start::GATE)
}

#[test]
fn a_relay_learns_nothing_and_changes_nothing() -> anyhow::Result<()> {
    check(&relay::GATE)
}

#[test]
fn old_files_that_are_put_back_give_no_guess_back() -> anyhow::Result<()> {
    check(&restored_files::GATE)
}

#[test]
fn no_name_and_no_secret_is_in_log_errors_files_or_memory() -> anyhow::Result<()> {
    check(&secrets::GATE)
}

#[test]
fn using_up_what_the_server_has_keeps_nobody_out() -> anyhow::Result<()> {
    check(&resources::GATE)
}
