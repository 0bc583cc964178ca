//! The type of a gate: an attack with a criterion, and the controls with which it must fail.

use std::fmt;
use std::pin::Pin;

use vault_tests::process::server::{ServerOptions, ServerProcess};
use vault_tests::programs::Programs;

use crate::patch::Patch;

/// An attack on the vault, and the property that has to hold all the while.
pub struct Gate {
    /// Its name in the report and on the command line.
    pub name: &'static str,
    /// The pass criterion, in a sentence.
    pub property: &'static str,
    /// Attacks. An error that is a [`Violation`] says that the property does not hold, one that is
    /// [`NotHere`] or [`OnlyInCopy`] that it cannot be tried on this machine, or not on the product as
    /// it is; any other that the gate went wrong.
    pub run: fn(GateContext) -> Attack,
    /// Each of them has to make the gate report a [`Violation`].
    pub controls: &'static [Control],
}

/// An attack under way.
pub type Attack = Pin<Box<dyn Future<Output = anyhow::Result<AttackReport>>>>;

/// A way to make a gate fail, so that its passing means something.
#[derive(Clone, Copy)]
pub enum Control {
    /// The product with a one-line patch, built from a copy of the sources.
    Patch(&'static Patch),
    /// Something that the harness does in the adversary's favour. The gate asks for it by these
    /// words, see [`GateContext::is_switched`].
    Switch(&'static str),
}

/// What was tried, and how often.
pub struct AttackReport {
    /// The attack, in a few words.
    pub what: String,
    /// How often.
    pub times: u64,
}

/// How much is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Seconds a gate: every change is checked with it.
    Short,
    /// All gates and controls within a quarter of an hour.
    Usual,
    /// As much as the gate asks for.
    Full,
}

/// Where a gate finds its vault, and how hard it attacks.
#[derive(Clone)]
pub struct GateContext {
    programs: Programs,
    scale: Scale,
    switch: Option<&'static str>,
}

/// The property of a gate does not hold.
#[derive(Debug)]
pub struct Violation(String);

/// The gate cannot be tried here: a tool or a right is missing.
#[derive(Debug)]
pub struct NotHere(pub String);

/// The gate cannot be tried on the product as it is here, but on a copy with a patch.
#[derive(Debug)]
pub struct OnlyInCopy {
    /// The tool or the right that is missing.
    pub why: &'static str,
    /// The patch that makes up for it.
    pub with: &'static Patch,
}

impl Control {
    /// Its name in the report.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Patch(patch) => patch.name,
            Self::Switch(what) => what,
        }
    }
}

impl GateContext {
    /// The real product, out of these programs.
    pub fn new(programs: Programs, scale: Scale) -> Self {
        let switch = None;
        Self {
            programs,
            scale,
            switch,
        }
    }

    /// The same with one thing in the adversary's favour.
    #[must_use]
    pub fn switched(mut self, what: &'static str) -> Self {
        self.switch = Some(what);
        self
    }

    /// The same with the short versions: enough to see a control caught.
    #[must_use]
    pub fn short(&self) -> Self {
        let mut context = self.clone();
        context.scale = Scale::Short;
        context
    }

    /// How much is tried.
    pub fn scale(&self) -> Scale {
        self.scale
    }

    /// Whether the harness shall do this in the adversary's favour.
    pub fn is_switched(&self, what: &str) -> bool {
        self.switch == Some(what)
    }

    /// Server, backend and client as processes.
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// A number or list that depends on how much is tried.
    pub fn scaled<T>(&self, short: T, usual: T, full: T) -> T {
        match self.scale {
            Scale::Short => short,
            Scale::Usual => usual,
            Scale::Full => full,
        }
    }

    /// Starts a vault.
    pub fn start(&self, options: ServerOptions) -> anyhow::Result<ServerProcess> {
        ServerProcess::start(&self.programs, options)
    }
}

impl AttackReport {
    /// So often was this tried.
    pub fn new(times: impl TryInto<u64>, what: impl Into<String>) -> Self {
        let times = times.try_into().unwrap_or(u64::MAX);
        let what = what.into();
        Self { what, times }
    }
}

/// Says that the property is violated, unless this holds.
pub fn holds(condition: bool, otherwise: impl FnOnce() -> String) -> Result<(), Violation> {
    if condition {
        Ok(())
    } else {
        Err(Violation(otherwise()))
    }
}

impl Violation {
    /// The property does not hold, because of this.
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NotHere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for OnlyInCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why)
    }
}

impl std::error::Error for Violation {}
impl std::error::Error for NotHere {}
impl std::error::Error for OnlyInCopy {}
