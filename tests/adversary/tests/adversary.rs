//! The gates of the adversary, each a little shorter than in `prove`, with the controls that need no
//! build of their own. Each attack and its controls are in `tests/adversary/src/gates/`.

use vault_adversary::gate::{Control, Gate, GateContext, Scale};
use vault_adversary::gates::{self, GATES, every_gate};
use vault_adversary::run;
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
    let programs = Programs::of(env!("CARGO_BIN_EXE_prove"));
    run::check(gate, &GateContext::new(programs, Scale::Short))
}

#[test]
fn guessing_without_a_finish_is_not_free() -> anyhow::Result<()> {
    check(&gates::drop_ke3::GATE)
}

#[test]
fn guessing_at_once_gains_nothing() -> anyhow::Result<()> {
    check(&gates::parallel_start::GATE)
}

#[test]
fn the_owners_successes_give_a_thief_nothing() -> anyhow::Result<()> {
    check(&gates::success_farming::GATE)
}

#[test]
fn no_answer_leaves_before_what_it_says_is_durable() -> anyhow::Result<()> {
    check(&gates::durable_before_visible::GATE)
}

#[test]
fn killing_the_vault_at_any_moment_gains_nothing_and_loses_nothing() -> anyhow::Result<()> {
    check(&gates::kill_anywhere::GATE)
}

#[test]
fn the_right_password_in_time_gets_the_key() -> anyhow::Result<()> {
    check(&gates::honest_user::GATE)
}

#[test]
fn on_a_sick_disk_nothing_is_evaluated_and_nothing_lost() -> anyhow::Result<()> {
    check(&gates::sick_disk::GATE)
}

#[test]
fn a_ticket_is_good_for_its_own_attempt_and_nothing_else() -> anyhow::Result<()> {
    check(&gates::tickets::GATE)
}

#[test]
fn of_registrations_that_meet_one_wins() -> anyhow::Result<()> {
    check(&gates::registration_races::GATE)
}

#[test]
fn a_relay_learns_nothing_and_changes_nothing() -> anyhow::Result<()> {
    check(&gates::relay::GATE)
}

#[test]
fn old_files_that_are_put_back_give_no_guess_back() -> anyhow::Result<()> {
    check(&gates::restored_files::GATE)
}

#[test]
fn no_name_and_no_secret_is_in_log_errors_files_or_memory() -> anyhow::Result<()> {
    check(&gates::secrets::GATE)
}

#[test]
fn using_up_the_servers_resources_keeps_no_client_out() -> anyhow::Result<()> {
    check(&gates::resources::GATE)
}

#[test]
fn without_a_right_token_nothing_is_reached() -> anyhow::Result<()> {
    check(&gates::foreign_tokens::GATE)
}

#[test]
fn no_bytes_break_a_decoder() -> anyhow::Result<()> {
    check(&gates::decoders::GATE)
}

#[test]
fn the_server_leaves_no_core() -> anyhow::Result<()> {
    check(&gates::hardening::GATE)
}

/// Fails when the product's text changes at a patch: `file` or `text` of the patch has to follow.
#[test]
fn every_patch_fits_the_product_in_one_place() -> anyhow::Result<()> {
    for control in every_gate().flat_map(|gate| gate.controls) {
        if let Control::Patch(patch) = control {
            patch.check()?;
        }
    }
    Ok(())
}

/// Fails when a gate of the report has no test here.
#[test]
fn every_gate_of_the_report_has_its_test() {
    let tests = include_str!("adversary.rs");
    let checked = tests.matches("check(&gates::").count();
    // This test names the text once.
    assert_eq!(checked - 1, GATES.len());
}
