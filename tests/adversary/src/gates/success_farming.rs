//! Guessing between the owner's successes: each of them makes the failures in a row start again, so
//! only the generation's budget stops a thief with a stolen login.

use std::collections::VecDeque;

use anyhow::Context;
use tokio::task::JoinSet;
use vault_protocol::messages::{
    AccountState, RetrievalAbandoned, RetrievalFinished, RetrievalStarted,
};
use vault_protocol::{Policy, Problem};
use vault_tests::device::{Device, Guess, Login, abandon, false_finish};
use vault_tests::process::calls::{Calls, Said};
use vault_tests::process::server::{ServerOptions, ServerProcess};

use crate::counter_model::CounterModel;
use crate::expect::{granted, refused, same};
use crate::gate::{AttackReport, Control, Gate, GateContext, Violation, holds};
use crate::patch::Patch;

/// The gate.
pub const GATE: Gate = Gate {
    name: "success farming",
    property: "a stolen login guessing between the owner's successes is stopped by `total_limit` \
               exactly; no success refunds a guess that raced it, and repeating one refills nothing",
    run: |context| Box::pin(run(context)),
    controls: &[
        Control::Patch(&SUCCESS_ENDS_ALL_FAILURES),
        Control::Patch(&SUCCESS_REFUNDS_RACERS),
    ],
};

/// With this the owner's every login gives the thief the whole budget again.
pub const SUCCESS_ENDS_ALL_FAILURES: Patch = Patch {
    name: "a success starts the generation's count again",
    file: "vault-server/rules/src/counting.rs",
    text: ".saturating_sub(self.failures_in_generation());",
    instead: ".saturating_sub(\n\
              if FAULT { self.failures_in_a_row() } else { self.failures_in_generation() });",
};

/// With this guesses that are begun while the owner logs in cost nothing in a row.
pub const SUCCESS_REFUNDS_RACERS: Patch = Patch {
    name: "a success refunds the guesses that raced it",
    file: "vault-server/rules/src/counting.rs",
    text: "self.last_success = self.last_success.max(number);",
    instead: "let latest_is_open = self.open.iter().any(|open| open.number == self.charged);\n\
              let number = if FAULT && !latest_is_open { self.charged } else { number };\n\
              self.last_success = self.last_success.max(number);",
};

const PASSWORD: &str = "correct horse battery staple";
const REMEMBERED: usize = 8;

async fn run(context: GateContext) -> anyhow::Result<AttackReport> {
    let short: &[(u64, u64)] = &[(2, 3), (3, 8), (5, 20)];
    let usual: &[(u64, u64)] = &[(2, 2), (2, 3), (2, 9), (3, 10), (5, 30), (10, 100)];
    let full: &[(u64, u64)] = &[(2, 2), (3, 10), (10, 100), (10, 1000), (32, 1000)];
    let pairs = context.scaled(short, usual, full);
    let mut guesses = 0;
    for (limit, total_limit) in pairs {
        guesses += farm(&context, *limit, *total_limit).await?;
    }
    let what = format!(
        "guesses between the owner's logins, {} policies",
        pairs.len()
    );
    Ok(AttackReport::new(guesses, what))
}

/// Rounds of guesses and logins until one guess is left; the thief takes that one too.
async fn farm(context: &GateContext, limit: u64, total_limit: u64) -> anyhow::Result<u64> {
    let waits = vec![0; usize::try_from(limit)? - 1];
    let policy = Policy::new(limit, total_limit, waits)?;
    let options = ServerOptions::default().without_waits(usize::try_from(limit)?);
    let server = context.start(options.with_total_limit(total_limit))?;
    let mut farm = Farm::new(&server, policy).await?;
    for round in 0.. {
        match round % 3 {
            0 => farm.guess_and_log_in().await?,
            1 => farm.guess_within_a_login().await?,
            _ => farm.race_a_login().await?,
        }
        farm.repeat_finishes().await?;
        if farm.model.failures_in_generation() == total_limit - 1 {
            break;
        }
    }
    farm.guess_the_last_time().await?;
    Ok(farm.guesses)
}

/// An owner that logs in again and again, and a thief with the same login at the app.
struct Farm {
    owner: Calls,
    thieves: Vec<Calls>,
    device: Device,
    model: CounterModel,
    /// The thief's guesses that were evaluated.
    guesses: u64,
    /// Those that the thief left open.
    left_open: Vec<RetrievalStarted>,
    /// Oldest first; one more than the vault remembers.
    successes: VecDeque<(Login, RetrievalFinished)>,
}

impl Farm {
    async fn new(server: &ServerProcess, policy: Policy) -> anyhow::Result<Self> {
        let owner = Calls::connect(server, "alice").await?;
        let mut thieves = Vec::new();
        for _ in 0..4 {
            thieves.push(Calls::connect(server, "alice").await?);
        }
        let device = owner.register(PASSWORD).await?;
        Ok(Self {
            owner,
            thieves,
            device,
            model: CounterModel::new(policy),
            guesses: 0,
            left_open: Vec::new(),
            successes: VecDeque::new(),
        })
    }

    /// As many guesses as leave the owner one attempt, then the owner.
    async fn guess_and_log_in(&mut self) -> anyhow::Result<()> {
        for _ in 1..self.model.remaining() {
            self.guess().await?;
        }
        let (number, login) = self.begin_login().await?;
        self.finish_login(number, login).await
    }

    /// All guesses that are left, while the owner types; the owner's attempt is open and wins.
    async fn guess_within_a_login(&mut self) -> anyhow::Result<()> {
        let (number, login) = self.begin_login().await?;
        for _ in 0..self.model.remaining() {
            self.guess().await?;
        }
        self.finish_login(number, login).await
    }

    /// The owner's start and guesses at once, as many as there are attempts.
    async fn race_a_login(&mut self) -> anyhow::Result<()> {
        let mut running = JoinSet::new();
        for number in 1..self.model.remaining() {
            let thief = self.thieves[number as usize % self.thieves.len()].clone();
            let guess = Guess::new(thief.scope(), &format!("race {number}"));
            running.spawn(async move { (None, thief.start(&guess).await) });
        }
        let (owner, guess) = (self.owner.clone(), self.right_guess());
        running.spawn(async move {
            let said = owner.start(&guess).await;
            (Some(guess), said)
        });
        let mut started = Vec::new();
        while let Some(ended) = running.join_next().await {
            let (owners, said) = ended?;
            started.push((granted(said?, "a start within the budget")?, owners));
        }
        // Each charge leaves one less: their order.
        started.sort_by_key(|(started, _)| std::cmp::Reverse(started.attempts_remaining));
        let mut login = None;
        for (started, owners) in started {
            let number = self.charged(&started)?;
            match owners {
                Some(guess) => login = Some((number, evaluated(&guess, &started)?)),
                None => self.thief_has(started).await?,
            }
        }
        let (number, login) = login.context("the owner's start was answered")?;
        self.finish_login(number, login).await
    }

    /// Repeating the finishes that are remembered gives the same again and refills nothing.
    async fn repeat_finishes(&mut self) -> anyhow::Result<()> {
        while self.successes.len() > REMEMBERED {
            let forgotten = self.successes.pop_front().context("there are some")?;
            let said = self.finish(&forgotten.0).await?;
            refused(said, &Problem::TicketExpired, "a finish that was forgotten")?;
        }
        for (login, first) in &self.successes {
            let again = granted(self.finish(login).await?, "a repeated finish")?;
            let counters = |finished: &RetrievalFinished| {
                (
                    finished.failures_since_success,
                    finished.failures_in_generation,
                    finished.last_success_at,
                )
            };
            same(
                &counters(&again),
                &counters(first),
                "a repeated finish's counters",
            )?;
        }
        self.budget_is_as_counted().await
    }

    /// With this guess the generation's budget is used up, whatever succeeded.
    async fn guess_the_last_time(&mut self) -> anyhow::Result<()> {
        let (number, login) = self.begin_login().await?;
        self.finish_login(number, login).await?;
        self.guess().await?;
        let total_limit = self.model.policy().total_limit();
        same(&self.guesses, &total_limit, "evaluated guesses")?;
        for what in ["one guess more", "another guess more"] {
            let guess = Guess::new(self.owner.scope(), what);
            let said = self.thieves[0].start(&guess).await?;
            let is_refused = matches!(
                said,
                Err(Problem::Waiting { .. } | Problem::Destroyed { .. })
            );
            holds(is_refused, || {
                format!("{what} than total_limit {total_limit}: {said:?}")
            })?;
        }
        self.end_with_the_last_open_attempt().await
    }

    async fn end_with_the_last_open_attempt(&mut self) -> anyhow::Result<()> {
        for started in std::mem::take(&mut self.left_open) {
            let message = abandon(&started.retrieval_ticket);
            let said: Said<RetrievalAbandoned> =
                self.owner.post("retrieval/abandon", &message).await?;
            granted(said, "abandoning")?;
        }
        let state = self.owner.status().await?.state;
        same(&state, &AccountState::Destroyed, "the state at the end")?;
        let said = self.owner.start(&self.right_guess()).await?;
        let is_destroyed = matches!(said, Err(Problem::Destroyed { .. }));
        Ok(holds(is_destroyed, || {
            format!("a start at the end: {said:?}")
        })?)
    }

    /// A wrong guess.
    async fn guess(&mut self) -> anyhow::Result<()> {
        let guess = Guess::new(self.owner.scope(), "not the password");
        let said = self.thieves[0].start(&guess).await?;
        let started = granted(said, "a guess within the budget")?;
        self.charged(&started)?;
        self.thief_has(started).await
    }

    /// The thief learned from KE2 that the guess was wrong, and ends it in one of three ways.
    async fn thief_has(&mut self, started: RetrievalStarted) -> anyhow::Result<()> {
        self.guesses += 1;
        let ticket = &started.retrieval_ticket;
        match self.guesses % 3 {
            0 => {
                let message = false_finish(ticket);
                let said: Said<RetrievalFinished> =
                    self.thieves[0].post("retrieval/finish", &message).await?;
                let is_refused = matches!(
                    said,
                    Err(Problem::WrongPassword { .. } | Problem::Destroyed { .. })
                );
                holds(is_refused, || {
                    format!("a false finish was answered with {said:?}")
                })?;
            }
            1 => {
                let message = abandon(ticket);
                let said: Said<RetrievalAbandoned> =
                    self.thieves[0].post("retrieval/abandon", &message).await?;
                granted(said, "abandoning")?;
            }
            _ => self.left_open.push(started),
        }
        Ok(())
    }

    async fn begin_login(&mut self) -> anyhow::Result<(u64, Login)> {
        let guess = self.right_guess();
        let started = granted(self.owner.start(&guess).await?, "the owner's start")?;
        let number = self.charged(&started)?;
        Ok((number, evaluated(&guess, &started)?))
    }

    async fn finish_login(&mut self, number: u64, login: Login) -> anyhow::Result<()> {
        let finished = granted(self.finish(&login).await?, "the owner's finish")?;
        let key = login.open(&finished).ok().context("released")?;
        holds(key.is_same(self.device.key()), || "another key".to_owned())?;
        self.model.succeed(number);
        self.successes.push_back((login, finished));
        self.budget_is_as_counted().await
    }

    async fn finish(&self, login: &Login) -> anyhow::Result<Said<RetrievalFinished>> {
        self.owner.post("retrieval/finish", &login.message).await
    }

    fn right_guess(&self) -> Guess {
        Guess::new(self.owner.scope(), PASSWORD)
    }

    fn charged(&mut self, started: &RetrievalStarted) -> Result<u64, Violation> {
        let is_left = self.model.remaining() > 0;
        holds(is_left, || "evaluated with a budget of 0".to_owned())?;
        let number = self.model.charge();
        let left = started.attempts_remaining;
        same(&left, &self.model.remaining(), "attempts left by a charge")?;
        Ok(number)
    }

    async fn budget_is_as_counted(&self) -> anyhow::Result<()> {
        let left = self.owner.status().await?.attempts_remaining;
        Ok(same(&left, &self.model.remaining(), "attempts left")?)
    }
}

fn evaluated(guess: &Guess, started: &RetrievalStarted) -> anyhow::Result<Login> {
    let login = guess.evaluated(started).ok();
    login.context("the owner's password is right")
}
