//! [`VaultClient`]: the flows over a [`Transport`], with the repeats that are safe and no others.
//!
//! A call whose answer was lost is sent again with identical bytes, sealed anew, at most
//! [`MAX_REPEATS`] times; what is said outside the seal is no answer to it. A guess is never
//! repeated with another credential request, and nothing is registered that was not asked for.

mod attempt;
mod removal;

use rand::rngs::OsRng;
use vault_protocol::messages::Status;
use vault_protocol::password::Password;
use vault_protocol::{AccountId, BackupKey, Policy, TenantId, Timestamp};

pub use self::attempt::{Attempt, AttemptFailed};

use self::attempt::{Resending, Step};
use crate::call::{InnerAnswer, InnerCall};
use crate::error::{Error, NoAnswer, Refusal};
use crate::flows::{
    EvaluatedRetrieval, Opening, PreparedRegistration, ProvenRetrieval, Registered, Registration,
    Retrieval, Retrieved, StatusQuery, check_registrable,
};
use crate::outer::OuterProblem;
use crate::protection::{Enrolled, Protection};
use crate::transport::Transport;
use crate::trust::{Trust, TrustMemory, VaultAccount, VerifiedVault};

/// How often a call whose answer was lost is sent again.
pub const MAX_REPEATS: u32 = 2;

/// Tells the time, for the statement's expiry and an attempt's age; `http::system_clock` in an app.
pub type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;

/// One account at one vault.
pub struct VaultClient<T> {
    transport: T,
    trust: Trust,
    tenant: TenantId,
    account: AccountId,
    clock: Clock,
    maximum_policy: Policy,
    vault: Option<VerifiedVault>,
    /// The generation of a deletion of which it is unknown whether it was granted.
    deleting: Option<u64>,
}

/// One sending that brought no inner answer.
enum Failed {
    /// The vault does not have the key that the message was sealed to.
    UnknownKey,
    /// The message may have arrived.
    Lost(NoAnswer),
    /// Something outside the seal says that it was refused, which a repeat would not change.
    Refused(NoAnswer, Error),
    /// It was not even sent.
    Stopped(Error),
    /// It was not sent again: the vault could charge it as another attempt by now.
    Stale,
}

impl<T: Transport> VaultClient<T> {
    /// A client of the account `account` of the app `tenant`.
    pub fn new(
        transport: T,
        trust: Trust,
        tenant: TenantId,
        account: AccountId,
        clock: Clock,
    ) -> Self {
        Self {
            transport,
            trust,
            tenant,
            account,
            clock,
            maximum_policy: Policy::default(),
            vault: None,
            deleting: None,
        }
    }

    /// Accepts policies with limits up to these. The default is [`Policy::default`]'s: 10 failures
    /// in a row and 100 in all.
    #[must_use]
    pub fn with_maximum_policy(mut self, maximum: Policy) -> Self {
        self.maximum_policy = maximum;
        self
    }

    /// What to store of the vault's newest statement: after any call, also one that failed.
    pub fn trust_memory(&self) -> Option<TrustMemory> {
        self.trust.memory()
    }

    /// The account's status. Costs nothing.
    pub async fn status(&mut self) -> Result<Status, Error> {
        let account = self.vault_account().await?;
        self.status_of(account).await
    }

    /// Protects K with a password, where there is no live record: [`Error::AlreadyRegistered`]
    /// otherwise. The caller keeps K; it is in no answer. A destroyed record is no obstacle: ask the
    /// user first, whose decision it is, and for another password if it was exhausted.
    ///
    /// After [`Error::UnknownOutcome`] or [`Error::Unavailable`] the finish that could be repeated is
    /// gone: the record may be live, and calling this again then says [`Error::AlreadyRegistered`].
    /// Use [`Self::prepare`] and [`Self::commit`] where the network may fail.
    pub async fn enable(
        &mut self,
        password: Password,
        key: &BackupKey,
    ) -> Result<Registered, Error> {
        let prepared = self.prepare(password, key, None).await?;
        self.commit(&prepared).await
    }

    /// Gives the live record of K another password; K stays the same. Refuses where there is no
    /// live record: registering anew is the user's decision.
    ///
    /// After [`Error::UnknownOutcome`] or [`Error::Unavailable`] either password may be the one that
    /// counts, until the change is made again. Use [`Self::prepare`] and [`Self::commit`] where the
    /// network may fail.
    pub async fn change_password(
        &mut self,
        password: Password,
        key: &BackupKey,
    ) -> Result<Registered, Error> {
        let prepared = self.prepare(password, key, Some(key)).await?;
        self.commit(&prepared).await
    }

    /// The first half of a registration; nothing is replaced yet. `current` is the key of the live
    /// record that is to be replaced, `None` where there is none. When K changes, store the backup
    /// under the new K before [`Self::commit`].
    pub async fn prepare(
        &mut self,
        password: Password,
        key: &BackupKey,
        current: Option<&BackupKey>,
    ) -> Result<PreparedRegistration, Error> {
        let account = self.vault_account().await?;
        let status = self.status_of(account.clone()).await?;
        check_registrable(&status, current.is_some())?;
        let registration = Registration::begin(account, password, &mut OsRng);
        let answer = self.call(&registration.request()).await?;
        let evaluated = registration.evaluated(&answer, &self.maximum_policy)?;
        let stretching = off_thread(move || evaluated.stretch(&mut OsRng)).await;
        let stretched = stretching.map_err(Error::Network)??;
        Ok(stretched.seal(key, current, &mut OsRng))
    }

    /// The second half. After [`Error::UnknownOutcome`], [`Error::Overloaded`] or
    /// [`Error::Unavailable`] call it again with the same `prepared`, and do nothing else: the vault
    /// answers the identical finish as it did the first time.
    pub async fn commit(&mut self, prepared: &PreparedRegistration) -> Result<Registered, Error> {
        let answer = self.call(&prepared.request()).await?;
        prepared.finished(&answer)
    }

    /// Retrieves K: [`Self::begin`] and [`Self::run`]. The password is tried once.
    ///
    /// After [`Error::UnknownOutcome`], [`Error::Overloaded`] or [`Error::Unavailable`] an attempt
    /// may be used up, and calling this again uses another. `begin` and `run` keep the attempt.
    pub async fn retrieve(&mut self, password: Password) -> Result<Retrieved, Error> {
        let attempt = self.begin(password).await?;
        self.run(attempt).await.map_err(|failed| failed.error)
    }

    /// Prepares a guess: checks statement, status, stretching and policy. Charges nothing.
    pub async fn begin(&mut self, password: Password) -> Result<Attempt, Error> {
        let account = self.vault_account().await?;
        let status = self.status_of(account.clone()).await?;
        let maximum = &self.maximum_policy;
        let retrieval = Retrieval::begin(account, &status, maximum, password, &mut OsRng)?;
        Ok(Attempt {
            step: Step::Begun(Box::new(retrieval)),
            sent_at: None,
        })
    }

    /// Makes the guess. If the vault does not answer, or cannot for now, the attempt comes back with
    /// the error, and running it again goes on where it stopped: within 10 minutes, after which it
    /// ends with [`Error::TicketExpired`].
    pub async fn run(&mut self, attempt: Attempt) -> Result<Retrieved, AttemptFailed> {
        let sent_at = attempt.sent_at;
        let proven = match attempt.step {
            Step::Proven(proven) => proven,
            Step::Begun(retrieval) => self.guess(retrieval, sent_at).await?,
        };
        match self.call(&proven.request()).await {
            Ok(answer) => Ok(proven.finished(&answer)?),
            Err(error) => {
                let step = Step::Proven(proven);
                Err(AttemptFailed::unanswered(error, Attempt { step, sent_at }))
            }
        }
    }

    /// Whether the key that was registered as `enrolled` is still protected. Costs nothing; ask
    /// once a day or so on a device that holds K.
    pub async fn check(&mut self, enrolled: &Enrolled) -> Result<Protection, Error> {
        let account = self.vault_account().await?;
        let scope = account.scope().clone();
        let status = self.status_of(account).await?;
        Ok(enrolled.compare(&scope, &status, &self.maximum_policy))
    }

    /// Sends the credential request, and finds out whether the password is right.
    async fn guess(
        &mut self,
        retrieval: Box<Retrieval>,
        sent_at: Option<Timestamp>,
    ) -> Result<Box<ProvenRetrieval>, AttemptFailed> {
        let mut resending = Resending::while_charged_once(sent_at);
        let answer = self.call_while(&retrieval.request(), &mut resending).await;
        let evaluated = match answer {
            Ok(answer) => retrieval.evaluated(&answer)?,
            Err(error @ Error::TicketExpired) => return Err(error.into()),
            Err(error) => {
                let sent_at = sent_at.or(resending.sent_at.filter(|_| may_have_arrived(&error)));
                let step = Step::Begun(retrieval);
                return Err(AttemptFailed::unanswered(error, Attempt { step, sent_at }));
            }
        };
        Ok(Box::new(self.open(evaluated).await?))
    }

    async fn open(&mut self, evaluated: EvaluatedRetrieval) -> Result<ProvenRetrieval, Error> {
        let opening = off_thread(move || evaluated.open(&mut OsRng)).await;
        match opening.map_err(Error::UnknownOutcome)?? {
            Opening::Right(proven) => Ok(*proven),
            Opening::Wrong(abandonment) => {
                // The guess was wrong, whether or not the vault hears of it now: sent once, for the
                // user waits to be told.
                let sending = &mut Resending::unlimited();
                let answer = self.send(&abandonment.request(), sending).await.ok();
                Err(abandonment.outcome(answer.as_ref()))
            }
        }
    }

    async fn status_of(&mut self, account: VaultAccount) -> Result<Status, Error> {
        let query = StatusQuery::new(account);
        let answer = self.call(&query.request()).await?;
        query.answered(&answer)
    }

    async fn vault_account(&mut self) -> Result<VaultAccount, Error> {
        let (tenant, account) = (self.tenant.clone(), self.account.clone());
        let vault = self.verified_vault().await?;
        Ok(vault.account(&tenant, &account))
    }

    /// The vault whose statement was believed and has not expired, or else a newly fetched one.
    async fn verified_vault(&mut self) -> Result<&VerifiedVault, Error> {
        let now = (self.clock)();
        let vault = match self.vault.take().filter(|vault| vault.is_current(now)) {
            Some(vault) => vault,
            None => self.fetch_statement().await?,
        };
        Ok(self.vault.insert(vault))
    }

    async fn fetch_statement(&mut self) -> Result<VerifiedVault, Error> {
        let answer = self.transport.statement().await.map_err(Error::Network)?;
        let body = answer.into_content().map_err(|problem| match problem {
            OuterProblem::Refused(refusal) => Error::Refused(refusal),
            OuterProblem::Overloaded => Error::Overloaded,
            OuterProblem::UnknownKey => Error::NotUnderstood,
            OuterProblem::Failed(status) => Error::Network(NoAnswer::Status(status)),
        })?;
        self.trust.accept(&body, (self.clock)())
    }

    async fn call(&mut self, call: &InnerCall) -> Result<InnerAnswer, Error> {
        self.call_while(call, &mut Resending::unlimited()).await
    }

    /// Sends a call until it is answered, within bounds. After an unknown key the statement is
    /// fetched again, once. An error means that there is no answer of the vault to this call, or
    /// none but that it cannot be answered now.
    async fn call_while(
        &mut self,
        call: &InnerCall,
        resending: &mut Resending,
    ) -> Result<InnerAnswer, Error> {
        let mut lost = None;
        let mut repeats = 0;
        let mut may_fetch_keys = true;
        loop {
            let error = match self.send(call, resending).await {
                Ok(answer) => match answer.no_outcome() {
                    None => return Ok(answer),
                    // By the vault, but at the relay's word.
                    Some(Error::Refused(refusal)) if call.has_effect() => {
                        return Err(Error::UnknownOutcome(NoAnswer::Refused(refusal)));
                    }
                    Some(error) => error,
                },
                Err(Failed::UnknownKey) if may_fetch_keys => {
                    may_fetch_keys = false;
                    self.vault = None;
                    lost = Some(NoAnswer::UnknownKey)
                        .filter(|_| call.has_effect())
                        .or(lost);
                    continue;
                }
                Err(Failed::Lost(reason)) if repeats < MAX_REPEATS => {
                    repeats += 1;
                    lost = Some(reason);
                    continue;
                }
                Err(Failed::Lost(reason)) => return Err(unknown_outcome(call, reason)),
                Err(Failed::Stale) => return Err(Error::TicketExpired),
                Err(Failed::UnknownKey) => {
                    return Err(unknown_outcome(call, NoAnswer::UnknownKey));
                }
                Err(Failed::Refused(reason, _)) if call.has_effect() => {
                    return Err(Error::UnknownOutcome(reason));
                }
                Err(Failed::Refused(_, error) | Failed::Stopped(error)) => error,
            };
            // Once a sending may have arrived, nothing unsealed makes its outcome known; nor does
            // the vault, by not doing it a second time.
            return Err(match lost {
                Some(reason) => after_a_loss(call, reason, error),
                None => error,
            });
        }
    }

    async fn send(
        &mut self,
        call: &InnerCall,
        resending: &mut Resending,
    ) -> Result<InnerAnswer, Failed> {
        let now = (self.clock)();
        let vault = self.verified_vault().await.map_err(Failed::Stopped)?;
        let (message, key) = vault.seal(call, now).map_err(Failed::Stopped)?;
        // After everything that can take long: a device may have slept since the last sending.
        if !resending.allows((self.clock)()) {
            return Err(Failed::Stale);
        }
        let sent = self.transport.post_sealed(message).await;
        let answer = sent.map_err(|reason| match reason {
            NoAnswer::Unreachable(_) => Failed::Stopped(Error::Network(reason)),
            NoAnswer::Lost(_)
            | NoAnswer::TooLarge
            | NoAnswer::Status(_)
            | NoAnswer::NotSealed
            | NoAnswer::Refused(_)
            | NoAnswer::Overloaded
            | NoAnswer::UnknownKey
            | NoAnswer::StatementRefused(_) => Failed::Lost(reason),
        })?;
        let content = answer.into_content();
        // Perhaps the vault was made anew, with other keys of the same ids: ask before the next one.
        if matches!(content, Err(OuterProblem::Refused(Refusal::Status(400)))) {
            self.vault = None;
        }
        let sealed = content.map_err(|problem| match problem {
            OuterProblem::UnknownKey => Failed::UnknownKey,
            OuterProblem::Refused(refusal) => {
                Failed::Refused(NoAnswer::Refused(refusal), Error::Refused(refusal))
            }
            OuterProblem::Overloaded => Failed::Refused(NoAnswer::Overloaded, Error::Overloaded),
            OuterProblem::Failed(status) => Failed::Lost(NoAnswer::Status(status)),
        })?;
        key.open(&sealed).map_err(Failed::Lost)
    }
}

/// A call that may have arrived, and whose answer did not. A question has no outcome to lose.
fn unknown_outcome(call: &InnerCall, reason: NoAnswer) -> Error {
    if call.has_effect() {
        Error::UnknownOutcome(reason)
    } else {
        Error::Network(reason)
    }
}

/// The same when the repetition ended with `error`. A statement that is refused is an alarm, which
/// must be heard although something else is unknown.
fn after_a_loss(call: &InnerCall, reason: NoAnswer, error: Error) -> Error {
    match error {
        Error::StatementRefused(refused) if call.has_effect() => {
            Error::UnknownOutcome(NoAnswer::StatementRefused(refused))
        }
        Error::StatementRefused(_) => error,
        _ => unknown_outcome(call, reason),
    }
}

/// Whether a call that ended so may have reached the vault.
fn may_have_arrived(error: &Error) -> bool {
    matches!(
        error,
        Error::UnknownOutcome(_) | Error::Overloaded | Error::Unavailable
    )
}

/// Argon2id takes a good part of a second: not on the threads that serve everything else.
async fn off_thread<R: Send + 'static>(
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, NoAnswer> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down.
            Err(cancelled) => Err(NoAnswer::Lost(cancelled.into())),
        },
    }
}
