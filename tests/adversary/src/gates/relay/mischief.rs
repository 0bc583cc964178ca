//! Messages lost, delayed, repeated, exchanged, broken, answered by the relay itself: whatever a
//! call of the library then says, it is no outcome that the vault did not decide, and as soon as the
//! relay behaves the user gets the key.

use std::thread::available_parallelism;
use vault_tests::process::one_call::OneCall as _;

use anyhow::{Context, bail, ensure};
use tokio::task::JoinSet;
use vault_client::client::AttemptFailed;
use vault_client::error::Error;
use vault_client::flows::Retrieved;
use vault_protocol::BackupKey;
use vault_protocol::messages::AccountState;
use vault_tests::process::client::Client;
use vault_tests::process::server::ServerOptions;

use super::plans::{CALLS, Call, Plan, plans};
use super::scene::{PASSWORD, Scene, WRONG, new_key, password};
use crate::gate::{GateContext, holds};

/// Failures in a row that destroy a record.
const LIMIT: usize = 10;

/// Relays at work at the same time: two for a processor, since each waits for its vault's disk now and
/// then, and no more than there is memory for, in which their devices stretch passwords.
const MOST_RELAYS: usize = 8;

/// Returns how many calls were disturbed.
pub async fn changes_no_outcome(context: &GateContext) -> anyhow::Result<usize> {
    let plans = plans(context, &every_place(context).await?)?;
    let count = plans.len();
    let relays = available_parallelism().map_or(1, usize::from);
    let relays = (2 * relays).min(MOST_RELAYS);
    let mut at_work = JoinSet::new();
    for number in 0..relays {
        let plans = plans.iter().skip(number).step_by(relays);
        at_work.spawn(carry_out(context.clone(), plans.cloned().collect()));
    }
    while let Some(done) = at_work.join_next().await {
        done??;
    }
    Ok(count)
}

/// One after the other, with a vault and a relay of their own.
async fn carry_out(context: GateContext, plans: Vec<Plan>) -> anyhow::Result<()> {
    let scene = Scene::set_for_mischief(&context).await?;
    for (number, plan) in plans.iter().enumerate() {
        let account = format!("user-{number}");
        let tried = scene.carry_out(plan, &account).await;
        tried.with_context(|| format!("{plan:?}"))?;
    }
    Ok(())
}

/// Every message of every call: the call, and how many messages come before. They are counted, so
/// that no plan waits for a message that a call does not have.
async fn every_place(context: &GateContext) -> anyhow::Result<Vec<(Call, usize)>> {
    let scene = Scene::set_for_mischief(context).await?;
    let mut places = Vec::new();
    for call in CALLS {
        let messages = scene.messages_of(call).await?;
        ensure!(messages > 0, "{call:?} asks nothing");
        places.extend((0..messages).map(|after| (call, after)));
    }
    Ok(places)
}

impl Scene {
    async fn set_for_mischief(context: &GateContext) -> anyhow::Result<Self> {
        let options = ServerOptions::default().without_waits(LIMIT);
        let scene = Self::set(context, options).await?;
        // Messages and answers that could come instead of the first plan's.
        scene.relay.behave("earlier-user");
        let mut phone = scene.device("earlier-user")?;
        phone.enable(password(PASSWORD)?, &new_key()).await?;
        Ok(scene)
    }

    /// The number of messages of a call that is not disturbed.
    async fn messages_of(&self, call: Call) -> anyhow::Result<usize> {
        let account = format!("undisturbed-{call:?}");
        let mut phone = self.device(&account)?;
        let mut user = User::new(self, &account, &mut phone, None);
        user.calls(call).await?;
        Ok(self.relay.seen().sent.len() - user.begun)
    }

    async fn carry_out(&self, plan: &Plan, account: &str) -> anyhow::Result<()> {
        let since = self.relay.seen().sent.len();
        let mut phone = self.device(account)?;
        let mut user = User::new(self, account, &mut phone, Some(plan));
        let came = user.calls(plan.call).await?;
        user.got_what_was_asked(plan.call, &came).await?;
        let has_done_it = self.relay.has_done_it();
        ensure!(has_done_it, "the relay did nothing to any message");
        self.relay.replay(since).await;
        user.keeps_it(plan.call, &came).await
    }
}

/// The outcome of a call.
#[derive(Default)]
struct Came {
    /// Attempts that it used up.
    wasted: u64,
    retrieved: Option<Retrieved>,
}

impl Came {
    fn with(retrieved: Retrieved) -> Self {
        Self {
            retrieved: Some(retrieved),
            ..Self::default()
        }
    }

    fn wasting(wasted: u64) -> Self {
        Self {
            wasted,
            ..Self::default()
        }
    }
}

struct User<'a> {
    scene: &'a Scene,
    account: &'a str,
    phone: &'a mut Client,
    key: BackupKey,
    plan: Option<&'a Plan>,
    /// So many messages had been sent when the relay began.
    begun: usize,
}

impl<'a> User<'a> {
    /// A device that the relay leaves alone until it is told to begin.
    fn new(
        scene: &'a Scene,
        account: &'a str,
        phone: &'a mut Client,
        plan: Option<&'a Plan>,
    ) -> Self {
        scene.relay.behave(account);
        let key = new_key();
        let begun = 0;
        Self {
            scene,
            account,
            phone,
            key,
            plan,
            begun,
        }
    }

    /// The relay is at it in the meantime, and behaves afterwards.
    async fn calls(&mut self, call: Call) -> anyhow::Result<Came> {
        let came = match call {
            Call::Enable => self.enables().await?,
            Call::Retrieve => self.retrieves().await?,
            Call::Guess => self.guesses().await?,
            Call::ChangePassword => self.changes_the_password().await?,
            Call::Disable => self.disables().await?,
        };
        self.behave();
        Ok(came)
    }

    async fn got_what_was_asked(&mut self, call: Call, came: &Came) -> anyhow::Result<()> {
        match (call, &came.retrieved) {
            // The key itself is retrieved later: nothing that was sent can make another of it.
            (Call::Enable, _) => self.has_a_new_record(1).await,
            (Call::ChangePassword, _) => self.has_a_new_record(2).await,
            (Call::Disable, _) => self.has_no_record().await,
            (Call::Retrieve | Call::Guess, Some(retrieved)) => {
                self.has_it_for(retrieved, came.wasted)?;
                self.is_at_generation(1).await
            }
            (Call::Retrieve | Call::Guess, None) => {
                self.still_has_the_key(PASSWORD, 1, came.wasted).await
            }
        }
    }

    /// When the relay has sent everything again. Each start that has ended is charged once by that:
    /// it could as well guess itself. It gains nothing else.
    async fn keeps_it(&mut self, call: Call, came: &Came) -> anyhow::Result<()> {
        let wasted = came.wasted + 3;
        match call {
            Call::Enable => self.still_has_the_key(PASSWORD, 1, 0).await,
            Call::ChangePassword => self.still_has_the_key(WRONG, 2, 0).await,
            Call::Retrieve | Call::Guess => self.still_has_the_key(PASSWORD, 1, wasted).await,
            Call::Disable => self.has_no_record().await,
        }
    }

    async fn enables(&mut self) -> anyhow::Result<Came> {
        self.disturb();
        self.registers(PASSWORD, false).await?;
        Ok(Came::default())
    }

    async fn changes_the_password(&mut self) -> anyhow::Result<Came> {
        self.phone.enable(password(PASSWORD)?, &self.key).await?;
        self.disturb();
        self.registers(WRONG, true).await?;
        Ok(Came::default())
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
        Ok(())
    }

    /// With the right password: one attempt, whatever happens to its messages.
    async fn retrieves(&mut self) -> anyhow::Result<Came> {
        self.phone.enable(password(PASSWORD)?, &self.key).await?;
        self.disturb();
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
            Ok(retrieved) => return Ok(Came::with(retrieved)),
            Err(failed) => failed,
        };
        is_no_outcome(&failed.error)?;
        self.behave();
        let AttemptFailed { attempt, .. } = failed;
        let Some(attempt) = attempt else {
            // It has ended, by the vault's own word.
            return Ok(Came::wasting(1));
        };
        let retrieved = self
            .phone
            .run(attempt)
            .await
            .map_err(|failed| failed.error)?;
        Ok(Came::with(retrieved))
    }

    /// With a wrong one: the user is told so, or knows nothing.
    async fn guesses(&mut self) -> anyhow::Result<Came> {
        self.phone.enable(password(PASSWORD)?, &self.key).await?;
        self.disturb();
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
        Ok(Came::wasting(1))
    }

    async fn disables(&mut self) -> anyhow::Result<Came> {
        self.phone.enable(password(PASSWORD)?, &self.key).await?;
        self.disturb();
        if let Err(error) = self.phone.disable(&self.key).await {
            is_no_outcome(&error)?;
            self.behave();
            self.phone.disable(&self.key).await?;
        }
        Ok(Came::default())
    }

    async fn has_a_new_record(&mut self, generation: u64) -> anyhow::Result<()> {
        let status = self.phone.status().await?;
        let (state, left) = (status.state, status.attempts_remaining);
        holds(
            state == AccountState::Active && left == LIMIT as u64,
            || format!("the new record is {state:?}, {left} attempts left"),
        )?;
        self.is_at_generation(generation).await
    }

    /// A destroyed record stays so, whatever is sent again.
    async fn has_no_record(&mut self) -> anyhow::Result<()> {
        let status = self.phone.status().await?;
        let (state, generation) = (status.state, status.generation);
        let is_gone = state == AccountState::Destroyed && generation == 1;
        Ok(holds(is_gone, || {
            format!("generation {generation} is {state:?} after it was disabled")
        })?)
    }

    /// No more is charged than these, and nothing is registered without a request.
    async fn still_has_the_key(
        &mut self,
        typed: &str,
        generation: u64,
        wasted: u64,
    ) -> anyhow::Result<()> {
        let said = self.phone.retrieve(password(typed)?).await;
        let retrieved = match said {
            Ok(retrieved) => retrieved,
            Err(error) => return Ok(holds(false, || format!("the key is lost: {error:?}"))?),
        };
        self.has_it_for(&retrieved, wasted)?;
        self.is_at_generation(generation).await
    }

    fn has_it_for(&self, retrieved: &Retrieved, wasted: u64) -> anyhow::Result<()> {
        self.is_the_key(&retrieved.key)?;
        let failures = retrieved.failures_in_generation;
        Ok(holds(failures <= wasted, || {
            format!("{failures} attempts were used up, {wasted} may be")
        })?)
    }

    async fn is_at_generation(&mut self, generation: u64) -> anyhow::Result<()> {
        let now = self.phone.status().await?.generation;
        Ok(holds(now == generation, || {
            format!("the record has generation {now} instead of {generation}")
        })?)
    }

    fn is_the_key(&self, key: &BackupKey) -> anyhow::Result<()> {
        let is_same = key.is_same(&self.key);
        Ok(holds(is_same, || "another key came back".to_owned())?)
    }

    fn disturb(&mut self) {
        self.begun = self.scene.relay.seen().sent.len();
        if let Some(plan) = self.plan {
            let mischief = plan.mischief.clone();
            self.scene.relay.plan(plan.after, mischief, plan.lasting);
        }
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
