//! Getting a key back: **where a guess is charged and then evaluated** (PROTOCOL.md section 7).

use rand::rngs::OsRng;
use sha2::{Digest, Sha256};
use vault_protocol::binary::Binary;
use vault_protocol::ids::AccountScope;
use vault_protocol::messages::{
    RetrievalAbandon, RetrievalAbandoned, RetrievalFinish, RetrievalFinished, RetrievalStart,
    RetrievalStarted,
};
use vault_protocol::{Ticket, wrapping};
use vault_rules::{AbandonRetrieval, FinishRetrieval, Refusal, StartRetrieval};

use super::error::ServiceError;
use super::opaque::{self, ChargedAttempt, CheckedRequest};
use super::{Service, status, ticket};
use crate::process::stack;

impl Service {
    /// `POST …/retrieval/start`: charges the guess, and evaluates it when the charge is durable.
    pub(crate) async fn start_retrieval(
        &self,
        scope: &AccountScope,
        request: RetrievalStart,
    ) -> Result<RetrievalStarted, ServiceError> {
        let checked = CheckedRequest::decode(&request.credential_request)
            .map_err(ServiceError::malformed("credential_request"))?;
        let digest = Sha256::digest(request.credential_request.as_bytes());
        let command = StartRetrieval {
            time: self.time(),
            request_digest: Binary(digest.into()),
        };
        let committed = self.run(scope, command).await?;
        let attempt = ChargedAttempt::from_commit(committed).map_err(ServiceError::Refused)?;
        stack::zeroize_stack_after(|| self.evaluate(scope, &attempt, checked))
    }

    fn evaluate(
        &self,
        scope: &AccountScope,
        attempt: &ChargedAttempt,
        request: CheckedRequest,
    ) -> Result<RetrievalStarted, ServiceError> {
        let setup = self.keyring.opaque().expose_secret();
        let evaluated = opaque::evaluate(setup, scope, attempt, request, &mut OsRng)?;
        let contents = ticket::Contents {
            account_key: self.account_key(scope),
            generation: attempt.charge().generation(),
            attempt: attempt.charge().attempt(),
            login_state: evaluated.login_state,
        };
        let keys = self.ticket_keys.load();
        Ok(RetrievalStarted {
            credential_response: evaluated.credential_response,
            retrieval_ticket: keys.seal(self.keyring.vault_id(), &contents, &mut OsRng),
            attempts_remaining: attempt.charge().attempts_remaining(),
            generation: attempt.charge().generation(),
        })
    }

    /// `POST …/retrieval/finish`.
    pub(crate) async fn finish_retrieval(
        &self,
        scope: &AccountScope,
        request: RetrievalFinish,
    ) -> Result<RetrievalFinished, ServiceError> {
        let ticket = self.open_ticket(scope, &request.retrieval_ticket)?;
        let (state, finalization) = (&ticket.login_state, &request.credential_finalization);
        let session = stack::zeroize_stack_after(|| opaque::verify(scope, state, finalization));
        let command = FinishRetrieval {
            time: self.time(),
            generation: ticket.generation,
            attempt: ticket.attempt,
            verified: session.is_some(),
        };
        let release = self.decide(scope, command).await?;
        // The rules release nothing to a KE3 that did not verify.
        let session = session.ok_or(ServiceError::Refused(Refusal::TicketExpired))?;
        let released_key = stack::zeroize_stack_after(|| {
            wrapping::release_key(
                session.expose_secret(),
                scope,
                release.generation(),
                release.wrapped_key().expose_secret(),
                &mut OsRng,
            )
        });
        Ok(RetrievalFinished {
            released_key,
            failures_since_success: release.failures_since_success(),
            failures_in_generation: release.failures_in_generation(),
            last_success_at: release.last_success_at(),
            generation: release.generation(),
        })
    }

    /// `POST …/retrieval/abandon`.
    pub(crate) async fn abandon_retrieval(
        &self,
        scope: &AccountScope,
        request: RetrievalAbandon,
    ) -> Result<RetrievalAbandoned, ServiceError> {
        let ticket = self.open_ticket(scope, &request.retrieval_ticket)?;
        let command = AbandonRetrieval {
            time: self.time(),
            generation: ticket.generation,
            attempt: ticket.attempt,
        };
        let status = self.decide(scope, command).await?;
        Ok(status::after_abandoning(&status))
    }

    fn open_ticket(
        &self,
        scope: &AccountScope,
        ticket: &Ticket,
    ) -> Result<ticket::Contents, ServiceError> {
        let account_key = self.account_key(scope);
        let keys = self.ticket_keys.load();
        let opened = stack::zeroize_stack_after(|| keys.open(self.keyring.vault_id(), ticket));
        opened
            .filter(|contents| contents.account_key == account_key)
            .ok_or(ServiceError::Refused(Refusal::TicketExpired))
    }
}
