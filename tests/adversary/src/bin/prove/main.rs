//! Attacks the real vault with everything in `tests/adversary`, shows that each attack is able to
//! fail, and writes down what came out. Exit code 0 only if every property held and every control
//! was caught.
//!
//! The same binary is also the programs that it starts (see `vault_tests::programs`).
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line prints"
)]

mod machine;
mod proof;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use vault_adversary::gate::{Control, Gate, GateContext, Scale};
use vault_adversary::gates::{GATES, every_gate};
use vault_adversary::run;
use vault_tests::programs::{self, Programs};

/// Attacks the real vault, as a process and over TLS, and shows that each attack is able to fail.
///
/// A gate is an attack with a criterion. Its controls break the property on purpose, by a one-line
/// patch in a copy of the sources or by something the harness does in the adversary's favour; the
/// gate has to notice. The result is a table, here and as a file. Takes less than 15 minutes.
#[derive(Parser)]
#[command(name = "prove")]
struct Arguments {
    /// Runs the long versions, and mutants; takes hours
    #[arg(long, conflicts_with = "short")]
    full: bool,
    /// Runs the short versions, as the tests do
    #[arg(long)]
    short: bool,
    /// Runs this gate only; can be given more than once
    #[arg(long = "gate", value_name = "NAME", value_parser = gate_named)]
    gates: Vec<&'static Gate>,
    /// Lists the gates, their criteria and controls, and runs nothing
    #[arg(long)]
    list: bool,
    /// Where the table is written [default: docs/PROOF.md of the repository, if all gates are run]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Prints one gate's verdict as JSON, for the caller of a patched copy
    #[arg(long, hide = true, value_parser = gate_named)]
    verdict_of: Option<&'static Gate>,
    /// With this in the adversary's favour
    #[arg(long, hide = true, requires = "verdict_of")]
    switched: Option<String>,
}

fn main() -> ExitCode {
    if let Some(code) = programs::run_if_asked() {
        return code;
    }
    match prove(Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("prove: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn prove(arguments: Arguments) -> anyhow::Result<bool> {
    let programs = Programs::own()?;
    if let Some(gate) = arguments.verdict_of {
        let mut context = GateContext::new(programs, Scale::Short);
        for control in gate.controls {
            if let Control::Switch(what) = control
                && arguments.switched.as_deref() == Some(what)
            {
                context = context.switched(what);
            }
        }
        let verdict = run::attack(gate, context);
        println!("{}", serde_json::to_string(&verdict)?);
        return Ok(true);
    }
    if arguments.list {
        report::list(every_gate());
        return Ok(true);
    }
    let is_complete = arguments.gates.is_empty();
    let gates = match arguments.gates.as_slice() {
        [] if arguments.full => every_gate().collect(),
        [] => GATES.iter().collect(),
        some => some.to_vec(),
    };
    let proof = proof::Proof::make(
        &gates,
        &GateContext::new(programs, scale(&arguments)),
        report::say,
    )?;
    let file = arguments
        .output
        .or_else(|| is_complete.then(report::usual_file));
    if let Some(file) = file {
        report::write(&proof, &file).with_context(|| format!("writing {}", file.display()))?;
        println!("\nWritten to {}.", file.display());
    }
    Ok(report::conclude(&proof))
}

fn scale(arguments: &Arguments) -> Scale {
    match (arguments.short, arguments.full) {
        (true, _) => Scale::Short,
        (_, true) => Scale::Full,
        _ => Scale::Usual,
    }
}

fn gate_named(name: &str) -> Result<&'static Gate, String> {
    let found = every_gate().find(|gate| gate.name == name);
    found.ok_or_else(|| {
        let names: Vec<_> = every_gate().map(|gate| gate.name).collect();
        format!("there is no such gate; there are: {}", names.join(", "))
    })
}
