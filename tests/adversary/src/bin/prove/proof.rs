//! All gates and all controls, one after the other.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use vault_adversary::gate::{Control, Gate, GateContext};
use vault_adversary::gates::every_gate;
use vault_adversary::patch;
use vault_adversary::run::{self, Copy, Verdict};

/// The result of a run.
pub struct Proof {
    /// Gate by gate.
    pub rows: Vec<Row>,
    /// How long all of it took, the build of the patched copy included.
    pub took: Duration,
    /// Which version was run.
    pub scale: String,
}

/// One gate.
pub struct Row {
    /// Which.
    pub gate: &'static Gate,
    /// Whether its property held.
    pub verdict: Verdict,
    /// How long the gate itself took.
    pub took: Duration,
    /// The verdict on the patched copy with all patches switched off, if the gate has any.
    pub unpatched: Option<Verdict>,
    /// Each control and its verdict.
    pub controls: Vec<(&'static Control, Verdict)>,
}

impl Proof {
    /// Runs these gates, and reports each row as soon as it is known.
    pub fn make(
        gates: &[&'static Gate],
        context: &GateContext,
        report: impl Fn(&Row),
    ) -> anyhow::Result<Self> {
        let started = now();
        let patched = patched_copy(gates)?;
        let rows = gates.iter().map(|gate| {
            let row = Row::of(gate, context, &patched)?;
            report(&row);
            Ok(row)
        });
        Ok(Self {
            rows: rows.collect::<anyhow::Result<_>>()?,
            took: started.elapsed(),
            scale: format!("{:?}", context.scale()).to_lowercase(),
        })
    }

    /// Whether every property held and every control was caught.
    pub fn is_complete(&self) -> bool {
        self.rows.iter().all(Row::is_proven)
    }
}

impl Row {
    fn of(gate: &'static Gate, context: &GateContext, patched: &Path) -> anyhow::Result<Self> {
        let working = working(format!("{}: attacking", gate.name));
        let started = now();
        let mut verdict = run::attack(gate, context.clone());
        let mut copy = Copy {
            prove: patched,
            always: None,
        };
        if let Verdict::NotHere { why, in_copy_with } = &verdict
            && let Some(patch) = in_copy_with
        {
            let note = format!("in a copy with the patch \"{patch}\", because here {why}");
            copy.always = Some(patch.clone());
            verdict = copy.attack(gate)?.noting(&note);
        }
        let took = started.elapsed();
        let mut unpatched = None;
        if gate.controls.iter().any(is_patch) {
            working.set_message(format!("{}: the copy, unpatched", gate.name));
            unpatched = Some(copy.attack(gate)?);
        }
        let mut controls = Vec::new();
        for control in gate.controls {
            working.set_message(format!("{}: control, {}", gate.name, control.name()));
            let verdict = copy.attack_with(gate, control, context);
            controls.push((control, verdict.with_context(|| control.name())?));
        }
        working.finish_and_clear();
        Ok(Self {
            gate,
            verdict,
            took,
            unpatched,
            controls,
        })
    }

    /// Whether the property held and every control was caught.
    pub fn is_proven(&self) -> bool {
        let caught = self.controls.iter().all(|(_, said)| said.is_violated());
        let unpatched = self.unpatched.as_ref().is_none_or(Verdict::is_held);
        self.verdict.is_held() && unpatched && caught
    }
}

fn is_patch(control: &Control) -> bool {
    matches!(control, Control::Patch(_))
}

/// Builds the copy, if any of these gates needs it. It has the patches of all gates: one may need
/// another's.
fn patched_copy(gates: &[&'static Gate]) -> anyhow::Result<PathBuf> {
    let mut controls = gates.iter().flat_map(|gate| gate.controls);
    if !controls.any(is_patch) {
        return Ok(PathBuf::new());
    }
    let controls = every_gate().flat_map(|gate| gate.controls);
    let mut patches: Vec<_> = controls
        .filter_map(|control| match control {
            Control::Patch(patch) => Some(*patch),
            Control::Switch(_) => None,
        })
        .collect();
    // Some serve several gates.
    patches.sort_by_key(|patch| patch.name);
    patches.dedup_by_key(|patch| patch.name);
    let building = working(format!("building a copy with {} patches", patches.len()));
    let built = patch::build(&patches);
    building.finish_and_clear();
    built
}

fn working(on: String) -> ProgressBar {
    let style = ProgressStyle::with_template("  {spinner} {msg} ({elapsed})")
        .expect("the template is well-formed");
    let bar = ProgressBar::new_spinner()
        .with_style(style)
        .with_message(on);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a gate took is reported, nothing more"
)]
fn now() -> Instant {
    Instant::now()
}
