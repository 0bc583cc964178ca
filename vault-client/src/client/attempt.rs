//! One guess: it is kept between one sending and the next, and never becomes a second one.

use std::fmt;

use rand::rngs::OsRng;
use vault_protocol::Timestamp;
use vault_protocol::password::Password;

use super::off_thread::off_thread;
use super::sending::Sending;
use super::vault_client::VaultClient;
use crate::error::Error;
use crate::flows::{EvaluatedRetrieval, Opening, ProvenRetrieval, Retrieval, Retrieved};
use crate::transport::Transport;

/// One guess on its way. Whatever happens to the connection, it is charged once at most; it can be
/// run again for 10 minutes.
pub struct Attempt {
    step: Step,
    /// When the credential request was first sent, if it may have arrived.
    sent_at: Option<Timestamp>,
}

enum Step {
    Begun(Box<Retrieval>),
    Proven(Box<ProvenRetrieval>),
}

/// An attempt that ended without the key.
#[derive(Debug, thiserror::Error)]
#[error("the backup key could not be retrieved")]
pub struct AttemptFailed {
    /// Why.
    #[source]
    pub error: Error,
    /// If the vault did not answer, or could not for now ([`Error::Overloaded`],
    /// [`Error::Unavailable`]): the same attempt, for [`VaultClient::run`] a little later.
    pub attempt: Option<Attempt>,
}

impl<T: Transport> VaultClient<T> {
    /// Prepares a guess: checks statement, status, stretching and policy. Charges nothing.
    pub async fn begin(&mut self, password: Password) -> Result<Attempt, Error> {
        let account = self.vault_account().await?;
        let status = self.status_of(account.clone()).await?;
        let maximum = self.maximum_policy();
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

    /// Sends the credential request, and finds out whether the password is right.
    async fn guess(
        &mut self,
        retrieval: Box<Retrieval>,
        sent_at: Option<Timestamp>,
    ) -> Result<Box<ProvenRetrieval>, AttemptFailed> {
        let request = retrieval.request();
        let mut sending = Sending::of_guess(&request, self.pauses(), sent_at);
        let evaluated = match self.call_while(&request, &mut sending).await {
            Ok(answer) => retrieval.evaluated(&answer)?,
            Err(error @ Error::TicketExpired) => return Err(error.into()),
            Err(error) => {
                let sent_at = sent_at.or(sending.sent_at().filter(|_| may_have_arrived(&error)));
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
                let request = abandonment.request();
                let mut sending = Sending::once(&request);
                let answer = self.call_while(&request, &mut sending).await.ok();
                Err(abandonment.outcome(answer.as_ref()))
            }
        }
    }
}

impl Attempt {
    /// Whether the vault may have charged it. If so and it is given up, an attempt may be used up.
    pub fn may_be_charged(&self) -> bool {
        self.sent_at.is_some() || matches!(self.step, Step::Proven(_))
    }
}

impl AttemptFailed {
    /// Whether the vault may have charged an attempt whose outcome is unknown. Running
    /// [`Self::attempt`] again costs no other one; another guess does.
    pub fn may_be_charged(&self) -> bool {
        match &self.attempt {
            Some(attempt) => attempt.may_be_charged(),
            None => matches!(self.error, Error::UnknownOutcome(_) | Error::TicketExpired),
        }
    }

    fn unanswered(error: Error, attempt: Attempt) -> Self {
        Self {
            error,
            attempt: Some(attempt),
        }
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attempt(…)")
    }
}

/// An answer of the vault, or a check that failed, ends the attempt.
impl From<Error> for AttemptFailed {
    fn from(error: Error) -> Self {
        Self {
            error,
            attempt: None,
        }
    }
}

/// Whether a call that ended so may have reached the vault.
fn may_have_arrived(error: &Error) -> bool {
    matches!(
        error,
        Error::UnknownOutcome(_) | Error::Overloaded | Error::Unavailable
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::NoAnswer;

    // Fails if `may_be_charged` takes an attempt that took too long for one that was not made.
    #[test]
    fn a_guess_that_took_too_long_may_have_cost_an_attempt() {
        for error in [
            Error::TicketExpired,
            Error::UnknownOutcome(NoAnswer::NotSealed),
        ] {
            assert!(AttemptFailed::from(error).may_be_charged());
        }
        assert!(!AttemptFailed::from(Error::NotRegistered).may_be_charged());
    }
}
