//! A vault behind the relay, and the devices before it.

use rand::rngs::OsRng;
use vault_client::Timestamp;
use vault_client::client::VaultClient;
use vault_client::http::{BearerToken, HttpOptions, HttpTransport, system_clock};
use vault_client::trust::Trust;
use vault_protocol::{AccountId, AccountScope, BackupKey, Policy, TenantId};
use vault_tests::process::client::Client;
use vault_tests::process::server::{ServerOptions, ServerProcess};

use super::proxy::Relay;
use crate::gate::GateContext;

pub(super) const PASSWORD: &str = "correct horse battery staple";
pub(super) const WRONG: &str = "correct horse bakery staple";

/// A vault with a second tenant, and the relay that is before it.
pub(super) struct Scene {
    pub(super) server: ServerProcess,
    pub(super) relay: Relay,
}

impl Scene {
    pub(super) async fn set(context: &GateContext, options: ServerOptions) -> anyhow::Result<Self> {
        let server = context.start(options)?;
        let other = server.vault().done(["tenant", "add", "other"])?;
        let relay = Relay::start(&server, [server.token(), other.trim()]).await?;
        Ok(Self { server, relay })
    }

    pub(super) fn account(&self, name: &str) -> AccountScope {
        self.server.account(name)
    }

    pub(super) fn trust(&self) -> anyhow::Result<Trust> {
        Ok(Trust::new([self.server.fingerprint().parse()?]))
    }

    /// A new device of this account, whose clock goes right.
    pub(super) fn device(&self, account: &str) -> anyhow::Result<Client> {
        let AccountScope {
            tenant, account, ..
        } = self.account(account);
        device(&self.relay, self.trust()?, tenant, account, system_clock)
    }
}

pub(super) fn device(
    relay: &Relay,
    trust: Trust,
    tenant: TenantId,
    account: AccountId,
    clock: impl Fn() -> Timestamp + Send + Sync + 'static,
) -> anyhow::Result<Client> {
    let clock = Box::new(clock);
    let widest = Policy::new(32, 1000, vec![0; 31])?;
    let client =
        VaultClient::new(transport(relay)?, trust, tenant, account, clock).with_pauses(&[]);
    Ok(client.with_maximum_policy(widest))
}

pub(super) fn transport(relay: &Relay) -> anyhow::Result<HttpTransport> {
    let session = BearerToken::new("a-session-at-the-app")?;
    let options = HttpOptions::default();
    Ok(HttpTransport::through_relay(
        relay.url(),
        &session,
        &options,
    )?)
}

pub(super) fn password(text: &str) -> anyhow::Result<vault_client::Password> {
    Ok(vault_client::Password::prepare(text)?)
}

pub(super) fn new_key() -> BackupKey {
    BackupKey::generate(&mut OsRng)
}
