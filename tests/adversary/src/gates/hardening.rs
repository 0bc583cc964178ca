//! The process from outside: its limits in the kernel, and an attempt to make it dump its memory.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, geteuid};
use vault_tests::process::calls::Calls;
use vault_tests::process::server::{ServerOptions, ServerProcess};

use crate::gate::{AttackReport, Control, Gate, GateContext, NotHere, holds};
use crate::patch::Patch;
use crate::shared_patches::DUMPABLE;

/// The gate.
pub const GATE: Gate = Gate {
    name: "hardening",
    property: "a signal that dumps other processes leaves no core of the server, whatever limit it \
               was started with; no other process of its user may look into it; its memory is \
               locked, or it has warned",
    run: |context| Box::pin(run(context)),
    controls: &[
        Control::Patch(&CORES_ARE_ALLOWED),
        Control::Patch(&DUMPABLE),
        Control::Patch(&NOT_LOCKED),
    ],
};

/// The limit stays as it was.
pub const CORES_ARE_ALLOWED: Patch = Patch {
    name: "the limit on cores stays",
    file: "vault-server/src/process/hardening.rs",
    text: "    let none = Rlimit {\n",
    instead: "    if FAULT { return Ok(()); }\n    let none = Rlimit {\n",
};

/// And no warning says so.
pub const NOT_LOCKED: Patch = Patch {
    name: "memory is not locked",
    file: "vault-server/src/process/hardening.rs",
    text: "    if !may_lock_without_limit() {\n",
    instead: "    if FAULT { return Ok(()); }\n    if !may_lock_without_limit() {\n",
};

/// Signals whose default is to dump core, and that neither the server nor its runtime handles.
const DUMPING: [Signal; 4] = [Signal::ABORT, Signal::QUIT, Signal::ILL, Signal::FPE];

async fn run(context: GateContext) -> anyhow::Result<AttackReport> {
    if !cores_are_dumped_here()? {
        return Err(NotHere("this system dumps no cores".to_owned()).into());
    }
    let folder = tempfile::tempdir()?;
    an_unprotected_process_can_be_looked_into()?;
    for signal in DUMPING {
        let options = ServerOptions {
            launcher: wanting_cores(folder.path()),
            ..ServerOptions::default()
        };
        let mut server = context.start(options)?;
        Calls::connect(&server, "alice")
            .await?
            .register("a password")
            .await?;
        looks_hardened(&mut server)?;
        holds(!looks_into(server.process().pid())?, || {
            "another process of its user may look into it".to_owned()
        })?;
        server.process().signal(signal)?;
        let ended = server.process().wait()?;
        holds(!ended.core_dumped(), || {
            format!("a core was dumped after {signal:?}")
        })?;
    }
    Ok(AttackReport::new(DUMPING.len(), "signals that dump core"))
}

/// Starts a program as one of many of its user, without root's right to look into every process.
fn among_peers() -> &'static [&'static str] {
    if geteuid().is_root() {
        &[
            "setpriv",
            "--bounding-set=-sys_ptrace,-sys_admin,-perfmon",
            "--inh-caps=-sys_ptrace,-sys_admin,-perfmon",
        ]
    } else {
        &["env"]
    }
}

fn peer() -> Command {
    let mut peer = Command::new(among_peers()[0]);
    peer.args(&among_peers()[1..]);
    peer
}

/// As an attacker would start it to get a core, in a folder that can take one.
fn wanting_cores(folder: &Path) -> &'static [&'static str] {
    let script = format!(
        "cd '{}'; ulimit -c unlimited; exec \"$@\"",
        folder.display()
    );
    let shell: [&str; 4] = ["sh", "-c", script.leak(), "sh"];
    [among_peers(), &shell].concat().leak()
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

/// Otherwise that the server cannot be looked into would say nothing of it.
fn an_unprotected_process_can_be_looked_into() -> anyhow::Result<()> {
    let mut unprotected = peer().args(["sleep", "60"]).spawn()?;
    // Until it is `sleep`.
    let mut tries = 0..100;
    let found = loop {
        match looks_into(Pid::from_child(&unprotected)) {
            Ok(false) if tries.next().is_some() => thread::sleep(Duration::from_millis(10)),
            found => break found,
        }
    };
    unprotected.kill()?;
    unprotected.wait()?;
    if found? {
        return Ok(());
    }
    let why = "processes may not look into others of the same user here";
    Err(NotHere(why.to_owned()).into())
}

/// Whether a process of the same user, with the same rights as the server, may read where its memory
/// lies. Without that right it cannot read the memory either, for which the kernel asks for more.
fn looks_into(pid: Pid) -> anyhow::Result<bool> {
    let maps = format!("/proc/{}/maps", Pid::as_raw(Some(pid)));
    let looked = peer().args(["head", "-c", "1", &maps]).output()?;
    Ok(!looked.stdout.is_empty())
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
