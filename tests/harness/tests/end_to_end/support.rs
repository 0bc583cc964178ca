//! The programs that the tests start, and the connections to them.

use vault_client::Password;
use vault_tests::process::backend::AppBackendProcess;
use vault_tests::process::client;
use vault_tests::process::server::{ServerOptions, ServerProcess};
use vault_tests::programs::Programs;

pub use vault_tests::process::client::{Client, direct};
pub use vault_tests::process::connection::tls_connection;

/// The password that is right in every test.
pub const PASSWORD: &str = "correct horse battery staple";

pub fn programs() -> Programs {
    Programs::of(env!("CARGO_BIN_EXE_programs"))
}

pub fn start(options: ServerOptions) -> anyhow::Result<ServerProcess> {
    ServerProcess::start(&programs(), options)
}

/// A vault whose records bear three wrong passwords, without waits.
pub fn three_attempts() -> ServerOptions {
    ServerOptions::default().without_waits(3)
}

/// A new device that talks to the app's backend, with a session of its own.
pub async fn relayed(
    server: &ServerProcess,
    backend: &AppBackendProcess,
    account: &str,
) -> anyhow::Result<Client> {
    let session = backend.login(account, &app_password(account)).await?;
    client::relayed(server, backend, &session, account)
}

/// A backend whose users are alice and bob.
pub fn backend(server: &ServerProcess) -> anyhow::Result<AppBackendProcess> {
    let (alice, bob) = (app_password("alice"), app_password("bob"));
    AppBackendProcess::start(&programs(), server, &[("alice", &alice), ("bob", &bob)])
}

/// A user's password at the app; it has nothing to do with the one that protects the key.
pub fn app_password(user: &str) -> String {
    format!("{user}'s password at the app")
}

pub fn password(text: &str) -> anyhow::Result<Password> {
    Ok(Password::prepare(text)?)
}
