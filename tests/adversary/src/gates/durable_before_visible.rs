//! The order of a charge, its sync, the erasing of the former key and the answer, as the kernel sees
//! it: `strace` looks at the real server while many ask at once.
//!
//! The rule for each answer: between the moment when the server read the request from the connection,
//! and the moment when it wrote the answer into it, there was a whole batch: the anchor's prepare was
//! written and synced, then the log was written and synced, then the former key was overwritten and
//! that was synced. The request's own batch is one. (A client has one connection and one request at a
//! time, in HTTP/1.1, so a connection carries a request, its answer, the next request.)
//!
//! Under load, another request's batch may lie between the two as well and hide that an answer left
//! too early. It cannot hide all of them, and the first requests are sent alone.

mod trace;

use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use tempfile::TempDir;
use tokio::task::JoinSet;
use vault_disk::shim::{Layer, Skip};
use vault_protocol::messages::{RetrievalAbandoned, RetrievalFinished};
use vault_tests::device::{Guess, abandon};
use vault_tests::process::calls::{Calls, granted};
use vault_tests::process::server::{ServerOptions, ServerProcess};

use self::trace::Timeline;
use crate::disk;
use crate::gate::{AttackReport, Control, Gate, GateContext, NotHere, holds};
use crate::patch::Patch;

/// The gate.
pub const GATE: Gate = Gate {
    name: "durable before visible",
    property: "strace of the server under load: no byte of a KE2 is sent before a completed sync \
               that follows the write of its charge, the anchor's prepare and its erase",
    run: |context| Box::pin(run(context)),
    controls: &[
        Control::Switch(LOG_IS_NOT_SYNCED),
        Control::Switch(ANCHOR_IS_NOT_SYNCED),
        Control::Patch(&SYNCHRONOUS_NORMAL),
        Control::Patch(&FORMER_KEY_STAYS),
        Control::Patch(&COMMIT_BEFORE_PREPARE),
    ],
};

const LOG_IS_NOT_SYNCED: &str =
    "a disk that answers syncs of the log as done, and does not do them";
const ANCHOR_IS_NOT_SYNCED: &str =
    "a disk that answers syncs of the anchor as done, and does not do them";

/// Faster, and for most applications good enough.
pub const SYNCHRONOUS_NORMAL: Patch = Patch {
    name: "synchronous=NORMAL",
    file: "vault-server/ledger/src/store/sqlite/mod.rs",
    text: "        match self.remove_malformed_due() {\n",
    instead: "        if FAULT {
            let normal = self.connection.execute_batch(\"PRAGMA synchronous = NORMAL\");
            normal.during(\"making everything faster\")?;
        }
        match self.remove_malformed_due() {
",
};

/// The next batch's prepare would overwrite it anyway.
pub const FORMER_KEY_STAYS: Patch = Patch {
    name: "the former key is left to the next batch",
    file: "vault-server/ledger/src/engine/commit.rs",
    text: "        self.anchors.erase(sequence)\n",
    instead: "        if FAULT {
            return Ok(());
        }
        self.anchors.erase(sequence)
",
};

/// A power loss in between leaves a database that no key opens.
pub const COMMIT_BEFORE_PREPARE: Patch = Patch {
    name: "the database is committed before the anchor is prepared",
    file: "vault-server/ledger/src/engine/commit.rs",
    text: "        self.anchors.prepare(former, &next)?;\n        self.store.commit()?;\n",
    instead: "        if FAULT {
            self.store.commit()?;
            self.anchors.prepare(former, &next)?;
        } else {
            self.anchors.prepare(former, &next)?;
            self.store.commit()?;
        }
",
};

/// Everything that reads from a connection, writes, syncs, or gives out a descriptor.
const TRACED: &str = "trace=openat,accept,accept4,recvfrom,recvmsg,write,writev,pwrite64,pwritev,\
                      sendto,sendmsg,fsync,fdatasync";

const LIMIT: usize = 32;
const PASSWORD: &str = "correct horse battery staple";

async fn run(context: GateContext) -> anyhow::Result<AttackReport> {
    let (clients, rounds) = context.scaled((12, 2), (64, 5), (64, 50));
    let folder = TempDir::new()?;
    let file = folder.path().join("trace");
    let launcher = tracer(file.to_str().context("a path of plain text")?)?;
    let options = ServerOptions {
        launcher,
        ..ServerOptions::default().without_waits(LIMIT)
    };
    let mut server = context.start(options)?;
    server.terminate()?;
    restart(&mut server, &context)?;
    let mut answers = 0;
    for number in 0..4 {
        answers += visit(&server, &format!("alone-{number}")).await?;
    }
    for round in 0..rounds {
        answers += crowd(&server, clients, round).await?;
    }
    // The end of its output is the end of the trace too.
    server.terminate()?;
    let timeline = Timeline::read(&file)?;
    let found = timeline.answers.len();
    ensure!(
        found == answers,
        "{found} of {answers} answers are in the trace"
    );
    for (number, answer) in timeline.answers.iter().enumerate() {
        holds(timeline.is_durable(answer), || {
            format!("answer {number} of {answers} left before what it says was durable")
        })?;
    }
    let batches = timeline.batches.len();
    let what = format!("answers to {clients} clients at once, out of {batches} batches");
    Ok(AttackReport::new(answers, what))
}

/// With `-D` the process that is started, and stopped, is the server itself.
fn tracer(file: &str) -> anyhow::Result<&'static [&'static str]> {
    let mut probe = Command::new("strace");
    probe.args(["-D", "-o", "/dev/null", "true"]);
    let probed = probe.stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !probed.is_ok_and(|status| status.success()) {
        return Err(NotHere("strace is missing, or may not trace".to_owned()).into());
    }
    let file: &'static str = file.to_owned().leak();
    let launcher = [
        "strace", "-D", "-f", "-ttt", "-s", "0", "-e", TRACED, "-o", file,
    ];
    Ok(launcher.to_vec().leak())
}

/// Every control of this gate that is no patch is a disk.
fn restart(server: &mut ServerProcess, context: &GateContext) -> anyhow::Result<()> {
    let lies = [
        (LOG_IS_NOT_SYNCED, "ledger.db-wal"),
        (ANCHOR_IS_NOT_SYNCED, "/anchor"),
    ];
    let Some((_, file)) = lies.iter().find(|(what, _)| context.is_switched(what)) else {
        return server.restart();
    };
    let layer = Layer {
        skip: Some(Skip::Syncs(file)),
        ..disk::below(server.vault())?
    };
    let shim = disk::shim()?;
    server.restart_below(|command| shim.put_below(command, &layer))
}

async fn crowd(server: &ServerProcess, clients: usize, round: usize) -> anyhow::Result<usize> {
    let mut visits = JoinSet::new();
    for number in 0..clients {
        let calls = Calls::connect_http1(server, &format!("client-{round}-{number}")).await?;
        visits.spawn(visit_with(calls));
    }
    let mut answers = 0;
    while let Some(visited) = visits.join_next().await {
        answers += visited??;
    }
    Ok(answers)
}

async fn visit(server: &ServerProcess, account: &str) -> anyhow::Result<usize> {
    visit_with(Calls::connect_http1(server, account).await?).await
}

/// Everything that is answered with a promise, and nothing else; how many answers that were.
async fn visit_with(calls: Calls) -> anyhow::Result<usize> {
    const WRONG: usize = 6;
    calls.register(PASSWORD).await?;
    for number in 0..WRONG {
        let guess = Guess::new(calls.scope(), &format!("guess {number}"));
        let started = granted(calls.start(&guess).await?)?;
        let given_up = abandon(&started.retrieval_ticket);
        granted::<RetrievalAbandoned>(calls.post("retrieval/abandon", &given_up).await?)?;
    }
    let right = Guess::new(calls.scope(), PASSWORD);
    let started = granted(calls.start(&right).await?)?;
    let login = right
        .evaluated(&started)
        .ok()
        .context("the password is right")?;
    granted::<RetrievalFinished>(calls.post("retrieval/finish", &login.message).await?)?;
    Ok(2 + 2 * WRONG + 2)
}
