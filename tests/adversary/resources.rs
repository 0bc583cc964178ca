//! Using up what the server has: connections, memory, processor time.

mod attacks;

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::Pid;
use tokio::task::JoinSet;

use self::attacks::{ATTACKS, Attack, Target};
use super::gate::{Arena, Control, Gate, Tried, Violation, holds};
use super::patch::Patch;
use crate::process_calls::{Calls, client_trusting};
use crate::process_server::{ServerOptions, ServerProcess};

/// The gate.
pub const GATE: Gate = Gate {
    name: "exhaustion of resources",
    property: "slow connections, drips of heads and bodies, 1 MB bodies, deeply nested JSON, tickets \
               by the thousand, HTTP/2 resets: no panic, memory below 256 MB over the start, honest \
               requests within 5 times their quiet p99",
    run: |arena| Box::pin(run(arena)),
    controls: &[
        Control::Patch(&BODIES_WITHOUT_A_LIMIT),
        Control::Patch(&NOBODY_HAS_TO_LEAVE),
        Control::Patch(&NESTED_IS_A_BUG),
    ],
};

/// What a peer sends is kept, however long.
pub const BODIES_WITHOUT_A_LIMIT: Patch = Patch {
    name: "bodies are collected without a limit",
    file: "vault-server/src/http/extract.rs",
    text: "Limited::new(body, limit)",
    instead: "Limited::new(body, if FAULT { usize::MAX } else { limit })",
};

/// Who came first keeps its place: slow connections keep everybody else out.
pub const NOBODY_HAS_TO_LEAVE: Patch = Patch {
    name: "nobody has to leave for a newcomer",
    file: "vault-server/src/http/listener/connections.rs",
    text: "            state.leave.cancel();\n",
    instead: "            if !(FAULT) { state.leave.cancel(); }\n",
};

/// As a parser of our own would do it.
pub const NESTED_IS_A_BUG: Patch = Patch {
    name: "a message that nests deeply is a bug to panic about",
    file: "vault-server/src/http/extract.rs",
    text: "    // serde would take an array of the fields' values as well: a second spelling.\n",
    instead: "    assert!(!FAULT || body.iter().filter(|byte| **byte == b'[').count() < 100);\n",
};

/// Fewer places than the weaker attack's connections, and nobody leaves in time by itself.
const FEW_PLACES: &str = "[limits]\nmax_connections = 256\nhandshake_timeout_seconds = 300\n\
     header_timeout_seconds = 300\nrequest_timeout_seconds = 300\nidle_timeout_seconds = 3600\n";

const MAX_GROWTH_KIB: u64 = 256 * 1024;
const MAX_SLOWDOWN: u32 = 5;
const PASSWORD: &str = "correct horse battery staple";

/// How often an honest client asks again when its connection was cut. Its time goes on meanwhile.
const PERSISTENCE: usize = 20;

/// An honest client has waited this long for an answer that is never to come.
const HOPELESS: Duration = Duration::from_secs(30);

async fn run(arena: Arena) -> anyhow::Result<Tried> {
    let requests = arena.scaled(30, 300, 3_000);
    let weakness = arena.scaled(4, 1, 1);
    let settings = arena.scaled(FEW_PLACES, "", "");
    let mut server = arena.start(ServerOptions {
        settings,
        ..ServerOptions::default()
    })?;
    let before = memory(&mut server, "VmRSS:")?;
    let honest = Honest::new(&server).await?;
    honest.measure(requests).await?;
    let quiet = honest.measure(requests).await?;
    let target = Target::new(&server, weakness).await?;
    let (mut slowdown, mut grown) = (0.0_f64, 0);
    for attack in ATTACKS {
        let slowest = during(attack, &target, &honest, requests).await?;
        // On a machine that others use, a time says nothing by itself; CI does not look at it.
        let is_judged = arena.scaled(false, true, true);
        holds(!is_judged || slowest <= MAX_SLOWDOWN * quiet, || {
            format!("{}: p99 {slowest:?}, quiet {quiet:?}", attack.name)
        })?;
        slowdown = slowdown.max(slowest.as_secs_f64() / quiet.as_secs_f64());
        grown = is_well(&mut server, before).with_context(|| attack.name)?;
    }
    let ended = server.terminate()?;
    holds(ended.success(), || format!("stopped with {ended}"))?;
    let what = format!(
        "honest requests under {} attacks: p99 at most {slowdown:.1} times the quiet {quiet:.1?}, memory \
         at most {} MB over the start",
        ATTACKS.len(),
        grown / 1024
    );
    Ok(Tried::new(requests * ATTACKS.len(), what))
}

/// The p99 of honest requests while an attack goes on; afterwards the key has to come out.
async fn during(
    attack: &Attack,
    target: &Target,
    honest: &Honest,
    requests: usize,
) -> anyhow::Result<Duration> {
    let mut attackers = JoinSet::new();
    (attack.begin)(target, &mut attackers).await?;
    let slowest = honest
        .measure(requests)
        .await
        .with_context(|| attack.name)?;
    attackers.shutdown().await;
    honest
        .calls
        .retrieve(PASSWORD)
        .await
        .with_context(|| attack.name)?;
    Ok(slowest)
}

/// Somebody who is not attacking.
struct Honest {
    calls: Calls,
    root: String,
}

impl Honest {
    async fn new(server: &ServerProcess) -> anyhow::Result<Self> {
        let calls = Calls::connect(server, "honest").await?;
        calls.register(PASSWORD).await?;
        let root = server.root_certificate();
        Ok(Self { calls, root })
    }

    /// The p99 of so many status requests, one after the other, every tenth over a new connection.
    async fn measure(&self, requests: usize) -> anyhow::Result<Duration> {
        let mut took = Vec::with_capacity(requests);
        let mut calls = self.calls.clone();
        for number in 0..requests {
            if number % 10 == 0 {
                calls = self.calls.over(client_trusting(&self.root)?);
            }
            let started = now();
            let asked = tokio::time::timeout(HOPELESS, persistently(&calls)).await;
            let answered = asked.unwrap_or(false);
            holds(answered, || "an honest request is not answered".to_owned())?;
            took.push(started.elapsed());
        }
        took.sort_unstable();
        let p99 = (took.len() * 99 / 100).min(took.len() - 1);
        took.get(p99).copied().context("some were measured")
    }
}

/// A connection that was cut is no refusal: a client connects again.
async fn persistently(calls: &Calls) -> bool {
    for _ in 0..PERSISTENCE {
        if calls.status().await.is_ok() {
            return true;
        }
    }
    false
}

/// By how many KiB it has grown at most.
fn is_well(server: &mut ServerProcess, before: u64) -> anyhow::Result<u64> {
    let peak = memory(server, "VmHWM:")?;
    let grown = peak.saturating_sub(before);
    holds(grown < MAX_GROWTH_KIB, || {
        format!("{} MB more than at the start", grown / 1024)
    })?;
    let log = server.log();
    match log.lines().find(|line| line.contains("panicked")) {
        Some(line) => Err(Violation::new(line).into()),
        None => Ok(grown),
    }
}

/// A line of `/proc/PID/status`, in KiB.
fn memory(server: &mut ServerProcess, name: &str) -> anyhow::Result<u64> {
    let pid = Pid::as_raw(Some(server.process().pid()));
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    Ok(number
        .context("the kernel says what a process uses")?
        .parse()?)
}

#[expect(
    clippy::disallowed_methods,
    reason = "two times of one run are compared"
)]
fn now() -> Instant {
    Instant::now()
}
