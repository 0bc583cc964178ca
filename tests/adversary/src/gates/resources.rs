//! Using up the server's resources: connections, memory, processor time.
//!
//! An attack goes on until it has done what it says, and until the honest have asked often enough. The
//! short version does not judge a p99, for on a machine that others use a few slow answers mean
//! nothing. Every version judges that the honest are not held up: that half of ten answers in a row
//! take less than a second each. The control for slowness is caught by that, with a wide margin.

mod attacks;
mod tally;

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::Pid;
use vault_tests::process::calls::{Calls, client_trusting};
use vault_tests::process::server::{ServerOptions, ServerProcess};

use self::attacks::{ATTACKS, Attack, AttackedServer, Attackers};
use crate::gate::{AttackReport, Control, Gate, GateContext, Violation, holds};
use crate::patch::Patch;

/// The gate.
pub const GATE: Gate = Gate {
    name: "exhaustion of resources",
    property: "slow connections, drips of heads and bodies, 1 MB bodies, deeply nested JSON, tickets \
               by the thousand, HTTP/2 resets: no panic, memory below 256 MB over the start, honest \
               requests within 5 times their quiet p99",
    run: |context| Box::pin(run(context)),
    controls: &[
        Control::Patch(&BODIES_WITHOUT_A_LIMIT),
        Control::Patch(&NO_CONNECTION_HAS_TO_LEAVE),
        Control::Patch(&NESTED_IS_A_BUG),
        Control::Patch(&WHAT_IS_ANNOUNCED_IS_KEPT),
        Control::Patch(&LONG_MESSAGES_HOLD_UP),
    ],
};

/// A body is kept, however long.
pub const BODIES_WITHOUT_A_LIMIT: Patch = Patch {
    name: "bodies are collected without a limit",
    file: "vault-server/src/http/extract.rs",
    text: "Limited::new(body, limit)",
    instead: "Limited::new(body, if FAULT { usize::MAX } else { limit })",
};

/// The first to come keeps its place: slow connections keep all others out.
pub const NO_CONNECTION_HAS_TO_LEAVE: Patch = Patch {
    name: "no connection has to leave for a newcomer",
    file: "vault-server/src/net/connections.rs",
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

/// An announced length is believed.
pub const WHAT_IS_ANNOUNCED_IS_KEPT: Patch = Patch {
    name: "as much as a peer announces is set aside for ever",
    file: "vault-server/src/http/extract.rs",
    text: ") -> Result<Bytes, ProblemResponse> {\n",
    instead: ") -> Result<Bytes, ProblemResponse> {\n    \
              if FAULT {\n        \
              let announced = axum::body::HttpBody::size_hint(&body).lower();\n        \
              Vec::leak(vec![1_u8; announced as usize]);\n    }\n",
};

/// One message at a time, and some take long.
pub const LONG_MESSAGES_HOLD_UP: Patch = Patch {
    name: "a long message holds all others up",
    file: "vault-server/src/http/ohttp.rs",
    text: "    let publication = app.publication.load();\n",
    instead: "    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());\n    \
              let _turn = FAULT.then(|| TURN.lock());\n    \
              if FAULT && sealed.len() > 4096 {\n        \
              std::thread::sleep(std::time::Duration::from_millis(300));\n    }\n    \
              let publication = app.publication.load();\n",
};

/// Fewer places than the weaker attack's connections, and none leaves in time by itself.
const FEW_PLACES: &str = "[limits]\nmax_connections = 256\nhandshake_timeout_seconds = 300\n\
     header_timeout_seconds = 300\nrequest_timeout_seconds = 300\nidle_timeout_seconds = 3600\n";

const MAX_GROWTH_KIB: u64 = 256 * 1024;
const MAX_SLOWDOWN: u32 = 5;
const PASSWORD: &str = "correct horse battery staple";

/// How often an honest client asks again when its connection was cut. Its time goes on meanwhile.
const PERSISTENCE: usize = 20;

/// An honest client has waited this long for an answer that is never to come.
const HOPELESS: Duration = Duration::from_secs(30);

/// An attack that has not done by now what it says never will: the longest takes some seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// Honest requests come over a new connection after so many.
const BATCH: usize = 10;

/// Far longer than an answer takes, also on a machine that others use.
const HELD_UP: Duration = Duration::from_secs(1);

async fn run(context: GateContext) -> anyhow::Result<AttackReport> {
    let requests = context.scaled(30, 300, 3_000);
    let weakness = context.scaled(4, 1, 1);
    let settings = context.scaled(FEW_PLACES, "", "");
    let mut server = context.start(ServerOptions {
        settings,
        ..ServerOptions::default()
    })?;
    let before = memory(&mut server, "VmRSS:")?;
    let honest = Honest::new(&server).await?;
    honest.measure(requests).await?;
    let quiet = p99(honest.measure(requests).await?)?;
    let target = AttackedServer::new(&server, weakness).await?;
    let mut vault = Attacked { server, before };
    let (mut slowdown, mut asked, mut done) = (0.0_f64, 0, Vec::new());
    for attack in ATTACKS {
        let seen = vault.during(attack, &target, &honest, requests).await;
        let seen = seen.with_context(|| attack.name)?;
        asked += seen.took.len();
        let slowest = p99(seen.took)?;
        // On a machine that others use, a time says nothing by itself; CI does not look at it.
        let is_judged = context.scaled(false, true, true);
        holds(!is_judged || slowest <= MAX_SLOWDOWN * quiet, || {
            format!("{}: p99 {slowest:?}, quiet {quiet:?}", attack.name)
        })?;
        slowdown = slowdown.max(slowest.as_secs_f64() / quiet.as_secs_f64());
        done.push(format!("{} ({})", attack.name, seen.done));
    }
    let grown = vault.has_not_grown()?;
    let ended = vault.server.terminate()?;
    holds(ended.success(), || format!("stopped with {ended}"))?;
    let what = format!(
        "honest requests under {} attacks: p99 at most {slowdown:.1} times the quiet {quiet:.1?}, memory \
         at most {} MB over the start; {}",
        ATTACKS.len(),
        grown / 1024,
        done.join("; ")
    );
    Ok(AttackReport::new(asked, what))
}

/// The result of an attack.
struct Seen {
    /// Each honest request.
    took: Vec<Duration>,
    /// By the attackers.
    done: String,
}

/// The vault, and its memory before the first request.
struct Attacked {
    server: ServerProcess,
    before: u64,
}

impl Attacked {
    /// Honest requests while an attack goes on; afterwards the key has to come out.
    async fn during(
        &mut self,
        attack: &Attack,
        target: &AttackedServer,
        honest: &Honest,
        requests: usize,
    ) -> anyhow::Result<Seen> {
        let mut attackers = Attackers::default();
        let (begun, mut took) = (now(), Vec::new());
        (attack.begin)(target, &mut attackers).await?;
        let tally = attackers.tally.clone();
        while took.len() < requests || !attack.is_done(target, &tally) {
            let is_late = begun.elapsed() > PATIENCE && !attack.is_done(target, &tally);
            holds(!is_late, || {
                format!("it has done no more than {tally}{}", tally.trouble())
            })?;
            let mut batch = honest.measure(BATCH).await?;
            self.has_not_grown()?;
            batch.sort_unstable();
            holds(batch[BATCH / 2] < HELD_UP, || {
                format!("honest requests take {batch:.1?}")
            })?;
            took.extend(batch);
        }
        attackers.shutdown().await;
        honest.calls.retrieve(PASSWORD).await?;
        self.has_not_grown()?;
        self.has_not_panicked()?;
        let done = tally.to_string();
        Ok(Seen { took, done })
    }

    /// Returns by how many KiB it has grown at most.
    fn has_not_grown(&mut self) -> anyhow::Result<u64> {
        let peak = memory(&mut self.server, "VmHWM:")?;
        let grown = peak.saturating_sub(self.before);
        holds(grown < MAX_GROWTH_KIB, || {
            format!("{} MB more than at the start", grown / 1024)
        })?;
        Ok(grown)
    }

    fn has_not_panicked(&self) -> anyhow::Result<()> {
        let log = self.server.log();
        match log.lines().find(|line| line.contains("panicked")) {
            Some(line) => Err(Violation::new(line).into()),
            None => Ok(()),
        }
    }
}

/// A user that does not attack.
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

    /// The durations of so many status requests, one after the other.
    async fn measure(&self, requests: usize) -> anyhow::Result<Vec<Duration>> {
        let mut took = Vec::with_capacity(requests);
        let mut calls = self.calls.clone();
        for number in 0..requests {
            if number % BATCH == 0 {
                calls = self.calls.over(client_trusting(&self.root)?);
            }
            let started = now();
            let asked = tokio::time::timeout(HOPELESS, persistently(&calls)).await;
            let answered = asked.unwrap_or(false);
            holds(answered, || "an honest request is not answered".to_owned())?;
            took.push(started.elapsed());
        }
        Ok(took)
    }
}

fn p99(mut took: Vec<Duration>) -> anyhow::Result<Duration> {
    took.sort_unstable();
    let p99 = (took.len() * 99 / 100).min(took.len().saturating_sub(1));
    took.get(p99).copied().context("some were measured")
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
