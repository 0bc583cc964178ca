//! Messages lost, delayed, repeated, exchanged, broken, answered by the relay itself: whatever a
//! call of the library then says, it is no outcome that the vault did not decide, and as soon as the
//! relay behaves the user gets the key.

use anyhow::{Context, bail};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use vault_client::client::AttemptFailed;
use vault_client::error::Error;
use vault_protocol::messages::{AccountState, DestructionReason, RegistrationFinished};
use vault_protocol::{BackupKey, Policy, Problem, Timestamp};

use super::proxy::Mischief;
use super::{Arena, PASSWORD, Scene, WRONG, holds, new_key, password};
use crate::process_client::Client;
use crate::process_server::ServerOptions;

/// What the device is asked for while the relay is at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Enable,
    Retrieve,
    Guess,
    ChangePassword,
    Disable,
}

/// A call, and what happens to which of its messages.
#[derive(Clone, Debug)]
struct Plan {
    call: Call,
    after: usize,
    mischief: Mischief,
    /// To every message from there on.
    lasting: bool,
}

/// Returns how many calls were disturbed.
pub async fn changes_no_outcome(arena: &Arena) -> anyhow::Result<usize> {
    let scene = Scene::set(arena, ServerOptions::default().without_waits(10)).await?;
    let mut plans = every_plan()?;
    plans.shuffle(&mut StdRng::seed_from_u64(4));
    // What forges an outcome of a guess comes first: it is tried at every scale.
    plans.sort_by_key(|plan| !(plan.call == Call::Retrieve && plan.is_forged_destruction()));
    let count = arena.scaled(12, 80, plans.len());
    for (number, plan) in plans.iter().take(count).enumerate() {
        let account = format!("user-{number}");
        let tried = scene.carry_out(plan, &account).await;
        tried.with_context(|| format!("{plan:?}"))?;
    }
    Ok(count.min(plans.len()))
}

fn every_plan() -> anyhow::Result<Vec<Plan>> {
    let mischiefs = every_mischief()?;
    let calls = [
        Call::Enable,
        Call::Retrieve,
        Call::Guess,
        Call::ChangePassword,
        Call::Disable,
    ];
    let mut plans = Vec::new();
    for call in calls {
        for after in 0..3 {
            for mischief in &mischiefs {
                plans.extend([false, true].map(|lasting| Plan {
                    call,
                    after,
                    mischief: mischief.clone(),
                    lasting,
                }));
            }
        }
    }
    Ok(plans)
}

fn every_mischief() -> anyhow::Result<Vec<Mischief>> {
    let mut all = vec![
        Mischief::LoseRequest,
        Mischief::LoseAnswer,
        Mischief::Late,
        Mischief::TwiceFirst,
        Mischief::TwiceSecond,
        Mischief::Earlier(1),
        Mischief::Earlier(2),
        Mischief::EarlierAnswer(1),
        Mischief::EarlierAnswer(2),
        Mischief::OtherAccount,
        Mischief::OtherTenant,
        Mischief::BrokenRequest,
        Mischief::BrokenAnswer,
        Mischief::ShortAnswer,
    ];
    for problem in every_problem() {
        let body = serde_json::to_vec(&problem.details())?;
        all.push(Mischief::Says(problem.status(), body.clone()));
        all.push(Mischief::SaysAfter(problem.status(), body));
    }
    let success = serde_json::to_vec(&RegistrationFinished {
        generation: 1,
        policy: Policy::default(),
    })?;
    for status in [200, 201, 302, 404, 502] {
        all.push(Mischief::Says(status, success.clone()));
        all.push(Mischief::SaysAfter(status, success.clone()));
    }
    Ok(all)
}

fn every_problem() -> Vec<Problem> {
    let (destroyed_at, retry_at) = (Timestamp::from_millis(0), Timestamp::from_millis(1));
    vec![
        Problem::malformed(),
        Problem::AccountMismatch,
        Problem::OhttpKey,
        Problem::Unauthenticated,
        Problem::Forbidden,
        Problem::WrongPassword {
            attempts_remaining: 0,
            retry_at: Some(retry_at),
        },
        Problem::NotRegistered,
        Problem::AlreadyRegistered { generation: 1 },
        Problem::TicketExpired,
        Problem::Destroyed {
            destroyed_at,
            reason: DestructionReason::Exhausted,
            generation: 1,
        },
        Problem::TooLarge,
        Problem::Waiting { retry_at },
        Problem::Overloaded,
        Problem::Unavailable,
    ]
}

impl Plan {
    fn is_forged_destruction(&self) -> bool {
        matches!(&self.mischief, Mischief::Says(410, _))
    }
}

impl Scene {
    async fn carry_out(&self, plan: &Plan, account: &str) -> anyhow::Result<()> {
        self.relay.behave(account);
        let since = self.relay.seen().sent.len();
        let mut phone = self.device(account)?;
        let mut user = User {
            scene: self,
            account,
            phone: &mut phone,
            key: new_key(),
        };
        let wasted = match plan.call {
            Call::Enable => user.enables(plan).await?,
            Call::Retrieve => user.retrieves(plan).await?,
            Call::Guess => user.guesses(plan).await?,
            Call::ChangePassword => user.changes_the_password(plan).await?,
            Call::Disable => return user.disables(plan, since).await,
        };
        let generation = match plan.call {
            Call::ChangePassword => 2,
            _ => 1,
        };
        user.still_has_the_key(plan.password(), generation, wasted)
            .await?;
        // Each start that has ended is charged once when the relay sends it again: it could as well
        // guess itself. It gains nothing else by that.
        self.relay.replay(since).await;
        user.still_has_the_key(plan.password(), generation, wasted + 3)
            .await
    }
}

impl Plan {
    /// Which password counts at the end.
    fn password(&self) -> &'static str {
        match self.call {
            Call::ChangePassword => WRONG,
            _ => PASSWORD,
        }
    }
}

struct User<'a> {
    scene: &'a Scene,
    account: &'a str,
    phone: &'a mut Client,
    key: BackupKey,
}

impl User<'_> {
    async fn enables(&mut self, plan: &Plan) -> anyhow::Result<u64> {
        self.disturb(plan);
        self.registers(PASSWORD, false).await?;
        Ok(0)
    }

    async fn changes_the_password(&mut self, plan: &Plan) -> anyhow::Result<u64> {
        self.phone.enable(password(PASSWORD)?, &self.key).await?;
        self.disturb(plan);
        self.registers(WRONG, true).await?;
        Ok(0)
    }

    /// Both halves, each repeated when the relay behaves.
    async fn registers(&mut self, typed: &str, replaces: bool) -> anyhow::Result<()> {
        let current = replaces.then_some(&self.key);
        let prepared = match self
            .phone
            .prepare(password(typed)?, &self.key, current)
            .await
        {
            Ok(prepared) => prepared,
            Err(error) => {
                is_no_outcome(&error)?;
                self.behave();
                self.phone
                    .prepare(password(typed)?, &self.key, current)
                    .await?
            }
        };
        if let Err(error) = self.phone.commit(&prepared).await {
            is_no_outcome(&error)?;
            self.behave();
            self.phone.commit(&prepared).await?;
        }
        self.behave();
        Ok(())
    }

    /// With the right password: one attempt, whatever happens to its messages.
    async fn retrieves(&mut self, plan: &Plan) -> anyhow::Result<u64> {
        self.phone.enable(password(PASSWORD)?, &self.key).await?;
        self.disturb(plan);
        let begun = self.phone.begin(password(PASSWORD)?).await;
        let attempt = match begun {
            Ok(attempt) => attempt,
            Err(error) => {
                is_no_outcome(&error)?;
                self.behave();
                self.phone.begin(password(PASSWORD)?).await?
            }
        };
        let failed = match self.phone.run(attempt).await {
            Ok(retrieved) => return self.is_the_key(&retrieved.key).map(|()| 0),
            Err(failed) => failed,
        };
        is_no_outcome(&failed.error)?;
        self.behave();
        let AttemptFailed { attempt, .. } = failed;
        let Some(attempt) = attempt else {
            // It has ended, by the vault's own word.
            return Ok(1);
        };
        let retrieved = self
            .phone
            .run(attempt)
            .await
            .map_err(|failed| failed.error)?;
        self.is_the_key(&retrieved.key)?;
        Ok(0)
    }

    /// With a wrong one: the user is told so, or knows nothing.
    async fn guesses(&mut self, plan: &Plan) -> anyhow::Result<u64> {
        self.phone.enable(password(PASSWORD)?, &self.key).await?;
        self.disturb(plan);
        match self.phone.retrieve(password(WRONG)?).await {
            Ok(_) => bail!("a wrong password gave a key"),
            Err(Error::WrongPassword {
                attempts_remaining,
                state,
                ..
            }) => {
                let is_right = attempts_remaining == 9 && state != Some(AccountState::Destroyed);
                holds(is_right, || {
                    format!("{attempts_remaining} attempts, {state:?}")
                })?;
            }
            Err(error) => is_no_outcome(&error)?,
        }
        self.behave();
        Ok(1)
    }

    /// And what is destroyed stays so, whatever is sent again.
    async fn disables(&mut self, plan: &Plan, since: usize) -> anyhow::Result<()> {
        self.phone.enable(password(PASSWORD)?, &self.key).await?;
        self.disturb(plan);
        if let Err(error) = self.phone.disable(&self.key).await {
            is_no_outcome(&error)?;
            self.behave();
            self.phone.disable(&self.key).await?;
        }
        self.behave();
        self.scene.relay.replay(since).await;
        let status = self.phone.status().await?;
        let is_gone = status.state == AccountState::Destroyed && status.generation == 1;
        Ok(holds(is_gone, || {
            let (state, generation) = (status.state, status.generation);
            format!("generation {generation} is {state:?} after it was disabled")
        })?)
    }

    /// With no more charged than these, and nothing registered that nobody asked for.
    async fn still_has_the_key(
        &mut self,
        typed: &str,
        generation: u64,
        wasted: u64,
    ) -> anyhow::Result<()> {
        self.behave();
        let said = self.phone.retrieve(password(typed)?).await;
        let retrieved = match said {
            Ok(retrieved) => retrieved,
            Err(error) => return Ok(holds(false, || format!("the key is lost: {error:?}"))?),
        };
        self.is_the_key(&retrieved.key)?;
        let failures = retrieved.failures_in_generation;
        holds(failures <= wasted, || {
            format!("{failures} attempts were used up, {wasted} may be")
        })?;
        let now = self.phone.status().await?.generation;
        holds(now == generation, || {
            format!("the record has generation {now} instead of {generation}")
        })?;
        Ok(())
    }

    fn is_the_key(&self, key: &BackupKey) -> anyhow::Result<()> {
        let is_same = key.is_same(&self.key);
        Ok(holds(is_same, || "another key came back".to_owned())?)
    }

    fn disturb(&self, plan: &Plan) {
        let mischief = plan.mischief.clone();
        self.scene.relay.plan(plan.after, mischief, plan.lasting);
    }

    fn behave(&self) {
        self.scene.relay.behave(self.account);
    }
}

/// A relay can keep an answer away, and no more: what it does is nothing that the vault decided.
fn is_no_outcome(error: &Error) -> anyhow::Result<()> {
    let is_none = match error {
        Error::Refused(_) | Error::Overloaded | Error::Network(_) | Error::UnknownOutcome(_) => {
            true
        }
        Error::WrongPassword { .. }
        | Error::Waiting { .. }
        | Error::Destroyed { .. }
        | Error::NotRegistered
        | Error::AlreadyRegistered { .. }
        | Error::StatementRefused(_)
        | Error::ForeignVault
        | Error::PolicyTooLoose { .. }
        | Error::UnsupportedStretching(_)
        | Error::DamagedRecord
        | Error::NotThisKey
        | Error::TicketExpired
        | Error::Unavailable
        | Error::NoUsableKey(_)
        | Error::NotUnderstood => false,
    };
    Ok(holds(is_none, || {
        format!("taken for an outcome: {error:?}")
    })?)
}
