//! Calls over the sealed channel, each sent until it is answered or [`Sending`] says that it ends.

use super::sending::{Failed, Sending};
use super::vault_client::VaultClient;
use crate::call::{InnerAnswer, InnerCall};
use crate::error::{Error, NoAnswer, Refusal};
use crate::outer::OuterProblem;
use crate::transport::Transport;
use crate::trust::VerifiedVault;

impl<T: Transport> VaultClient<T> {
    pub(super) async fn call(&mut self, call: &InnerCall) -> Result<InnerAnswer, Error> {
        let mut sending = Sending::new(call, self.pauses());
        self.call_while(call, &mut sending).await
    }

    /// Sends a call until it is answered. An error means that there is no answer of the vault to this
    /// call, or none but that it cannot be answered now.
    pub(super) async fn call_while(
        &mut self,
        call: &InnerCall,
        sending: &mut Sending,
    ) -> Result<InnerAnswer, Error> {
        loop {
            let failed = match self.send(call, sending).await {
                Ok(answer) => match answer.no_outcome() {
                    None => return Ok(answer),
                    Some(error) => Failed::Undecided(error),
                },
                Err(failed) => failed,
            };
            let pause = sending.after(failed)?;
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// The vault whose statement was believed and has not expired, or else a newly fetched one.
    pub(super) async fn verified_vault(&mut self) -> Result<&VerifiedVault, Error> {
        let now = (self.clock)();
        let vault = match self.vault.take().filter(|vault| vault.is_current(now)) {
            Some(vault) => vault,
            None => self.fetch_statement().await?,
        };
        Ok(self.vault.insert(vault))
    }

    async fn fetch_statement(&mut self) -> Result<VerifiedVault, Error> {
        let answer = self.transport.statement().await.map_err(Error::Network)?;
        self.trust.accept(&answer.into_content()?, (self.clock)())
    }

    async fn send(
        &mut self,
        call: &InnerCall,
        sending: &mut Sending,
    ) -> Result<InnerAnswer, Failed> {
        let now = (self.clock)();
        let vault = self.verified_vault().await.map_err(Failed::Stopped)?;
        let (message, key) = vault.seal(call, now).map_err(Failed::Stopped)?;
        // After everything that can take long: a device may have slept since the last sending.
        if !sending.allows((self.clock)()) {
            return Err(Failed::Stale);
        }
        let sent = self.transport.post_sealed(message).await;
        let answer = sent.map_err(|reason| match reason {
            NoAnswer::Unreachable(_) => Failed::Stopped(Error::Network(reason)),
            reason => Failed::Lost(reason),
        })?;
        let content = answer.into_content();
        // Perhaps the vault was made anew, with other keys of the same ids: ask before the next one.
        if matches!(
            content,
            Err(OuterProblem::UnknownKey | OuterProblem::Refused(Refusal::Status(400)))
        ) {
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
