//! One function per use case: the only place that sees the rules, the ledger and OPAQUE together.
//!
//! The order is always the same: decode, commit, and only then evaluate or answer.

pub mod account;
pub mod error;
pub mod opaque;
pub mod status;
pub mod ticket;

use std::sync::Arc;

use arc_swap::ArcSwap;
use rand::rngs::OsRng;
use rand::{CryptoRng, RngCore};
use sha2::{Digest, Sha256};
use vault_ledger::{Batch, CommitError, Committed, LeafKey, LeafUnavailable, Ledger};
use vault_protocol::binary::Binary;
use vault_protocol::ids::AccountScope;
use vault_protocol::messages::{
    Deletion, RegistrationFinish, RegistrationFinished, RegistrationStart, RegistrationStarted,
    Removed, Reset, RetrievalAbandon, RetrievalAbandoned, RetrievalFinish, RetrievalFinished,
    RetrievalStart, RetrievalStarted, Status,
};
use vault_protocol::{INTEGER_LIMIT, Ticket, Timestamp, VaultId, management, suite, wrapping};
use vault_rules::{
    AbandonRetrieval, Command, CommandTime, Decision, Delete, FinishRegistration, FinishRetrieval,
    ReadStatus, Refusal, Secret, StartRegistration, StartRetrieval,
};
use zeroize::Zeroizing;

use self::error::ServiceError;
use self::opaque::{ChargedAttempt, CheckedRequest};
use self::ticket::TicketKeys;
use crate::keyring::Keyring;
use crate::process::clock::Clock;
use crate::process::stack;
use crate::stored::keys;
use crate::tenants::tenant::Tenant;

/// Everything the use cases need. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) ledger: Ledger,
    pub(crate) clock: Clock,
    pub(crate) ticket_keys: Arc<ArcSwap<TicketKeys>>,
}

impl Service {
    /// `POST …/registration/start`.
    pub async fn start_registration(
        &self,
        scope: &AccountScope,
        request: RegistrationStart,
    ) -> Result<RegistrationStarted, ServiceError> {
        // Checked before anything is stored.
        suite::registration_request(&request.registration_request.0)
            .map_err(ServiceError::malformed("registration_request"))?;
        let (time, ticket) = (self.rules_clock(), Binary(*random(&mut OsRng)));
        let credential_identifier = stack::wiped(|| Secret::from_bytes(&random(&mut OsRng)));
        let place = keys::tenant(&scope.tenant);
        let started = self
            .commit(scope, move |batch, key, scope| {
                let Some(leaf) = batch.read(&place)? else {
                    return Ok(None);
                };
                let tenant = Tenant::decode(&leaf).map_err(|_| LeafUnavailable)?;
                let command = StartRegistration {
                    time,
                    credential_identifier,
                    registration_ticket: ticket,
                    policy: tenant.policy,
                };
                account::apply(batch, key, &scope.tenant, command).map(Some)
            })
            .await?
            .into_inner()
            .ok_or(ServiceError::UnknownTenant)?;
        let registration_response = stack::wiped(|| {
            opaque::respond_to_registration(
                self.keyring.opaque().expose_secret(),
                &started,
                &request.registration_request,
            )
        })
        .map_err(ServiceError::malformed("registration_request"))?;
        Ok(RegistrationStarted {
            registration_response,
            registration_ticket: ticket,
            policy: started.policy().clone(),
            generation: started.generation(),
            expires_at: started.expires_at(),
        })
    }

    /// `POST …/registration/finish`.
    pub async fn finish_registration(
        &self,
        scope: &AccountScope,
        request: RegistrationFinish,
    ) -> Result<RegistrationFinished, ServiceError> {
        suite::registration_record(&request.registration_record.0)
            .map_err(ServiceError::malformed("registration_record"))?;
        if !management::is_valid_key(&request.management_key.0) {
            return Err(ServiceError::InvalidField("management_key"));
        }
        let command = FinishRegistration {
            time: self.rules_clock(),
            scope: scope.clone(),
            registration_ticket: request.registration_ticket,
            registration_record: Secret::from_bytes(&request.registration_record.0),
            wrapped_key: Secret::from_bytes(&request.wrapped_key.0),
            stretching_profile: request.stretching_profile,
            management_key: request.management_key,
            replace_proof: request.replace_proof,
        };
        let place = keys::tenant(&scope.tenant);
        let decision = self
            .commit(scope, move |batch, key, scope| {
                // A tenant that was removed meanwhile gets no new record.
                if batch.read(&place)?.is_none() {
                    return Ok(None);
                }
                account::apply(batch, key, &scope.tenant, command).map(Some)
            })
            .await?
            .into_inner()
            .ok_or(ServiceError::UnknownTenant)?;
        let registered = granted(decision)?;
        Ok(RegistrationFinished {
            generation: registered.generation,
            policy: registered.policy,
        })
    }

    /// `POST …/retrieval/start`: **where a guess is charged**, and evaluated afterwards.
    pub async fn start_retrieval(
        &self,
        scope: &AccountScope,
        request: RetrievalStart,
    ) -> Result<RetrievalStarted, ServiceError> {
        let checked = CheckedRequest::decode(&request.credential_request)
            .map_err(ServiceError::malformed("credential_request"))?;
        let digest = Sha256::digest(request.credential_request.as_bytes());
        let command = StartRetrieval {
            time: self.rules_clock(),
            request_digest: Binary(digest.into()),
        };
        let committed = self
            .commit(scope, move |batch, key, scope| {
                account::apply(batch, key, &scope.tenant, command)
            })
            .await?;
        let attempt = ChargedAttempt::from_commit(committed).map_err(ServiceError::Refused)?;
        stack::wiped(|| self.evaluate(scope, &attempt, checked))
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
            account_key: self.keyring.account_key(&scope.tenant, &scope.account),
            generation: attempt.charge().generation(),
            attempt: attempt.charge().attempt(),
            login_state: evaluated.login_state,
        };
        let keys = self.ticket_keys.load();
        Ok(RetrievalStarted {
            credential_response: evaluated.credential_response,
            retrieval_ticket: keys.seal(self.vault_id(), &contents, &mut OsRng),
            attempts_remaining: attempt.charge().attempts_remaining(),
            generation: attempt.charge().generation(),
        })
    }

    /// `POST …/retrieval/finish`.
    pub async fn finish_retrieval(
        &self,
        scope: &AccountScope,
        request: RetrievalFinish,
    ) -> Result<RetrievalFinished, ServiceError> {
        let ticket = self.open_ticket(scope, &request.retrieval_ticket)?;
        let (state, finalization) = (&ticket.login_state, &request.credential_finalization);
        let session = stack::wiped(|| opaque::verify(scope, state, finalization));
        let command = FinishRetrieval {
            time: self.rules_clock(),
            generation: ticket.generation,
            attempt: ticket.attempt,
            verified: session.is_some(),
        };
        let release = self.decide(scope, command).await?;
        // The rules release nothing to a KE3 that did not verify.
        let session = session.ok_or(ServiceError::Refused(Refusal::TicketExpired))?;
        let released_key = stack::wiped(|| {
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
    pub async fn abandon_retrieval(
        &self,
        scope: &AccountScope,
        request: RetrievalAbandon,
    ) -> Result<RetrievalAbandoned, ServiceError> {
        let ticket = self.open_ticket(scope, &request.retrieval_ticket)?;
        let command = AbandonRetrieval {
            time: self.rules_clock(),
            generation: ticket.generation,
            attempt: ticket.attempt,
        };
        let status = self.decide(scope, command).await?;
        Ok(status::after_abandoning(&status))
    }

    /// `POST …/deletion`.
    pub async fn delete(
        &self,
        scope: &AccountScope,
        request: Deletion,
    ) -> Result<Removed, ServiceError> {
        let command = Delete {
            time: self.rules_clock(),
            scope: scope.clone(),
            proof: request.proof,
        };
        let removed = self.decide(scope, command).await?;
        Ok(Removed {
            generation: removed.generation,
        })
    }

    /// `POST …/reset`, for the app's operator.
    pub async fn reset(
        &self,
        scope: &AccountScope,
        request: Reset,
    ) -> Result<Removed, ServiceError> {
        if request.generation >= INTEGER_LIMIT {
            return Err(ServiceError::InvalidField("generation"));
        }
        let command = vault_rules::Reset {
            time: self.rules_clock(),
            generation: request.generation,
        };
        let removed = self.decide(scope, command).await?;
        Ok(Removed {
            generation: removed.generation,
        })
    }

    /// `GET …`: the status. Costs nothing.
    pub async fn status(&self, scope: &AccountScope) -> Result<Status, ServiceError> {
        let time = self.rules_clock();
        let place = keys::tenant(&scope.tenant);
        let (status, tenant_policy) = self
            .commit(scope, move |batch, key, scope| {
                let Some(leaf) = batch.read(&place)? else {
                    return Ok(None);
                };
                let tenant = Tenant::decode(&leaf).map_err(|_| LeafUnavailable)?;
                let command = ReadStatus { time };
                let status = account::apply(batch, key, &scope.tenant, command)?;
                Ok(Some((status, tenant.policy)))
            })
            .await?
            .into_inner()
            .ok_or(ServiceError::UnknownTenant)?;
        Ok(status::status(status, tenant_policy))
    }

    /// The vault's name.
    pub fn vault_id(&self) -> &VaultId {
        self.keyring.vault_id()
    }

    /// The time by the server's clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether commits are possible.
    pub fn is_ready(&self) -> bool {
        self.ledger.is_healthy()
    }

    fn open_ticket(
        &self,
        scope: &AccountScope,
        ticket: &Ticket,
    ) -> Result<ticket::Contents, ServiceError> {
        let account_key = self.keyring.account_key(&scope.tenant, &scope.account);
        let opened = stack::wiped(|| self.ticket_keys.load().open(self.vault_id(), ticket));
        opened
            .filter(|contents| contents.account_key == account_key)
            .ok_or(ServiceError::Refused(Refusal::TicketExpired))
    }

    /// Commits a command whose refusals all mean the same to every caller.
    async fn decide<T: Send + 'static>(
        &self,
        scope: &AccountScope,
        command: impl Command<Outcome = Decision<T>> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let committed = self
            .commit(scope, move |batch, key, scope| {
                account::apply(batch, key, &scope.tenant, command)
            })
            .await?;
        granted(committed.into_inner())
    }

    async fn commit<T: Send + 'static>(
        &self,
        scope: &AccountScope,
        change: impl FnOnce(&mut Batch<'_>, &LeafKey, &AccountScope) -> Result<T, LeafUnavailable>
        + Send
        + 'static,
    ) -> Result<Committed<T>, CommitError> {
        let key = LeafKey(self.keyring.account_key(&scope.tenant, &scope.account));
        let scope = scope.clone();
        self.ledger
            .commit(move |batch| change(batch, &key, &scope))
            .await
    }

    pub(crate) fn rules_clock(&self) -> CommandTime {
        self.clock.for_rules()
    }
}

fn granted<T>(decision: Decision<T>) -> Result<T, ServiceError> {
    match decision {
        Decision::Granted(granted) => Ok(granted),
        Decision::Refused(refusal) => Err(ServiceError::Refused(refusal)),
    }
}

fn random<R: RngCore + CryptoRng>(rng: &mut R) -> Zeroizing<[u8; 32]> {
    let mut bytes = Zeroizing::new([0; 32]);
    rng.fill_bytes(bytes.as_mut());
    bytes
}
