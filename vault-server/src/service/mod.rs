//! The use cases, one a file: the only place that sees the rules, the ledger and OPAQUE together.
//!
//! The order is always the same: decode, commit, and only then evaluate or answer.
//!
//! | where | content |
//! |---|---|
//! | `retrieval` | **a guess is charged and then evaluated**; a key is given back |
//! | `registration`, `removal`, `status`, `sweep` | the other use cases |
//! | `opaque` | OPAQUE, and the type that makes the charge come first |
//! | `ticket` | the state between KE2 and KE3, sealed and handed to the device |
//! | `account` | an account's leaf, and how a command changes it |
//! | `error` | the errors of use cases, and their problems |

pub mod account;
pub(crate) mod error;
pub(crate) mod opaque;
mod registration;
mod removal;
mod retrieval;
pub(crate) mod status;
mod sweep;
pub mod ticket;

use std::sync::Arc;

use arc_swap::ArcSwap;
use rand::rngs::OsRng;
use vault_ledger::{CommitError, Committed, LeafKey, Ledger};
use vault_protocol::identity::Fingerprint;
use vault_protocol::ids::AccountScope;
use vault_protocol::{AccountId, TenantId, Timestamp};
use vault_rules::{Command, CommandTime, Decision};

use self::error::ServiceError;
use self::ticket::TicketKeys;
use crate::keyring::Keyring;
use crate::process::clock::Clock;
use crate::stored::leaf::Leaves;
use crate::tenants::tenant::Tenant;

/// Everything the use cases need. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Service {
    keyring: Arc<Keyring>,
    ledger: Ledger,
    clock: Clock,
    ticket_keys: Arc<ArcSwap<TicketKeys>>,
}

impl Service {
    /// Without ticket keys: before the first retrieval, [`Service::rotate_ticket_keys`] reads or
    /// draws them.
    pub(crate) fn new(keyring: Arc<Keyring>, ledger: Ledger, clock: Clock) -> Self {
        Self {
            keyring,
            ledger,
            clock,
            ticket_keys: Arc::default(),
        }
    }

    /// An account of this vault.
    pub(crate) fn scope(&self, tenant: TenantId, account: AccountId) -> AccountScope {
        AccountScope {
            vault: self.keyring.vault_id().clone(),
            tenant,
            account,
        }
    }

    /// Devices pin it.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.keyring.identity().identity_key().fingerprint()
    }

    /// The time by the server's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether commits are possible.
    pub(crate) fn is_ready(&self) -> bool {
        self.ledger.is_healthy()
    }

    /// Brings the ticket keys up to date. They are durable before one of them seals.
    pub(crate) async fn rotate_ticket_keys(&self, period_seconds: u64) -> Result<(), CommitError> {
        let time = self.time();
        let rotated = self.ledger.commit(move |batch| {
            let mut keys = batch.get(&TicketKeys::LEAF)?.unwrap_or_default();
            if keys.rotate(time, period_seconds, &mut OsRng) {
                batch.set(&TicketKeys::LEAF, &keys);
            }
            Ok(keys)
        });
        let keys = rotated.await?.into_inner();
        self.ticket_keys.store(Arc::new(keys));
        Ok(())
    }

    /// The time that a command carries.
    fn time(&self) -> CommandTime {
        self.clock.command_time()
    }

    fn account_key(&self, scope: &AccountScope) -> [u8; 32] {
        self.keyring.account_key(&scope.tenant, &scope.account)
    }

    /// Applies a command to an account and commits. Its outcome is there only when it is durable.
    async fn run<C>(
        &self,
        scope: &AccountScope,
        command: C,
    ) -> Result<Committed<C::Outcome>, CommitError>
    where
        C: Command + Send + 'static,
        C::Outcome: Send + 'static,
    {
        let (key, tenant) = (LeafKey(self.account_key(scope)), scope.tenant.clone());
        self.ledger
            .commit(move |batch| account::apply(batch, &key, &tenant, command))
            .await
    }

    /// The same for a command that depends on the tenant as it is at that moment. Returns both.
    async fn run_for_tenant<C>(
        &self,
        scope: &AccountScope,
        command: impl FnOnce(&Tenant) -> C + Send + 'static,
    ) -> Result<(C::Outcome, Tenant), ServiceError>
    where
        C: Command,
        C::Outcome: Send + 'static,
    {
        let (key, name) = (LeafKey(self.account_key(scope)), scope.tenant.clone());
        let committed = self.ledger.commit(move |batch| {
            let Some(tenant) = batch.get(&Tenant::leaf(&name))? else {
                return Ok(None);
            };
            let outcome = account::apply(batch, &key, &name, command(&tenant))?;
            Ok(Some((outcome, tenant)))
        });
        let outcome = committed.await?.into_inner();
        outcome.ok_or(ServiceError::UnknownTenant)
    }

    /// Runs a command whose refusals are errors.
    async fn decide<C, T>(&self, scope: &AccountScope, command: C) -> Result<T, ServiceError>
    where
        C: Command<Outcome = Decision<T>> + Send + 'static,
        T: Send + 'static,
    {
        granted(self.run(scope, command).await?.into_inner())
    }
}

fn granted<T>(decision: Decision<T>) -> Result<T, ServiceError> {
    match decision {
        Decision::Granted(granted) => Ok(granted),
        Decision::Refused(refusal) => Err(ServiceError::Refused(refusal)),
    }
}
