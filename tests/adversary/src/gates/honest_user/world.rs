//! An account whose owner has two phones, a guessing thief, and time. Every step compares the vault
//! with a model of PROTOCOL.md section 7.

use anyhow::{Context, anyhow};
use vault_protocol::messages::{AccountState, RetrievalFinished, RetrievalStarted};
use vault_protocol::{AccountScope, Policy, Problem, Timestamp};
use vault_tests::device::{Device, Guess, Login, abandon, false_finish};
use vault_tests::in_process::{Said, TestVault};

use super::phone::{End, Network, Phone};
use crate::counter_model::CounterModel;
use crate::expect::{granted, refused, same};
use crate::gate::{Violation, holds};

/// An attempt is open for so many seconds.
pub const OPEN_SECONDS: u64 = 15 * 60;

const REMEMBERED: usize = 8;
const PASSWORD: &str = "correct horse battery staple";

/// The vault, the account, and the model of it.
pub struct World {
    pub vault: TestVault,
    scope: AccountScope,
    device: Device,
    model: CounterModel,
    generation: u64,
    /// Seconds since the latest charge, as far as the vault can know.
    since_charge: u64,
    /// By the time that is left to each.
    open: Vec<Lasting>,
    remembered: Vec<Lasting>,
    is_destroyed: bool,
    pub phones: [Phone; 2],
    /// How often the owner got the key.
    pub logins: u64,
}

/// An attempt with the seconds that are left to it.
struct Lasting {
    number: u64,
    left: u64,
}

impl World {
    pub async fn new(policy: Policy) -> Self {
        let vault = TestVault::start(policy.clone()).await;
        let scope = vault.account("alice");
        let device = vault.register(&scope, PASSWORD).await;
        Self {
            vault,
            scope,
            device,
            model: CounterModel::new(policy),
            generation: 1,
            since_charge: 0,
            open: Vec::new(),
            remembered: Vec::new(),
            is_destroyed: false,
            phones: [Phone::Idle, Phone::Idle],
            logins: 0,
        }
    }

    /// How long the slowest phone can still wait: a second less than its attempt is open.
    pub fn patience(&self) -> u64 {
        let charged = self.phones.iter().filter_map(Phone::charged);
        let left = charged.filter_map(|number| self.left(number));
        left.min().map_or(u64::MAX, |left| left - 1)
    }

    /// Lets time pass, but no more than the phones can wait.
    pub fn advance(&mut self, seconds: u64) {
        let seconds = seconds.min(self.patience());
        self.vault.advance_seconds(seconds);
        self.since_charge += seconds;
        for lasting in [&mut self.open, &mut self.remembered] {
            lasting.retain(|attempt| attempt.left > seconds);
            lasting
                .iter_mut()
                .for_each(|attempt| attempt.left -= seconds);
        }
        self.settle();
    }

    /// Stops the vault and starts it when the wall clock shows this. What was open is open for its
    /// whole time again; a clock that was set back begins waits again.
    pub async fn restart(&mut self, at: Timestamp) -> anyhow::Result<()> {
        let before = self.vault.now();
        self.vault.restart(at).await;
        if at >= before {
            self.since_charge += at.seconds_since(before);
        } else {
            let back = before.seconds_since(at);
            self.since_charge = self.since_charge.saturating_sub(back);
        }
        for lasting in [&mut self.open, &mut self.remembered] {
            lasting
                .iter_mut()
                .for_each(|attempt| attempt.left = OPEN_SECONDS);
        }
        self.check().await
    }

    /// The owner does the next thing on a phone.
    pub async fn owner_acts(&mut self, phone: usize, network: Network) -> anyhow::Result<()> {
        self.phones[phone] = match std::mem::replace(&mut self.phones[phone], Phone::Idle) {
            Phone::Idle if self.is_destroyed => {
                self.register_anew().await;
                Phone::Idle
            }
            Phone::Idle => {
                let guess = Box::new(Guess::new(&self.scope, PASSWORD));
                self.owner_starts(guess, None, network).await?
            }
            Phone::Typed(guess, charged) => self.owner_starts(guess, charged, network).await?,
            Phone::Proven(login, number) => self.owner_finishes(login, number, network).await?,
            Phone::Done(login, number, first) => {
                self.owner_repeats(&login, number, &first).await?;
                Phone::Done(login, number, first)
            }
        };
        self.check().await
    }

    /// The owner has what they wanted on this phone, and may want it again.
    pub fn next_login(&mut self, phone: usize) {
        self.phones[phone] = Phone::Idle;
    }

    /// A wrong guess.
    pub async fn thief_guesses(&mut self, end: End) -> anyhow::Result<()> {
        let said = self.vault.guess(&self.scope, "not the password").await;
        if self.is_refused() {
            self.refused_rightly(said, "a guess")?;
            return self.check().await;
        }
        let started = granted(said, "a guess within the budget")?;
        let number = self.charge(&started)?;
        let ticket = &started.retrieval_ticket;
        match end {
            End::Never => return self.check().await,
            End::Finished => {
                let said: Said<RetrievalFinished> = self
                    .vault
                    .ask(&self.scope, "retrieval/finish", &false_finish(ticket))
                    .await;
                holds(said.is_err(), || "a false finish was granted".to_owned())?;
            }
            End::Abandoned => {
                let said: Said<serde_json::Value> = self
                    .vault
                    .ask(&self.scope, "retrieval/abandon", &abandon(ticket))
                    .await;
                granted(said, "abandoning")?;
            }
        }
        self.open.retain(|open| open.number != number);
        self.settle();
        self.check().await
    }

    /// Upkeep: it decides nothing that time has not.
    pub async fn maintain(&mut self) -> anyhow::Result<()> {
        self.vault.maintain().await;
        self.check().await
    }

    /// Compares the status with the model.
    pub async fn check(&self) -> anyhow::Result<()> {
        let status = self.vault.status(&self.scope).await;
        let seen = (status.state, status.attempts_remaining, status.retry_at);
        let expected = if self.is_destroyed {
            (AccountState::Destroyed, 0, None)
        } else {
            let retry_at = self.retry_at();
            let state = match retry_at {
                Some(_) => AccountState::Waiting,
                None => AccountState::Active,
            };
            (state, self.model.remaining(), retry_at)
        };
        same(&seen, &expected, "the status")?;
        Ok(same(
            &status.generation,
            &self.generation,
            "the generation",
        )?)
    }

    async fn owner_starts(
        &mut self,
        guess: Box<Guess>,
        charged: Option<u64>,
        network: Network,
    ) -> anyhow::Result<Phone> {
        if network == Network::LosesRequest {
            return Ok(Phone::Typed(guess, charged));
        }
        let said = self
            .vault
            .ask(&self.scope, "retrieval/start", &guess.message)
            .await;
        let number = match (charged, self.is_refused()) {
            (Some(number), _) => {
                let again: &RetrievalStarted =
                    said.as_ref().map_err(|problem| lost("start", problem))?;
                let left = again.attempts_remaining;
                same(
                    &left,
                    &self.model.remaining(),
                    "attempts left by a repeated start",
                )?;
                number
            }
            (None, true) => {
                self.refused_rightly(said, "the owner's start")?;
                return Ok(Phone::Idle);
            }
            (None, false) => {
                let started = said.as_ref().map_err(|problem| lost("start", problem))?;
                self.charge(started)?
            }
        };
        if network == Network::LosesAnswer {
            return Ok(Phone::Typed(guess, Some(number)));
        }
        let started = said.map_err(|problem| anyhow!("{problem:?}"))?;
        let login = guess.evaluated(&started).ok();
        let login = login.context("the owner's password is right")?;
        Ok(Phone::Proven(login, number))
    }

    async fn owner_finishes(
        &mut self,
        login: Login,
        number: u64,
        network: Network,
    ) -> anyhow::Result<Phone> {
        if network == Network::LosesRequest {
            return Ok(Phone::Proven(login, number));
        }
        let said: Said<RetrievalFinished> = self
            .vault
            .ask(&self.scope, "retrieval/finish", &login.message)
            .await;
        if !self.can_finish(number) {
            holds(said.is_err(), || "an ended attempt was finished".to_owned())?;
            return Ok(Phone::Idle);
        }
        let finished = said.map_err(|problem| lost("finish", &problem))?;
        if let Some(index) = self.open.iter().position(|open| open.number == number) {
            same(
                &counters(&finished),
                &self.model.before(number),
                "what the owner is told",
            )?;
            let succeeded = self.open.remove(index);
            self.model.succeed(number);
            if self.remembered.len() == REMEMBERED {
                self.remembered.remove(0);
            }
            self.remembered.push(succeeded);
            self.settle();
        }
        if network == Network::LosesAnswer {
            return Ok(Phone::Proven(login, number));
        }
        let key = login
            .open(&finished)
            .ok()
            .context("released to this login")?;
        holds(key.is_same(self.device.key()), || "another key".to_owned())?;
        self.logins += 1;
        Ok(Phone::Done(login, number, finished))
    }

    /// An answer that was lost on the way to the user can be fetched again.
    async fn owner_repeats(
        &self,
        login: &Login,
        number: u64,
        first: &RetrievalFinished,
    ) -> anyhow::Result<()> {
        let said: Said<RetrievalFinished> = self
            .vault
            .ask(&self.scope, "retrieval/finish", &login.message)
            .await;
        if first.generation == self.generation && self.can_finish(number) {
            let again = said.map_err(|problem| lost("repeated finish", &problem))?;
            same(&counters(&again), &counters(first), "a repeated finish")?;
        } else {
            holds(said.is_err(), || {
                "a forgotten finish was granted".to_owned()
            })?;
        }
        Ok(())
    }

    async fn register_anew(&mut self) {
        self.device = self.vault.register(&self.scope, PASSWORD).await;
        self.model = CounterModel::new(self.model.policy().clone());
        self.generation += 1;
        self.since_charge = 0;
        self.remembered.clear();
        self.is_destroyed = false;
        self.phones.iter_mut().for_each(Phone::forget_number);
    }

    fn charge(&mut self, started: &RetrievalStarted) -> Result<u64, Violation> {
        let number = self.model.charge();
        let left = started.attempts_remaining;
        same(&left, &self.model.remaining(), "attempts left by a charge")?;
        self.since_charge = 0;
        self.open.push(Lasting {
            number,
            left: OPEN_SECONDS,
        });
        Ok(number)
    }

    /// Whether a new attempt is.
    fn is_refused(&self) -> bool {
        self.is_destroyed || self.retry_at().is_some()
    }

    fn refused_rightly(&self, said: Said<RetrievalStarted>, what: &str) -> Result<(), Violation> {
        let is_destroyed = matches!(said, Err(Problem::Destroyed { .. }));
        match self.retry_at() {
            Some(retry_at) if !self.is_destroyed => {
                refused(said, &Problem::Waiting { retry_at }, what)
            }
            _ => holds(is_destroyed, || format!("{what}: {said:?}")),
        }
    }

    fn settle(&mut self) {
        self.is_destroyed |= self.model.remaining() == 0 && self.open.is_empty();
    }

    fn left(&self, number: u64) -> Option<u64> {
        let mut lasting = self.open.iter().chain(&self.remembered);
        let found = lasting.find(|attempt| attempt.number == number);
        found.map(|attempt| attempt.left)
    }

    /// Whether it is open, or has succeeded and is remembered. A phone that is in time is late in two
    /// ways only, both after its success, whose answer was lost: the other phone has succeeded eight
    /// times since, or the record is destroyed. Exhaustion waits for open attempts alone.
    fn can_finish(&self, number: u64) -> bool {
        !self.is_destroyed && self.left(number).is_some()
    }

    fn retry_at(&self) -> Option<Timestamp> {
        let now = self.vault.now();
        if self.model.remaining() == 0 {
            let last = self.open.iter().map(|open| open.left).max();
            return last.map(|left| now.plus_seconds(left));
        }
        let wait = self
            .model
            .policy()
            .wait_after(self.model.failures_in_a_row());
        let left = wait.saturating_sub(self.since_charge);
        (left > 0).then(|| now.plus_seconds(left))
    }
}

fn counters(finished: &RetrievalFinished) -> (u64, u64) {
    (
        finished.failures_since_success,
        finished.failures_in_generation,
    )
}

fn lost(what: &str, problem: &Problem) -> Violation {
    Violation::new(format!(
        "the owner's {what}, in time and with the right password: {problem:?}"
    ))
}
