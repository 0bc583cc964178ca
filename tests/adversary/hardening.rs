//! The process from outside: what the kernel says of it, and an attempt to make it dump its memory.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};

use super::gate::{Arena, Control, Gate, NotHere, Tried, holds};
use super::patch::Patch;
use crate::process_calls::Calls;
use crate::process_server::{ServerOptions, ServerProcess};

/// The gate.
pub const GATE: Gate = Gate {
    name: "hardening",
    property: "a signal that dumps other processes leaves no core of the server, whatever limit it \
               was started with or is given from outside; its memory is locked, or it has warned",
    run: |arena| Box::pin(run(arena)),
    controls: &[
        Control::Patch(&CORES_ARE_ALLOWED),
        Control::Patch(&DUMPABLE),
        Control::Patch(&NOT_LOCKED),
    ],
};

/// The limit stays what it was.
pub const CORES_ARE_ALLOWED: Patch = Patch {
    name: "the limit on cores stays",
    file: "vault-server/src/hardening.rs",
    text: "    let none = Rlimit {\n",
    instead: "    if FAULT { return Ok(()); }\n    let none = Rlimit {\n",
};

/// Somebody lifts the limit, or the pattern of cores is a pipe.
pub const DUMPABLE: Patch = Patch {
    name: "the process stays dumpable",
    file: "vault-server/src/hardening.rs",
    text: "    set_dumpable_behavior(DumpableBehavior::NotDumpable)",
    instead: "    if FAULT { return Ok(()); }\n    \
              set_dumpable_behavior(DumpableBehavior::NotDumpable)",
};

/// Nobody is told.
pub const NOT_LOCKED: Patch = Patch {
    name: "memory is not locked",
    file: "vault-server/src/hardening.rs",
    text: "    if !may_lock_without_limit() {\n",
    instead: "    if FAULT { return Ok(()); }\n    if !may_lock_without_limit() {\n",
};

/// Signals whose default is to dump core, and that neither the server nor its runtime handles.
const DUMPING: [Signal; 4] = [Signal::ABORT, Signal::QUIT, Signal::ILL, Signal::FPE];

async fn run(arena: Arena) -> anyhow::Result<Tried> {
    if !cores_are_dumped_here()? {
        return Err(NotHere("this system dumps no cores".to_owned()).into());
    }
    let folder = tempfile::tempdir()?;
    for signal in DUMPING {
        let options = ServerOptions {
            launcher: wanting_cores(folder.path()),
            ..ServerOptions::default()
        };
        let mut server = arena.start(options)?;
        Calls::connect(&server, "alice")
            .await?
            .register("a password")
            .await?;
        looks_hardened(&mut server)?;
        lift_limit(&mut server)?;
        server.process().signal(signal)?;
        let ended = server.process().wait()?;
        holds(!ended.core_dumped(), || {
            format!("a core was dumped after {signal:?}")
        })?;
    }
    Ok(Tried::new(DUMPING.len(), "signals that dump core"))
}

/// As somebody would start it who wants a core, in a folder where it can lie.
fn wanting_cores(folder: &Path) -> &'static [&'static str] {
    let script = format!(
        "cd '{}'; ulimit -c unlimited; exec \"$@\"",
        folder.display()
    );
    vec!["sh", "-c", script.leak(), "sh"].leak()
}

fn looks_hardened(server: &mut ServerProcess) -> anyhow::Result<()> {
    let pid = Pid::as_raw(Some(server.process().pid()));
    let limits = fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let core = words_of(&limits, "Max core file size")?;
    holds(core == ["0", "0", "bytes"], || {
        format!("the limit on cores is {core:?}")
    })?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let locked = words_of(&status, "VmLck:")?;
    let has_warned = server.log().contains("memory is not locked");
    holds(locked != ["0", "kB"] || has_warned, || {
        "memory is neither locked nor was there a warning".to_owned()
    })?;
    Ok(())
}

/// From outside, as root can: then only that it is not dumpable keeps the kernel from dumping it.
fn lift_limit(server: &mut ServerProcess) -> anyhow::Result<()> {
    let none = Rlimit {
        current: None,
        maximum: None,
    };
    match prlimit(Some(server.process().pid()), Resource::Core, none) {
        // Who is not root cannot: then the limit is in force as well.
        Ok(_) | Err(Errno::PERM) => Ok(()),
        Err(error) => Err(error).context("lifting the limit on cores"),
    }
}

fn words_of<'a>(text: &'a str, name: &str) -> anyhow::Result<Vec<&'a str>> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    Ok(line
        .context("the kernel says it of every process")?
        .split_whitespace()
        .collect())
}

/// Whether a process without protection leaves a core on this system.
fn cores_are_dumped_here() -> anyhow::Result<bool> {
    let folder = tempfile::tempdir()?;
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -c unlimited; kill -SEGV $$"]);
    Ok(shell
        .current_dir(Path::new(folder.path()))
        .status()?
        .core_dumped())
}
