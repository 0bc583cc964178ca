//! Bad input: every decoder of outside or stored bytes, with everything that fuzzing has kept and
//! with damaged copies of it. Nothing may panic, and what is accepted has to be what
//! `decoders` asserts of it; a panic in a thread behind it shows as a ledger that has stopped.
//!
//! This is the short run, on the stable compiler and the same every time. The long one, which looks
//! for new inputs, is `fuzz/run`; what it finds is kept in `fuzz/corpus` and from then on tried
//! here.

use std::panic::{self, AssertUnwindSafe};
use std::process::Command;
use std::thread;

use anyhow::{anyhow, ensure};
use rand::SeedableRng;
use rand::rngs::StdRng;
use vault_tests::decoders::corpus::corpus_of;
use vault_tests::decoders::{DECODERS, Decoder};
use vault_tests::paths::repository;

use crate::gate::{
    Attack, AttackReport, Control, Gate, GateContext, NotHere, Scale, Violation, holds,
};
use crate::patch::Patch;

mod damage;

const PLANTED: &str = "one more decoder, which believes a length that it reads";

/// See the module's text.
pub const GATE: Gate = Gate {
    name: "decoders",
    property: "no bytes make a decoder of outside or stored bytes panic, or accept what it would \
               not write",
    run: |context| -> Attack { Box::pin(async move { attack(&context) }) },
    controls: &[
        Control::Switch(PLANTED),
        Control::Patch(&KEYS_ARE_NEVER_FORGOTTEN),
    ],
};

/// Found by fuzzing, and kept since: the corpus has to bring it to light again.
const KEYS_ARE_NEVER_FORGOTTEN: Patch = Patch {
    name: "stored channel keys behind which there is another need not have been replaced",
    file: "vault-server/src/channel/keys.rs",
    text: "are_even && are_successive",
    instead: "are_even && (FAULT || are_successive)",
};

/// Decoders, each with the inputs that are tried as they are and damaged.
type Listed = Vec<(&'static Decoder, Vec<Vec<u8>>)>;

/// All of them. The planted one is the last: a run that ends early or leaves some out misses it.
fn listed(is_planted: bool) -> anyhow::Result<Listed> {
    let mut listed = Vec::new();
    for decoder in DECODERS {
        listed.push((decoder, corpus_of(decoder.name)?));
    }
    if is_planted {
        listed.push((&CREDULOUS, vec![vec![1, b'x'], vec![0]]));
    }
    Ok(listed)
}

/// Runs every decoder over its stored corpus and over so many damaged inputs, a tenth of it where
/// each takes a vault or a restore of its own. Returns the number of executions.
fn run(listed: &Listed, damaged: usize) -> anyhow::Result<u64> {
    let mut executions = 0;
    for (decoder, corpus) in listed {
        let damaged = if decoder.is_slow {
            damaged / 10
        } else {
            damaged
        };
        executions += run_one(decoder, corpus, damaged)?;
    }
    // A run that tries nothing finds nothing.
    ensure!(executions > 0, "nothing was executed");
    Ok(executions)
}

/// Runs one decoder over these inputs and damaged ones. An error names an input that breaks it.
fn run_one(decoder: &Decoder, corpus: &[Vec<u8>], damaged: usize) -> anyhow::Result<u64> {
    let (mut executions, mut accepted) = (0, 0);
    for input in corpus {
        accepted += usize::from(try_input(decoder, input)?);
        executions += 1;
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
        executions += 1;
    }
    Ok(executions)
}

fn attack(context: &GateContext) -> anyhow::Result<AttackReport> {
    let damaged = context.scaled(500, 5_000, 50_000);
    let listed = listed(context.is_switched(PLANTED))?;
    let what = format!("{} decoders, kept and damaged inputs", listed.len());
    // Of its own: the vault in there has a runtime of its own.
    let attack = thread::spawn(move || run(&listed, damaged));
    let executions = attack
        .join()
        .map_err(|_| anyhow!("the attack panicked"))??;
    if context.scale() == Scale::Full {
        fuzz()?;
    }
    Ok(AttackReport::new(executions, what))
}

/// Looks for new inputs: ten million, or ten minutes, for each decoder. Those that reach something new
/// are kept in the corpora. Its output goes through.
fn fuzz() -> anyhow::Result<()> {
    let probe = Command::new("cargo")
        .args(["+nightly", "fuzz", "--version"])
        .output()?;
    if !probe.status.success() {
        let how = "a nightly compiler or cargo-fuzz is missing: cargo install cargo-fuzz";
        return Err(NotHere(how.to_owned()).into());
    }
    let script = repository().join("fuzz/run");
    let ended = Command::new("bash").arg(script).arg("--keep").status()?;
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
    max_len: 4096,
    accepts: |bytes| match bytes.split_first() {
        Some((length, rest)) => !rest[..usize::from(*length)].contains(&0),
        None => false,
    },
};

/// Whether the input is accepted.
fn try_input(decoder: &Decoder, input: &[u8]) -> Result<bool, Violation> {
    let accepts = AssertUnwindSafe(|| (decoder.accepts)(input));
    panic::catch_unwind(accepts).map_err(|_| {
        let (name, input) = (decoder.name, base16ct::lower::encode_string(input));
        Violation::new(format!("{name}: broken by {input}"))
    })
}
