//! Old files put back. The operator of one volume keeps its files of every moment, and puts any
//! mixture of them in place while the server is down.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use vault_protocol::{Problem, Ticket};
use vault_tests::device::{Guess, abandon};
use vault_tests::process::calls::Calls;
use vault_tests::process::server::{ServerOptions, ServerProcess};

use crate::gate::{AttackReport, Control, Gate, GateContext, holds};
use crate::patch::Patch;

/// The gate.
pub const GATE: Gate = Gate {
    name: "restored files",
    property: "every mixture of older data folder, log and anchor that the operator of one volume \
               can make is refused, or gives no more evaluations than the limit",
    run: |context| Box::pin(run(context)),
    controls: &[
        Control::Switch(BOTH_VOLUMES),
        Control::Patch(&NOTHING_IS_ERASED),
        Control::Patch(&THE_PAST_IS_BELIEVED),
    ],
};

/// SECURITY.md names it as not protected: every anchor and the data together.
const BOTH_VOLUMES: &str = "both volumes are put back";

/// Two root keys outlast the answer, and the older one opens the database before it.
pub const NOTHING_IS_ERASED: Patch = Patch {
    name: "the former root key stays in the anchor",
    file: "vault-server/ledger/src/anchor/set.rs",
    text: "anchors.try_for_each(|anchor| anchor.erase(kept))\n",
    instead: "anchors.try_for_each(|anchor| if FAULT { Ok(()) } else { anchor.erase(kept) })\n",
};

/// A mirror that was put back opens the database that was put back with it.
pub const THE_PAST_IS_BELIEVED: Patch = Patch {
    name: "a mirror that is behind the others is believed",
    file: "vault-server/ledger/src/anchor/set.rs",
    text: "if Some(live.sequence) >= confirmed && !known {",
    instead: "if (FAULT || Some(live.sequence) >= confirmed) && !known {",
};

const LIMIT: usize = 3;
const DATABASE: &str = "data/ledger.db";
const LOG: &str = "data/ledger.db-wal";
const ONE_ANCHOR: &[&str] = &["anchor/anchor"];
const MIRRORED: &[&str] = &["anchor/anchor", "mirror/anchor"];

async fn run(context: GateContext) -> anyhow::Result<AttackReport> {
    let mut tried = 0;
    let mut refused = 0;
    for anchors in [ONE_ANCHOR, MIRRORED] {
        let mut attack = Attack::begin(&context, anchors).await?;
        attack.put_back_what_was_before_each_guess().await?;
        let mixtures = context.scaled(6, 60, 600);
        attack.put_back_anything(mixtures, 1).await?;
        attack.destroy().await?;
        attack.put_back_anything(mixtures, 2).await?;
        tried += attack.tried;
        refused += attack.refused;
    }
    let what = format!(
        "mixtures of older files put back, {refused} of them refused, a guess at every other"
    );
    Ok(AttackReport::new(tried, what))
}

/// The files of the volumes at a moment. A file that was not there is none.
#[derive(Clone)]
struct Moment {
    database: Vec<u8>,
    log: Option<Vec<u8>>,
    /// In the order of the configuration.
    anchors: Vec<Vec<u8>>,
}

struct Attack {
    server: ServerProcess,
    anchors: &'static [&'static str],
    both_volumes: bool,
    /// Oldest first.
    past: Vec<Moment>,
    /// As the vault has left them.
    newest: Moment,
    tickets: Vec<Ticket>,
    evaluated: usize,
    tried: usize,
    refused: usize,
}

/// The outcome of a start.
#[derive(PartialEq)]
enum Start {
    Refused,
    Served,
}

impl Attack {
    /// A record with three attempts, before any guess.
    async fn begin(
        context: &GateContext,
        anchors: &'static [&'static str],
    ) -> anyhow::Result<Self> {
        let options = ServerOptions {
            anchors,
            ..ServerOptions::default()
        };
        let mut server = context.start(options.without_waits(LIMIT))?;
        let calls = Calls::connect(&server, "alice").await?;
        calls.register("correct horse battery staple").await?;
        server.kill()?;
        let newest = Moment::of(&server, anchors)?;
        Ok(Self {
            server,
            anchors,
            both_volumes: context.is_switched(BOTH_VOLUMES),
            past: vec![newest.clone()],
            newest,
            tickets: Vec::new(),
            evaluated: 0,
            tried: 0,
            refused: 0,
        })
    }

    /// The oldest trick: guess, put the former files back, guess again.
    async fn put_back_what_was_before_each_guess(&mut self) -> anyhow::Result<()> {
        for _ in 0..LIMIT + 2 {
            let started = self.start_from(&self.newest.clone()).await?;
            ensure!(started == Start::Served, "the newest files are refused");
            let mut index = 0;
            // Made anew each time: after a start that serves, the newest files are old.
            while let Some(mixture) = self.of_one_volume().get(index) {
                self.start_from(&mixture.clone()).await?;
                index += 1;
            }
        }
        let all = self.evaluated == LIMIT;
        ensure!(all, "the limit was not reached: nothing was tried");
        Ok(())
    }

    /// Every mixture of the newest moment and an older one that takes one volume, or the data and all
    /// anchors but one. Older are: before the last guess, while the server ran; and the beginning.
    fn of_one_volume(&self) -> Vec<Moment> {
        let before = self.past.iter().rev().nth(2);
        let olds = before.into_iter().chain(self.past.first());
        olds.flat_map(|old| self.mixed_with(old)).collect()
    }

    fn mixed_with(&self, old: &Moment) -> Vec<Moment> {
        let new = &self.newest;
        let mut mixtures = vec![
            old.clone().with_anchors(&new.anchors),
            Moment {
                database: old.database.clone(),
                ..new.clone()
            },
            Moment {
                log: old.log.clone(),
                ..new.clone()
            },
            Moment {
                log: None,
                ..new.clone()
            },
        ];
        for index in 0..self.anchors.len() {
            let mut one_old = new.anchors.clone();
            one_old[index].clone_from(&old.anchors[index]);
            mixtures.push(new.clone().with_anchors(&one_old));
            if self.anchors.len() > 1 {
                mixtures.push(old.clone().with_anchors(&one_old));
            }
        }
        if self.both_volumes {
            mixtures.push(old.clone());
        }
        mixtures
    }

    async fn put_back_anything(&mut self, mixtures: usize, seed: u64) -> anyhow::Result<()> {
        let mut rng = StdRng::seed_from_u64(seed);
        for _ in 0..mixtures {
            let mixture = self.any(&mut rng);
            self.start_from(&mixture).await?;
        }
        Ok(())
    }

    /// Parts of any two moments on the data's volume, or of any moment on an anchor's; or of the data's
    /// and of all anchors' but one.
    fn any(&self, rng: &mut StdRng) -> Moment {
        let [one, other] = [(); 2].map(|()| &self.past[rng.gen_range(0..self.past.len())]);
        let mut mixture = self.newest.clone();
        if rng.gen_bool(0.25) {
            let index = rng.gen_range(0..self.anchors.len());
            mixture.anchors[index].clone_from(&one.anchors[index]);
            return mixture;
        }
        if rng.gen_bool(0.8) {
            mixture.database.clone_from(&one.database);
        }
        if rng.gen_bool(0.8) {
            mixture.log.clone_from(&other.log);
        }
        if let Some(log) = mixture.log.as_mut().filter(|_| rng.gen_bool(0.2)) {
            log.truncate(rng.gen_range(0..=log.len()));
        }
        if rng.gen_bool(0.5) {
            let kept = rng.gen_range(0..self.anchors.len());
            let others = (0..self.anchors.len()).filter(|index| *index != kept);
            for index in others {
                let old = &self.past[rng.gen_range(0..self.past.len())];
                mixture.anchors[index].clone_from(&old.anchors[index]);
            }
        }
        mixture
    }

    /// Gives every attempt up, which destroys the record.
    async fn destroy(&mut self) -> anyhow::Result<()> {
        self.newest.put(&self.server, self.anchors)?;
        self.server.restart()?;
        let calls = Calls::connect(&self.server, "alice").await?;
        for ticket in &self.tickets {
            let message = abandon(ticket);
            let said = calls.post::<_, serde_json::Value>("retrieval/abandon", &message);
            drop(said.await?);
        }
        let refused = calls.start(&Guess::new(calls.scope(), "one more")).await?;
        let is_destroyed = matches!(refused, Err(Problem::Destroyed { .. }));
        ensure!(is_destroyed, "the record is not destroyed: {refused:?}");
        self.kill()
    }

    /// Puts these files in place and starts. If the vault serves, guesses; if it refuses, puts the
    /// newest back.
    async fn start_from(&mut self, files: &Moment) -> anyhow::Result<Start> {
        self.tried += 1;
        files.put(&self.server, self.anchors)?;
        if let Err(refusal) = self.server.restart() {
            // Its last words, not a crash.
            let text = format!("{refusal:#}");
            let is_refusal = text.contains("\nvault-server: ");
            ensure!(is_refusal && !text.contains("panicked"), "{text}");
            self.refused += 1;
            self.newest.put(&self.server, self.anchors)?;
            return Ok(Start::Refused);
        }
        self.remember()?;
        self.guess().await?;
        self.remember()?;
        self.kill()?;
        Ok(Start::Served)
    }

    async fn guess(&mut self) -> anyhow::Result<()> {
        let calls = Calls::connect(&self.server, "alice").await?;
        let guess = Guess::new(calls.scope(), &format!("guess {}", self.tried));
        match calls.start(&guess).await? {
            Ok(started) => {
                self.evaluated += 1;
                self.tickets.push(started.retrieval_ticket);
            }
            Err(Problem::Waiting { .. } | Problem::Destroyed { .. } | Problem::Unavailable) => {}
            Err(other) => holds(false, || {
                format!("the record of three guesses is {other:?}")
            })?,
        }
        let evaluated = self.evaluated;
        Ok(holds(evaluated <= LIMIT, || {
            format!("{evaluated} evaluations with limit {LIMIT}")
        })?)
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        self.server.kill()?;
        self.remember()?;
        self.newest = self.past.last().context("a moment")?.clone();
        Ok(())
    }

    /// A copy of everything, also while the server runs.
    fn remember(&mut self) -> anyhow::Result<()> {
        self.past.push(Moment::of(&self.server, self.anchors)?);
        Ok(())
    }
}

impl Moment {
    fn of(server: &ServerProcess, anchors: &[&str]) -> anyhow::Result<Self> {
        let read = |name: &str| fs::read(server.vault().file(name));
        Ok(Self {
            database: read(DATABASE)?,
            log: read(LOG).ok(),
            anchors: anchors
                .iter()
                .map(|name| read(name))
                .collect::<Result<_, _>>()?,
        })
    }

    fn with_anchors(self, anchors: &[Vec<u8>]) -> Self {
        let anchors = anchors.to_vec();
        Self { anchors, ..self }
    }

    fn put(&self, server: &ServerProcess, anchors: &[&str]) -> anyhow::Result<()> {
        let file = |name: &str| server.vault().file(name);
        write(&file(DATABASE), &self.database)?;
        match &self.log {
            Some(log) => write(&file(LOG), log)?,
            None => fs::remove_file(file(LOG)).or_else(missing)?,
        }
        for (name, content) in anchors.iter().zip(&self.anchors) {
            write(&file(name), content)?;
        }
        Ok(())
    }
}

/// With the mode that the vault asks for: it shall refuse the file's content.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    fs::write(path, content)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))
}

fn missing(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    }
}
