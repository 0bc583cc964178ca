//! SIGKILL at every call in turn. Whatever the process had done by then, the next one goes on with it.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use anyhow::{Context, ensure};
use rustix::process::Signal;
use vault_disk::shim::{Kill, Layer, Sends, Shim, Skip};
use vault_tests::process::server::{ServerOptions, ServerProcess};

use crate::crash_loop::{Line, Order, People};
use crate::disk;
use crate::gate::{AttackReport, Control, Gate, GateContext, Violation, holds};
use crate::patch::Patch;
use crate::shared_patches::COUNTED_AT_THE_FINISH;

/// The gate.
pub const GATE: Gate = Gate {
    name: "kill anywhere",
    property: "SIGKILL at every nth write, sync and send of a scripted workload: evaluations never \
               exceed the limit over all lives, no acknowledged registration is lost, every restart \
               serves",
    run: |context| Box::pin(run(context)),
    controls: &[
        Control::Patch(&ANSWERED_BEFORE_THE_COMMIT),
        Control::Patch(&COUNTED_AT_THE_FINISH),
        Control::Switch(FORGETFUL),
    ],
};

/// For a moment there is a charge that was evaluated and is in memory only.
pub const ANSWERED_BEFORE_THE_COMMIT: Patch = Patch {
    name: "a batch is answered before its commit",
    file: "vault-server/ledger/src/writer/mod.rs",
    text: "        let proof = self.leaves.commit(batch)?;\n",
    instead: "        if FAULT {
            let proof = self.leaves.commit(Draft::default())?;
            for request in requests.drain(..) {
                request.answer(&proof);
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
            self.leaves.begin();
        }
        let proof = self.leaves.commit(batch)?;
",
};

const FORGETFUL: &str = "a disk that answers writes of the anchor as done, and does not do them";

const LOSE_THE_ANCHOR: Skip = Skip::Until {
    opened: "/never",
    path: "/anchor",
};

/// A sweep that ends before has not killed while anything was asked.
const CALLS_AT_LEAST: u64 = 60;

/// One sweep over the calls of a life.
#[derive(Clone, Copy)]
struct Sweep {
    limit: usize,
    order: Order,
    kill: fn(u64) -> Kill,
    step: usize,
}

async fn run(context: GateContext) -> anyhow::Result<AttackReport> {
    let shim = disk::shim()?;
    let mut lives = 0;
    let mut evaluations = 0;
    for sweep in sweeps(&context) {
        let server = context.start(ServerOptions::default().without_waits(sweep.limit))?;
        let people = People::new(&server, sweep.limit);
        let mut victims = Victims {
            server,
            people,
            shim,
            skip: context.is_switched(FORGETFUL).then_some(LOSE_THE_ANCHOR),
        };
        lives += victims.sweep(sweep).await?;
        evaluations += victims.people.evaluations();
    }
    let what = format!("lives, each killed at another call, with {evaluations} evaluated guesses");
    Ok(AttackReport::new(lives, what))
}

fn sweeps(context: &GateContext) -> Vec<Sweep> {
    let sweep = |limit, order, kill, step| Sweep {
        limit,
        order,
        kill,
        step,
    };
    let [before, after]: [fn(u64) -> Kill; 2] = [Kill::Before, Kill::After];
    let short = vec![sweep(3, Order::InTurn, before, 5)];
    let usual = vec![
        sweep(3, Order::InTurn, before, 1),
        sweep(4, Order::InReverse, after, 2),
        sweep(10, Order::AtOnce, after, 2),
    ];
    let mut full = Vec::new();
    for limit in [1, 3, 10, 32] {
        for order in [Order::InTurn, Order::InReverse, Order::AtOnce] {
            full.extend([before, after].map(|kill| sweep(limit, order, kill, 1)));
        }
    }
    context.scaled(short, usual, full)
}

/// A vault that is killed, and its users.
struct Victims {
    server: ServerProcess,
    people: People,
    shim: Shim,
    skip: Option<Skip>,
}

impl Victims {
    /// Kills one life at the first of the calls, the next one at the second, until a life is through
    /// before that; and then looks at everything in a life that is not killed.
    async fn sweep(&mut self, sweep: Sweep) -> anyhow::Result<u64> {
        self.server.terminate()?;
        let mut lives = 0;
        for call in (1..).step_by(sweep.step) {
            lives += 1;
            let kill = (sweep.kill)(call);
            let is_through = self.life(kill, sweep.order).await;
            if is_through.with_context(|| format!("{kill:?}"))? {
                ensure!(call > CALLS_AT_LEAST, "through before call {call}");
                break;
            }
        }
        self.people.conclude(&mut self.server).await?;
        Ok(lives)
    }

    /// Whether everything was done before the kill.
    async fn life(&mut self, kill: Kill, order: Order) -> anyhow::Result<bool> {
        let layer = Layer {
            kill: Some(kill),
            skip: self.skip,
            sends: Some(Sends::Counted),
            ..disk::below(self.server.vault())?
        };
        if let Err(ended) = disk::restart_above(&mut self.server, self.shim, &layer)? {
            was_killed(ended.status, &ended.log)?;
            return Ok(false);
        }
        let acted = async {
            let line = Line::connect(&self.server).await?;
            self.people.act(&line, order).await
        };
        match acted.await {
            Ok(()) => {
                self.server.kill()?;
                Ok(true)
            }
            Err(error) if error.is::<Violation>() => Err(error),
            Err(error) => {
                let status = self.server.process().wait().context(error)?;
                was_killed(status, &self.server.log())?;
                Ok(false)
            }
        }
    }
}

/// A server that ends otherwise has met an error that it could not go on with.
fn was_killed(status: ExitStatus, log: &str) -> Result<(), Violation> {
    holds(status.signal() == Some(Signal::KILL.as_raw()), || {
        let last = log.lines().last().unwrap_or_default();
        format!("a restart does not serve: {status}, {last}")
    })
}
