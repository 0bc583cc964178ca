//! Tickets of attempts.

use std::sync::Arc;

use vault_protocol::messages::{
    AccountState, DestructionReason, RetrievalAbandoned, RetrievalFinish, RetrievalFinished, Status,
};
use vault_protocol::{AccountScope, Policy, Problem, Ticket};
use vault_tests::device::{Device, Guess, Login, abandon, false_finish};
use vault_tests::in_process::TENANT;

use super::cell::{At, Cell, Expected, Fate, Form, Generation, Kind, all};
use super::trials::{all_at_once, chosen};
use crate::counter_model::CounterModel;
use crate::expect::{granted, met_in, refused, same};
use crate::gate::{GateContext, Violation, holds};
use crate::target::{OTHER_TENANT, Said, Target};

/// An attempt is open for so many seconds.
const OPEN_SECONDS: u64 = 15 * 60;
/// So many expire together.
const BATCH: usize = 64;
/// The attempt whose ticket is tried.
const NUMBER: u64 = 1;

/// Tries the half of the matrix that is expired, or the other one.
pub async fn run(
    context: &GateContext,
    target: &Arc<Target>,
    policy: &Policy,
    is_expired: bool,
) -> anyhow::Result<usize> {
    let cells = chosen(context, 19, all(is_expired));
    for (batch, cells) in cells.chunks(BATCH).enumerate() {
        let prepared = cells.iter().copied().enumerate().map(|(number, cell)| {
            let (target, policy) = (Arc::clone(target), policy.clone());
            let name = format!("{batch}-{number}");
            async move { Trial::prepare(target, &policy, cell, &name).await }
        });
        let trials = all_at_once(prepared).await?;
        if is_expired {
            target.advance_seconds(OPEN_SECONDS);
        }
        all_at_once(trials.into_iter().map(Trial::run)).await?;
    }
    Ok(cells.len())
}

/// A cell with its account, and the one that the ticket is presented for.
struct Trial {
    target: Arc<Target>,
    cell: Cell,
    owner: Device,
    login: Login,
    /// Another attempt of the same record, for its KE3.
    swapped: Login,
    model: CounterModel,
    /// The answer to the owner's first success.
    first: Option<RetrievalFinished>,
    victim: Option<AccountScope>,
}

impl Trial {
    async fn prepare(
        target: Arc<Target>,
        policy: &Policy,
        cell: Cell,
        name: &str,
    ) -> anyhow::Result<Self> {
        let scope = target.account(&format!("owner-{name}"), TENANT);
        let victim = match cell.at {
            At::Itself => None,
            At::AnotherAccount => Some(target.account(&format!("victim-{name}"), TENANT)),
            At::AnotherTenant => Some(target.account(&format!("owner-{name}"), OTHER_TENANT)),
        };
        if let Some(victim) = &victim {
            target.register(victim).await?;
            three_attempts(&target, victim).await?;
        }
        let owner = target.register(&scope).await?;
        let [login, swapped] = three_attempts(&target, &scope).await?;
        let mut trial = Self {
            target,
            cell,
            owner,
            login,
            swapped,
            model: charged_three_times(policy),
            first: None,
            victim,
        };
        trial.meet_fate().await?;
        trial.change_generation(policy).await?;
        Ok(trial)
    }

    async fn meet_fate(&mut self) -> anyhow::Result<()> {
        let scope = self.owner.scope();
        let ticket = &self.login.message.retrieval_ticket;
        match self.cell.fate {
            Fate::Open => {}
            Fate::Succeeded => {
                let said = finish(&self.target, scope, &self.login.message).await?;
                self.first = Some(granted(said, "the owner's finish")?);
                self.model.succeed(NUMBER);
            }
            Fate::Failed => {
                let said = finish(&self.target, scope, &false_finish(ticket)).await?;
                holds(said.is_err(), || "a false finish was granted".to_owned())?;
            }
            Fate::Abandoned => {
                let said = give_up(&self.target, scope, ticket).await?;
                granted(said, "abandoning")?;
            }
        }
        Ok(())
    }

    /// A record that comes after has attempts of the same numbers.
    async fn change_generation(&mut self, policy: &Policy) -> anyhow::Result<()> {
        let target = &self.target;
        match self.cell.generation {
            Generation::Live => return Ok(()),
            Generation::Replaced => target.replace(&self.owner, 1).await?,
            Generation::Destroyed => return target.delete(&self.owner, 1).await,
            Generation::RegisteredAnew => {
                target.delete(&self.owner, 1).await?;
                target.register(self.owner.scope()).await?;
            }
        }
        three_attempts(target, self.owner.scope()).await?;
        self.model = charged_three_times(policy);
        Ok(())
    }

    async fn run(self) -> anyhow::Result<()> {
        let cell = self.cell;
        let presented = self.present_again_and_again().await;
        presented.map_err(|error| met_in(error, &cell))
    }

    /// Presents the ticket three times, and at last as the owner would.
    async fn present_again_and_again(mut self) -> anyhow::Result<()> {
        let before = match &self.victim {
            Some(victim) => Some(text(&self.target.status(victim).await?)?),
            None => None,
        };
        for _ in 0..3 {
            self.present().await?;
        }
        self.cell.at = At::Itself;
        self.cell.form = Form::Whole;
        self.cell.kind = Kind::RightFinish;
        let victim = self.victim.take();
        self.present().await?;
        if let (Some(victim), Some(before)) = (victim, before) {
            let after = text(&self.target.status(&victim).await?)?;
            same(&after, &before, "the other account's status")?;
        }
        Ok(())
    }

    async fn present(&mut self) -> anyhow::Result<()> {
        let whose = self.victim.clone();
        let whose = whose.unwrap_or_else(|| self.owner.scope().clone());
        let ticket = altered(&self.login.message.retrieval_ticket, self.cell.form);
        let ke3 = match self.cell.kind {
            Kind::Abandon => {
                let said = give_up(&self.target, &whose, &ticket).await?;
                self.check_abandoned(said)?;
                return self.settle().await;
            }
            Kind::RightFinish => self.login.message.credential_finalization,
            Kind::SwappedFinish => self.swapped.message.credential_finalization,
            Kind::FalseFinish => false_finish(&ticket).credential_finalization,
        };
        let message = RetrievalFinish {
            retrieval_ticket: ticket,
            credential_finalization: ke3,
        };
        let said = finish(&self.target, &whose, &message).await?;
        self.check_finished(said)?;
        self.settle().await
    }

    fn check_abandoned(&self, said: Said<RetrievalAbandoned>) -> anyhow::Result<()> {
        if self.cell.expected() != Expected::Granted {
            return Ok(refused(said, &Problem::TicketExpired, "abandoning")?);
        }
        let abandoned = granted(said, "abandoning")?;
        let seen = (abandoned.state, abandoned.attempts_remaining);
        Ok(same(&seen, &self.standing(), "what abandoning says")?)
    }

    fn check_finished(&mut self, said: Said<RetrievalFinished>) -> Result<(), Violation> {
        let what = "the finish";
        match self.cell.expected() {
            Expected::Granted => self.check_released(granted(said, what)?),
            Expected::TicketExpired => refused(said, &Problem::TicketExpired, what),
            Expected::WrongPassword => {
                let expected = Problem::WrongPassword {
                    attempts_remaining: self.model.remaining(),
                    retry_at: None,
                };
                refused(said, &expected, what)
            }
            Expected::Destroyed => {
                let is_right = matches!(
                    said,
                    Err(Problem::Destroyed {
                        reason: DestructionReason::Deleted,
                        generation: 1,
                        ..
                    })
                );
                holds(is_right, || format!("{what} was answered with {said:?}"))
            }
        }
    }

    fn check_released(&mut self, finished: RetrievalFinished) -> Result<(), Violation> {
        let key = self.login.open(&finished);
        let is_owners = key.is_ok_and(|key| key.is_same(self.owner.key()));
        holds(is_owners, || "another key was released".to_owned())?;
        if self.cell.fate == Fate::Open {
            same(
                &counters(&finished),
                &self.model.before(NUMBER),
                "the counters",
            )?;
            self.model.succeed(NUMBER);
            self.first = Some(finished);
        } else if let Some(first) = &self.first {
            same(&counters(&finished), &counters(first), "repeated counters")?;
        }
        Ok(())
    }

    /// The owner's budget, after every request.
    async fn settle(&mut self) -> anyhow::Result<()> {
        self.cell.fate = self.cell.fate_afterwards();
        let status = self.target.status(self.owner.scope()).await?;
        let seen = (status.state, status.attempts_remaining);
        Ok(same(&seen, &self.standing(), "the owner's status")?)
    }

    fn standing(&self) -> (AccountState, u64) {
        match self.cell.generation {
            Generation::Destroyed => (AccountState::Destroyed, 0),
            _ => (AccountState::Active, self.model.remaining()),
        }
    }
}

/// Two with the right password, which stay open, and a wrong one that is given up.
async fn three_attempts(target: &Target, whose: &AccountScope) -> anyhow::Result<[Login; 2]> {
    let logins = [target.log_in(whose).await?, target.log_in(whose).await?];
    let wrong = Guess::new(whose, "not the password");
    let started = target.start(&wrong).await?;
    let said = give_up(target, whose, &started.retrieval_ticket).await?;
    granted(said, "abandoning")?;
    Ok(logins)
}

fn charged_three_times(policy: &Policy) -> CounterModel {
    let mut model = CounterModel::new(policy.clone());
    for _ in 0..3 {
        model.charge();
    }
    model
}

async fn finish(
    target: &Target,
    whose: &AccountScope,
    message: &RetrievalFinish,
) -> anyhow::Result<Said<RetrievalFinished>> {
    target.ask(whose, "retrieval/finish", message).await
}

async fn give_up(
    target: &Target,
    whose: &AccountScope,
    ticket: &Ticket,
) -> anyhow::Result<Said<RetrievalAbandoned>> {
    target
        .ask(whose, "retrieval/abandon", &abandon(ticket))
        .await
}

fn altered(ticket: &Ticket, form: Form) -> Ticket {
    let mut ticket = ticket.clone();
    let middle = ticket.0.len() / 2;
    match form {
        Form::Whole => {}
        Form::BitFlipped => ticket.0[middle] ^= 0x10,
        Form::CutOff => ticket.0.truncate(middle),
    }
    ticket
}

fn counters(finished: &RetrievalFinished) -> (u64, u64) {
    (
        finished.failures_since_success,
        finished.failures_in_generation,
    )
}

fn text(status: &Status) -> anyhow::Result<String> {
    Ok(serde_json::to_string(status)?)
}
