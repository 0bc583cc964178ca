//! Bad input: every decoder of outside or stored bytes, with everything that fuzzing has kept and
//! with damaged copies of it. Nothing may panic, and what is accepted has to be what
//! `decoders` asserts of it; a panic in a thread behind it shows as a ledger that has stopped.
//!
//! This is the short run, on the stable compiler and the same every time. The long one, which looks
//! for new inputs, is `fuzz/run`; what it finds is kept in `fuzz/corpus` and from then on tried
//! here.

use std::fmt::Write as _;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, anyhow, ensure};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::gate::{Arena, Attack, Control, Gate, NotHere, Scale, Tried, Violation, holds};
use crate::decoders::{DECODERS, Decoder};

mod damage;

const PLANTED: &str = "one more decoder, which believes a length that it reads";

/// See the module's text.
pub const GATE: Gate = Gate {
    name: "decoders",
    property: "no bytes make a decoder of outside or stored bytes panic, or accept what it would \
               not write",
    run: |arena| -> Attack { Box::pin(async move { attack(&arena) }) },
    controls: &[Control::Switch(PLANTED)],
};

/// Where every decoder's corpus is, in a folder of its name.
pub fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus")
}

/// Runs every decoder over its stored corpus and over so many damaged inputs, a tenth of it where
/// each takes a vault or a restore of its own. Returns the number of executions.
pub fn run(damaged: usize) -> anyhow::Result<u64> {
    let mut executions = 0;
    for decoder in DECODERS {
        let corpus = corpus_of(decoder.name)?;
        let damaged = if decoder.is_slow {
            damaged / 10
        } else {
            damaged
        };
        executions += run_one(decoder, &corpus, damaged)?;
    }
    Ok(executions)
}

/// Runs one decoder over these inputs and damaged ones. An error names an input that breaks it.
pub fn run_one(decoder: &Decoder, corpus: &[Vec<u8>], damaged: usize) -> anyhow::Result<u64> {
    let mut accepted = 0;
    for input in corpus {
        accepted += usize::from(try_input(decoder, input)?);
    }
    // Otherwise all inputs end at the first check, and nothing behind it was tried.
    ensure!(
        accepted > 0,
        "{}: its corpus of {} holds nothing that it accepts",
        decoder.name,
        corpus.len()
    );
    let mut rng = StdRng::seed_from_u64(0);
    for number in 0..damaged {
        let input = damage::damaged(corpus, number, &mut rng);
        try_input(decoder, &input)?;
    }
    Ok((corpus.len() + damaged) as u64)
}

/// The stored inputs of a decoder, in the order of their names.
pub fn corpus_of(name: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let folder = corpora().join(name);
    let missing = || format!("{}: no corpus", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(&folder).with_context(missing)? {
        paths.push(entry?.path());
    }
    paths.sort();
    let inputs = paths.into_iter().map(fs::read);
    Ok(inputs.collect::<Result<_, _>>()?)
}

fn attack(arena: &Arena) -> anyhow::Result<Tried> {
    let damaged = arena.scaled(500, 5_000, 50_000);
    let is_planted = arena.is_switched(PLANTED);
    // Of its own: the vault in there has a runtime of its own.
    let attack = thread::spawn(move || -> anyhow::Result<u64> {
        if is_planted {
            return run_one(&CREDULOUS, &[vec![1, b'x'], vec![0]], damaged);
        }
        run(damaged)
    });
    let executions = attack
        .join()
        .map_err(|_| anyhow!("the attack panicked"))??;
    if !is_planted && arena.scale() == Scale::Full {
        fuzz()?;
    }
    let what = format!("{} decoders, kept and damaged inputs", DECODERS.len());
    Ok(Tried::new(executions, what))
}

/// Looks for new inputs: ten million, or ten minutes, for each decoder. What it prints goes through.
fn fuzz() -> anyhow::Result<()> {
    let probe = Command::new("cargo")
        .args(["+nightly", "fuzz", "--version"])
        .output()?;
    if !probe.status.success() {
        let how = "a nightly compiler or cargo-fuzz is missing: cargo install cargo-fuzz";
        return Err(NotHere(how.to_owned()).into());
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/run");
    let ended = Command::new("bash").arg(script).status()?;
    holds(ended.success(), || {
        "fuzzing broke a decoder, see above".to_owned()
    })?;
    Ok(())
}

/// The control: right for every input that is well-formed.
const CREDULOUS: Decoder = Decoder {
    name: "credulous",
    reads: "a length, and so many bytes",
    is_slow: false,
    accepts: |bytes| match bytes.split_first() {
        Some((length, rest)) => !rest[..usize::from(*length)].contains(&0),
        None => false,
    },
};

/// Whether the input is accepted.
fn try_input(decoder: &Decoder, input: &[u8]) -> Result<bool, Violation> {
    let accepts = AssertUnwindSafe(|| (decoder.accepts)(input));
    panic::catch_unwind(accepts).map_err(|_| {
        let (name, input) = (decoder.name, hex(input));
        Violation::new(format!("{name}: broken by {input}"))
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}
