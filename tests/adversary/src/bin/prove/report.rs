//! The table: on the screen, and as a file for who wants to believe us.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use time::OffsetDateTime;
use vault_adversary::gate::Gate;
use vault_adversary::run::Verdict;
use vault_tests::paths::repository;

use crate::machine;
use crate::proof::{Proof, Row};

/// `docs/PROOF.md` of the repository.
pub fn usual_file() -> PathBuf {
    repository().join("docs/PROOF.md")
}

/// Prints every gate, what it asks for, and its controls.
pub fn list(gates: impl Iterator<Item = &'static Gate>) {
    for gate in gates {
        println!("{}\n    {}", gate.name, gate.property);
        for control in gate.controls {
            println!("    control: {}", control.name());
        }
    }
}

/// Prints a row as soon as it is known.
pub fn say(row: &Row) {
    let mark = if row.is_proven() { "ok  " } else { "FAIL" };
    println!(
        "  {mark}  {}: {} ({})",
        row.gate.name,
        said(&row.verdict),
        seconds(row.took)
    );
    if let Some(verdict) = row.unpatched.as_ref().filter(|copy| !copy.is_held()) {
        println!("        the copy, unpatched: {}", said(verdict));
    }
    for (control, verdict) in &row.controls {
        println!("        control, {}: {}", control.name(), caught(verdict));
    }
}

/// Prints what it comes to; whether everything is proven.
pub fn conclude(proof: &Proof) -> bool {
    let proven = proof.rows.iter().filter(|row| row.is_proven()).count();
    let (all, took) = (proof.rows.len(), seconds(proof.took));
    println!("\n{proven} of {all} gates hold and can fail, in {took}.");
    proof.is_complete()
}

/// Writes the table.
pub fn write(proof: &Proof, file: &Path) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, text(proof))
}

fn text(proof: &Proof) -> String {
    let mut text = head(proof);
    for row in &proof.rows {
        let times = match &row.verdict {
            Verdict::Held { times, .. } => times.to_string(),
            _ => String::new(),
        };
        let what = match &row.verdict {
            Verdict::Held { what, .. } => what,
            _ => row.gate.property,
        };
        let controls: Vec<_> = row
            .controls
            .iter()
            .map(|(control, verdict)| format!("{}: {}", control.name(), caught(verdict)))
            .collect();
        let cells = [
            row.gate.name,
            what,
            &times,
            &result(row),
            &controls.join("<br>"),
        ];
        let cells = cells.map(|cell| cell.replace('|', "\\|").replace('\n', " "));
        let _ = writeln!(text, "| {} | {} |", cells.join(" | "), seconds(row.took));
    }
    text.push_str("\n## What each gate asks for\n\n");
    for row in &proof.rows {
        let _ = writeln!(text, "- **{}**: {}.", row.gate.name, row.gate.property);
    }
    text
}

fn head(proof: &Proof) -> String {
    format!(
        "# Proof\n\n\
         Written by `cargo run --release -p vault-adversary --bin prove`; every line of it can be run again. A *gate* attacks the real vault; its *controls* break the property on purpose, by a one-line patch in a copy of the sources or by something that the harness does in the adversary's favour, and the gate has to notice; with all patches switched off, the copy had to hold first. `tests/adversary/src/gates/` has one file for each gate. `--full` runs the long versions, fuzzing and mutants of the rules; docs/MUTANTS.md has what mutants came to.\n\n\
         Run on {} UTC, commit {}, {}, the {} version, in {}.\n\n\
         | gate | what was tried | how often | result | controls | took |\n\
         |---|---|---|---|---|---|\n",
        today(),
        machine::commit(),
        machine::described(),
        proof.scale,
        seconds(proof.took),
    )
}

fn result(row: &Row) -> String {
    let unpatched = row.unpatched.as_ref().filter(|copy| !copy.is_held());
    match (&row.verdict, unpatched) {
        (Verdict::Held { .. }, None) => "held".to_owned(),
        (Verdict::Held { .. }, Some(copy)) => format!("held, but not unpatched: {}", said(copy)),
        (verdict, _) => said(verdict),
    }
}

fn said(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Held { what, times } => format!("{times} {what}"),
        Verdict::Violated { why } => format!("VIOLATED: {why}"),
        Verdict::NotHere { why, .. } => format!("not tried here: {why}"),
        Verdict::WentWrong { why } => format!("WENT WRONG: {why}"),
    }
}

fn caught(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Violated { why } => format!("caught ({why})"),
        Verdict::Held { .. } => "NOT CAUGHT".to_owned(),
        other => said(other),
    }
}

fn seconds(took: Duration) -> String {
    match took.as_secs() {
        0..120 => format!("{} s", took.as_secs().max(1)),
        more => format!("{} min", more.div_ceil(60)),
    }
}

#[expect(clippy::disallowed_methods, reason = "a report names its day")]
fn today() -> String {
    let now = OffsetDateTime::now_utc();
    now.date().to_string()
}
