//! An attacker with the victim's login but not the password guesses in every life. The victim
//! registers again when nothing is left.

use vault_protocol::messages::{AccountState, RetrievalAbandoned, RetrievalStarted, Status};
use vault_protocol::{AccountScope, Problem, Ticket};
use vault_tests::device::{Device, Guess, abandon};
use vault_tests::process::calls::granted;

use super::line::Line;
use super::registering::Registering;
use crate::gate::holds;

const GUESSES_IN_A_LIFE: usize = 3;
/// At a vault that may have stopped.
const INSISTENCE: usize = 20;

/// The guesses of all lives.
pub struct Attacker {
    victim: Device,
    limit: u64,
    registering: Option<Registering>,
    generation: u64,
    /// Different guesses sent, and evaluated, of this generation.
    sent: u64,
    evaluated: u64,
    evaluated_before: u64,
    unanswered: Option<Guess>,
    open: Vec<Ticket>,
}

impl Attacker {
    pub fn new(victim: AccountScope, limit: usize) -> Self {
        Self {
            victim: Device::new(&victim),
            limit: limit as u64,
            registering: None,
            generation: 0,
            sent: 0,
            evaluated: 0,
            evaluated_before: 0,
            unanswered: None,
            open: Vec::new(),
        }
    }

    pub async fn act(&mut self, line: &Line) -> anyhow::Result<()> {
        let line = line.of(&self.victim.scope().account);
        let status = line.status().await?;
        if self.registering.is_none() {
            self.check(&status)?;
        }
        if self.registering.is_some() || status.attempts_remaining == 0 {
            self.register(&line).await?;
        }
        for _ in 0..GUESSES_IN_A_LIFE {
            self.guess(&line).await?;
        }
        // Every second generation ends with its last attempt, every other one is replaced while its
        // attempts are open.
        if self.generation.is_multiple_of(2) {
            self.give_up(&line).await?;
        }
        Ok(())
    }

    /// Goes on guessing until the vault stops answering.
    pub async fn insist(&mut self, line: &Line) {
        let line = line.of(&self.victim.scope().account);
        for _ in 0..INSISTENCE {
            let guess = self.unanswered.take().unwrap_or_else(|| self.another());
            match line.calls.start(&guess).await {
                Ok(said) => {
                    self.evaluated += u64::from(said.is_ok());
                    // It is over when there is no answer, and not before.
                    let _ = line.heard(said);
                }
                Err(_) => {
                    self.unanswered = Some(guess);
                    return;
                }
            }
        }
    }

    pub fn evaluations(&self) -> u64 {
        self.evaluated_before + self.evaluated
    }

    /// No guess was evaluated without a charge, none was charged twice, and no generation was given
    /// more than its limit.
    fn check(&self, status: &Status) -> anyhow::Result<()> {
        let (sent, evaluated, limit) = (self.sent, self.evaluated, self.limit);
        let is_same = status.generation == self.generation;
        holds(is_same, || {
            format!(
                "generation {} was acknowledged: {status:?}",
                self.generation
            )
        })?;
        let charged = match status.state {
            AccountState::Absent => 0,
            _ => limit.saturating_sub(status.attempts_remaining),
        };
        holds((evaluated..=sent).contains(&charged), || {
            format!("of {sent} guesses {evaluated} were evaluated, and {charged} are charged")
        })?;
        Ok(())
    }

    async fn register(&mut self, line: &Line) -> anyhow::Result<()> {
        let new = || Registering::new("not to be guessed");
        let registering = self.registering.get_or_insert_with(new);
        let generation = registering.go_on(&self.victim, line).await?;
        let former = self.generation;
        holds(generation == former + 1, || {
            format!("generation {generation} follows {former}")
        })?;
        self.evaluated_before += self.evaluated;
        (self.sent, self.evaluated) = (0, 0);
        (self.registering, self.unanswered) = (None, None);
        self.open.clear();
        self.generation = generation;
        Ok(())
    }

    async fn guess(&mut self, line: &Line) -> anyhow::Result<()> {
        // Kept until it is answered: the same request is the same attempt.
        let guess = match self.unanswered.take() {
            Some(guess) => guess,
            None => self.another(),
        };
        let guess = self.unanswered.insert(guess);
        let said = line.ask("retrieval/start", &guess.message).await?;
        self.unanswered = None;
        match said {
            Ok(RetrievalStarted {
                retrieval_ticket, ..
            }) => {
                self.open.push(retrieval_ticket);
                self.evaluated += 1;
            }
            Err(Problem::Waiting { .. } | Problem::Destroyed { .. }) => {}
            Err(other) => anyhow::bail!("a guess was answered with {other:?}"),
        }
        let (evaluated, limit) = (self.evaluated, self.limit);
        holds(evaluated <= limit, || {
            format!("{evaluated} evaluations over all lives with limit {limit}")
        })?;
        Ok(())
    }

    fn another(&mut self) -> Guess {
        self.sent += 1;
        Guess::new(self.victim.scope(), &format!("guess {}", self.sent))
    }

    async fn give_up(&mut self, line: &Line) -> anyhow::Result<()> {
        while let Some(ticket) = self.open.last() {
            let said = line.ask("retrieval/abandon", &abandon(ticket)).await?;
            let _: RetrievalAbandoned = granted(said)?;
            self.open.pop();
        }
        Ok(())
    }
}
