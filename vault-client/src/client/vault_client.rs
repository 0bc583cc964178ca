//! The client of one account: status, registration and check.

use std::time::Duration;

use rand::rngs::OsRng;
use vault_protocol::messages::Status;
use vault_protocol::password::Password;
use vault_protocol::{AccountId, BackupKey, Policy, TenantId, Timestamp};

use super::off_thread::off_thread;
use super::sending::PAUSES;
use crate::error::Error;
use crate::flows::{
    PreparedRegistration, Registered, Registration, StatusQuery, check_registrable,
};
use crate::protection::{Protection, RegistrationRef};
use crate::transport::Transport;
use crate::trust::{Trust, TrustMemory, VaultAccount, VerifiedVault};

/// Tells the time, for the statement's expiry and an attempt's age; `http::system_clock` in an app.
pub type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;

/// One account at one vault.
pub struct VaultClient<T> {
    pub(super) transport: T,
    pub(super) trust: Trust,
    pub(super) clock: Clock,
    pub(super) vault: Option<VerifiedVault>,
    /// The generation of a deletion of which it is unknown whether it was granted.
    pub(super) deleting: Option<u64>,
    tenant: TenantId,
    account: AccountId,
    maximum_policy: Policy,
    pauses: &'static [Duration],
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
            pauses: &PAUSES,
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

    /// Waits so before a guess or a change is sent again that may not have arrived. The default is
    /// [`PAUSES`]; with none, it is sent again at once only.
    #[must_use]
    pub fn with_pauses(mut self, pauses: &'static [Duration]) -> Self {
        self.pauses = pauses;
        self
    }

    /// To be stored after any call, also one that failed: it guards against older statements.
    pub fn trust_memory(&self) -> Option<TrustMemory> {
        self.trust.memory()
    }

    /// The account's status. Costs nothing.
    pub async fn status(&mut self) -> Result<Status, Error> {
        let account = self.vault_account().await?;
        self.status_of(account).await
    }

    /// The first half of a registration; nothing is replaced yet. `current` is the key of the live
    /// record that is to be replaced. With `None` there must be no live record
    /// ([`Error::AlreadyRegistered`]); a destroyed one is no obstacle, so ask the user first. When K
    /// changes, store the backup under the new K before [`Self::commit`].
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

    /// Whether the key that was registered as `registered` is still protected. Costs nothing; ask
    /// once a day or so on a device that holds K.
    pub async fn check(&mut self, registered: &RegistrationRef) -> Result<Protection, Error> {
        let account = self.vault_account().await?;
        let scope = account.scope().clone();
        let status = self.status_of(account).await?;
        Ok(registered.compare(&scope, &status, &self.maximum_policy))
    }

    pub(super) async fn status_of(&mut self, account: VaultAccount) -> Result<Status, Error> {
        let query = StatusQuery::new(account);
        let answer = self.call(&query.request()).await?;
        query.answered(&answer)
    }

    pub(super) async fn vault_account(&mut self) -> Result<VaultAccount, Error> {
        let (tenant, account) = (self.tenant.clone(), self.account.clone());
        let vault = self.verified_vault().await?;
        Ok(vault.account(&tenant, &account))
    }

    pub(super) fn maximum_policy(&self) -> &Policy {
        &self.maximum_policy
    }

    pub(super) fn pauses(&self) -> &'static [Duration] {
        self.pauses
    }
}
