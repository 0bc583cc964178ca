//! The halves of a flow in one call, for tests that lose no answer between them.

use vault_client::client::VaultClient;
use vault_client::error::Error;
use vault_client::flows::{Registered, Retrieved};
use vault_client::transport::Transport;
use vault_client::{BackupKey, Password};

/// Registers and retrieves in one call each.
#[allow(async_fn_in_trait)]
pub trait OneCall {
    /// Protects K, where there is no live record.
    async fn enable(&mut self, password: Password, key: &BackupKey) -> Result<Registered, Error>;

    /// Gives the live record of K another password.
    async fn change_password(
        &mut self,
        password: Password,
        key: &BackupKey,
    ) -> Result<Registered, Error>;

    /// Tries the password once.
    async fn retrieve(&mut self, password: Password) -> Result<Retrieved, Error>;
}

impl<T: Transport> OneCall for VaultClient<T> {
    async fn enable(&mut self, password: Password, key: &BackupKey) -> Result<Registered, Error> {
        let prepared = self.prepare(password, key, None).await?;
        self.commit(&prepared).await
    }

    async fn change_password(
        &mut self,
        password: Password,
        key: &BackupKey,
    ) -> Result<Registered, Error> {
        let prepared = self.prepare(password, key, Some(key)).await?;
        self.commit(&prepared).await
    }

    async fn retrieve(&mut self, password: Password) -> Result<Retrieved, Error> {
        let attempt = self.begin(password).await?;
        self.run(attempt).await.map_err(|failed| failed.error)
    }
}
