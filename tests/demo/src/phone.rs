//! A phone: the app on it, as an app team would write it with `vault-client`. It reaches the vault
//! through the app's backend only.

use anyhow::Context;
use rand::rngs::OsRng;
use vault_client::client::VaultClient;
use vault_client::error::Error;
use vault_client::flows::Retrieved;
use vault_client::http::{BearerToken, HttpOptions, HttpTransport, system_clock};
use vault_client::protection::{Protection, RegistrationRef};
use vault_client::trust::Trust;
use vault_client::{AccountId, BackupKey, Password, TenantId};
use vault_protocol::messages::{AccountState, Status};
use vault_tests::process::backend::AppBackendProcess;
use vault_tests::process::one_call::OneCall as _;
use vault_tests::process::server::ServerProcess;

use crate::screen::Working;

/// The user of the story.
pub const USER: &str = "alice";
/// The password of her login at the app. It is not the backup's.
pub const LOGIN: &str = "alices-login";

/// A phone with the app, signed in.
pub struct Phone {
    client: VaultClient<HttpTransport>,
}

impl Phone {
    /// A phone fresh from the shop: the app has the vault's fingerprint built in, the user signs
    /// in. It holds no key.
    pub async fn new(server: &ServerProcess, backend: &AppBackendProcess) -> anyhow::Result<Self> {
        let session = backend.login(USER, LOGIN).await?;
        let session = BearerToken::new(&session)?;
        let transport =
            HttpTransport::through_relay(backend.url(), &session, &HttpOptions::default())?;
        let fingerprint = server.fingerprint().parse().context("the fingerprint")?;
        let client = VaultClient::new(
            transport,
            Trust::new([fingerprint]),
            TenantId::new("app")?,
            AccountId::new(USER)?,
            Box::new(system_clock),
        );
        Ok(Self { client })
    }

    /// Protects the key with a password.
    pub async fn enable(
        &mut self,
        password: &str,
        key: &BackupKey,
    ) -> anyhow::Result<RegistrationRef> {
        let _working = Working::on("stretching the password");
        Ok(self
            .client
            .enable(Password::prepare(password)?, key)
            .await?
            .registration)
    }

    /// Gives the key another password.
    pub async fn change_password(&mut self, password: &str, key: &BackupKey) -> anyhow::Result<()> {
        let _working = Working::on("stretching the password");
        self.client
            .change_password(Password::prepare(password)?, key)
            .await?;
        Ok(())
    }

    /// Tries a password.
    pub async fn retrieve(&mut self, password: &str) -> Result<Retrieved, Error> {
        let _working = Working::on("stretching the password");
        let password = Password::prepare(password).expect("the story's passwords are usable");
        self.client.retrieve(password).await
    }

    /// Destroys the record, which takes the key.
    pub async fn disable(&mut self, key: &BackupKey) -> anyhow::Result<()> {
        Ok(self.client.disable(key).await?)
    }

    /// How the account stands.
    pub async fn status(&mut self) -> anyhow::Result<Status> {
        Ok(self.client.status().await?)
    }

    /// The account's status.
    pub async fn state(&mut self) -> anyhow::Result<AccountState> {
        Ok(self.status().await?.state)
    }

    /// Whether the key is still protected.
    pub async fn check(&mut self, registration: &RegistrationRef) -> anyhow::Result<Protection> {
        Ok(self.client.check(registration).await?)
    }
}

/// A new backup key.
pub fn new_key() -> BackupKey {
    BackupKey::generate(&mut OsRng)
}
