//! The gates of the adversary, each a little shorter than in `prove`, with the controls that need no
//! build of their own. What each tries, and what makes it fail, is in `tests/adversary/`.

use vault_tests::adversary::gate::{Arena, Gate, Scale};
use vault_tests::adversary::{self, GATES, run};
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
    check(&adversary::drop_ke3::GATE)
}

#[test]
fn guessing_at_once_gains_nothing() -> anyhow::Result<()> {
    check(&adversary::parallel_start::GATE)
}

#[test]
fn the_owners_successes_give_a_thief_nothing() -> anyhow::Result<()> {
    check(&adversary::success_farming::GATE)
}

#[test]
fn no_answer_leaves_before_what_it_says_is_durable() -> anyhow::Result<()> {
    check(&adversary::durable_before_visible::GATE)
}

#[test]
fn who_kills_the_vault_at_any_moment_gains_nothing_and_loses_nothing() -> anyhow::Result<()> {
    check(&adversary::kill_anywhere::GATE)
}

#[test]
fn who_types_the_right_password_in_time_gets_the_key() -> anyhow::Result<()> {
    check(&adversary::honest_user::GATE)
}

#[test]
fn on_a_sick_disk_nothing_is_evaluated_and_nothing_lost() -> anyhow::Result<()> {
    check(&adversary::sick_disk::GATE)
}

#[test]
fn a_ticket_is_good_for_its_own_attempt_and_nothing_else() -> anyhow::Result<()> {
    check(&adversary::tickets::GATE)
}

#[test]
fn of_registrations_that_meet_one_wins() -> anyhow::Result<()> {
    check(&adversary::registration_races::GATE)
}

#[test]
fn a_relay_learns_nothing_and_changes_nothing() -> anyhow::Result<()> {
    check(&adversary::relay::GATE)
}

#[test]
fn old_files_that_are_put_back_give_no_guess_back() -> anyhow::Result<()> {
    check(&adversary::restored_files::GATE)
}

#[test]
fn no_name_and_no_secret_is_in_log_errors_files_or_memory() -> anyhow::Result<()> {
    check(&adversary::secrets::GATE)
}

#[test]
fn using_up_what_the_server_has_keeps_nobody_out() -> anyhow::Result<()> {
    check(&adversary::resources::GATE)
}

#[test]
fn without_a_right_token_nothing_is_reached() -> anyhow::Result<()> {
    check(&adversary::foreign_tokens::GATE)
}

#[test]
fn no_bytes_break_a_decoder() -> anyhow::Result<()> {
    check(&adversary::decoders::GATE)
}

#[test]
fn the_server_leaves_no_core() -> anyhow::Result<()> {
    check(&adversary::hardening::GATE)
}
