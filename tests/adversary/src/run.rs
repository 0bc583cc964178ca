//! Runs gates and their controls, and returns the verdicts.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};

use crate::gate::{Control, Gate, GateContext, NotHere, OnlyInCopy, Violation};
use crate::patch::{SEPARATOR, SWITCH};

/// The result of an attack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The property held.
    Held {
        /// The attack, in a few words.
        what: String,
        /// How often.
        times: u64,
    },
    /// The property does not hold.
    Violated {
        /// The violation.
        why: String,
    },
    /// It cannot be tried on this machine.
    NotHere {
        /// The tool or the right that is missing.
        why: String,
        /// The patch with which it can be tried in a copy.
        in_copy_with: Option<String>,
    },
    /// The gate went wrong, and says nothing about the property.
    WentWrong {
        /// How.
        why: String,
    },
}

/// Runs one gate. A panic in it is a gate that went wrong.
pub fn attack(gate: &Gate, context: GateContext) -> Verdict {
    let attack = || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        runtime.block_on((gate.run)(context))
    };
    match catch_unwind(AssertUnwindSafe(attack)) {
        Ok(Ok(tried)) if tried.times == 0 => Verdict::WentWrong {
            why: format!("nothing was tried: {}", tried.what),
        },
        Ok(Ok(tried)) => Verdict::Held {
            what: tried.what,
            times: tried.times,
        },
        Ok(Err(error)) => Verdict::of(&error),
        Err(panic) => Verdict::WentWrong { why: said(&panic) },
    }
}

/// The patched copy's `prove`, for one gate.
pub struct Copy<'a> {
    /// Where it is.
    pub prove: &'a Path,
    /// The patch without which the gate cannot be tried on this machine.
    pub always: Option<String>,
}

impl Copy<'_> {
    /// Runs the short version of a gate in the copy, with none of its controls: there it has to hold, or
    /// a control that is caught there means nothing.
    pub fn attack(&self, gate: &Gate) -> anyhow::Result<Verdict> {
        self.verdict_of(gate, None, None)
    }

    /// Runs the short version of a gate with a control: here, if the harness can do it and the gate can
    /// be tried here, else in the copy.
    pub fn attack_with(
        &self,
        gate: &Gate,
        control: &Control,
        context: &GateContext,
    ) -> anyhow::Result<Verdict> {
        match control {
            Control::Switch(what) if self.always.is_none() => {
                Ok(attack(gate, context.short().switched(what)))
            }
            Control::Switch(what) => self.verdict_of(gate, None, Some(what)),
            Control::Patch(patch) => self.verdict_of(gate, Some(patch.name), None),
        }
    }

    fn verdict_of(
        &self,
        gate: &Gate,
        fault: Option<&str>,
        switch: Option<&str>,
    ) -> anyhow::Result<Verdict> {
        let faults: Vec<_> = self.always.as_deref().into_iter().chain(fault).collect();
        let mut prove = Command::new(self.prove);
        prove
            .args(["--verdict-of", gate.name])
            .env(SWITCH, faults.join(SEPARATOR));
        if let Some(switch) = switch {
            prove.args(["--switched", switch]);
        }
        let output = prove
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()?;
        let verdict = output.stdout.split(|byte| *byte == b'\n').next();
        serde_json::from_slice(verdict.unwrap_or_default())
            .with_context(|| format!("the patched copy ended with {}", output.status))
    }
}

impl Verdict {
    /// The same, with a note on how it was tried.
    #[must_use]
    pub fn noting(self, note: &str) -> Self {
        match self {
            Self::Held { what, times } => Self::Held {
                what: format!("{what}; {note}"),
                times,
            },
            other => other,
        }
    }

    /// Whether a gate came out as it has to.
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Held { .. })
    }

    /// Whether a control came out as it has to.
    pub fn is_violated(&self) -> bool {
        matches!(self, Self::Violated { .. })
    }

    fn of(error: &anyhow::Error) -> Self {
        let why = format!("{error:#}");
        if error.downcast_ref::<Violation>().is_some() {
            Self::Violated { why }
        } else if error.downcast_ref::<NotHere>().is_some() {
            let in_copy_with = None;
            Self::NotHere { why, in_copy_with }
        } else if let Some(only) = error.downcast_ref::<OnlyInCopy>() {
            let in_copy_with = Some(only.with.name.to_owned());
            Self::NotHere { why, in_copy_with }
        } else {
            Self::WentWrong { why }
        }
    }
}

/// For tests: the gate holds, and every control that needs no build of its own makes it fail. What
/// cannot be tried here is an error if the variable `VAULT_TESTS_REQUIRE_TOOLS` is 1.
pub fn check(gate: &Gate, context: &GateContext) -> anyhow::Result<()> {
    match attack(gate, context.clone()) {
        Verdict::Held { .. } => {}
        Verdict::NotHere { why, .. } => return skip(&why),
        Verdict::Violated { why } => return Err(anyhow!("violated: {why}")),
        Verdict::WentWrong { why } => return Err(anyhow!("went wrong: {why}")),
    }
    for control in gate.controls {
        match control {
            Control::Patch(patch) => patch.check()?,
            Control::Switch(what) => {
                let verdict = attack(gate, context.clone().switched(what));
                anyhow::ensure!(verdict.is_violated(), "with {what:?}: {verdict:?}");
            }
        }
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn skip(why: &str) -> anyhow::Result<()> {
    let required = std::env::var_os("VAULT_TESTS_REQUIRE_TOOLS").is_some_and(|v| v == "1");
    anyhow::ensure!(!required, "cannot be tried here: {why}");
    eprintln!("skipped: {why}");
    Ok(())
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("a panic: {}", text.unwrap_or("of another type"))
}
