//! The client library, connected to a vault that runs as a process.

use anyhow::Context;
use vault_client::AccountId;
use vault_client::client::VaultClient;
use vault_client::http::{BearerToken, HttpOptions, HttpTransport, system_clock};
use vault_client::transport::Transport;
use vault_client::trust::Trust;

use crate::process::backend::AppBackendProcess;
use crate::process::server::ServerProcess;

/// The client library over HTTP.
pub type Client = VaultClient<HttpTransport>;

/// A new device that talks to the vault itself, for an account of the first tenant.
pub fn direct(server: &ServerProcess, account: &str) -> anyhow::Result<Client> {
    client(server, network(server, account)?, account)
}

/// The transport of such a device.
pub fn network(server: &ServerProcess, account: &str) -> anyhow::Result<HttpTransport> {
    let token = BearerToken::new(server.token())?;
    let roots = Some(server.root_certificate().into_bytes());
    let options = HttpOptions {
        roots,
        ..HttpOptions::default()
    };
    let id = AccountId::new(account)?;
    Ok(HttpTransport::direct(&server.url(), &token, &id, &options)?)
}

/// A new device that talks to the app's backend, with this session.
pub fn relayed(
    server: &ServerProcess,
    backend: &AppBackendProcess,
    session: &str,
    account: &str,
) -> anyhow::Result<Client> {
    let session = BearerToken::new(session)?;
    let options = HttpOptions::default();
    client(
        server,
        HttpTransport::through_relay(backend.url(), &session, &options)?,
        account,
    )
}

/// A new device over any transport, for an account of the first tenant.
pub fn client<T: Transport>(
    server: &ServerProcess,
    transport: T,
    account: &str,
) -> anyhow::Result<VaultClient<T>> {
    let pin = server
        .fingerprint()
        .parse()
        .context("the vault prints its fingerprint")?;
    let scope = server.account(account);
    let clock = Box::new(system_clock);
    // A test that wants a message sent again sends it again.
    let client = VaultClient::new(
        transport,
        Trust::new([pin]),
        scope.tenant,
        scope.account,
        clock,
    );
    Ok(client.with_pauses(&[]))
}
