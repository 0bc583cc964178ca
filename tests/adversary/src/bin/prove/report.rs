//! The table: on the screen, and as a file.

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

/// Characters a line of prose.
const WIDTH: usize = 100;

/// Prints every gate, its criterion, and its controls.
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

/// Prints the conclusion, and returns whether everything is proven.
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
        let cells = [
            row.gate.name,
            &times(row).to_string(),
            outcome(row),
            &controls(row),
            &seconds(row.took),
        ];
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    for row in &proof.rows {
        text.push_str(&section(row));
    }
    text
}

fn head(proof: &Proof) -> String {
    let intro = "Written by `cargo run --release -p vault-adversary --bin prove`; every line of it \
        can be run again. A *gate* attacks the real vault. Its *controls* break the property on \
        purpose, by a one-line patch in a copy of the sources or by something that the harness does \
        in the adversary's favour, and the gate has to notice. With all patches switched off, the \
        copy had to hold first. `tests/adversary/src/gates/` has one file for each gate. `--full` \
        runs the long versions, fuzzing and mutants of the rules; docs/MUTANTS.md has what mutants \
        came to.";
    let run = format!(
        "Run on {} UTC, commit {}, {}, the {} version, in {}.",
        today(),
        machine::commit(),
        machine::described(),
        proof.scale,
        seconds(proof.took),
    );
    let (intro, run) = (wrapped("", intro), wrapped("", &run));
    format!(
        "# Proof\n\n{intro}\n{run}\n\
         | gate | how often | result | controls caught | took |\n\
         |---|---|---|---|---|\n"
    )
}

/// A gate's criterion, its attack, and the verdict on each control.
fn section(row: &Row) -> String {
    let gate = row.gate;
    let asked = wrapped("", &format!("It asks: {}.", gate.property));
    let tried = match &row.verdict {
        Verdict::Held { what, times } => {
            format!("Tried {times}: {what}. Result: {}.", result(row))
        }
        _ => format!("Result: {}.", result(row)),
    };
    let tried = wrapped("", &tried);
    let controls: String = row
        .controls
        .iter()
        .map(|(control, verdict)| {
            wrapped("- ", &format!("*{}*: {}", control.name(), caught(verdict)))
        })
        .collect();
    let section = format!("\n## {}\n\n{asked}\n{tried}\n{controls}", gate.name);
    section.trim_end().to_owned() + "\n"
}

fn times(row: &Row) -> u64 {
    match row.verdict {
        Verdict::Held { times, .. } => times,
        _ => 0,
    }
}

/// In a word, for the table.
fn outcome(row: &Row) -> &'static str {
    let unpatched = row.unpatched.as_ref().filter(|copy| !copy.is_held());
    match (&row.verdict, unpatched) {
        (Verdict::Held { .. }, None) => "held",
        (Verdict::Held { .. }, Some(_)) => "held, but not unpatched",
        (Verdict::Violated { .. }, _) => "VIOLATED",
        (Verdict::NotHere { .. }, _) => "not tried here",
        (Verdict::WentWrong { .. }, _) => "WENT WRONG",
    }
}

fn controls(row: &Row) -> String {
    let verdicts = row.controls.iter().map(|(_, verdict)| verdict);
    let caught = verdicts.filter(|verdict| verdict.is_violated()).count();
    format!("{caught} of {}", row.controls.len())
}

/// A paragraph of lines of at most [`WIDTH`] characters; behind the first one they are indented as
/// far as the mark is long.
fn wrapped(mark: &str, text: &str) -> String {
    let mut lines = vec![mark.to_owned()];
    for word in text.split_whitespace() {
        let line = lines
            .last_mut()
            .expect("there is a line from the beginning");
        let is_empty = line.trim_start_matches(['-', ' ']).is_empty();
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(" ".repeat(mark.len()) + word);
        } else {
            *line += if is_empty { "" } else { " " };
            *line += word;
        }
    }
    lines.join("\n") + "\n"
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
