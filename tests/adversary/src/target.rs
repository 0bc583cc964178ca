//! Where tickets are tried: a vault as a process, over TLS, or one inside this process, where time can
//! be moved. The same calls for both.

use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use serde::de::DeserializeOwned;
use vault_protocol::messages::{
    RegistrationFinish, RegistrationFinished, RegistrationStarted, Removed, RetrievalStarted,
    Status,
};
use vault_protocol::{AccountScope, Policy, Problem, TenantId};
use vault_tests::device::{Device, EvaluatedRegistration, Guess, Login};
use vault_tests::in_process::{TENANT, TestTenant, TestVault};
use vault_tests::process::calls::Calls;
use vault_tests::process::server::{ServerOptions, ServerProcess};

use crate::expect::granted;
use crate::gate::GateContext;

/// The second tenant's name.
pub const OTHER_TENANT: &str = "other";
/// The password that is right everywhere.
pub const PASSWORD: &str = "correct horse battery staple";

/// A vault with two tenants.
pub enum Target {
    /// With connections, and the second tenant's token.
    Process(Box<ServerProcess>, Calls, String),
    InProcess(Box<TestVault>, Box<TestTenant>),
}

/// The vault's inner answer.
pub type Said<T> = Result<T, Problem>;

impl Target {
    /// A vault as a process.
    pub async fn process(context: &GateContext, policy: &Policy) -> anyhow::Result<Self> {
        let limit = usize::try_from(policy.limit())?;
        let options = ServerOptions::default().without_waits(limit);
        let options = options.with_total_limit(policy.total_limit());
        let add = [
            "tenant".to_owned(),
            "add".to_owned(),
            OTHER_TENANT.to_owned(),
        ];
        let add = add.into_iter().chain(options.tenant_arguments.clone());
        let server = context.start(options)?;
        let token = server.vault().done(add)?;
        let calls = Calls::connect(&server, "nobody").await?;
        let token = token.trim().to_owned();
        Ok(Self::Process(Box::new(server), calls, token))
    }

    /// A vault inside this process.
    pub async fn in_process(policy: &Policy) -> Self {
        let vault = TestVault::start(policy.clone()).await;
        let other = vault.add_tenant(OTHER_TENANT, policy.clone()).await;
        Self::InProcess(Box::new(vault), Box::new(other))
    }

    /// Lets time pass.
    ///
    /// # Panics
    /// If the vault is a process: nothing moves its time.
    pub fn advance_seconds(&self, seconds: u64) {
        match self {
            Self::Process(..) => panic!("the time of a process cannot be moved"),
            Self::InProcess(vault, _) => vault.advance(Duration::from_secs(seconds)),
        }
    }

    /// An account of the first or of the second tenant.
    pub fn account(&self, name: &str, tenant: &str) -> AccountScope {
        let mut scope = match self {
            Self::Process(server, ..) => server.account(name),
            Self::InProcess(vault, _) => vault.account(name),
        };
        scope.tenant = TenantId::new(tenant).expect("the tenants have valid names");
        scope
    }

    /// Sends a message to an endpoint of an account.
    pub async fn ask<M: Serialize + Sync, T: DeserializeOwned>(
        &self,
        whose: &AccountScope,
        endpoint: &str,
        message: &M,
    ) -> anyhow::Result<Said<T>> {
        match self {
            Self::Process(..) => self.calls(whose)?.post(endpoint, message).await,
            Self::InProcess(vault, _) => {
                let tenant = self.tenant(whose).context("in process")?;
                Ok(vault.ask_as(tenant, whose, endpoint, message).await)
            }
        }
    }

    /// How an account stands.
    pub async fn status(&self, whose: &AccountScope) -> anyhow::Result<Status> {
        match self {
            Self::Process(..) => self.calls(whose)?.status().await,
            Self::InProcess(vault, _) => {
                let tenant = self.tenant(whose).context("in process")?;
                Ok(vault.status_as(tenant, whose).await)
            }
        }
    }

    /// All of a registration but its finish.
    pub async fn prepare(&self, device: &Device) -> anyhow::Result<EvaluatedRegistration> {
        let started = device.register(PASSWORD);
        let endpoint = "registration/start";
        let said: Said<RegistrationStarted> =
            self.ask(device.scope(), endpoint, &started.message).await?;
        Ok(device.evaluated(&started, &granted(said, endpoint)?))
    }

    /// Registers where there is no live record.
    pub async fn register(&self, whose: &AccountScope) -> anyhow::Result<Device> {
        let device = Device::new(whose);
        let prepared = self.prepare(&device).await?;
        self.finish_registration(whose, &prepared.message).await?;
        Ok(device)
    }

    /// Replaces the live record of this generation.
    pub async fn replace(&self, device: &Device, generation: u64) -> anyhow::Result<()> {
        let prepared = self.prepare(device).await?;
        let proven = device.proven(&prepared.message, generation);
        self.finish_registration(device.scope(), &proven).await
    }

    /// Deletes the live record of this generation.
    pub async fn delete(&self, device: &Device, generation: u64) -> anyhow::Result<()> {
        let message = device.deletion(generation);
        let said: Said<Removed> = self.ask(device.scope(), "deletion", &message).await?;
        granted(said, "a deletion")?;
        Ok(())
    }

    /// A charged attempt with the right password, up to its finish.
    pub async fn log_in(&self, whose: &AccountScope) -> anyhow::Result<Login> {
        let guess = Guess::new(whose, PASSWORD);
        let started = self.start(&guess).await?;
        let login = guess.evaluated(&started).ok();
        login.context("the password is right")
    }

    /// A charged attempt.
    pub async fn start(&self, guess: &Guess) -> anyhow::Result<RetrievalStarted> {
        let said = self
            .ask(guess.scope(), "retrieval/start", &guess.message)
            .await?;
        Ok(granted(said, "a start within the budget")?)
    }

    async fn finish_registration(
        &self,
        whose: &AccountScope,
        message: &RegistrationFinish,
    ) -> anyhow::Result<()> {
        let endpoint = "registration/finish";
        let said: Said<RegistrationFinished> = self.ask(whose, endpoint, message).await?;
        granted(said, endpoint)?;
        Ok(())
    }

    fn calls(&self, whose: &AccountScope) -> anyhow::Result<Calls> {
        let Self::Process(server, calls, other) = self else {
            anyhow::bail!("not a process");
        };
        let is_first = whose.tenant.as_str() == TENANT;
        let token = if is_first { server.token() } else { other };
        Ok(calls.of_account(whose.clone(), token))
    }

    fn tenant(&self, whose: &AccountScope) -> Option<&TestTenant> {
        let Self::InProcess(vault, other) = self else {
            return None;
        };
        let is_first = whose.tenant == vault.app.name;
        Some(if is_first { &vault.app } else { other })
    }
}
