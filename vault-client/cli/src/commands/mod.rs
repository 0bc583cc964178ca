//! One module a command.

mod backup;
mod change_password;
mod disable;
mod enable;
pub mod fingerprint;
mod removal;
mod restore;
mod show_key;
mod status;

use vault_client::Policy;
use vault_client::client::VaultClient;
use vault_client::flows::{PreparedRegistration, Registered};
use vault_client::http::HttpTransport;
use vault_client::transport::Transport;
use vault_protocol::messages::DestructionReason;

use super::Context;
use super::arguments::Command;
use super::connection::Connection;
use super::device::{Device, Protection, StateFile};
use super::failure::{Failure, Sent};
use super::output::{Outcome, Screen};
use super::work;

/// Runs one command.
pub async fn run(context: &Context, command: Command) -> Result<Outcome, Failure> {
    match command {
        Command::Enable(options) => enable::run(context, options).await,
        Command::Backup(options) => backup::run(context, options).await,
        Command::Restore(options) => restore::run(context, options).await,
        Command::Status => status::run(context).await,
        Command::ChangePassword(options) => change_password::run(context, options).await,
        Command::ShowKey(options) => show_key::run(context, &options),
        Command::Disable(options) => disable::run(context, &options).await,
        Command::Fingerprint => fingerprint::run(context).await,
    }
}

/// The device as it is stored.
fn load(file: &StateFile) -> Result<Device, Failure> {
    file.load()?.ok_or(Failure::NoKey(
        "this device has no backup key yet: run vault-client enable, or restore a backup by password",
    ))
}

/// The device with a key that was protected one way or the other.
fn load_protected(file: &StateFile) -> Result<Device, Failure> {
    let device = load(file)?;
    match device.protection {
        Protection::KeyOnly | Protection::Password(_) => Ok(device),
        Protection::Unfinished => Err(Failure::NoKey(
            "the protection of this device's key was begun and not finished: run vault-client enable again",
        )),
    }
}

/// Keeps what a registration brought about.
fn store_registered(
    file: &mut StateFile,
    mut device: Device,
    connection: Connection,
    registered: &Registered,
) -> Result<Device, Failure> {
    device.protection = Protection::Password(registered.registration.clone());
    device.move_to(connection);
    file.store(&device)?;
    Ok(device)
}

/// The half of a registration that changes something at the vault.
async fn finish_registration<T: Transport>(
    client: &mut VaultClient<T>,
    prepared: &PreparedRegistration,
    sent: Sent,
    screen: Screen,
) -> Result<Registered, Failure> {
    let work = work::commit(client, prepared, sent);
    work::sending(screen, "Registering the key …", sent, work).await
}

/// Keeps what was learnt of the vault, however the calls ended: an older statement is refused from
/// then on.
fn learnt<R>(
    result: Result<R, Failure>,
    client: &VaultClient<HttpTransport>,
    connection: &mut Connection,
    file: &mut StateFile,
) -> Result<R, Failure> {
    connection.remember(client);
    let kept = file.learn(connection);
    let done = result?;
    kept?;
    Ok(done)
}

/// A policy in words.
fn describe_policy(policy: &Policy) -> String {
    format!(
        "{} wrong passwords in a row, or {} in all, destroy the record",
        policy.limit(),
        policy.total_limit()
    )
}

/// Why a record was destroyed, in words.
pub fn describe_reason(reason: DestructionReason) -> &'static str {
    match reason {
        DestructionReason::Exhausted => "too many wrong passwords",
        DestructionReason::Deleted => "by a device that held the key",
        DestructionReason::Reset => "by the app's operator",
    }
}
