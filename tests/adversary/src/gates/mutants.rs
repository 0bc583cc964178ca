//! Mistakes that are on no list: cargo-mutants changes one thing of the rules at a time, and a test
//! has to notice. It takes half an hour, so only `prove --full` runs it. `docs/MUTANTS.md` has the
//! results for the rules, the ledger and the service.

use std::process::{Command, Stdio};

use anyhow::ensure;
use vault_tests::paths::repository;

use crate::gate::{AttackReport, Control, Gate, GateContext, NotHere, Violation};

/// The gate.
pub const GATE: Gate = Gate {
    name: "mutants",
    property: "no one-line change of vault-rules survives its tests, but those that \
               `.cargo/mutants.toml` explains in a line each",
    run: |context| Box::pin(async move { run(&context) }),
    controls: &[Control::Switch(WITHOUT_TESTS)],
};

const WITHOUT_TESTS: &str = "the tests of retrieval are not run";

/// The exit code of cargo-mutants when a mutant survived.
const SURVIVED: i32 = 2;

fn run(context: &GateContext) -> anyhow::Result<AttackReport> {
    let version = Command::new("cargo")
        .args(["mutants", "--version"])
        .output()?;
    if !version.status.success() {
        let how = "cargo-mutants is missing: cargo install --locked cargo-mutants";
        return Err(NotHere(how.to_owned()).into());
    }
    let folder = tempfile::tempdir()?;
    let mut mutants = Command::new("cargo");
    mutants.args(["mutants", "-p", "vault-rules", "--timeout", "60"]);
    mutants
        .args(["--colors", "never", "-C", "--lib", "-o"])
        .arg(folder.path());
    if context.is_switched(WITHOUT_TESTS) {
        mutants.args(["-F", "rules/src/counting"]);
    }
    mutants.args(["--", "--", "--skip", "no_flipped_bit"]);
    if context.is_switched(WITHOUT_TESTS) {
        mutants.args([
            "--skip",
            "retrieval",
            "--skip",
            "waiting",
            "--skip",
            "expiry",
        ]);
    }
    mutants.envs([("PROPTEST_CASES", "16"), ("PROPTEST_MAX_SHRINK_ITERS", "0")]);
    let ended = mutants
        .current_dir(repository())
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&ended.stdout);
    if ended.status.code() == Some(SURVIVED) {
        let missed = said.lines().filter(|line| line.starts_with("MISSED"));
        return Err(Violation::new(missed.collect::<Vec<_>>().join("; ")).into());
    }
    ensure!(ended.status.success(), "{}: {said}", ended.status);
    // The last line: "393 mutants tested in 30m: 193 caught, …".
    let last = said.lines().last().unwrap_or_default();
    let count = last
        .split_whitespace()
        .next()
        .and_then(|word| word.parse().ok());
    Ok(AttackReport::new(count.unwrap_or(0_u64), last))
}
