//! A disk that fails at every call in turn, in each of the ways in which disks fail.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::{Client, StatusCode};
use tempfile::TempDir;
use tokio::time::{MissedTickBehavior, interval};
use vault_disk::journal::{self, Event, Record};
use vault_disk::shim::{Fail, Fault, Layer, Sends, Shim};
use vault_protocol::inner_http::PADDED_LEN;
use vault_tests::process::calls;
use vault_tests::process::server::{ServerOptions, ServerProcess};

use crate::crash_loop::{Answers, Line, Order, People};
use crate::disk;
use crate::gate::{AttackReport, Control, Gate, GateContext, Violation, holds};
use crate::patch::Patch;
use crate::shared_patches::COUNTED_AT_THE_FINISH;

/// The gate.
pub const GATE: Gate = Gate {
    name: "sick disk",
    property: "EIO, ENOSPC, short writes: no KE2 after an error, not ready within 1 s, the process \
               exits, a restart has every charge",
    run: |context| Box::pin(run(context)),
    controls: &[
        Control::Patch(&ANCHOR_NOT_ON_THE_DISK),
        Control::Patch(&COMMIT_FAILED),
        Control::Patch(&THE_PROCESS_GOES_ON),
        Control::Patch(&COUNTED_AT_THE_FINISH),
    ],
};

/// It is unknown whether the former key is gone.
pub const ANCHOR_NOT_ON_THE_DISK: Patch = Patch {
    name: "a failed sync of an anchor is passed over",
    file: "vault-server/ledger/src/anchor/file.rs",
    text: "self.file.sync_data().during(\"syncing an anchor\")?;\n",
    instead: "let synced = self.file.sync_data();
        if !FAULT {
            synced.during(\"syncing an anchor\")?;
        }
",
};

/// It is unknown whether anything was charged.
pub const COMMIT_FAILED: Patch = Patch {
    name: "a failed COMMIT is passed over",
    file: "vault-server/ledger/src/store/sqlite/mod.rs",
    text: "            .execute_batch(\"COMMIT\")\n",
    instead: "            .execute_batch(\"COMMIT\")
            .or_else(|error| if FAULT { Ok(()) } else { Err(error) })
",
};

/// A vault that is not ready, and answers further requests.
pub const THE_PROCESS_GOES_ON: Patch = Patch {
    name: "the process does not end when its storage has failed",
    file: "vault-server/src/cli/serve.rs",
    text: "        () = ledger.failed() => return Ok(storage_failed()),\n",
    instead: "        () = ledger.failed(), if !FAULT => return Ok(storage_failed()),\n",
};

const LIMIT: usize = 10;

/// The sweep would notice too, some time later. It does not end the process.
const NO_SWEEP: &str = "[sweep]\ninterval_seconds = 3600\n";

/// A second: so many pauses, each with an answer that says ready, after an error. A machine that has
/// no time for the vault has none for the pauses and the answers either, so only time that the vault
/// was given is counted.
const READY_AT_MOST: u32 = 100;
/// The same for any answer.
const THERE_AT_MOST: u32 = 500;
const PAUSE: Duration = Duration::from_millis(10);
/// Without an answer for so long, it is as good as gone, and has to end.
const HANGS: Duration = Duration::from_secs(60);

/// A sweep that ends before has not failed anything that was asked.
const CALLS_AT_LEAST: u64 = 10;

/// One sweep over the calls of a life.
#[derive(Clone, Copy)]
struct Sweep {
    /// Only calls on paths that end so.
    only: Option<&'static str>,
    step: usize,
    faults: &'static [(Fault, bool)],
}

impl Sweep {
    /// Each turn begins one further than the one before: writes and syncs take turns as well, and a
    /// fault would only ever meet one of the two.
    fn fault(&self, number: usize) -> (Fault, bool) {
        let count = self.faults.len();
        self.faults[(number + number / count) % count]
    }
}

const EVERY_FAULT: &[(Fault, bool)] = &[
    (Fault::Broken, false),
    (Fault::Full, true),
    (Fault::Short, false),
    (Fault::Broken, true),
    (Fault::Full, false),
    (Fault::Short, true),
];

const ANCHOR: Option<&str> = Some("/anchor");
const LOG: Option<&str> = Some("ledger.db-wal");

async fn run(context: GateContext) -> anyhow::Result<AttackReport> {
    let shim = disk::shim()?;
    let mut faults = 0;
    for sweep in sweeps(&context) {
        let options = ServerOptions {
            settings: NO_SWEEP,
            ..ServerOptions::default().without_waits(LIMIT)
        };
        let server = context.start(options)?;
        let people = People::new(&server, LIMIT);
        let scratch = TempDir::new()?;
        let mut victims = Victims {
            server,
            people,
            shim,
            scratch,
        };
        faults += victims.sweep(sweep).await?;
    }
    Ok(AttackReport::new(
        faults,
        "lives, each on a disk with another failing call",
    ))
}

fn sweeps(context: &GateContext) -> Vec<Sweep> {
    let sweep = |only, step, faults| Sweep { only, step, faults };
    // No common divisor with the four calls on the anchor that a batch makes.
    let short = vec![sweep(ANCHOR, 5, EVERY_FAULT), sweep(LOG, 7, EVERY_FAULT)];
    let usual = vec![
        sweep(ANCHOR, 1, EVERY_FAULT),
        sweep(LOG, 5, EVERY_FAULT),
        sweep(None, 5, EVERY_FAULT),
    ];
    let full = (0..EVERY_FAULT.len()).map(|index| sweep(None, 1, &EVERY_FAULT[index..=index]));
    context.scaled(short, usual, full.collect())
}

/// A vault on a sick disk, and its users.
struct Victims {
    server: ServerProcess,
    people: People,
    shim: Shim,
    scratch: TempDir,
}

impl Victims {
    /// Fails one call in each life, until a life is through before that; and then looks at everything
    /// on a disk that is in order again.
    async fn sweep(&mut self, sweep: Sweep) -> anyhow::Result<u64> {
        self.server.terminate()?;
        let mut lives = 0;
        for (number, call) in (1..).step_by(sweep.step).enumerate() {
            lives += 1;
            let (with, from_then_on) = sweep.fault(number);
            let fail = Fail {
                call,
                with,
                from_then_on,
            };
            let is_through = self.life(fail, sweep.only).await;
            if is_through.with_context(|| format!("{fail:?} {:?}", sweep.only))? {
                ensure!(call > CALLS_AT_LEAST, "through before call {call}");
                break;
            }
        }
        self.people.conclude(&mut self.server).await?;
        Ok(lives)
    }

    /// Whether everything was done before anything failed.
    async fn life(&mut self, fail: Fail, only: Option<&'static str>) -> anyhow::Result<bool> {
        let journal = self.scratch.path().join(format!("{}", fail.call));
        let layer = Layer {
            journal: Some(journal.clone()),
            fail: Some(fail),
            only,
            sends: Some(Sends::Recorded),
            ..disk::below(self.server.vault())?
        };
        if let Err(ended) = disk::restart_above(&mut self.server, self.shim, &layer)? {
            let failed = has_failure(&journal::read(&journal));
            holds(failed && ended.status.code() == Some(1), || {
                format!("a restart does not serve: {ended}")
            })?;
            return Ok(false);
        }
        self.served(journal).await
    }

    async fn served(&mut self, journal: PathBuf) -> anyhow::Result<bool> {
        let watch = Watch::begin(&self.server, journal.clone()).await?;
        let answers = Answers::default();
        let acting = async {
            let acted = act(&mut self.people, &self.server, &answers).await;
            watch.is_over.set(true);
            Ok(acted)
        };
        let (acted, failed) = tokio::try_join!(acting, watch.until_gone())?;
        if acted.as_ref().is_err_and(|error| error.is::<Violation>()) || !failed {
            acted?;
        }
        if failed {
            let ended = self.server.process().wait();
            let status = ended.map_err(|error| Violation::new(format!("{error:#}")))?;
            holds(status.code() == Some(1), || {
                format!("it ends with {status}")
            })?;
        } else {
            self.server.kill()?;
        }
        let records = journal::read(&journal);
        nothing_is_granted_after(failure(&records), &records, &answers.granted())?;
        Ok(!has_failure(&records))
    }
}

/// Does what is to be done; at a vault that does not, guesses on.
async fn act(people: &mut People, server: &ServerProcess, answers: &Answers) -> anyhow::Result<()> {
    let line = Line::noted(server, answers).await?;
    let acted = people.act(&line, Order::InTurn).await;
    if acted.as_ref().is_err_and(|error| !error.is::<Violation>()) {
        people.insist(&line).await;
    }
    acted
}

/// Looks at a served vault from beside.
struct Watch {
    http: Client,
    url: String,
    journal: PathBuf,
    is_over: Cell<bool>,
}

impl Watch {
    async fn begin(server: &ServerProcess, journal: PathBuf) -> anyhow::Result<Self> {
        let watch = Self {
            http: calls::client(server)?,
            url: format!("{}/readyz", server.url()),
            journal,
            is_over: Cell::new(false),
        };
        // Connects, so that nothing but an answer has to be sent later.
        watch.ask().await;
        Ok(watch)
    }

    /// Whether something failed; then it was not ready at once, and is gone soon.
    async fn until_gone(&self) -> anyhow::Result<bool> {
        let mut pauses = interval(PAUSE);
        pauses.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let failed = loop {
            let records = journal::read_so_far(&self.journal);
            if let Some(failed) = failure(&records) {
                break records[failed].event.clone();
            }
            if self.is_over.get() {
                return Ok(false);
            }
            pauses.tick().await;
        };
        let (mut ready, mut there) = (0, 0);
        while let Some(status) = self.ask().await {
            there += 1;
            ready += u32::from(status == StatusCode::OK);
            holds(ready <= READY_AT_MOST, || {
                format!("ready for more than a second after {failed:?}")
            })?;
            holds(there <= THERE_AT_MOST, || {
                format!("it does not end after {failed:?}")
            })?;
            pauses.tick().await;
        }
        Ok(true)
    }

    /// Whether it is ready, or nothing if it is gone.
    async fn ask(&self) -> Option<StatusCode> {
        let asked = self.http.get(&self.url).timeout(HANGS);
        let answer = asked.send().await;
        answer.ok().map(|answer| answer.status())
    }
}

fn has_failure(records: &[Record]) -> bool {
    records.iter().any(|record| record.event.is_failure())
}

/// Where something failed first that may not be passed over.
fn failure(records: &[Record]) -> Option<usize> {
    let mut events = records.iter().map(|record| &record.event);
    events.position(|event| match event {
        // SQLite passes over it when it has just made its log. The ledger syncs the folder too, and
        // does not.
        Event::FailedSync(path) => !path.ends_with("data"),
        // Where the administration socket is made, which is no storage.
        Event::Failed(path) => !path.display().to_string().contains("/data/.s"),
        _ => false,
    })
}

/// The requests came one after the other, so the nth answer that was heard is the nth that was sent.
/// Sealed ones are told by their length.
fn nothing_is_granted_after(
    failed: Option<usize>,
    records: &[Record],
    answers: &[bool],
) -> anyhow::Result<()> {
    let is_answer = |record: &&Record| matches!(record.event, Event::Sent(length) if length >= PADDED_LEN as u64);
    let sent = |records: &[Record]| records.iter().filter(is_answer).count();
    let Some(failed) = failed else {
        let (sent, heard) = (sent(records), answers.len());
        ensure!(
            sent == heard,
            "{sent} answers were sent, {heard} were heard"
        );
        return Ok(());
    };
    let after = &answers[sent(&records[..failed]).min(answers.len())..];
    let granted = after.iter().filter(|granted| **granted).count();
    holds(granted == 0, || {
        format!(
            "{granted} requests were granted after {:?}",
            records[failed].event
        )
    })?;
    Ok(())
}
